//! `init`, `build`, `inspect` and `diff`, by the real binary.

mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use packice::project::Build;
use packice::publish::bootstrap::inlined_objects;

use common::{Project, assert_fails, assert_success, lines, shuffled};
use serde_json::{Value, json};

fn roots(build: &Value) -> Vec<Value> {
    let collections = build["collections"].as_array().expect("collections");
    collections.iter().map(|collection| collection["root"].clone()).collect()
}

#[test]
fn a_second_build_gives_the_same_names_and_shuffled_input_the_same_roots() {
    let project = Project::new().with_dictionary();
    let records = lines(4000);
    project.write_lines(&records);
    let first = project.json(&["build"])["build"].clone();
    let objects = project.objects(1);
    assert!(objects.iter().any(|name| name.starts_with("bundle/")));
    assert_eq!(first["collections"][0]["records"], json!(4000));

    let second = project.json(&["build"])["build"].clone();
    assert_eq!(first, second);
    assert_eq!(objects, project.objects(1));

    // 1 MiB of memory spills; the order of the lines is another one.
    project.write_lines(&shuffled(&records));
    let third = project.json(&["build", "--memory", "1 MiB", "--threads", "3"])["build"].clone();
    assert_eq!(roots(&first), roots(&third));
    assert_eq!(objects, project.objects(1));
    assert_ne!(first["source_digest"], third["source_digest"]);
}

#[test]
fn a_bootstrap_carries_a_layout_of_tens_of_kib() {
    let project = Project::new();
    project
        .configure("lazy = true", "lazy = true\nframe_target = \"4 KiB\"\nleaf_target = \"1 KiB\"");
    project.write_lines(&lines(24_000));
    project.json(&["build"]);
    let build = Build::open(&project.path(".packice/builds/1")).expect("a build");
    let layout: usize =
        project.objects(1).iter().filter(|name| name.starts_with("layout/")).count();
    let inlined = inlined_objects(&build, 120 << 10).expect("objects");
    let bytes: usize = inlined.iter().map(Vec::len).sum();
    assert!((40_000..90_000).contains(&bytes), "{bytes} bytes");
    assert_eq!(inlined.len(), layout + 1, "the manifest, the directory and every page");
    // Where there is less room, what comes first is there.
    let fewer = inlined_objects(&build, 30 << 10).expect("objects");
    assert!(fewer.len() > 2 && inlined.starts_with(&fewer[..2]), "{}", fewer.len());
}

#[test]
fn a_duplicate_key_names_both_lines() {
    let project = Project::new();
    let mut records = lines(10);
    records.insert(7, r#"{"id":"key-000002","name":"again"}"#.to_owned());
    project.write_lines(&records);
    let said = assert_fails(&project.run(&["build"]), 3);
    let expected = "collection 'tokens': duplicate key 'key-000002': line 3 and line 8";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("next:"), "{said}");
    assert!(!project.path(".packice/builds/1").exists(), "nothing half-built stays");
}

