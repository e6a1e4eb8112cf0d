//! Ed25519 seeds: from a file that only its owner can read, or from the environment.
//!
//! A seed is 32 bytes, written as base64 or as 64 hexadecimal digits. It is never printed.

use std::io::Write;
use std::path::Path;

use base64ct::{Base64, Encoding};
use packice_core::format::trust_root::PublicKey;
use packice_core::trust::sign::{Seed, public_key};

use crate::failure::{Failure, Result, on_file};

/// The environment's variable of the root key's seed.
pub const ROOT_KEY_ENV: &str = "PACKICE_ROOT_KEY";
/// The environment's variable of the release key's seed.
pub const RELEASE_KEY_ENV: &str = "PACKICE_RELEASE_KEY";

/// A signing key.
pub struct Key(Seed);

impl Key {
    /// A key from the operating system's randomness.
    pub fn random() -> Result<Self> {
        let mut seed = Seed::default();
        getrandom::fill(&mut seed).map_err(|error| {
            Failure::internal(format!("the operating system gave no randomness: {error}"))
        })?;
        Ok(Self(seed))
    }

    /// The key of an environment variable, or else of a file.
    pub fn load(variable: &str, path: &Path) -> Result<Self> {
        match std::env::var(variable) {
            Ok(text) => Self::parse(&text).map_err(|failure| failure.within(variable)),
            Err(std::env::VarError::NotPresent) => Self::read(path).map_err(|failure| {
                let advice = format!("set {variable}, or check [keys] in packice.toml");
                if failure.next.is_some() { failure } else { failure.next(advice) }
            }),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Failure::usage(format!("{variable} is not text")))
            }
        }
    }

    fn read(path: &Path) -> Result<Self> {
        check_mode(path)?;
        let text = std::fs::read_to_string(path).map_err(on_file("read the key", path))?;
        Self::parse(&text).map_err(|failure| failure.within(path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let seed = packice_core::types::WireName::from_hex(&text.to_ascii_lowercase())
            .map(|name| name.0)
            .or_else(|| {
                let bytes = Base64::decode_vec(text).ok()?;
                <[u8; 32]>::try_from(bytes).ok()
            });
        let seed = seed.ok_or_else(|| {
            Failure::usage("not an Ed25519 seed")
                .next("give 32 bytes as base64 or as 64 hexadecimal digits")
        })?;
        Ok(Self(seed))
    }

    /// Writes the seed to a new file that only its owner can read.
    pub fn write_new(&self, path: &Path) -> Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(on_file("create", path))?;
        let text = format!("{}\n", Base64::encode_string(&self.0));
        file.write_all(text.as_bytes()).map_err(on_file("write", path))?;
        file.sync_all().map_err(on_file("write", path))
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        public_key(&self.0)
    }

    /// The seed, for signing.
    pub fn seed(&self) -> &Seed {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", packice_core::types::hex(&self.public()))
    }
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(on_file("read the key", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("{} can be read by others (mode {mode:o})", path.display());
        return Err(Failure::usage(message).next(format!("run: chmod 600 {}", path.display())));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_key_reads_back_and_is_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.key");
        let key = Key::random().expect("random");
        key.write_new(&path).expect("written");
        assert_eq!(Key::read(&path).expect("read").public(), key.public());
        assert!(key.write_new(&path).is_err(), "it never overwrites");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let open = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(&path, open).expect("changed");
            let error = Key::read(&path).expect_err("refused").to_string();
            assert!(error.contains("can be read by others (mode 644)"), "{error}");
        }
    }

    #[test]
    fn seeds_are_hex_or_base64() {
        // RFC 8032, section 7.1, test 1.
        let hex = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let key = Key::parse(hex).expect("hex");
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(packice_core::types::hex(&key.public()), public);
        let base64 = Base64::encode_string(&key.0);
        assert_eq!(Key::parse(&base64).expect("base64").public(), key.public());
        assert!(Key::parse("abc").is_err());
    }
}
