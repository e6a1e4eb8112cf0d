//! Keys at rest: what opens them, and what says why they do not open.

mod common;

use std::process::Output;

use common::{Project, assert_fails, assert_success, read};
use serde_json::{Value, json};

const PASSPHRASE: &str = "correct horse battery";

/// Runs with a passphrase in the environment.
fn keys(project: &Project, passphrase: &str, args: &[&str]) -> Output {
    let mut command = project.command();
    command.env("PACKICE_PASSPHRASE", passphrase).arg("keys").args(args);
    command.output().expect("the binary runs")
}

fn error_code(out: &Output) -> Value {
    let error: Value = serde_json::from_slice(&out.stderr).expect("a JSON error");
    error["error"]["code"].clone()
}

#[test]
fn a_generated_key_is_private_encrypted_and_opens_with_its_passphrase_alone() {
    let project = Project::new();
    let out = keys(&project, PASSPHRASE, &["generate", "release", "k/alice.key", "--json"]);
    assert_success(&out);
    let made: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((&made["role"], &made["encrypted"]), (&json!("release"), &json!(true)));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = project.path("k/alice.key").metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let text = String::from_utf8(read(&project.path("k/alice.key"))).expect("text");
    assert!(text.starts_with("packice key 1\nrole release\n"), "{text}");
    let out = keys(&project, PASSPHRASE, &["generate", "root", "k/alice.key"]);
    assert!(assert_fails(&out, 2).contains("never overwritten"));
    let shown = keys(&project, PASSPHRASE, &["show", "k/alice.key", "--check", "--json"]);
    assert_success(&shown);
    let out = keys(&project, "another passphrase", &["show", "k/alice.key", "--check", "--json"]);
    assert_eq!(out.status.code(), Some(2));
    assert_eq!(error_code(&out), json!("key/wrong-passphrase"));
    let out = project.run(&["keys", "show", "k/alice.key", "--check", "--json"]);
    assert_eq!(error_code(&out), json!("key/no-passphrase"), "nobody is there to ask");
    let exported = project.run(&["keys", "export", "k/alice.key"]);
    let public = made["public"].as_str().expect("text");
    assert_eq!(String::from_utf8_lossy(&exported.stdout), format!("{public}\n"));
}

#[test]
fn weak_passphrases_and_damaged_or_open_files_are_refused_by_name() {
    let project = Project::new();
    let out = keys(&project, "short", &["generate", "root", "r.key", "--json"]);
    assert_eq!(error_code(&out), json!("key/weak-passphrase"));
    assert!(!project.path("r.key").exists());
    assert_success(&project.run(&["keys", "generate", "root", "r.key", "--unencrypted"]));
    let text = String::from_utf8(read(&project.path("r.key"))).expect("text");
    std::fs::write(project.path("r.key"), text.replace("kdf none", "kdf rot13")).expect("written");
    let out = project.run(&["keys", "show", "r.key", "--json"]);
    assert_eq!(error_code(&out), json!("key/bad-file"));
    // A plain seed is no key file, unless it is named as one.
    let out = project.run(&["keys", "export", "keys/release.key", "--json"]);
    assert_eq!(error_code(&out), json!("key/bad-file"));
    assert_success(&project.run(&["keys", "export", "seed:keys/release.key"]));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(project.path("r.key"), open).expect("changed");
        let out = project.run(&["keys", "show", "r.key", "--json"]);
        assert_eq!(error_code(&out), json!("key/readable-by-others"));
    }
}

#[test]
fn a_key_serves_its_own_role_only() {
    let project = Project::new();
    assert_success(&project.run(&["keys", "generate", "release", "a.key", "--unencrypted"]));
    let run = ["witness", "run", "--name", "w", "--state", "s", "--log", "o,seed:none"];
    let out = project.run(&[&run[..], &["--key", "a.key", "--json"]].concat());
    assert_eq!(out.status.code(), Some(2), "a log's key that is none");
    let key = "8".repeat(64);
    let log = format!("origin,{key}");
    let run = ["witness", "run", "--name", "w", "--state", "s", "--log", &log];
    let out = project.run(&[&run[..], &["--key", "a.key", "--json"]].concat());
    assert_eq!(error_code(&out), json!("key/wrong-role"));
    let out = project.run(&[
        "root",
        "rotate",
        "--out",
        "2.draft",
        "--add-root",
        "a.key",
        "--add-release",
        "a.key",
    ]);
    assert!(assert_fails(&out, 2).contains("is a root key and a release key"));
}

#[test]
fn a_trust_root_is_rotated_by_old_and_new_root_keys_together() {
    let project = Project::new();
    for (role, file) in [("root", "r2.key"), ("root", "r3.key"), ("release", "a.key")] {
        assert_success(&project.run(&["keys", "generate", role, file, "--unencrypted"]));
    }
    let drafted = project.json(&[
        "root",
        "rotate",
        "--out",
        "2.draft",
        "--add-root",
        "r2.key",
        "--add-root",
        "r3.key",
        "--root-threshold",
        "2",
        "--add-release",
        "a.key",
        "--release-threshold",
        "2",
        "--stale-after",
        "36 h",
        "--expired-after",
        "7 d",
    ]);
    let changes = drafted["changes"].to_string();
    assert!(changes.contains("root: 2 of 3 must sign (was 1 of 1)"), "{changes}");
    assert!(changes.contains("stale after 36 h, expired after 7 d"), "{changes}");
    let publish = ["root", "publish", "2.draft", "--local"];
    assert!(assert_fails(&project.run(&publish), 4).contains("not signed yet"));
    // Two new keys are no threshold of the old ones.
    let sign = |key: &str| project.run(&["root", "sign", "2.draft", "--key", key, "--json"]);
    for key in ["r2.key", "r3.key"] {
        assert_success(&sign(key));
    }
    assert!(assert_fails(&project.run(&publish), 4).contains("0 of the role's keys signed"));
    let refused = sign("a.key");
    assert_eq!(error_code(&refused), json!("key/wrong-role"));
    let out = sign("seed:keys/root.key");
    assert_success(&out);
    let signed: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(signed["complete"], json!(true));
    assert_success(&project.run(&publish));
    assert!(project.path("trust/2.bin").exists());
    let out = project.run(&["root", "rotate", "--out", "3.draft", "--remove-release", "r2.key"]);
    assert!(assert_fails(&out, 2).contains("is no release key"));
    let out = project.run(&["root", "rotate", "--out", "3.draft", "--release-threshold", "3"]);
    assert!(assert_fails(&out, 2).contains("3 of 2 release keys cannot be asked for"));
}

#[test]
fn init_encrypts_its_keys_under_the_environments_passphrase() {
    let project = Project { dir: tempfile::tempdir().expect("a directory") };
    let mut init = project.command();
    init.env("PACKICE_PASSPHRASE", PASSPHRASE).args(["init", "--dataset", "locked"]);
    assert_success(&init.output().expect("the binary runs"));
    for (file, role) in [("keys/root.key", "root"), ("keys/release.key", "release")] {
        let out = keys(&project, PASSPHRASE, &["show", file, "--check", "--json"]);
        assert_success(&out);
        let shown: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        assert_eq!(shown["keys"][0]["encrypted"], json!(true), "{file}");
        assert_eq!(shown["keys"][0]["role"], json!(role), "{file}");
    }
}
