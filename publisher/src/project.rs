//! A project's working directory, `.packice/`: builds, what was published, temporary files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use packice_core::format::manifest::Manifest;
use packice_core::types::{ObjectKind, WireName};
use serde::{Deserialize, Serialize};

use crate::build::objects::{ObjectDir, write_whole};
use crate::build::report::{REPORT_FILE, Report};
use crate::failure::{Failure, Result, on_file};

/// The working directory.
#[derive(Clone, Debug)]
pub struct Project {
    dir: PathBuf,
}

/// What this machine knows of earlier publishing. The edge's log is the truth; this is a second
/// witness against an edge that shows an older one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The trust state that the edge was verified to last, as base64.
    pub trust: Option<String>,
    /// What each channel was moved to.
    pub channels: BTreeMap<String, Published>,
}

/// What a channel was moved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The version.
    pub version: u64,
    /// Its manifest's wire name.
    pub manifest: String,
}

/// A finished build.
#[derive(Clone, Debug)]
pub struct Build {
    /// Its objects.
    pub objects: ObjectDir,
    /// What was written about it.
    pub report: Report,
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's bytes.
    pub manifest_bytes: Vec<u8>,
}

impl Project {
    /// The working directory of a configuration.
    pub fn new(work_dir: PathBuf) -> Self {
        Self { dir: work_dir }
    }

    /// Where builds stand.
    pub fn builds_dir(&self) -> PathBuf {
        self.dir.join("builds")
    }

    /// Where a version's build stands.
    pub fn build_dir(&self, version: u64) -> PathBuf {
        self.builds_dir().join(version.to_string())
    }

    /// Where objects of earlier versions stand that were fetched to make deltas from.
    pub fn history_dir(&self) -> PathBuf {
        self.dir.join("history")
    }

    /// Where the logs of applied operations stand.
    pub fn operations_dir(&self) -> PathBuf {
        self.dir.join("operations")
    }

    /// For files that are gone after the command.
    pub fn temporary_dir(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Where the stores of rehearsals that broke off stand.
    pub fn rehearsals_dir(&self) -> PathBuf {
        self.dir.join("rehearsal")
    }

    /// The light client's store of a dataset.
    pub fn store_dir(&self, dataset: &str) -> PathBuf {
        self.dir.join("store").join(dataset)
    }

    /// What is known of earlier publishing.
    pub fn state(&self) -> Result<State> {
        let path = self.state_path();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Failure::internal(format!("{} is damaged: {error}", path.display()))
                    .next("delete it: what it says is read from the edge again")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(on_file("read", &path)(error)),
        }
    }

    /// Keeps what is known.
    pub fn save_state(&self, state: &State) -> Result<()> {
        std::fs::create_dir_all(&self.dir).map_err(on_file("create", &self.dir))?;
        let text = serde_json::to_vec_pretty(state)
            .map_err(|error| Failure::internal(error.to_string()))?;
        write_whole(&self.state_path(), &text)
    }

    fn state_path(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// The versions that were built here, ascending.
    pub fn versions(&self) -> Vec<u64> {
        let Ok(entries) = std::fs::read_dir(self.builds_dir()) else { return Vec::new() };
        let mut versions: Vec<u64> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        versions.sort_unstable();
        versions
    }

    /// The build of a version, or the newest one.
    pub fn build(&self, version: Option<u64>) -> Result<Build> {
        let version = match version.or_else(|| self.versions().last().copied()) {
            Some(version) => version,
            None => {
                let message = format!("no build in {}", self.builds_dir().display());
                return Err(Failure::absent(message).next("run `packice build`"));
            }
        };
        Build::open(&self.build_dir(version))
    }

    /// A build by its version or its directory.
    pub fn find_build(&self, what: &str) -> Result<Build> {
        match what.parse() {
            Ok(version) => self.build(Some(version)),
            Err(_) => Build::open(Path::new(what)),
        }
    }
}

impl Build {
    /// Opens a build's directory and checks its manifest.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(REPORT_FILE);
        if !path.exists() {
            let message = format!("no build in {}", dir.display());
            return Err(Failure::absent(message).next("run `packice build`, or name a build"));
        }
        let text = std::fs::read(&path).map_err(on_file("read", &path))?;
        let damaged = |what: String| {
            Failure::input(format!("{} is damaged: {what}", path.display()))
                .next("run `packice build` again")
        };
        let report: Report =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let name = WireName::from_hex(&report.manifest)
            .ok_or_else(|| damaged("the manifest's name is not one".to_owned()))?;
        let objects = ObjectDir::open(dir);
        let manifest_bytes = objects.read(ObjectKind::Manifest, &name)?;
        let manifest = Manifest::parse(&manifest_bytes)?;
        Ok(Self { objects, report, manifest, manifest_bytes })
    }
}
