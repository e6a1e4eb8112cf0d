//! What the edge asks of a move before a pointer goes, on a real log with real signatures; and
//! the frozen releases that the tests on workerd upload.

mod log;

use log::{
    Log, NEXT_RELEASE, NEXT_ROOT, RELEASE, ROOT, Release, STRANGER, name, objects_of, reference,
    trust_root,
};
use packice_core::types::{ObjectKind, hex};
use packice_edge::pointer::PointerMark;
use packice_edge::problem::{Problem, ProblemCode};
use packice_edge::resource::Resource;
use packice_edge::verify::{self, Evidence};
use serde_json::{Value, json};

fn check(release: &Release, old: Option<&Release>) -> Result<PointerMark, Problem> {
    let evidence = Evidence {
        trust_roots: vec![trust_root(1, ROOT, RELEASE, &[ROOT])],
        old: old.map(|old| old.bootstrap.clone()),
        own: None,
        tiles: release.tiles.clone(),
    };
    let moved = verify::check_move(&name("alpha"), &name("stable"), &evidence, &release.bootstrap)?;
    Ok(PointerMark::of(&moved))
}

fn reason(checked: Result<PointerMark, Problem>) -> String {
    let problem = checked.expect_err("a move that must be refused");
    assert_eq!(problem.code, ProblemCode::CheckFailed);
    problem.reason.expect("a reason").into_owned()
}

#[test]
fn a_pointer_follows_its_log_one_entry_at_a_time() {
    let mut log = Log::new();
    let first = log.release(&[("stable", 1)]);
    let second = log.release(&[("stable", 2)]);
    let third = log.release(&[("stable", 3)]);
    let mark = |log_size| Ok(PointerMark { trust_root_version: 1, log_size });
    assert_eq!(check(&first, None), mark(1));
    assert_eq!(Ok(verify::mark(&first.bootstrap)), mark(1).map(Some));
    assert_eq!(verify::mark(b"nonsense"), None);
    assert_eq!(check(&second, Some(&first)), mark(2));
    assert_eq!(check(&second.with_inlined(b"more"), Some(&second)), mark(2));
    assert_eq!(reason(check(&third, Some(&first))), "trust/wrong-log-size");
    assert_eq!(reason(check(&first, Some(&second))), "trust/rollback");
}

#[test]
fn a_pointer_does_not_move_onto_a_fork_or_a_strangers_word() {
    let mut log = Log::new();
    let first = log.release(&[("stable", 1)]);
    let mut forged = log.clone();
    forged.signer = STRANGER;
    let forged = forged.release(&[("stable", 2)]);
    assert_eq!(reason(check(&forged, Some(&first))), "trust/below-threshold");

    let mut other = Log::new();
    other.release(&[("stable", 9)]);
    let fork = other.release(&[("stable", 10)]);
    assert_eq!(reason(check(&fork, Some(&first))), "trust/fork");

    let elsewhere = log.release(&[("canary", 1)]);
    assert_eq!(reason(check(&elsewhere, Some(&first))), "trust/no-such-channel");
}

#[test]
fn a_pointer_waits_for_its_tiles_and_its_trust_root() {
    let mut log = Log::new();
    let first = log.release(&[("stable", 1)]);
    let tiles = verify::tiles(&first.bootstrap).expect("tiles");
    let paths: Vec<String> = tiles.iter().map(|tile| tile.path()).collect();
    assert_eq!(paths, ["tile/0/000.p/1", "tile/entries/000.p/1"]);

    let mut damaged = first.clone();
    for (_, tile) in &mut damaged.tiles {
        let last = tile.last_mut().expect("a byte");
        *last ^= 1;
    }
    assert_eq!(reason(check(&damaged, None)), "trust/bad-tile");

    let evidence = Evidence { tiles: first.tiles.clone(), ..Evidence::default() };
    let alpha = (name("alpha"), name("stable"));
    let problem = verify::check_move(&alpha.0, &alpha.1, &evidence, &first.bootstrap);
    let problem = problem.expect_err("no trust root");
    assert!(problem.detail.contains("/v1/alpha/trust-root/1"), "{}", problem.detail);
}

#[test]
fn a_pointer_waits_for_the_manifest_and_what_it_names() {
    let mut log = Log::new();
    let first = log.release(&[("stable", 1)]);
    let evidence = Evidence {
        trust_roots: vec![trust_root(1, ROOT, RELEASE, &[ROOT])],
        old: None,
        own: None,
        tiles: first.tiles.clone(),
    };
    let (dataset, channel) = (name("alpha"), name("stable"));
    let moved = verify::check_move(&dataset, &channel, &evidence, &first.bootstrap);
    let moved = moved.expect("a move");
    let missing = verify::manifest_needs(&dataset, &moved, None).expect_err("no manifest");
    assert_eq!(missing.reason.as_deref(), Some("edge/missing-object"));

    let objects = objects_of(1);
    let stored = |kind| objects.iter().find(|(own, _)| *own == kind).map(|(_, bytes)| bytes);
    let manifest = stored(ObjectKind::Manifest).cloned();
    let needs = verify::manifest_needs(&dataset, &moved, manifest).expect("a manifest");
    let kinds = needs.iter().map(|needed| {
        let Resource::Object { kind, name, .. } = &needed.resource else { panic!("no object") };
        let object = stored(*kind).expect("one of the release's objects");
        assert_eq!(*name, reference(object).name);
        assert_eq!(needed.check(Some(object.len() as u64)), Ok(()));
        assert!(needed.check(Some(object.len() as u64 + 1)).is_err());
        assert!(needed.check(None).is_err());
        *kind
    });
    assert_eq!(kinds.collect::<Vec<_>>(), [ObjectKind::Layout, ObjectKind::Dictionary]);

    let other = objects_of(2).pop().map(|(_, bytes)| bytes);
    let wrong = verify::manifest_needs(&dataset, &moved, other).expect_err("another version's");
    assert_eq!(wrong.reason.as_deref(), Some("trust/wrong-manifest"));
}

