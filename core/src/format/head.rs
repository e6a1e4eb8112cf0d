//! The head state (docs/spec/head-state.md): an entry of the release log.
//!
//! Every entry carries the complete state, so that being in the log is not being current: only
//! the last entry of a checkpoint speaks. A withdrawn release is one that the last entry does not
//! name.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{Error, FormatError};
use crate::limits::{MAX_CHANNELS, MAX_HEAD_LEN, MAX_MANIFEST_LEN, MAX_NUMBER};
use crate::types::{Name, ObjectRef, Version};

const MAGIC: &[u8; 4] = b"PKH1";

/// The complete state of a dataset at one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The dataset.
    pub dataset: Name,
    /// The trust root that this state was made under.
    pub trust_root_version: u64,
    /// What each channel stands at, by name.
    pub channels: Vec<Channel>,
    /// What the publisher promises to keep.
    pub policy: Policy,
}

/// What a channel stands at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The channel.
    pub name: Name,
    /// The version.
    pub version: Version,
    /// Its manifest.
    pub manifest: ObjectRef,
}

/// What the publisher promises to keep; zero promises nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest so many versions stay whole.
    pub keep_versions: u64,
    /// A version stays whole for so long after it was replaced.
    pub keep_ms: u64,
}

impl Head {
    /// The channel of a name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name.as_str() == name)
    }

    /// Parses a whole head state.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "head state", MAX_HEAD_LEN)?;
        let dataset = r.name("dataset")?;
        let trust_root_version = read_version(&mut r, "trust root version")?;
        let count = r.count("channels", MAX_CHANNELS)?;
        let mut channels: Vec<Channel> = Vec::new();
        for _ in 0..count {
            let channel = Channel {
                name: r.name("channel")?,
                version: Version(read_version(&mut r, "channel version")?),
                manifest: r.object("manifest", MAX_MANIFEST_LEN)?,
            };
            if channels.last().is_some_and(|last| last.name >= channel.name) {
                return Err(FormatError::Order { field: "channels" }.into());
            }
            channels.push(channel);
        }
        let policy = Policy {
            keep_versions: r.number("kept versions", MAX_NUMBER)?,
            keep_ms: r.number("kept time", MAX_NUMBER)?,
        };
        r.finish("head state")?;
        Ok(Self { dataset, trust_root_version, channels, policy })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        w.bytes(self.dataset.as_str().as_bytes());
        w.number(self.trust_root_version);
        w.count(self.channels.len());
        for channel in &self.channels {
            w.bytes(channel.name.as_str().as_bytes());
            w.number(channel.version.0);
            w.object(&channel.manifest);
        }
        w.number(self.policy.keep_versions);
        w.number(self.policy.keep_ms);
        w.finish()
    }
}

/// Versions count from 1.
fn read_version(r: &mut Reader<'_>, field: &'static str) -> Result<u64, Error> {
    match r.number(field, MAX_NUMBER)? {
        0 => Err(FormatError::Invalid { field, value: 0 }.into()),
        version => Ok(version),
    }
}
