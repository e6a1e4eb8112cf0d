//! The native light client against static mirrors on loopback.

mod common;

use common::mirror::{Mirror, signed_project};
use common::{Project, assert_fails, assert_success, lines, read};
use serde_json::{Value, json};

fn sync(project: &Project, mirrors: &[&Mirror]) -> std::process::Output {
    let mut args = vec!["sync", "--json"];
    for mirror in mirrors {
        args.extend(["--source", &mirror.url]);
    }
    project.run(&args)
}

#[test]
fn syncs_reads_and_verifies() {
    let (project, files) = signed_project(Project::new().with_dictionary(), &lines(4000), true);
    let mirror = Mirror::start(files);
    let out = sync(&project, &[&mirror]);
    assert_success(&out);
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((&report["records"], &report["version"]), (&json!(4000), &json!(1)));
    assert_eq!(report["collections"][0]["complete"], json!(true));

    // From here on the store alone must do.
    let nowhere = ["--source", "http://127.0.0.1:9"];
    let verified = project.json(&["verify"]);
    assert_eq!(verified["records"], json!(4000));
    let get = project.run(&[&["get", "tokens", "key-000123"], &nowhere[..]].concat());
    assert_success(&get);
    assert!(String::from_utf8_lossy(&get.stdout).contains("\"n\":123"));
    let absent = project.run(&[&["get", "tokens", "key"], &nowhere[..]].concat());
    assert!(assert_fails(&absent, 7).contains("proven absent"));
    let prefix = ["range", "tokens", "--prefix", "key-0012"];
    let range = project.run(&[&prefix[..], &nowhere[..]].concat());
    assert_success(&range);
    let text = String::from_utf8_lossy(&range.stdout).into_owned();
    let keys: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["key"].clone())
        .collect();
    let expected: Vec<Value> = (1200..1300).map(|i| json!(format!("key-{i:06}"))).collect();
    assert_eq!(keys, expected);
}

#[test]
fn a_proof_holds_without_edge_and_store_and_only_for_what_it_is_of() {
    let (project, files) = signed_project(Project::new().with_dictionary(), &lines(4000), true);
    let mirror = Mirror::start(files);
    assert_success(&sync(&project, &[&mirror]));
    drop(mirror);
    let get = |key: &str, file: &str| {
        let from = ["--source", "http://127.0.0.1:9"];
        project.run(&[&["get", "tokens", key, "--proof", file], &from[..]].concat())
    };
    assert_success(&get("key-000123", "present.proof"));
    assert!(assert_fails(&get("key", "absent.proof"), 7).contains("proven absent"));
    std::fs::remove_dir_all(project.path(".packice/store")).expect("the store");

    let present = project.json(&["verify-proof", "present.proof"]);
    assert_eq!((&present["state"], &present["key"]), (&json!("present"), &json!("key-000123")));
    assert!(present["value"].as_str().expect("text").contains("\"n\":123"));
    assert_eq!((&present["version"], &present["log_size"]), (&json!(1), &json!(1)));
    assert_eq!(present["freshness"]["level"], json!("unknown"), "no witness tells the time");
    let absent = project.json(&["verify-proof", "absent.proof", "--key", "key"]);
    assert_eq!((&absent["state"], absent.get("value")), (&json!("absent"), None));

    let other = ["verify-proof", "present.proof", "--key", "key-000124"];
    assert!(assert_fails(&project.run(&other), 4).contains("the proof is of 'key-000123'"));
    let other = ["verify-proof", "present.proof", "--collection", "others"];
    assert!(assert_fails(&project.run(&other), 4).contains("in tokens"));
    let other = ["verify-proof", "present.proof", "--channel", "beta"];
    assert!(assert_fails(&project.run(&other), 4).contains("no such channel"));
    let mut bytes = std::fs::read(project.path("present.proof")).expect("the proof");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(project.path("flipped.proof"), bytes).expect("written");
    assert_fails(&project.run(&["verify-proof", "flipped.proof"]), 4);
}

