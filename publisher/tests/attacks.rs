//! A mirror that lies about each kind of object, in each way: nothing of it is stored, the fault
//! names it, and an honest mirror beside it completes the sync.

mod common;

use std::path::Path;

use common::mirror::{Mirror, signed_project};
use common::{Project, assert_fails, assert_success, lines, read};
use packice_core::hash::wire_name;
use serde_json::{Value, json};

type Lie = fn(&mut Vec<u8>);

const LIES: [(&str, Lie); 5] = [
    ("flips a bit", |bytes| {
        // In a bootstrap this is the checkpoint; its middle is the trust root that is known.
        let at = bytes.len() / 4;
        bytes[at] ^= 1;
    }),
    ("truncates", |bytes| bytes.truncate(bytes.len() - 1)),
    ("extends", |bytes| bytes.push(0)),
    ("replaces", |bytes| bytes.fill(0x5a)),
    ("empties", Vec::clear),
];

const KINDS: [&str; 5] = ["bootstrap/", "manifest/", "layout/", "dictionary/", "bundle/"];

fn project_with_dictionary() -> Project {
    let project = Project::new();
    project.configure("dictionary = \"none\"", "dictionary = \"16 KiB\"");
    project
}

/// Every row of a store has the hash it is named by.
fn assert_store_holds_only_what_is_named(store: &Path) -> usize {
    let mut rows = 0;
    for kind in ["manifest", "layout", "dictionary", "bundle", "frame", "delta"] {
        for entry in std::fs::read_dir(store.join(kind)).expect("listed").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert_eq!(wire_name(&read(&entry.path())).to_hex(), name, "{kind}");
            rows += 1;
        }
    }
    rows
}

#[test]
fn every_lie_about_every_kind_is_blamed_and_nothing_of_it_is_stored() {
    // Nothing is inlined, so each kind is fetched by its name.
    let (project, files) = signed_project(project_with_dictionary(), &lines(6000), false);
    let honest = Mirror::start(files.clone());
    for kind in KINDS {
        for (at, (lie, change)) in LIES.iter().enumerate() {
            let lying = Mirror::start(files.clone());
            lying.change(kind, change);
            let store = project.path(&format!("store-{at}-{}", kind.trim_end_matches('/')));
            let store_text = store.to_str().expect("text");
            let sources = ["--source", &lying.url, "--source", &honest.url];
            let args = [&["sync", "--json", "--store", store_text], &sources[..]].concat();
            let out = project.run(&args);
            assert_success(&out);
            let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
            assert_eq!(report["records"], json!(6000), "{kind} {lie}");
            let faults = report["faults"].as_array().expect("faults");
            assert!(!faults.is_empty(), "{kind} {lie}: no fault is named");
            let blamed = faults.iter().all(|fault| fault["source"] == json!(lying.url));
            assert!(blamed, "{kind} {lie}: {faults:?}");
            // At least a bundle, the dictionary and a layout page.
            assert!(assert_store_holds_only_what_is_named(&store) >= 3);
            std::fs::remove_dir_all(&store).expect("removed");
        }
    }
}

#[test]
fn a_lying_mirror_alone_gets_nothing_into_the_store() {
    let (project, files) = signed_project(project_with_dictionary(), &lines(6000), false);
    for kind in KINDS {
        let lying = Mirror::start(files.clone());
        lying.change(kind, LIES[0].1);
        let store = project.path("store-alone");
        let store_text = store.to_str().expect("text");
        let out = project.run(&["sync", "--store", store_text, "--source", &lying.url]);
        let said = assert_fails(&out, 4);
        assert!(said.contains(&lying.url), "{kind}: {said}");
        assert_store_holds_only_what_is_named(&store);
        let read = ["get", "tokens", "key-000001", "--store", store_text];
        let out = project.run(&[&read[..], &["--source", &lying.url]].concat());
        let answered = out.status.success();
        // A read that needs none of the damaged objects may be answered; it is then the truth.
        assert!(!answered || String::from_utf8_lossy(&out.stdout).contains("\"n\":1}"), "{kind}");
        std::fs::remove_dir_all(&store).expect("removed");
    }
}
