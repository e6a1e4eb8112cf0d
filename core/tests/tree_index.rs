//! Finding and checking frames: against a sorted map, and against layouts that lie.

// Lengths and counts in tests are small.
#![allow(clippy::cast_possible_truncation)]

mod common;

use std::sync::OnceLock;

use common::{Records, Rng, SMALL, Snapshot, records, snapshot};
use packice_core::error::{Error, TrustError};
use packice_core::format::layout::{Bundle, Directory, Page};
use packice_core::tree::index::{FrameId, Index, Located};
use packice_core::tree::verify::verify_frame;

const MISMATCH: Error = Error::Trust(TrustError::LayoutMismatch);

/// Targets that give a deep tree and many pages for few records.
fn paged() -> &'static Snapshot {
    static PAGED: OnceLock<Snapshot> = OnceLock::new();
    PAGED.get_or_init(|| {
        let snapshot = snapshot(&records(60_000, 1), SMALL);
        assert!(snapshot.layout.pages.len() >= 3, "{} pages", snapshot.layout.pages.len());
        assert!(snapshot.layout.bundles >= 4);
        snapshot
    })
}

#[test]
fn every_record_is_found_and_no_other() {
    for count in [0, 1, 25, 700, 4000] {
        let set = records(count, 77);
        let snapshot = snapshot(&set, SMALL);
        let index = snapshot.index();
        for (key, value) in set.iter().step_by(7) {
            assert_eq!(snapshot.get(&index, key).as_ref(), Some(value));
            let mut absent = key.clone();
            absent.push(0);
            assert_eq!(snapshot.get(&index, &absent), None);
        }
        assert_eq!(snapshot.get(&index, b""), None);
        assert_eq!(snapshot.get(&index, &[255; 9]), None);
    }
}

#[test]
fn walking_all_frames_gives_all_records() {
    let set = records(5000, 4);
    let snapshot = snapshot(&set, SMALL);
    let index = snapshot.index();
    let mut at = index.first();
    let mut walked = Records::new();
    let mut frames = 0;
    while let Some(Located::Frame(id)) = at {
        let frame = snapshot.load(&index, id);
        walked.extend(frame.records().map(|record| (record.key, record.value.to_vec())));
        frames += 1;
        at = index.next(id);
    }
    assert_eq!(at, None);
    assert_eq!(walked, set);
    assert_eq!(frames, index.frame_count());
}

#[test]
fn records_from_a_key_on_are_those_of_the_map() {
    let set = records(3000, 8);
    let snapshot = snapshot(&set, SMALL);
    let index = snapshot.index();
    let mut rng = Rng(5);
    for _ in 0..60 {
        let key = format!("chain-{}/{:08x}", rng.below(7), rng.below(60_000)).into_bytes();
        let Some(Located::Frame(id)) = index.locate(&key) else { panic!("all pages are held") };
        let upper = index.frame(id).unwrap().upper.map(<[u8]>::to_vec);
        let frame = snapshot.load(&index, id);
        let got: Vec<_> = frame.records_from(&key).map(|record| record.key).collect();
        let want: Vec<_> = set
            .range(key.clone()..)
            .map(|(key, _)| key.clone())
            .take_while(|key| upper.as_ref().is_none_or(|upper| key < upper))
            .collect();
        assert_eq!(got, want);
    }
}

#[test]
fn a_missing_page_is_named_and_the_rest_still_answers() {
    let snapshot = paged();
    let mut index = Index::new(&snapshot.base, snapshot.directory()).unwrap();
    let probe = snapshot.built.frames.last().unwrap().child.separator.clone();
    let last = index.page_count() - 1;
    assert_eq!(index.locate(&probe), Some(Located::Page(last)));
    assert_eq!(index.first(), Some(Located::Page(0)));
    index.add_page(last, snapshot.page(last as usize)).unwrap();
    assert!(matches!(index.locate(&probe), Some(Located::Frame(id)) if id.page == last));
    assert_eq!(index.first(), Some(Located::Page(0)));
    index.add_page(0, snapshot.page(0)).unwrap();
    let end = FrameId { page: 0, frame: index.page(0).unwrap().frames - 1 };
    assert_eq!(index.next(end), Some(Located::Page(1)));
    index.drop_page(last);
    assert_eq!(index.locate(&probe), Some(Located::Page(last)));
    assert_eq!(index.add_page(99, snapshot.page(0)).unwrap_err().code(), "misuse/unknown-page");
}

