//! Versions that are a base and what changed: overlays and deltas, as the publisher makes them; and
//! clients that follow them.

use std::collections::BTreeMap;

use packice_core::codec::Writer;
use packice_core::delta::{OldRecords, Op, PieceRecords, diff, pack, split};
use packice_core::engine::io::{Changes, Event, Input, Road, StoreKey};
use packice_core::format::layer::{Change, LayerDirectory, LayerPageRef, PageBody, Patch};
use packice_core::format::manifest::{
    Collection, Delta, Manifest, Overlay, Params, Provenance, Segment, TreeInfo,
};
use packice_core::format::node::Child;
use packice_core::tree::build::TreeBuilder;
use packice_core::tree::layer::LayerWriter;
use packice_core::types::{ObjectKind, Version};

use crate::publication::{Publication, Records, Spec, dataset, numbered_record};
use crate::shell::{Shell, Source};

/// A publication whose versions follow each other.
#[derive(Debug)]
pub struct History {
    /// What is served.
    pub publication: Publication,
    /// The collections of each version, from version 1 on.
    pub versions: Vec<Vec<Spec>>,
    /// New bytes that one segment holds at the most, one record over it.
    pub segment_target: u64,
    /// How many versions back deltas begin.
    pub star: usize,
    /// Whether segments are written without prediction, which takes long where it is not optimised.
    pub plain: bool,
}

impl History {
    /// A history of one version, a base.
    pub fn of(specs: &[Spec]) -> Self {
        let publication = Publication::of(specs);
        Self {
            publication,
            versions: vec![specs.to_vec()],
            segment_target: 1 << 20,
            star: 4,
            plain: false,
        }
    }

    /// The collections of the newest version.
    pub fn newest(&self) -> &[Spec] {
        self.versions.last().expect("a version")
    }

    /// Adds a version that is a base of its own, with deltas from those before it.
    pub fn publish_base(&mut self, specs: &[Spec]) {
        let version = self.next_version();
        let mut inline = Vec::new();
        let mut collections = Vec::new();
        for spec in specs {
            let mut collection = self.publication.collection(spec, version, &mut inline);
            collection.deltas = self.deltas(spec);
            collections.push(collection);
        }
        self.release(specs, collections, inline);
    }

    /// Adds a version over the base of the one before it.
    pub fn publish_change(&mut self, specs: &[Spec]) {
        let mut collections = Vec::new();
        for spec in specs {
            let before = self.publication.manifest.as_ref().expect("a version before");
            let before = before.collection(spec.name).expect("the same collections").clone();
            let (tree, frames) = tree_of(&before.params, &spec.records);
            let base = before.base.clone();
            let base_records = self.records(base.version, spec.name).clone();
            let overlay = (base.tree != tree)
                .then(|| self.overlay(&before.params, &base_records, &spec.records, &frames));
            let deltas = self.deltas(spec);
            collections.push(Collection { tree, base, overlay, deltas, ..before });
        }
        self.release(specs, collections, Vec::new());
    }

    fn next_version(&self) -> Version {
        Version(self.versions.len() as u64 + 1)
    }

    fn records(&self, version: Version, name: &str) -> &Records {
        let at = usize::try_from(version.0).expect("a small number") - 1;
        let spec = self.versions[at].iter().find(|spec| spec.name == name);
        &spec.expect("the same collections").records
    }

    fn release(&mut self, specs: &[Spec], mut collections: Vec<Collection>, inline: Vec<Vec<u8>>) {
        let version = self.next_version();
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        let provenance = Provenance { source_digest: [0; 32], tool: "test".into() };
        let parent = None;
        let manifest = Manifest { dataset: dataset(), version, parent, provenance, collections };
        self.publication.release(manifest, inline);
        self.versions.push(specs.to_vec());
    }

    fn overlay(
        &mut self,
        params: &Params,
        old: &Records,
        new: &Records,
        frames: &[Child],
    ) -> Overlay {
        let mut writer = LayerWriter::new(2048);
        let mut built = Vec::new();
        let keys = old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>();
        for key in keys {
            let change = match (old.get(key), new.get(key)) {
                (Some(_), None) => Change::Delete,
                (None, Some(value)) => Change::Insert(value.clone()),
                (Some(was), Some(value)) if was != value => Change::Update(value.clone()),
                (Some(_) | None, _) => continue,
            };
            built.extend(writer.push(key, &change));
        }
        let operations = writer.operations();
        built.extend(writer.finish());
        let (mut pages, mut wire_len) = (Vec::new(), 0);
        for page in built {
            let packed = zstd::bulk::compress(&page.plain, 3).expect("compressed bytes");
            let body = match packed.len() < page.plain.len() {
                true => PageBody::Zstd(&packed),
                false => PageBody::Raw(&page.plain),
            };
            let object = self.publication.put(ObjectKind::LayerPage, body.encode());
            wire_len += object.len;
            let plain_len = page.plain.len() as u64;
            pages.push(LayerPageRef { start: page.start, object, plain_len });
        }
        let (_, below) = tree_of(params, old);
        let patch = Patch::between(&below, frames);
        let directory = LayerDirectory { operations, patch, pages }.encode();
        let directory = self.publication.put(ObjectKind::Layer, directory);
        Overlay { directory, wire_len: wire_len + directory.len, operations }
    }

