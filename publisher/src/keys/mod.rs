//! Ed25519 keys: from a key file, encrypted or not, from a plain seed, or from the environment.
//!
//! A plain seed is 32 bytes, written as base64 or as 64 hexadecimal digits. It is read where
//! packice.toml names its file, or where a command line says `seed:FILE`. No secret is ever
//! printed, and no file that others can read is taken.

pub mod container;
pub mod passphrase;

use std::io::Write;
use std::path::Path;

use base64ct::{Base64, Encoding};
use packice_core::format::trust_root::PublicKey;
use packice_core::trust::sign::{Seed, public_key};
use packice_core::types::{WireName, hex};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result, on_file};
use container::Container;
use passphrase::Source;

/// The environment's variable of the root key's seed.
pub const ROOT_KEY_ENV: &str = "PACKICE_ROOT_KEY";
/// The environment's variable of the release keys' seeds, separated by commas.
pub const RELEASE_KEY_ENV: &str = "PACKICE_RELEASE_KEY";
/// The environment's variable of the publish key's seed.
pub const PUBLISH_KEY_ENV: &str = "PACKICE_PUBLISH_KEY";
/// Before the name of a file that holds a plain seed.
const SEED_PREFIX: &str = "seed:";

/// What a key is for. A key has one role, so that a key that is used often is never one that
/// decides over others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyRole {
    /// Signs trust roots, and nothing else. Kept offline.
    Root,
    /// Signs checkpoints.
    Release,
    /// Cosigns checkpoints of others.
    Witness,
    /// Signs uploads to an edge: it opens the edge's door, and no client's.
    Publish,
}

impl KeyRole {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Release => "release",
            Self::Witness => "witness",
            Self::Publish => "publish",
        }
    }

    /// The role of a name.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Root, Self::Release, Self::Witness, Self::Publish];
        all.into_iter().find(|role| role.as_str() == text)
    }
}

/// A signing key.
pub struct Key(Zeroizing<Seed>);

impl Key {
    /// A key from the operating system's randomness.
    pub fn random() -> Result<Self> {
        let mut seed = Zeroizing::new(Seed::default());
        getrandom::fill(seed.as_mut()).map_err(|error| {
            Failure::internal(format!("the operating system gave no randomness: {error}"))
        })?;
        Ok(Self(seed))
    }

    /// The key of an environment variable, or else of a file that packice.toml names.
    pub fn load(variable: &str, path: &Path) -> Result<Self> {
        let role = match variable {
            ROOT_KEY_ENV => KeyRole::Root,
            PUBLISH_KEY_ENV => KeyRole::Publish,
            _ => KeyRole::Release,
        };
        let mut keys = Self::load_all(variable, &[path], role, &Source::default())?;
        match (keys.pop(), keys.pop()) {
            (Some(key), None) => Ok(key),
            _ => Err(Failure::usage(format!("{variable} holds several keys, one is meant"))),
        }
    }

