//! What goes wrong around the publisher and the native client ends in an error that names what is
//! wrong and what to do.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::mirror::{Mirror, signed_project};
use common::{Project, assert_fails, assert_success, lines};

/// Runs a verb that must fail; gives what it said, which has an advice.
fn fails(project: &Project, args: &[&str], code: i32) -> String {
    let mut command = project.command();
    let out = command
        .args(args)
        .env("PACKICE_PUBLISH_KEY", "07".repeat(32))
        .output()
        .expect("the binary runs");
    let said = assert_fails(&out, code);
    assert!(said.contains("next:"), "{args:?} gives no advice: {said}");
    said
}

fn built() -> Project {
    let project = Project::new();
    project.write_lines(&lines(20));
    assert_success(&project.run(&["build"]));
    project
}

/// Writes a key file that only its owner can read.
fn write_key(project: &Project, text: &str) {
    let path = project.path("keys/release.key");
    fs::write(path, text).expect("written");
}

#[test]
fn a_bad_key_file_is_named_before_anything_is_sent() {
    let project = built();
    let good = fs::read_to_string(project.path("keys/release.key")).expect("read");
    for text in ["", "hello", "9d61b19d", "-----BEGIN PRIVATE KEY-----\nAAAA\n"] {
        write_key(&project, text);
        let said = fails(&project, &["publish", "--edge", "http://127.0.0.1:9"], 2);
        assert!(said.contains("keys/release.key"), "{said}");
    }
    // A key, but one that the trust root does not name.
    write_key(&project, &"00".repeat(32));
    let said = fails(&project, &["publish", "--edge", "http://127.0.0.1:9"], 2);
    assert!(said.contains("does not name this release key"), "{said}");
    fs::remove_file(project.path("keys/release.key")).expect("removed");
    let said = fails(&project, &["publish", "--edge", "http://127.0.0.1:9"], 2);
    assert!(said.contains("keys/release.key"), "{said}");
    assert!(!good.is_empty());
}

#[test]
fn an_edge_that_does_not_answer_is_named() {
    let project = built();
    let nowhere = "http://127.0.0.1:9";
    let said = fails(&project, &["publish", "--edge", nowhere], 5);
    assert!(said.contains(nowhere) && said.contains("check that the edge runs"), "{said}");
    for verb in [&["sync"][..], &["export", "out"]] {
        let said = fails(&project, &[verb, &["--source", nowhere]].concat(), 5);
        assert!(said.contains(nowhere), "{said}");
    }
    assert!(!project.path("out/v1/test-set/bootstrap/stable").exists());
}

#[test]
fn a_source_without_the_data_set_is_named() {
    let project = built();
    let empty = Mirror::start(BTreeMap::new());
    let said = fails(&project, &["sync", "--source", &empty.url], 5);
    assert!(said.contains(&empty.url) && said.contains("404"), "{said}");
    let said = fails(&project, &["export", "out", "--source", &empty.url], 7);
    assert!(said.contains("bootstrap/stable does not exist"), "{said}");
}

#[test]
fn a_page_for_people_in_place_of_an_object_is_named() {
    let (project, files) = signed_project(Project::new(), &lines(3000), false);
    // A pointer that is no bootstrap is a lie; a page shorter than the object, a body cut short.
    let cases = [("bootstrap/", 4), ("manifest/", 5), ("layout/", 5), ("bundle/", 5)];
    for (kind, code) in cases {
        let mirror = Mirror::start(files.clone());
        mirror.change(kind, |bytes| *bytes = b"<!doctype html><title>Sign in</title>".to_vec());
        let said = fails(&project, &["sync", "--store", "fresh", "--source", &mirror.url], code);
        assert!(said.contains(&mirror.url) && said.contains(kind), "{kind}: {said}");
        fs::remove_dir_all(project.path("fresh")).expect("removed");
    }
}

#[test]
fn what_cannot_be_written_or_read_is_named() {
    let (project, files) = signed_project(Project::new(), &lines(20), true);
    let mirror = Mirror::start(files);
    // A file where a directory must be: this also stops whoever may write everywhere.
    fs::write(project.path("file"), "x").expect("written");
    let said =
        assert_fails(&project.run(&["sync", "--store", "file/store", "--source", &mirror.url]), 2);
    assert!(said.contains("cannot create file/store"), "{said}");
    let said = fails(&project, &["export", "file/out", "--source", &mirror.url], 2);
    assert!(said.contains("cannot create file/out"), "{said}");
    // A directory where a file must be.
    fs::remove_file(project.path("tokens.jsonl")).expect("removed");
    fs::create_dir(project.path("tokens.jsonl")).expect("made");
    project.configure("input = ", "format = \"jsonl\"\ninput = ");
    let said = fails(&project, &["build"], 3);
    assert!(said.contains("tokens.jsonl") && said.contains("directory"), "{said}");
    fs::remove_dir(project.path("tokens.jsonl")).expect("removed");
    fs::rename(project.path(".packice"), project.path("old")).expect("moved");
    fs::write(project.path(".packice"), "x").expect("written");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains(".packice"), "{said}");
}
