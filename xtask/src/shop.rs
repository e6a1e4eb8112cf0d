//! Where things are, and how children are started: the workspace's root, its target folder, and
//! commands with the environment that keeps Node's tools quiet and offline.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// What keeps wrangler and miniflare from calling home (and from asking questions).
const QUIET_ENV: &[(&str, &str)] = &[
    ("WRANGLER_SEND_METRICS", "false"),
    ("WRANGLER_SEND_ERROR_REPORTS", "false"),
    ("WRANGLER_HIDE_BANNER", "true"),
    ("CLOUDFLARE_CF_FETCH_ENABLED", "false"),
    ("CI", "1"),
    ("NO_UPDATE_NOTIFIER", "1"),
];

/// The workspace as every verb sees it.
#[derive(Clone)]
pub(crate) struct Shop {
    /// The folder of the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// A folder to put in front of PATH so that `node` is new enough, once that is known.
    node_dir: Option<PathBuf>,
}

impl Shop {
    /// Finds the workspace: from cargo's own variable, else upwards from the current folder.
    pub(crate) fn find() -> Result<Self> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => std::env::current_dir()?,
        };
        let root = start
            .ancestors()
            .find(|dir| dir.join("Cargo.lock").is_file() && dir.join("xtask").is_dir())
            .context("not inside the Packice workspace: run this as `cargo xtask` from there")?
            .to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target, node_dir: None })
    }

    /// A path under the root.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// A path inside node_modules.
    pub(crate) fn module(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join("node_modules").join(relative)
    }

    /// Puts `dir` in front of PATH for every child started from here on.
    pub(crate) fn use_node(&mut self, dir: PathBuf) {
        self.node_dir = Some(dir);
    }

    /// A command in the workspace's root with the children's environment.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).envs(QUIET_ENV.iter().copied());
        if let Some(dir) = &self.node_dir {
            let mut path = OsString::from(dir);
            if let Some(rest) = std::env::var_os("PATH") {
                path.push(":");
                path.push(rest);
            }
            command.env("PATH", path);
        }
        command
    }

    /// `cargo …` of the toolchain that runs us.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        // `cargo run` describes xtask's own package here; the child must not take it for its own.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_PKG_") {
                command.env_remove(name);
            }
        }
        command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
        command
    }

    /// `node …`, the new enough one.
    pub(crate) fn node(&self) -> Command {
        match &self.node_dir {
            Some(dir) => self.command(dir.join("node")),
            None => self.command("node"),
        }
    }

    /// Waits for any other xtask that writes build outputs, and keeps others waiting until the
    /// guard is dropped.
    pub(crate) fn lock(&self) -> Result<std::fs::File> {
        std::fs::create_dir_all(&self.target)?;
        let file = std::fs::File::create(self.target.join(".xtask-lock"))?;
        file.lock().context("cannot lock the target folder")?;
        Ok(file)
    }

    /// The commit that figures are written for: HEAD, with `-dirty` when files differ.
    pub(crate) fn commit(&self) -> String {
        let git = |args: &[&str]| {
            let out = self.command("git").args(args).output().ok()?;
            out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        };
        let Some(head) = git(&["rev-parse", "--verify", "HEAD"]) else {
            return "unknown".to_owned();
        };
        match git(&["status", "--porcelain"]) {
            Some(changes) if changes.is_empty() => head,
            _ => format!("{head}-dirty"),
        }
    }

    /// Writes `target/bench/{name}.json`: the figures in the shape that every bench has, and
    /// whatever detail stands beside them.
    pub(crate) fn write_bench(
        &self,
        name: &str,
        figures: &[(&str, serde_json::Value, &str)],
        detail: serde_json::Value,
    ) -> Result<PathBuf> {
        let figures: Vec<_> = figures
            .iter()
            .map(|(id, value, unit)| serde_json::json!({"id": id, "value": value, "unit": unit}))
            .collect();
        let report = serde_json::json!({
            "name": name,
            "commit": self.commit(),
            "figures": figures,
            "detail": detail,
        });
        let dir = self.target.join("bench");
        std::fs::create_dir_all(&dir)?;
        let file = dir.join(format!("{name}.json"));
        std::fs::write(&file, format!("{report:#}\n"))?;
        Ok(file)
    }

    /// Adds figures and detail to `target/bench/{name}.json`, which several commands fill: what it
    /// holds of other ids stays.
    pub(crate) fn add_bench(
        &self,
        name: &str,
        figures: &[(&str, serde_json::Value, &str)],
        detail: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<PathBuf> {
        let file = self.target.join("bench").join(format!("{name}.json"));
        let held: serde_json::Value = std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let mut all: Vec<_> = figures.to_vec();
        for figure in held["figures"].as_array().into_iter().flatten() {
            if let (Some(id), Some(unit)) = (figure["id"].as_str(), figure["unit"].as_str())
                && figures.iter().all(|(new, ..)| *new != id)
            {
                all.push((id, figure["value"].clone(), unit));
            }
        }
        all.sort_by_key(|(id, ..)| *id);
        let mut merged = held["detail"].as_object().cloned().unwrap_or_default();
        merged.extend(detail.clone());
        self.write_bench(name, &all, merged.into())
    }
}