#[test]
fn a_seed_restores_without_a_network_and_a_damaged_one_only_costs_requests() {
    let (project, files) = signed_project(Project::new().with_dictionary(), &lines(4000), true);
    let mirror = Mirror::start(files);
    let seed = project.json(&["seed", "tokens.seed", "--source", &mirror.url]);
    assert_eq!((&seed["version"], &seed["records"]), (&json!(1), &json!(4000)));
    let again = project.json(&["seed", "again.seed", "--offline"]);
    assert_eq!(again["objects"], seed["objects"]);
    let bytes = std::fs::read(project.path("tokens.seed")).expect("the seed");
    assert_eq!(std::fs::read(project.path("again.seed")).expect("the other"), bytes);
    let shown = project.json(&["inspect", "tokens.seed"]);
    assert_eq!((&shown["kind"], &shown["whole"]), (&json!("seed"), &json!(true)));
    assert_eq!(shown["bytes"], json!(bytes.len()));

    let nowhere = ["--source", "http://127.0.0.1:9", "--store", "first-run"];
    let sync = ["sync", "--json", "--seed"];
    let out = project.run(&[&sync[..], &["tokens.seed"], &nowhere].concat());
    assert_success(&out);
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((&report["version"], &report["bytes_fetched"]), (&json!(1), &json!(0)));
    let verified = project.json(&["verify", "--store", "first-run"]);
    assert_eq!(verified["records"], json!(4000));

    for (at, store) in [(4, "a"), (bytes.len() / 2, "b"), (bytes.len() - 1, "c")] {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        std::fs::write(project.path("bad.seed"), bad).expect("a damaged seed");
        let over = ["bad.seed", "--store", store, "--source"];
        let report = project.json(&[&sync[..1], &sync[2..], &over, &[&mirror.url]].concat());
        assert_eq!(report["version"], json!(1));
        assert_eq!(report["faults"][0]["source"], json!("seed"), "{at}: {report}");
    }
    assert_fails(&project.run(&["sync", "--seed", "no-such-file"]), 2);
}

#[test]
fn a_lazy_read_fetches_little() {
    let (project, files) = signed_project(Project::new(), &lines(40_000), true);
    let whole: usize = files.values().map(Vec::len).sum();
    let mirror = Mirror::start(files);
    let get = project.run(&["get", "tokens", "key-012345", "--source", &mirror.url]);
    assert_success(&get);
    let held: u64 = walk(&project.path(".packice/store/test-set"));
    assert!(held * 4 < whole as u64, "{held} of {whole} bytes were stored");
}

/// Records that do not compress: 128 bytes of a hash in each.
fn random_lines(count: u32) -> Vec<String> {
    let text = |i: u32| {
        let mut hash = [0u8; 128];
        blake3::Hasher::new().update(&i.to_le_bytes()).finalize_xof().fill(&mut hash);
        format!("{{\"id\":\"key-{i:06}\",\"v\":\"{}\"}}", packice_core::types::hex(&hash))
    };
    (0..count).map(text).collect()
}

#[test]
fn a_sync_that_broke_off_goes_on_where_it_was() {
    let (project, files) = signed_project(Project::new(), &random_lines(24_000), true);
    let bundles: Vec<&String> = files.keys().filter(|path| path.starts_with("bundle/")).collect();
    assert!(bundles.len() > 1, "{} bundles", bundles.len());
    let mut partial = files.clone();
    partial.remove(bundles[0]);
    assert_fails(&sync(&project, &[&Mirror::start(partial)]), 5);

    let stored = names_in(&project.path(".packice/store/test-set/bundle"));
    assert!(!stored.is_empty());
    let whole = Mirror::start(files.clone());
    let out = sync(&project, &[&whole]);
    assert_success(&out);
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(report["bundles_reused"], json!(stored.len()));
    let mut asked = whole.asked();
    asked.retain(|path| path.starts_with("bundle/"));
    assert_eq!(asked.len(), bundles.len() - stored.len());
    let again = stored.iter().filter(|name| asked.contains(&format!("bundle/{name}"))).count();
    assert_eq!(again, 0, "a stored bundle was fetched again");
    assert_success(&project.run(&["verify"]));
}

