//! Versions after others: bases, overlays and deltas, by the real binary.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::mirror::{Mirror, signed_files};
use common::{Project, assert_fails, lines, read};
use packice::build::content::{Content, Stream};
use packice::build::past::{Past, PastCollection};
use packice::client::fetch::HttpSource;
use packice::project::Build;
use packice::publish::paths::{Goal, follow, starts};
use packice::ui::Ui;
use packice_core::delta::{Op, Unpacker};
use packice_core::format::head::Channel;
use packice_core::format::manifest::{Collection, Delta};
use packice_core::hash::wire_name;
use packice_core::tree::build::TreeBuilder;
use packice_core::types::{Identity, Name, ObjectKind, ObjectRef};
use serde_json::{Value, json};

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn opened(project: &Project, version: u64) -> Build {
    Build::open(&project.path(&format!(".packice/builds/{version}"))).expect("a build")
}

fn tokens(build: &Build) -> &Collection {
    build.manifest.collection("tokens").expect("the collection")
}

/// Builds the lines as the next version, and counts it as published.
fn version(project: &Project, lines: &[String]) -> Value {
    project.write_lines(lines);
    let built = project.json(&["build"])["build"].clone();
    publish(project, &built);
    built
}

fn publish(project: &Project, built: &Value) {
    let (version, manifest) = (&built["version"], &built["manifest"]);
    let state = json!({"channels": {"stable": {"version": version, "manifest": manifest}}});
    fs::write(project.path(".packice/state.json"), state.to_string()).expect("written");
}

fn all(mut stream: Box<dyn Stream + '_>) -> Records {
    let mut records = Records::new();
    while stream.advance().expect("readable") {
        records.push((stream.key().to_vec(), stream.value().to_vec()));
    }
    records
}

/// The records of a build's collection, through its base and overlay.
fn records(build: &Build) -> Records {
    let past = PastCollection::open(&build.objects, tokens(build)).expect("a collection");
    all(past.stream().expect("a stream"))
}

fn root(build: &Build, records: &Records) -> Identity {
    let mut builder = TreeBuilder::new(tokens(build).params).expect("a builder");
    for (key, value) in records {
        builder.push(key, value).expect("in order");
    }
    builder.finish().expect("a tree").1.info.root
}

/// What a delta makes of the records that it starts from.
fn applied(build: &Build, delta: &Delta, old: &Records) -> Records {
    let mut made: BTreeMap<Vec<u8>, Vec<u8>> = old.iter().cloned().collect();
    let starts: Vec<&Vec<u8>> = delta.segments.iter().map(|segment| &segment.start).collect();
    for (at, segment) in delta.segments.iter().enumerate() {
        let bytes = build.objects.read(ObjectKind::Delta, &segment.object.name).expect("read");
        let within =
            |key: &Vec<u8>| key >= starts[at] && starts.get(at + 1).is_none_or(|next| key < *next);
        let range: Records = old.iter().filter(|(key, _)| within(key)).cloned().collect();
        let mut unpacker = Unpacker::open(&bytes).expect("a segment");
        while let Some(op) = unpacker.advance(range.as_slice()).expect("unpacked") {
            let key = |rank: u64| range[usize::try_from(rank).expect("small")].0.clone();
            match op {
                Op::Update { rank, value } => drop(made.insert(key(rank), value)),
                Op::Delete { rank } => drop(made.remove(&key(rank))),
                Op::Insert { key, value, .. } => drop(made.insert(key, value)),
            }
        }
    }
    made.into_iter().collect()
}

/// Some lines of a version changed, gone and come.
fn changed(lines: &[String], version: u64) -> Vec<String> {
    let mut next = Vec::new();
    for (at, line) in (0u64..).zip(lines) {
        match (at + 7 * version) % 211 {
            0 => next.push(line.replacen("token", &format!("token of {version}"), 1)),
            1 => {}
            2 => {
                next.push(line.clone());
                next.push(line.replacen("key-", &format!("key-{version}-"), 1));
            }
            _ => next.push(line.clone()),
        }
    }
    next
}