#[test]
fn bundles_are_numbered_through_all_pages() {
    let snapshot = paged();
    let index = snapshot.index();
    let mut ordinal = 0;
    let mut wire_len = 0;
    for page in 0..index.page_count() {
        assert_eq!(index.bundle_range(page).start, ordinal);
        for bundle in index.bundles(page) {
            assert_eq!(bundle.ordinal, ordinal);
            assert_eq!(index.bundle(ordinal), Some(bundle));
            assert_eq!(index.page_of_bundle(ordinal), Some(page));
            let bytes = &snapshot.bundles[&bundle.name];
            assert_eq!(bytes.len() as u64, bundle.len);
            let mut offset = 0;
            for (_, info) in index.frames_of(&bundle) {
                assert_eq!((info.offset, info.bundle), (offset, bundle));
                offset += u64::from(info.wire.wire_len);
            }
            assert_eq!(offset, bundle.len);
            wire_len += bundle.len;
            ordinal += 1;
        }
        assert_eq!(index.bundle_range(page).end, ordinal);
    }
    assert_eq!((ordinal, wire_len), (index.bundle_count(), snapshot.base.wire_len));
    assert_eq!(index.bundle(ordinal), None);
}

#[test]
fn an_edit_renames_few_bundles_and_pages() {
    let mut set = records(60_000, 1);
    let before = paged();
    set.insert(b"chain-3/00000000".to_vec(), b"new".to_vec());
    let after = snapshot(&set, SMALL);
    let fresh = after.bundles.keys().filter(|name| !before.bundles.contains_key(*name)).count();
    assert!(fresh <= 2, "{fresh} bundles renamed");
    let names: Vec<_> = before.layout.pages.iter().map(|page| page.object).collect();
    let fresh = after.layout.pages.iter().filter(|page| !names.contains(&page.object)).count();
    assert!(fresh <= 2, "{fresh} pages renamed");
}

#[test]
fn a_directory_that_does_not_fit_the_root_is_refused() {
    let snapshot = paged();
    let good = snapshot.directory();
    assert!(!good.nodes.is_empty(), "the tree is too flat to test the directory");
    let refused = |change: &dyn Fn(&mut Directory)| {
        let mut directory = good.clone();
        change(&mut directory);
        assert_eq!(Index::new(&snapshot.base, directory).map(|_| ()), Err(MISMATCH));
    };
    refused(&|d| d.nodes.clear());
    refused(&|d| d.nodes[0].children[0].identity.0[0] ^= 1);
    refused(&|d| d.nodes[0].children[0].separator.push(0));
    refused(&|d| d.nodes[0].children[0].records += 1);
    refused(&|d| d.nodes.push(d.nodes[0].clone()));
    refused(&|d| {
        d.pages.pop();
    });
    refused(&|d| d.pages[0].nodes += 1);
    refused(&|d| d.pages[0].frames += 1);
    refused(&|d| d.pages[0].bundles += 1);
    refused(&|d| d.pages[0].wire_len += 1);
    let mut base = snapshot.base.clone();
    base.tree.root.0[0] ^= 1;
    assert_eq!(Index::new(&base, good.clone()).map(|_| ()), Err(MISMATCH));
    let mut base = snapshot.base.clone();
    base.frames += 1;
    assert_eq!(Index::new(&base, good).map(|_| ()), Err(MISMATCH));
}

