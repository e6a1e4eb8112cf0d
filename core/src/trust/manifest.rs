//! Whether a manifest, and what it names, is what an accepted head state says.
//!
//! An attacker could serve another version's manifest, another dataset's, or other bytes: the
//! channel gives name, length and version, and all three are compared.

use crate::error::{Error, TrustError};
use crate::format::head::Channel;
use crate::format::manifest::Manifest;
use crate::hash;
use crate::types::{Name, ObjectRef};

/// Checks a manifest against the channel that names it.
pub fn verify_manifest(dataset: &Name, channel: &Channel, bytes: &[u8]) -> Result<Manifest, Error> {
    check_object(&channel.manifest, bytes)?;
    let manifest = Manifest::parse(bytes)?;
    if manifest.dataset != *dataset {
        return Err(TrustError::WrongDataset.into());
    }
    if manifest.version != channel.version {
        return Err(TrustError::WrongManifest.into());
    }
    Ok(manifest)
}

/// Checks bytes against the length and the name that are signed for them.
pub fn check_object(object: &ObjectRef, bytes: &[u8]) -> Result<(), TrustError> {
    if bytes.len() as u64 != object.len {
        return Err(TrustError::WrongLength);
    }
    if hash::wire_name(bytes) != object.name {
        return Err(TrustError::WrongName);
    }
    Ok(())
}