#[test]
fn a_bad_line_is_named_with_its_file_and_field() {
    let project = Project::new();
    for (line, expected) in [
        (r#"{"name":"x"}"#, "line 3: field 'id' is missing"),
        (r#"{"id":[1]}"#, "line 3: field 'id' is an array and cannot be part of a key"),
        (r#"{"id":"#, "line 3: not JSON"),
        (r#""text""#, "line 3: not a JSON object"),
    ] {
        let mut records = lines(2);
        records.push(line.to_owned());
        project.write_lines(&records);
        let said = assert_fails(&project.run(&["build"]), 3);
        assert!(said.contains("tokens.jsonl"), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    fs::remove_file(project.path("tokens.jsonl")).expect("removed");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains("check 'input' of collection 'tokens'"), "{said}");
}

#[test]
fn the_configuration_is_checked_field_by_field() {
    let project = Project::new();
    project.configure("lazy = true", "lazy = true\nlazyness = 3");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains("packice.toml") && said.contains("lazyness"), "{said}");
    let elsewhere = ["--config", "other.toml", "build"];
    let said = assert_fails(&project.run(&elsewhere), 2);
    assert!(said.contains("other.toml") && said.contains("packice init"), "{said}");
}

#[test]
fn init_never_overwrites() {
    let project = Project::new();
    let before = fs::read(project.path("packice.toml")).expect("read");
    let key = fs::read(project.path("keys/root.key")).expect("read");
    let said = assert_fails(&project.run(&["init", "--dataset", "other"]), 2);
    assert!(said.contains("packice.toml is there already"), "{said}");
    fs::remove_file(project.path("packice.toml")).expect("removed");
    let said = assert_fails(&project.run(&["init", "--dataset", "other"]), 2);
    assert!(said.contains("is there already; init never overwrites"), "{said}");
    assert!(!project.path("packice.toml").exists());
    assert_eq!(key, fs::read(project.path("keys/root.key")).expect("read"));
    assert!(!before.is_empty());
}

#[test]
fn init_takes_keys_from_the_environment() {
    let dir = tempfile::tempdir().expect("a directory");
    let project = Project { dir };
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let out = project
        .command()
        .args(["init", "--dataset", "ci-set", "--non-interactive", "--json"])
        .env("PACKICE_ROOT_KEY", seed)
        .env("PACKICE_RELEASE_KEY", seed)
        .env("PACKICE_PUBLISH_KEY", seed)
        .output()
        .expect("the binary runs");
    assert_success(&out);
    assert!(!project.path("keys").exists());
    let json: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    // RFC 8032, section 7.1, test 1.
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(json["release_key"]["public"], json!(public));
    assert_eq!(json["publish_key"]["entry"], json!(format!("ci-set={public}")));
    let trust = project.json(&["inspect", "trust/1.bin"]);
    assert_eq!(trust["holds"], json!(true));
    assert_eq!(trust["release"]["keys"], json!([public]));
}

#[cfg(unix)]
#[test]
fn key_files_are_private_and_others_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new();
    let path = project.path("keys/release.key");
    let mode = fs::metadata(&path).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
    project.write_lines(&lines(3));
    assert_success(&project.run(&["build"]));
    let said = assert_fails(&project.run(&["publish"]), 2);
    assert!(said.contains("can be read by others (mode 640)"), "{said}");
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn diff_counts_and_names_what_changed() {
    let project = Project::new();
    let mut records = lines(3000);
    project.write_lines(&records);
    project.json(&["build"]);
    records[1500] = records[1500].replace("token", "coin");
    records.remove(10);
    records.push(r#"{"id":"new-key"}"#.to_owned());
    project.write_lines(&records);
    project.json(&["build", "--set-version", "2"]);
    let diff = project.json(&["diff", "1", "2", "--keys"]);
    assert_eq!(
        diff["collections"][0],
        json!({
            "name": "tokens",
            "added": 1,
            "updated": 1,
            "removed": 1,
            "keys": [
                { "change": "removed", "key": "key-000010" },
                { "change": "updated", "key": "key-001500" },
                { "change": "added", "key": "new-key" },
            ],
        })
    );
    let said = assert_fails(&project.run(&["diff", "1", "9"]), 7);
    assert!(said.contains("no build in"), "{said}");
    let said = assert_fails(&project.run(&["diff", "1", "2", "--collection", "x"]), 7);
    assert!(said.contains("neither build has a collection 'x'"), "{said}");
}

#[test]
fn inspect_shows_the_dictionary_s_choice() {
    let project = Project::new().with_dictionary();
    project.write_lines(&lines(4000));
    project.json(&["build"]);
    let build = project.json(&["inspect"]);
    let trials = build["collections"][0]["dictionary_trials"].as_array().expect("trials");
    assert!(trials.len() > 1, "{trials:?}");
    assert_eq!(trials[0]["dictionary_bytes"], json!(0));
    let manifest = build["manifest"].as_str().expect("a name");
    let file = format!(".packice/builds/1/manifest/{manifest}");
    let shown = project.json(&["inspect", &file]);
    assert_eq!(shown["collections"][0]["root"], build["collections"][0]["root"]);
    let text = project.run(&["inspect"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("cold lazy read"));
}

#[test]
fn a_dictionary_that_cannot_be_trained_is_said_in_a_word() {
    let project = Project::new().with_dictionary();
    project.write_lines(&lines(3));
    let build = project.json(&["build"])["build"].clone();
    assert_eq!(build["collections"][0]["dictionary"], json!(null));
    assert_eq!(build["collections"][0]["dictionary_untrained"], json!(true));
    let text = project.run(&["inspect"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("too few to train one on"));
}

#[test]
fn the_next_build_removes_what_a_killed_one_left() {
    let project = Project::new();
    let (file, pipe) = ("input = \"tokens.jsonl\"", "input = \"-\"\nformat = \"jsonl\"");
    project.configure(file, pipe);
    let mut killed = project.command();
    killed.args(["build", "--memory", "1 MiB"]).stdin(Stdio::piped());
    let mut killed = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    // Its input never ends.
    let mut input = killed.stdin.take().expect("a pipe");
    for line in lines(20_000) {
        writeln!(input, "{line}").expect("written");
    }
    input.flush().expect("written");
    let left = |parent: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(project.path(parent)).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    while !left(".packice/tmp").iter().any(|dir| dir.join("run-1").exists()) {
        assert!(killed.try_wait().expect("asked").is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    assert_eq!((left(".packice/tmp").len(), left(".packice/builds").len()), (1, 1));

    project.configure(pipe, file);
    project.write_lines(&lines(10));
    project.json(&["build"]);
    assert_eq!(left(".packice/tmp"), Vec::<PathBuf>::new());
    assert_eq!(left(".packice/builds"), [project.path(".packice/builds/1")]);
}

#[test]
fn an_empty_collection_builds() {
    let project = Project::new();
    project.write_lines(&[]);
    let build = project.json(&["build"])["build"].clone();
    assert_eq!(build["collections"][0]["records"], json!(0));
    assert_eq!(build["collections"][0]["bundles"], json!(0));
}

#[test]
fn publishing_without_a_build_says_so() {
    let project = Project::new();
    let said = assert_fails(&project.run(&["publish"]), 7);
    assert!(said.contains("packice build"), "{said}");
    let said = assert_fails(&project.run(&["frobnicate"]), 2);
    assert!(said.contains("frobnicate"), "{said}");
}

#[test]
fn help_names_the_exit_codes_and_gives_examples() {
    let project = Project::new();
    let help = project.run(&["--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("7  absent"));
    let verbs =
        ["init", "build", "inspect", "diff", "publish", "sync", "get", "range", "verify", "export"];
    for verb in verbs {
        let help = project.run(&[verb, "--help"]);
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(text.contains("Examples:"), "{verb}: {text}");
    }
}
