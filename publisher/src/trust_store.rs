//! A project's signed trust roots: `trust/1.bin` and its successors.

use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use packice_core::format::trust_root::{
    Role, SignedTrustRoot, Staleness, TrustRoot, WitnessPolicy,
};
use packice_core::limits::MAX_TRUST_CHAIN;
use packice_core::trust::sign::sign_trust_root;
use packice_core::types::Name;

use crate::failure::{Failure, Result, on_file};
use crate::keys::Key;

/// A signed trust root and its parsed body.
#[derive(Clone, Debug)]
pub struct LoadedTrustRoot {
    /// The signed bytes, as clients embed them.
    pub bytes: Vec<u8>,
    /// What they say.
    pub root: TrustRoot,
}

/// The first trust root of a dataset: one root key, one release key, no witness.
pub fn first_trust_root(dataset: &Name, origin: &str, root: &Key, release: &Key) -> Vec<u8> {
    let role = |key: &Key| Role { threshold: 1, keys: vec![key.public()] };
    let body = TrustRoot {
        dataset: dataset.clone(),
        origin: origin.to_owned(),
        version: 1,
        root: role(root),
        release: role(release),
        witnesses: WitnessPolicy::default(),
        staleness: Staleness::default(),
        floor: None,
    };
    sign_trust_root(&body, &[*root.seed()]).encode()
}

/// Parses signed bytes, or their base64 text.
pub fn parse(bytes: &[u8]) -> Result<LoadedTrustRoot> {
    let decoded = std::str::from_utf8(bytes).ok().and_then(|text| {
        let text: String = text.split_ascii_whitespace().collect();
        Base64::decode_vec(&text).ok()
    });
    let bytes = decoded.unwrap_or_else(|| bytes.to_vec());
    let signed = SignedTrustRoot::parse(&bytes)?;
    let root = TrustRoot::parse(&signed.body)?;
    Ok(LoadedTrustRoot { bytes, root })
}

/// Reads a trust root's file, binary or base64.
pub fn read(path: &Path) -> Result<LoadedTrustRoot> {
    let bytes = std::fs::read(path).map_err(on_file("read the trust root", path))?;
    parse(&bytes).map_err(|failure| {
        failure.within(path.display()).next("give the file that `packice init` wrote to trust/")
    })
}

/// The trust roots that a bootstrap carries: the last ones, as many as it may.
pub fn carried(chain: &[Vec<u8>]) -> Vec<Vec<u8>> {
    chain[chain.len().saturating_sub(MAX_TRUST_CHAIN)..].to_vec()
}

/// Where a version stands in a trust directory.
pub fn path_of(dir: &Path, version: u64) -> PathBuf {
    dir.join(format!("{version}.bin"))
}

/// The chain of a trust directory, from version 1 on.
pub fn read_chain(dir: &Path) -> Result<Vec<LoadedTrustRoot>> {
    let mut chain: Vec<LoadedTrustRoot> = Vec::new();
    for version in 1u64.. {
        let path = path_of(dir, version);
        if !path.exists() {
            break;
        }
        let loaded = read(&path)?;
        if loaded.root.version != version {
            let message = format!("{} holds version {}", path.display(), loaded.root.version);
            return Err(Failure::usage(message).next("name each file after its version"));
        }
        chain.push(loaded);
    }
    if chain.is_empty() {
        let message = format!("no trust root: {} is missing", path_of(dir, 1).display());
        return Err(Failure::usage(message).next("run `packice init`, or set 'trust_dir'"));
    }
    Ok(chain)
}