    /// Deltas from the versions before to a new one.
    fn deltas(&mut self, spec: &Spec) -> Vec<Delta> {
        let first = self.versions.len().saturating_sub(self.star);
        let mut deltas: Vec<Delta> = Vec::new();
        for at in first..self.versions.len() {
            let version = Version(at as u64 + 1);
            let old = self.records(version, spec.name).clone();
            let params =
                self.publication.manifest.as_ref().expect("a version").collections[0].params;
            let from_root = tree_of(&params, &old).0.root;
            if old == spec.records || deltas.iter().any(|delta| delta.from_root == from_root) {
                continue;
            }
            deltas.push(self.delta(version, from_root, &old, &spec.records));
        }
        deltas
    }

    fn delta(
        &mut self,
        from_version: Version,
        from_root: packice_core::types::Identity,
        old: &Records,
        new: &Records,
    ) -> Delta {
        let list = |records: &Records| -> Vec<(Vec<u8>, Vec<u8>)> {
            records.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let (old, new) = (list(old), list(new));
        let ops = diff(old.as_slice(), new.as_slice());
        let operations = ops.len() as u64;
        let mut segments = Vec::new();
        for piece in split(old.as_slice(), ops, self.segment_target) {
            let range = PieceRecords {
                old: old.as_slice(),
                first_rank: piece.first_rank,
                count: piece.old_records,
            };
            assert_eq!(range.count(), piece.old_records);
            let bytes = match self.plain {
                true => plain(piece.old_records, &piece.ops),
                false => pack(&range, &piece.ops).expect("a segment within bounds"),
            };
            let plain_len = piece.ops.iter().map(Op::plain_len).sum();
            let object = self.publication.put(ObjectKind::Delta, bytes);
            segments.push(Segment { start: piece.start, object, plain_len });
        }
        Delta { from_version, from_root, operations, segments }
    }
}

/// A segment of the plain codec (docs/spec/delta.md).
fn plain(old_records: u64, ops: &[Op]) -> Vec<u8> {
    let mut w = Writer::with_magic(b"PKC1");
    w.byte(0);
    w.number(old_records);
    w.count(ops.len());
    w.number(ops.iter().map(Op::plain_len).sum());
    let mut at = 0;
    for op in ops {
        let gap = op.rank() - at;
        match op {
            Op::Update { value, rank } => {
                w.number(4 * gap);
                w.bytes(value);
                at = rank + 1;
            }
            Op::Delete { rank } => {
                w.number(4 * gap + 1);
                at = rank + 1;
            }
            Op::Insert { key, value, rank } => {
                w.number(4 * gap + 2);
                w.bytes(key);
                w.bytes(value);
                at = *rank;
            }
        }
    }
    w.finish()
}

/// The tree of some records, and its frames.
pub fn tree_of(params: &Params, records: &Records) -> (TreeInfo, Vec<Child>) {
    let mut builder = TreeBuilder::new(*params).expect("parameters within bounds");
    let mut frames = Vec::new();
    for (key, value) in records {
        frames.extend(builder.push(key, value).expect("a record within bounds"));
    }
    let (last, tree) = builder.finish().expect("a tree within bounds");
    frames.extend(last);
    (tree.info, frames.into_iter().map(|frame| frame.child).collect())
}

/// Three collections, one of them with a dictionary.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec::numbered("config", 0, 12, 1),
        Spec { dictionary: true, ..Spec::numbered("headers", 2, 1800, 2) },
        Spec::numbered("tokens", 1, 200, 3),
    ]
}

/// A client of what a history serves, on a store.
pub fn follower(history: &History, store: BTreeMap<StoreKey, Vec<u8>>) -> Shell {
    let source = Source::honest(&history.publication);
    Shell::on_store(&history.publication, vec![source], store)
}

/// A client that synced from nothing.
pub fn synced(history: &History) -> Shell {
    let mut shell = follower(history, BTreeMap::new());
    shell.sync().expect("a sync");
    shell
}

/// The same client, when something new is served.
pub fn again(history: &History, shell: Shell) -> Shell {
    follower(history, shell.close())
}

/// Every record of every collection is the one that is expected.
pub fn check_all(shell: &mut Shell, specs: &[Spec]) {
    for spec in specs {
        let expected: Vec<_> = spec.records.clone().into_iter().collect();
        assert_eq!(shell.range(spec.name), expected, "collection {}", spec.name);
    }
}

/// The roads that collections came by.
pub fn roads(shell: &Shell) -> Vec<(String, Road)> {
    let road = |event: &Event| match event {
        Event::Road { collection, road, .. } => Some((collection.clone(), *road)),
        _ => None,
    };
    shell.events.iter().filter_map(road).collect()
}

/// What was told to have changed.
pub fn changed(shell: &Shell) -> Vec<Changes> {
    let changes = |event: &Event| match event {
        Event::Changed(changes) => Some(changes.clone()),
        _ => None,
    };
    shell.events.iter().filter_map(changes).collect()
}

/// The key of a number.
pub fn key(i: u64) -> Vec<u8> {
    numbered_record(i, 0).0
}

/// An update, a deletion and an insertion in `headers`.
pub fn edited(specs: &[Spec], round: u64) -> Vec<Spec> {
    let mut specs = specs.to_vec();
    let records = &mut specs[1].records;
    records.insert(key(1500 + round), format!("changed in {round}").into_bytes());
    records.remove(&key(40 * round + 7));
    records.insert(format!("key/{:08}x", 2000 + round).into_bytes(), b"new".to_vec());
    specs
}

/// Gives idle time until none is used.
pub fn rest(shell: &mut Shell) {
    for _ in 0..400 {
        let before = shell.loaded.len() + usize::try_from(shell.transactions).unwrap();
        shell.feed(Input::Idle);
        shell.settle();
        if shell.loaded.len() + usize::try_from(shell.transactions).unwrap() == before {
            return;
        }
    }
    panic!("idle time is used without end");
}