#[test]
fn trust_roots_follow_each_other() {
    let dataset = name("alpha");
    let first = trust_root(1, ROOT, RELEASE, &[ROOT]);
    let second = trust_root(2, NEXT_ROOT, NEXT_RELEASE, &[ROOT, NEXT_ROOT]);
    let check = |version, before: Option<&[u8]>, body: &[u8]| {
        verify::check_trust_root(&dataset, version, before, body).map_err(|problem| problem.code)
    };
    assert_eq!(check(1, None, &first), Ok(()));
    assert_eq!(check(2, Some(&first), &second), Ok(()));
    let alone = trust_root(2, NEXT_ROOT, NEXT_RELEASE, &[NEXT_ROOT]);
    for (version, before, body) in [
        (1, None, &second),
        (2, Some(&first[..]), &first),
        (2, Some(&first), &alone),
        (3, Some(&first), &second),
        (1, None, &trust_root(1, ROOT, RELEASE, &[STRANGER])),
        (1, None, &b"nonsense".to_vec()),
    ] {
        assert_eq!(check(version, before, body), Err(ProblemCode::CheckFailed));
    }
    assert_eq!(verify::trust_root_before(&dataset, 1), None);
    let before = Resource::TrustRoot { dataset: dataset.clone(), version: 1 };
    assert_eq!(verify::trust_root_before(&dataset, 2), Some(before));
    assert!(verify::same_trust_root(1, &first, &first).is_ok());
    let conflict = verify::same_trust_root(1, &first, &second).expect_err("other bytes");
    assert_eq!(conflict.code, ProblemCode::Conflict);
}

/// The releases that the tests on workerd upload, in the order of their use.
fn frozen() -> Value {
    let mut log = Log::new();
    let first = log.release(&[("stable", 1)]);
    let before_second = log.clone();
    let second = log.release(&[("stable", 2)]);
    let mut forged = before_second.clone();
    forged.signer = STRANGER;
    let mut fork = before_second;
    let fork = fork.release(&[("stable", 7)]);
    let beta = log.release(&[("beta", 4), ("stable", 2)]);
    log.signer = NEXT_RELEASE;
    log.trust_root_version = 2;
    log.trust_chain = vec![trust_root(2, NEXT_ROOT, NEXT_RELEASE, &[ROOT, NEXT_ROOT])];
    let rotated = log.release(&[("beta", 4), ("stable", 5)]);
    json!({
        "about": "Releases of a small log, made by edge-worker/tests/log; hexadecimal bytes.",
        "trust_roots": {
            "1": hex(&trust_root(1, ROOT, RELEASE, &[ROOT])),
            "1-stranger": hex(&trust_root(1, STRANGER, STRANGER, &[STRANGER])),
            "1-unsigned": hex(&trust_root(1, ROOT, RELEASE, &[STRANGER])),
            "2": hex(&trust_root(2, NEXT_ROOT, NEXT_RELEASE, &[ROOT, NEXT_ROOT])),
            "2-alone": hex(&trust_root(2, NEXT_ROOT, NEXT_RELEASE, &[NEXT_ROOT])),
        },
        "releases": {
            "first": release_json(&first),
            "second": release_json(&second),
            "second-a": release_json(&second.with_inlined(b"a")),
            "second-b": release_json(&second.with_inlined(b"b")),
            "second-forged": release_json(&forged.release(&[("stable", 2)])),
            "second-fork": release_json(&fork),
            "beta": release_json(&beta),
            "rotated": release_json(&rotated),
        },
    })
}

fn release_json(release: &Release) -> Value {
    let tiles = release.tiles.iter().map(
        |(tile, bytes)| json!({ "path": format!("log/{}", tile.path()), "bytes": hex(bytes) }),
    );
    let objects = release.objects.iter().map(|(kind, bytes)| {
        let path = format!("{}/{}", kind.as_str(), reference(bytes).name);
        json!({ "path": path, "bytes": hex(bytes) })
    });
    json!({
        "bootstrap": hex(&release.bootstrap),
        "tiles": tiles.collect::<Vec<_>>(),
        "objects": objects.collect::<Vec<_>>(),
    })
}

/// With PACKICE_FREEZE=1 in the environment the file is written anew.
#[test]
fn the_frozen_releases_are_the_ones_that_this_publisher_makes() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/edge-log.json");
    let made = format!("{:#}\n", frozen());
    if std::env::var_os("PACKICE_FREEZE").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors"))
            .expect("a folder");
        std::fs::write(file, &made).expect("a file");
    }
    let stored = std::fs::read_to_string(file).expect("tests/vectors/edge-log.json");
    assert!(stored == made, "the formats changed: run this test with PACKICE_FREEZE=1");
}
