//! A project in a temporary directory, driven by the real binary.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

pub mod mirror;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A project.
pub struct Project {
    pub dir: TempDir,
}

/// Records of some variety: `key-000000` and on, each with a value of about 200 bytes.
pub fn lines(count: u64) -> Vec<String> {
    (0..count)
        .map(|i| {
            let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
            format!(
                "{{\"id\":\"key-{i:06}\",\"name\":\"token {}\",\"url\":\"https://example.org/{}\",\
                 \"tags\":[\"{:x}\",\"{}\"],\"n\":{i}}}",
                mixed % 997,
                mixed % 89,
                mixed,
                "x".repeat(usize::try_from(mixed % 90).unwrap_or(0)),
            )
        })
        .collect()
}

/// Another order of the same lines, always the same one.
pub fn shuffled(lines: &[String]) -> Vec<String> {
    let mut keyed: Vec<(u64, &String)> = lines
        .iter()
        .zip(1u64..)
        .map(|(line, i)| (i.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(31), line))
        .collect();
    keyed.sort();
    keyed.into_iter().map(|(_, line)| line.clone()).collect()
}

impl Project {
    /// A project of one lazy collection `tokens`, keyed by `id`.
    pub fn new() -> Self {
        let project = Self { dir: tempfile::tempdir().expect("a directory") };
        let out = project.run(&[
            "init",
            "--dataset",
            "test-set",
            "--collection",
            "tokens",
            "--key",
            "{id}",
            "--lazy",
            "--non-interactive",
        ]);
        assert_success(&out);
        // Measuring dictionaries takes seconds; the tests about them turn it on.
        project.configure("# dictionary = \"auto\"", "dictionary = \"none\"");
        project
    }

    /// Lets the build measure dictionaries.
    pub fn with_dictionary(self) -> Self {
        self.configure("dictionary = \"none\"", "dictionary = \"auto\"");
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_packice"));
        command.current_dir(self.dir.path());
        for variable in
            ["PACKICE_PUBLISH_KEY", "PACKICE_ROOT_KEY", "PACKICE_RELEASE_KEY", "PACKICE_PASSPHRASE"]
        {
            command.env_remove(variable);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().expect("the binary runs")
    }

    /// Runs a verb that must succeed, and reads its JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.run(&[args, &["--json"]].concat());
        assert_success(&out);
        serde_json::from_slice(&out.stdout).expect("JSON")
    }

    pub fn write_lines(&self, lines: &[String]) {
        fs::write(self.path("tokens.jsonl"), lines.join("\n")).expect("written");
    }

    /// Changes the configuration.
    pub fn configure(&self, from: &str, to: &str) {
        let path = self.path("packice.toml");
        let text = fs::read_to_string(&path).expect("read");
        assert!(text.contains(from), "'{from}' is not in the configuration");
        fs::write(&path, text.replace(from, to)).expect("written");
    }

    /// The wire objects of a build, `kind/name`, sorted, without the manifest.
    pub fn objects(&self, version: u64) -> Vec<String> {
        let dir = self.path(&format!(".packice/builds/{version}"));
        let mut names = Vec::new();
        for kind in ["bundle", "delta", "dictionary", "layer", "layer-page", "layout"] {
            for entry in fs::read_dir(dir.join(kind)).expect("listed") {
                let name = entry.expect("an entry").file_name();
                names.push(format!("{kind}/{}", name.to_string_lossy()));
            }
        }
        names.sort();
        names
    }
}

pub fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

pub fn assert_success(out: &Output) {
    assert!(out.status.success(), "{}", stderr(out));
}

/// Asserts the exit code and gives what was said.
pub fn assert_fails(out: &Output, code: i32) -> String {
    assert_eq!(out.status.code(), Some(code), "{}", stderr(out));
    stderr(out)
}

pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
