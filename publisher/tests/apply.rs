//! Operations over a version: what they come to is what a build of all records gives.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{Project, assert_fails, lines, read};
use packice::apply::Intake;
use packice::build::past::Past;
use packice::build::report::Report;
use packice::build::supply::{Inputs, Supply};
use packice::build::{Options, Parent, build};
use packice::config::Config;
use packice::project::Build;
use packice::ui::Ui;
use packice_core::hash::wire_name;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const QUIET: Ui = Ui { json: false, quiet: true };

fn config(dir: &Path) -> Config {
    let text = "dataset = \"set\"\n[deltas]\nbase_percent = 200\n\
                [[collection]]\nname = \"things\"\ninput = \"things.jsonl\"\n\
                key = \"{k}\"\ndictionary = \"none\"\n\
                leaf_target = \"1 KiB\"\nframe_target = \"4 KiB\"\n";
    Config::parse(text, dir).expect("a configuration")
}

fn make(config: &Config, version: u64, parent: Option<&Past>, supply: &dyn Supply) -> Report {
    let parent = parent.map(|past| Parent { name: past.name, history: vec![past.clone()] });
    let options = Options { version, parent, new_base: false, memory: 1 << 20, threads: 1 };
    build(config, &options, supply, QUIET).expect("a build")
}

fn inputs(config: &Config) -> Inputs {
    Inputs { memory: 1 << 20, spill_dir: config.work_dir().join("tmp"), ui: QUIET }
}

fn opened(config: &Config, version: u64) -> Past {
    let dir = config.work_dir().join("builds").join(version.to_string());
    let build = Build::open(&dir).expect("a build");
    let name = wire_name(&build.manifest_bytes);
    Past { name, manifest: Arc::new(build.manifest), objects: build.objects }
}

type Records = BTreeMap<String, Map<String, Value>>;

fn write(dir: &Path, records: &Records) {
    let lines: Vec<String> = records
        .iter()
        .map(|(key, fields)| {
            let mut line = Map::from_iter([("k".to_owned(), json!(key))]);
            line.extend(fields.clone());
            Value::Object(line).to_string()
        })
        .collect();
    fs::write(dir.join("things.jsonl"), lines.join("\n")).expect("written");
}

/// What a test does to a key.
#[derive(Clone, Debug)]
enum Deed {
    Put(u16),
    PutRecord(u16),
    Delete,
    Patch(u8, Option<u16>),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => any::<u16>().prop_map(Deed::Put),
        1 => any::<u16>().prop_map(Deed::PutRecord),
        2 => Just(Deed::Delete),
        3 => (0u8..4, proptest::option::of(any::<u16>())).prop_map(|(f, v)| Deed::Patch(f, v)),
    ]
}

fn fields(value: u16) -> Map<String, Value> {
    let text = "x".repeat(usize::from(value % 97));
    let fields = json!({"a": value, "b": {"c": text, "d": [value % 7]}, "f0": 1.5});
    fields.as_object().expect("an object").clone()
}