#[test]
fn a_page_that_does_not_fit_its_directory_is_refused() {
    let snapshot = paged();
    let refused = |at: u32, change: &dyn Fn(&mut Page)| {
        let mut index = Index::new(&snapshot.base, snapshot.directory()).unwrap();
        let mut page = snapshot.page(0);
        change(&mut page);
        let result = index.add_page(at, page);
        assert_eq!(result.unwrap_err(), MISMATCH);
        assert!(!index.has_page(at));
    };
    refused(1, &|_| {});
    refused(0, &|p| {
        p.nodes.pop();
    });
    refused(0, &|p| p.nodes.swap(0, 1));
    refused(0, &|p| p.nodes[0].children[1].plain_len += 1);
    refused(0, &|p| p.bundles[0].frames[0].wire_len += 1);
    refused(0, &|p| {
        p.bundles[0].frames.pop();
    });
    refused(0, &|p| {
        p.bundles.pop();
    });
    refused(0, &|p| p.nodes[0].level = 3);
    // One bundle more than the directory says.
    refused(0, &|p| {
        let frame = p.bundles[0].frames.pop().unwrap();
        p.bundles.push(Bundle { name: p.bundles[0].name, frames: vec![frame] });
    });
}

#[test]
fn a_frame_of_other_content_is_refused() {
    let snapshot = snapshot(&records(2000, 6), SMALL);
    let index = snapshot.index();
    let Some(Located::Frame(id)) = index.locate(b"chain-3") else { panic!("held") };
    let info = index.frame(id).unwrap();
    let plain = snapshot.load(&index, id).plain().to_vec();
    let check = |plain: Vec<u8>| verify_frame(info.child, info.upper, plain).map(|_| ());
    assert_eq!(check(plain.clone()), Ok(()));
    for at in (0..plain.len()).step_by(13) {
        let mut flipped = plain.clone();
        flipped[at] ^= 0x10;
        assert!(check(flipped).is_err(), "a flip at {at} went through");
    }
    assert_eq!(check(plain[..plain.len() - 1].to_vec()), Err(MISMATCH));
    assert_eq!(check(Vec::new()), Err(MISMATCH));
    let mut longer = plain.clone();
    longer.push(0);
    assert_eq!(check(longer), Err(MISMATCH));
    // The right bytes in another frame's place, and keys past the next frame's separator.
    let other = index.next(id);
    let Some(Located::Frame(other)) = other else { panic!("held") };
    let other = index.frame(other).unwrap();
    assert!(verify_frame(other.child, other.upper, plain.clone()).is_err());
    let early = verify_frame(info.child, Some(info.child.separator.as_slice()), plain);
    assert_eq!(early.map(|_| ()), Err(MISMATCH));
}

#[test]
fn the_path_above_a_frame_leads_from_the_root() {
    let snapshot = paged();
    let index = snapshot.index();
    let mut at = index.first();
    let mut steps = 0;
    while let Some(Located::Frame(id)) = at {
        if steps % 37 == 0 {
            let path = index.path(id).unwrap();
            assert_eq!(path[0].identity(), snapshot.base.tree.root);
            assert_eq!(path.len() + 1, usize::from(snapshot.base.tree.level));
            let last = path.last().unwrap();
            assert!(last.children.contains(index.frame(id).unwrap().child));
        }
        steps += 1;
        at = index.next(id);
    }
}

#[test]
fn damaged_layouts_never_panic() {
    let snapshot = snapshot(&records(3000, 6), SMALL);
    let mut rng = Rng(8);
    let mut flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        for _ in 0..=rng.below(2) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.next().to_le_bytes()[0];
        }
        bytes
    };
    for _ in 0..2000 {
        let directory = Directory::parse(&flip(&snapshot.layout.directory.bytes));
        if let Ok(mut index) = directory.and_then(|read| Index::new(&snapshot.base, read)) {
            let _ = index.add_page(0, snapshot.page(0));
            walk(&index);
        }
        if let Ok(page) = Page::parse(&flip(&snapshot.layout.pages[0].bytes)) {
            let mut index = Index::new(&snapshot.base, snapshot.directory()).unwrap();
            let _ = index.add_page(0, page);
            walk(&index);
        }
    }
}

/// Asks an index everything it can be asked.
fn walk(index: &Index) {
    let mut at = index.first();
    while let Some(Located::Frame(id)) = at {
        assert!(index.frame(id).is_some() && index.path(id).is_some());
        at = index.next(id);
    }
    let _ = index.locate(b"chain-4/00001");
    for page in 0..=index.page_count() {
        for bundle in index.bundles(page) {
            assert_eq!(index.frames_of(&bundle).count(), bundle.frames as usize);
        }
    }
}