#[test]
fn a_sync_of_a_range_of_keys_fetches_what_it_needs_alone() {
    let (project, files) = signed_project(Project::new(), &random_lines(24_000), true);
    let bundles = files.keys().filter(|path| path.starts_with("bundle/")).count();
    let mirror = Mirror::start(files);
    let only = |range: &str| {
        let source = mirror.url.clone();
        project.run(&["sync", "--json", "--source", &source, "--only", range])
    };
    assert_success(&only("tokens:key-000100..key-000200"));
    let fetched = mirror.asked().iter().filter(|path| path.starts_with("bundle/")).count();
    assert!(fetched == 1 && bundles > 1, "{fetched} of {bundles} bundles");
    let found = project.run(&["get", "tokens", "key-000150"]);
    assert_success(&found);
    assert_fails(&only("tokens"), 2);
    assert_fails(&only("tokens:key-000100"), 2);
    // Said no more, the rest comes too, also after a restart.
    assert_success(&project.run(&["sync", "--source", &mirror.url]));
    let fetched = mirror.asked().iter().filter(|path| path.starts_with("bundle/")).count();
    assert_eq!(fetched, bundles - 1);
    assert_success(&project.run(&["verify"]));
}

fn names_in(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("listed").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Bytes of all files under a directory.
fn walk(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("listed").flatten();
    entries
        .map(|entry| match entry.path().is_dir() {
            true => walk(&entry.path()),
            false => entry.metadata().map_or(0, |metadata| metadata.len()),
        })
        .sum()
}

#[test]
fn a_lying_mirror_is_named_and_an_honest_one_serves() {
    let (project, files) = signed_project(Project::new(), &lines(4000), true);
    let honest = Mirror::start(files.clone());
    let lying = Mirror::start(files);
    lying.change("bundle/", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let alone = sync(&project, &[&lying]);
    let said = assert_fails(&alone, 4);
    assert!(said.contains("verification"), "{said}");

    let both = sync(&project, &[&lying, &honest]);
    assert_success(&both);
    let report: Value = serde_json::from_slice(&both.stdout).expect("JSON");
    assert_eq!(report["records"], json!(4000));
    let faults = report["faults"].as_array().expect("faults");
    assert!(faults.iter().all(|fault| fault["source"] == json!(lying.url)), "{faults:?}");
    assert_eq!(project.json(&["verify"])["records"], json!(4000));
}

#[test]
fn a_damaged_store_is_found_and_repaired() {
    let (project, files) = signed_project(Project::new(), &lines(4000), true);
    let mirror = Mirror::start(files);
    assert_success(&sync(&project, &[&mirror]));
    let dir = project.path(".packice/store/test-set/bundle");
    let bundle =
        std::fs::read_dir(&dir).expect("listed").flatten().next().expect("a bundle").path();
    let mut bytes = read(&bundle);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&bundle, bytes).expect("written");
    let said = assert_fails(&project.run(&["verify"]), 4);
    assert!(said.contains("does not have the hash it is named by"), "{said}");
    assert!(said.contains("--repair"), "{said}");
    assert_success(&project.run(&["verify", "--repair", "--source", &mirror.url]));
    assert_success(&project.run(&["verify"]));
}

#[test]
fn without_a_source_or_a_trust_root_it_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let project = Project { dir };
    let said = assert_fails(&project.run(&["sync"]), 2);
    assert!(said.contains("--trust FILE"), "{said}");
    let (project, files) = signed_project(Project::new(), &lines(10), true);
    drop(files);
    let said = assert_fails(&project.run(&["verify"]), 7);
    assert!(said.contains("packice sync"), "{said}");
}