/// The line of a deed, done to the oracle as well; none where there is nothing to patch.
fn operate(records: &mut Records, key: &str, deed: &Deed) -> Option<Value> {
    match deed {
        Deed::Put(value) => {
            records.insert(key.to_owned(), fields(*value));
            Some(json!({"op": "put", "key": key, "value": fields(*value)}))
        }
        Deed::PutRecord(value) => {
            records.insert(key.to_owned(), fields(*value));
            let mut record = fields(*value);
            record.insert("k".to_owned(), json!(key));
            Some(json!({"op": "put", "collection": "things", "record": record}))
        }
        Deed::Delete => {
            records.remove(key);
            Some(json!({"op": "delete", "key": key}))
        }
        Deed::Patch(field, value) => {
            let held = records.get_mut(key)?;
            let field = format!("f{field}");
            match value {
                Some(value) => drop(held.insert(field.clone(), json!(value))),
                None => drop(held.shift_remove(&field)),
            }
            Some(json!({"op": "patch", "key": key, "value": {field: value}}))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Operations over operations over a build have the root of a build of all records.
    #[test]
    fn operations_come_to_what_a_full_rebuild_gives(
        first in proptest::collection::btree_map(0u16..300, any::<u16>(), 1..160),
        rounds in proptest::collection::vec(
            proptest::collection::vec((0u16..300, deed()), 1..60), 1..4),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let config = config(dir.path());
        let record = |(key, value)| (format!("key-{key:03}"), fields(value));
        let mut records: Records = first.into_iter().map(record).collect();
        write(dir.path(), &records);
        make(&config, 1, None, &inputs(&config));
        for (version, round) in (2u64..).zip(rounds) {
            let past = opened(&config, version - 1);
            let spill = config.work_dir().join("tmp");
            let mut intake = Intake::new(&config, &spill, 1 << 20, "changes");
            for (number, (key, deed)) in (1u64..).zip(&round) {
                let line = operate(&mut records, &format!("key-{key:03}"), deed);
                if let Some(line) = line {
                    intake.line(line.to_string().as_bytes(), number).expect("taken in");
                }
            }
            let changes = intake.over(&past).expect("changes");
            let applied = make(&config, version, Some(&past), &changes);
            write(dir.path(), &records);
            let rebuilt = make(&config, version + 1000, None, &inputs(&config));
            prop_assert_eq!(&applied.collections[0].root, &rebuilt.collections[0].root);
            prop_assert_eq!(applied.collections[0].records, records.len() as u64);
        }
    }
}

#[test]
fn what_a_later_operation_overrides_is_dropped_and_the_log_keeps_whole_values() {
    let project = Project::new();
    project.write_lines(&lines(50));
    let built = project.json(&["build"])["build"].clone();
    let state = json!({"channels": {"stable": {
        "version": built["version"], "manifest": built["manifest"],
    }}});
    fs::write(project.path(".packice/state.json"), state.to_string()).expect("written");
    let changes = [
        r#"{"op":"put","key":"key-000007","value":{"name":"first"}}"#,
        r#"{"op":"patch","key":"key-000007","value":{"name":"second","n":7}}"#,
        r#"{"op":"delete","key":"key-000008"}"#,
        r#"{"op":"put","record":{"id":"key-new","name":"new"}}"#,
        r#"{"op":"put","key":"key-gone","value":1}"#,
        r#"{"op":"delete","key":"key-gone"}"#,
        "",
    ];
    fs::write(project.path("changes.jsonl"), changes.join("\n")).expect("written");
    let applied = project.json(&["apply", "changes.jsonl"])["build"].clone();
    assert_eq!(applied["version"], json!(2));
    assert_eq!(applied["collections"][0]["records"], json!(50));
    assert_eq!(applied["collections"][0]["deltas"][0]["operations"], json!(3));
    let log = String::from_utf8(read(&project.path(".packice/operations/2.jsonl"))).expect("text");
    let entries: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        entries,
        [
            json!({"sequence": 1, "collection": "tokens", "op": "put", "key": "key-000007",
                   "value": {"name": "second", "n": 7}}),
            json!({"sequence": 2, "collection": "tokens", "op": "delete", "key": "key-000008"}),
            json!({"sequence": 3, "collection": "tokens", "op": "put", "key": "key-new",
                   "value": {"name": "new"}}),
        ]
    );
    // The log is operations again: over the version before it leads to the same root.
    let again: Vec<String> = entries
        .into_iter()
        .map(|mut entry| {
            entry.as_object_mut().expect("an object").shift_remove("sequence");
            entry.to_string()
        })
        .collect();
    fs::write(project.path("again.jsonl"), again.join("\n")).expect("written");
    let replayed = project.json(&["apply", "again.jsonl"])["build"].clone();
    assert_eq!(replayed["collections"][0]["root"], applied["collections"][0]["root"]);
}

#[test]
fn an_operation_that_cannot_be_read_as_meant_is_refused_with_its_line() {
    let project = Project::new();
    project.write_lines(&lines(5));
    fs::write(project.path("changes.jsonl"), "{\"op\":\"delete\",\"key\":\"a\"}").expect("written");
    let said = assert_fails(&project.run(&["apply", "changes.jsonl"]), 7);
    assert!(said.contains("there is no version to change"), "{said}");
    let built = project.json(&["build"])["build"].clone();
    let state = json!({"channels": {"stable": {
        "version": built["version"], "manifest": built["manifest"],
    }}});
    fs::write(project.path(".packice/state.json"), state.to_string()).expect("written");
    for (line, expected) in [
        ("{", "not an operation"),
        (r#"{"op":"put","key":"a"}"#, "'put' needs one of"),
        (r#"{"op":"put","key":"a","value":1,"value_text":"x"}"#, "'put' needs one of"),
        (r#"{"op":"upsert","key":"a"}"#, "'op' is 'upsert'"),
        (r#"{"op":"delete"}"#, "needs one of 'key' and 'key_hex'"),
        (r#"{"op":"delete","key":"a","value":1}"#, "'delete' has no value"),
        (r#"{"op":"patch","key":"a","value":1}"#, "'patch' needs an object"),
        (r#"{"op":"patch","key":"a","value":{}}"#, "there is no record to patch"),
        (r#"{"op":"delete","key_hex":"xy"}"#, "not hexadecimal"),
        (r#"{"op":"delete","key":"a","collection":"b"}"#, "there is no collection 'b'"),
        (r#"{"op":"put","record":{"name":"x"}}"#, "field 'id' is missing"),
        (r#"{"op":"put","record":{"id":"x"},"key":"x"}"#, "leave the others out"),
    ] {
        fs::write(project.path("changes.jsonl"), format!("\n{line}\n")).expect("written");
        let said = assert_fails(&project.run(&["apply", "changes.jsonl"]), 3);
        assert!(said.contains("changes.jsonl line 2"), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn events_are_appended_come_first_and_never_change() {
    let project = Project::new();
    project.write_lines(&lines(5));
    let said = assert_fails(&project.run(&["event", "revocation"]), 2);
    assert!(said.contains("no collection is an event log"), "{said}");
    let section = "[[collection]]\nname = \"events\"\nevents = true\ninput = \"events.jsonl\"\n";
    project.configure("[[collection]]", &format!("{section}\n[[collection]]"));
    project.json(&["event", "schema", "--data", r#"{"collection":"tokens"}"#]);
    let second = project.json(&["event", "revocation", "--data", r#"{"keys":["key-000001"]}"#]);
    assert_eq!(second["sequence"], json!(2));
    assert_fails(&project.run(&["event", "Not a name"]), 2);
    let built = project.json(&["build"])["build"].clone();
    assert_eq!(built["collections"][0]["name"], json!("events"));
    assert_eq!(built["collections"][0]["priority"], json!(0));
    assert_eq!(built["collections"][0]["records"], json!(2));
    let state = json!({"channels": {"stable": {
        "version": built["version"], "manifest": built["manifest"],
    }}});
    fs::write(project.path(".packice/state.json"), state.to_string()).expect("written");
    let log = String::from_utf8(read(&project.path("events.jsonl"))).expect("text");
    for (changed, expected) in [
        (log.replace("key-000001", "key-000002"), "event 2 was published, and is another one now"),
        (log.lines().take(1).collect(), "event 2 was published, and is another one now"),
        (log.replace("\"sequence\":2", "\"sequence\":3"), "event 2 is missing"),
    ] {
        fs::write(project.path("events.jsonl"), changed).expect("written");
        let said = assert_fails(&project.run(&["build"]), 3);
        assert!(said.contains(expected), "{said}");
    }
    fs::write(project.path("events.jsonl"), log).expect("written");
    project.json(&["event", "parameters"]);
    let next = project.json(&["build"])["build"].clone();
    assert_eq!(next["collections"][0]["records"], json!(3));
}