#[test]
fn every_delta_of_a_star_leads_to_the_root_and_an_overlay_reads_as_the_version() {
    let project = Project::new();
    project.configure("[[collection]]", "[deltas]\ndepth = 3\nbase_percent = 60\n\n[[collection]]");
    let mut content = lines(3000);
    version(&project, &content);
    for number in 2..=6u64 {
        content = changed(&content, number);
        version(&project, &content);
        let build = opened(&project, number);
        let collection = tokens(&build);
        assert_eq!(collection.base.version.0, 1, "the base of the first version stays");
        assert!(collection.overlay.is_some());
        let new = records(&build);
        assert_eq!(new.len(), content.len());
        assert_eq!(root(&build, &new), collection.tree.root);
        let from: Vec<u64> = collection.deltas.iter().map(|delta| delta.from_version.0).collect();
        // Three versions before, and the base.
        let expected = match number {
            2 => vec![1],
            3 => vec![1, 2],
            4 => vec![1, 2, 3],
            _ => vec![1, number - 3, number - 2, number - 1],
        };
        assert_eq!(from, expected);
        for delta in &collection.deltas {
            let start = opened(&project, delta.from_version.0);
            assert_eq!(delta.from_root, tokens(&start).tree.root);
            assert!(
                applied(&build, delta, &records(&start)) == new,
                "from {}",
                start.manifest.version
            );
        }
    }
    // What differs is found through the overlays too, by the trees.
    for (from, to) in [("1", "6"), ("6", "1"), ("5", "6")] {
        let differs = project.json(&["diff", from, to])["collections"][0].clone();
        let counts = ["added", "updated", "removed"].map(|name| differs[name].as_u64());
        let sum: u64 = counts.into_iter().flatten().sum();
        let build = opened(&project, 6);
        let from = if from == "5" { 5 } else { 1 };
        let mut deltas = tokens(&build).deltas.iter();
        let delta = deltas.find(|delta| delta.from_version.0 == from).expect("a delta");
        assert_eq!(sum, delta.operations);
    }
    // Each object says what it is.
    let dir = project.path(".packice/builds/6");
    for (kind, expected) in
        [("delta", "delta-segment"), ("layer", "layer"), ("layer-page", "layer-page")]
    {
        for entry in fs::read_dir(dir.join(kind)).expect("listed") {
            let path = entry.expect("an entry").path();
            let said = project.json(&["inspect", path.to_str().expect("text")]);
            assert_eq!(said["kind"], json!(expected));
        }
    }
    // The same inputs give the same build, whatever the number of threads.
    let before = read(&project.path(".packice/builds/6/build.json"));
    let held = names(&project.path(".packice/builds/6"));
    publish(
        &project,
        &serde_json::from_slice(&read(&project.path(".packice/builds/5/build.json")))
            .expect("JSON"),
    );
    project.json(&["build", "--threads", "1"]);
    assert_eq!(before, read(&project.path(".packice/builds/6/build.json")));
    assert_eq!(held, names(&project.path(".packice/builds/6")));
}

/// The objects of a build's directory.
fn names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for kind in ObjectKind::ALL {
        for entry in fs::read_dir(dir.join(kind.as_str())).expect("listed") {
            names.push(format!("{kind:?} {:?}", entry.expect("an entry").file_name()));
        }
    }
    names.sort();
    names
}

#[test]
fn a_base_is_cut_where_the_overlay_would_outgrow_its_share() {
    let project = Project::new();
    project.configure("[[collection]]", "[deltas]\nbase_percent = 5\n\n[[collection]]");
    let first = lines(2000);
    version(&project, &first);
    let small = version(&project, &changed(&first, 2));
    assert_eq!(small["collections"][0]["base_version"], json!(1));
    let other: Vec<String> =
        first.iter().map(|line| line.replacen("token", "another token", 1)).collect();
    let large = version(&project, &other);
    assert_eq!(large["collections"][0]["base_version"], json!(3));
    assert_eq!(large["collections"][0]["overlay"], Value::Null);
    let build = opened(&project, 3);
    assert_eq!(build.objects.list(ObjectKind::LayerPage).expect("listed").len(), 0);
    // The base's objects are all in the build that stands on it.
    let second = opened(&project, 2);
    let held = names(&project.path(".packice/builds/2"));
    assert!(packice::publish::upload::objects_of(&second).expect("objects").len() <= held.len());
}