    /// The keys of an environment variable, separated by commas, or else of files that
    /// packice.toml names.
    pub fn load_all(
        variable: &str,
        paths: &[impl AsRef<Path>],
        role: KeyRole,
        source: &Source,
    ) -> Result<Vec<Self>> {
        match std::env::var(variable) {
            Ok(text) => text
                .split(',')
                .map(|seed| Self::parse(seed).map_err(|failure| failure.within(variable)))
                .collect(),
            Err(std::env::VarError::NotPresent) => {
                let read = |path: &Path| {
                    Self::read(path, role, source, true).map_err(|failure| {
                        let advice = format!("set {variable}, or check [keys] in packice.toml");
                        if failure.next.is_some() { failure } else { failure.next(advice) }
                    })
                };
                paths.iter().map(|path| read(path.as_ref())).collect()
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Failure::usage(format!("{variable} is not text")))
            }
        }
    }

    /// The key of a command line: a key file, or a plain seed as `seed:FILE`.
    pub fn open(given: &str, role: KeyRole, source: &Source) -> Result<Self> {
        match given.strip_prefix(SEED_PREFIX) {
            Some(path) => Self::read(Path::new(path), role, source, true),
            None => Self::read(Path::new(given), role, source, false),
        }
    }

    fn read(path: &Path, role: KeyRole, source: &Source, takes_seed: bool) -> Result<Self> {
        let text = read_private(path)?;
        let within = |failure: Failure| failure.within(path.display());
        if takes_seed && !Container::is_one(&text) {
            return Self::parse(&text).map_err(within);
        }
        let container = Container::parse(&text).map_err(within)?;
        if container.role != role {
            let (is, needed) = (container.role.as_str(), role.as_str());
            let message = format!("{} is a {is} key; a {needed} key is needed", path.display());
            return Err(Failure::usage(message)
                .coded("key/wrong-role")
                .next("a key has one role: name another file, or generate one for this role"));
        }
        let passphrase = match container.is_encrypted() {
            true => Some(source.open(path)?),
            false => None,
        };
        let passphrase = passphrase.as_ref().map(|text| text.as_str());
        Ok(Self(container.open(passphrase).map_err(within)?))
    }

    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let seed =
            WireName::from_hex(&text.to_ascii_lowercase()).map(|name| name.0).or_else(|| {
                let bytes = Zeroizing::new(Base64::decode_vec(text).ok()?);
                <[u8; 32]>::try_from(bytes.as_slice()).ok()
            });
        let seed = seed.ok_or_else(|| {
            Failure::usage("not an Ed25519 seed")
                .coded("key/bad-file")
                .next("give 32 bytes as base64 or as 64 hexadecimal digits")
        })?;
        Ok(Self(Zeroizing::new(seed)))
    }

    /// Writes a key file that only its owner can read.
    pub fn write_file(&self, path: &Path, role: KeyRole, passphrase: Option<&str>) -> Result<()> {
        write_private(path, &container::write(role, &self.0, passphrase)?)
    }

    /// Writes the seed to a new file that only its owner can read.
    pub fn write_new(&self, path: &Path) -> Result<()> {
        let text = Zeroizing::new(Base64::encode_string(self.0.as_ref()));
        write_private(path, &format!("{}\n", *text))
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
        write!(f, "Key({})", hex(&self.public()))
    }
}

/// Reads a public key: 64 hexadecimal digits, base64, or the file that `packice keys export` or
/// `packice keys generate` wrote.
pub fn read_public(given: &str) -> Result<PublicKey> {
    let key = |text: &str| {
        let text = text.trim();
        WireName::from_hex(&text.to_ascii_lowercase())
            .map(|name| name.0)
            .or_else(|| <[u8; 32]>::try_from(Base64::decode_vec(text).ok()?).ok())
    };
    if let Some(key) = key(given) {
        return Ok(key);
    }
    let path = Path::new(given);
    let text = std::fs::read_to_string(path).map_err(|_| {
        Failure::usage(format!("'{given}' is neither a public key nor a file"))
            .next("give 64 hexadecimal digits, or what `packice keys export` prints")
    })?;
    let text = Zeroizing::new(text);
    if Container::is_one(&text) {
        return Ok(Container::parse(&text).map_err(|error| error.within(path.display()))?.public);
    }
    key(&text)
        .ok_or_else(|| Failure::usage(format!("{given} holds no public key")).coded("key/bad-file"))
}

/// Reads a file that only its owner can read.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>> {
    check_mode(path)?;
    let text = std::fs::read_to_string(path).map_err(on_file("read the key", path))?;
    Ok(Zeroizing::new(text))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(on_file("create", path))?;
    file.write_all(text.as_bytes()).map_err(on_file("write", path))?;
    file.sync_all().map_err(on_file("write", path))
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(on_file("read the key", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("{} can be read by others (mode {mode:o})", path.display());
        return Err(Failure::usage(message)
            .coded("key/readable-by-others")
            .next(format!("run: chmod 600 {}", path.display())));
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
        let read = |path: &Path| Key::read(path, KeyRole::Release, &Source::default(), true);
        assert_eq!(read(&path).expect("read").public(), key.public());
        assert!(key.write_new(&path).is_err(), "it never overwrites");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let open = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(&path, open).expect("changed");
            let error = read(&path).expect_err("refused").to_string();
            assert!(error.contains("can be read by others (mode 644)"), "{error}");
        }
    }

    #[test]
    fn seeds_are_hex_or_base64() {
        // RFC 8032, section 7.1, test 1.
        let hex = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let key = Key::parse(hex).expect("hex");
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(super::hex(&key.public()), public);
        let base64 = Base64::encode_string(key.0.as_ref());
        assert_eq!(Key::parse(&base64).expect("base64").public(), key.public());
        assert!(Key::parse("abc").is_err());
    }
}