#[test]
fn the_same_content_again_has_neither_overlay_nor_deltas() {
    let project = Project::new();
    project.configure("[[collection]]", "[deltas]\nbase_percent = 10\n\n[[collection]]");
    let first = lines(500);
    version(&project, &first);
    let again = version(&project, &first);
    assert_eq!(again["collections"][0]["base_version"], json!(1));
    assert_eq!(again["collections"][0]["deltas"], json!([]));
    let anew = project.json(&["build", "--new-base"])["build"].clone();
    assert_eq!(anew["collections"][0]["base_version"], json!(3));
    project.configure("base_percent = 10", "depth = 0");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains("field 'depth'"), "{said}");
}

/// A project of five versions on one base, the last one served by a mirror.
fn history() -> (Project, Mirror) {
    let project = Project::new();
    project.configure("[[collection]]", "[deltas]\nbase_percent = 60\n\n[[collection]]");
    let mut content = lines(2000);
    version(&project, &content);
    for number in 2..=5u64 {
        content = changed(&content, number);
        version(&project, &content);
    }
    let mirror = Mirror::start(signed_files(&project, 5, true));
    (project, mirror)
}

#[test]
fn a_new_client_restores_a_version_through_its_overlay() {
    let (project, mirror) = history();
    let synced = project.json(&["sync", "--source", &mirror.url]);
    assert_eq!(synced["version"], json!(5));
    project.json(&["verify"]);
    let (key, value) = records(&opened(&project, 5))
        .into_iter()
        .find(|(_, value)| value.windows(10).any(|text| text == b"token of 5"))
        .expect("a record that version 5 changed");
    let got = project.run(&["get", "tokens", std::str::from_utf8(&key).expect("text")]);
    assert_eq!(got.stdout, [value.as_slice(), b"\n"].concat());
}

#[test]
fn every_delta_path_is_gone_by_the_real_client_and_a_damaged_one_is_told() {
    let (project, mirror) = history();
    let build = opened(&project, 5);
    let object = ObjectRef {
        name: wire_name(&build.manifest_bytes),
        len: build.manifest_bytes.len() as u64,
    };
    let channel = Channel {
        name: Name::new("stable").expect("a name"),
        version: build.manifest.version,
        manifest: object,
    };
    let quiet = Ui { json: false, quiet: true };
    let goal = Goal {
        channel: &channel,
        manifest: &build.manifest,
        source: Arc::new(HttpSource::new(&mirror.url, &build.manifest.dataset)),
        inlined: Vec::new(),
        temporary: project.dir.path(),
        compare: true,
    };
    let past = |version: u64| {
        let Build { manifest, manifest_bytes, objects, .. } = opened(&project, version);
        Past { name: wire_name(&manifest_bytes), manifest: Arc::new(manifest), objects }
    };
    let from: Vec<u64> = starts(&build.manifest).into_iter().map(|version| version.0).collect();
    assert_eq!(from, [1, 2, 3, 4]);
    for version in from {
        let gone = follow(&goal, &past(version), quiet).expect("a path");
        assert_eq!(gone.records, tokens(&build).tree.records);
        // A manifest and a delta, and no bundle.
        assert!(gone.requests <= 6, "{gone:?}");
        assert!(!mirror.asked().iter().any(|path| path.starts_with("bundle/")));
    }
    mirror.change("delta/", |bytes| bytes[10] ^= 1);
    let failure = follow(&goal, &past(4), quiet).expect_err("a damaged delta");
    assert!(failure.message.contains("the path from version 4 does not hold"), "{failure}");
}
