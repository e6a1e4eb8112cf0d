//! The key file (docs/spec/key-file.md): a few lines of text, the secret encrypted under a
//! passphrase, or plainly where someone asked for that.
//!
//! Argon2id makes the key out of the passphrase, XChaCha20-Poly1305 encrypts under it and
//! authenticates the lines before it, so that nobody turns a release key into a root key. Both
//! come from the RustCrypto crates. An attacker who can write the file could ask for absurd work:
//! the parameters are bounded before anything is allocated.

use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64, Encoding};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use packice_core::trust::sign::{Seed, public_key};
use packice_core::types::hex;
use zeroize::Zeroizing;

use super::KeyRole;
use crate::failure::{Failure, Result};

const HEADER: &str = "packice key 1";
/// RFC 9106, section 4, second recommendation, in one lane.
const USUAL: Cost = Cost { memory_kib: 64 << 10, passes: 3, lanes: 1 };
/// More is refused: a file is not to make this machine stall.
const MOST: Cost = Cost { memory_kib: 1 << 20, passes: 16, lanes: 16 };
const MAX_LEN: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A parsed key file; the secret may be locked.
pub struct Container {
    /// What the key is for.
    pub role: KeyRole,
    /// Its public part.
    pub public: [u8; 32],
    lock: Option<Lock>,
    /// All lines before the secret's: authenticated.
    head: String,
    secret: Zeroizing<Vec<u8>>,
}

struct Lock {
    cost: Cost,
    salt: Vec<u8>,
    nonce: [u8; 24],
}

impl Container {
    /// Whether text looks like a key file at all.
    pub fn is_one(text: &str) -> bool {
        text.starts_with("packice key ")
    }

    /// Parses a key file.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |what: &str| bad_file(format!("not a key file: {what}"));
        if text.len() > MAX_LEN {
            return Err(bad("it is too long"));
        }
        let at = text.find("\nsecret ").ok_or_else(|| bad("it has no secret"))? + 1;
        let (head, secret) = text.split_at(at);
        let mut lines = head.lines();
        if lines.next() != Some(HEADER) {
            return Err(bad("it is of another version").next("use a newer packice"));
        }
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.ok_or_else(|| bad(&format!("'{name}' is missing or out of place")))
        };
        let role = KeyRole::parse(field("role")?).ok_or_else(|| bad("it has an unknown role"))?;
        let public = packice_core::types::WireName::from_hex(field("public")?)
            .ok_or_else(|| bad("'public' is not 64 hexadecimal digits"))?
            .0;
        let lock = match field("kdf")? {
            "none" => None,
            kdf => {
                let (cost, salt) = parse_kdf(kdf).ok_or_else(|| bad("'kdf' does not read"))?;
                let nonce = field("cipher")?.strip_prefix("xchacha20poly1305 ");
                let nonce = nonce.and_then(|text| Base64::decode_vec(text).ok());
                let nonce = nonce.and_then(|nonce| <[u8; 24]>::try_from(nonce).ok());
                let nonce = nonce.ok_or_else(|| bad("'cipher' does not read"))?;
                Some(Lock { cost, salt, nonce })
            }
        };
        if lines.next().is_some() {
            return Err(bad("it has lines that do not belong there"));
        }
        let secret = secret.strip_prefix("secret ").and_then(|rest| rest.strip_suffix('\n'));
        let secret = secret.and_then(|text| Base64::decode_vec(text).ok());
        let secret = secret.ok_or_else(|| bad("'secret' is not base64"))?;
        Ok(Self { role, public, lock, head: head.to_owned(), secret: Zeroizing::new(secret) })
    }

    /// Whether opening needs a passphrase.
    pub fn is_encrypted(&self) -> bool {
        self.lock.is_some()
    }

    /// The seed.
    pub fn open(&self, passphrase: Option<&str>) -> Result<Zeroizing<Seed>> {
        let plain = match (&self.lock, passphrase) {
            (None, _) => self.secret.clone(),
            (Some(_), None) => return Err(wrong_passphrase()),
            (Some(lock), Some(passphrase)) => {
                let payload = Payload { msg: &self.secret, aad: self.head.as_bytes() };
                let opened =
                    lock.cipher(passphrase)?.decrypt(XNonce::from_slice(&lock.nonce), payload);
                Zeroizing::new(opened.map_err(|_| wrong_passphrase())?)
            }
        };
        let seed = Seed::try_from(plain.as_slice())
            .map_err(|_| bad_file("the secret is not 32 bytes".to_owned()))?;
        if public_key(&seed) != self.public {
            return Err(bad_file("the secret does not belong to the public key".to_owned()));
        }
        Ok(Zeroizing::new(seed))
    }
}

impl Lock {
    fn new(salt: [u8; 16], nonce: [u8; 24]) -> Self {
        Self { cost: USUAL, salt: salt.to_vec(), nonce }
    }

    fn cipher(&self, passphrase: &str) -> Result<XChaCha20Poly1305> {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let failed = |error: argon2::Error| bad_file(format!("argon2id: {error}"));
        let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(failed)?;
        let mut key = Zeroizing::new([0u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &self.salt, key.as_mut())
            .map_err(failed)?;
        XChaCha20Poly1305::new_from_slice(key.as_ref())
            .map_err(|error| Failure::internal(format!("xchacha20poly1305: {error}")))
    }
}

/// The text of a key file.
pub fn write(role: KeyRole, seed: &Seed, passphrase: Option<&str>) -> Result<Zeroizing<String>> {
    let public = hex(&public_key(seed));
    let mut head = format!("{HEADER}\nrole {}\npublic {public}\n", role.as_str());
    let secret = match passphrase {
        None => {
            head.push_str("kdf none\n");
            Zeroizing::new(seed.to_vec())
        }
        Some(passphrase) => {
            let lock = Lock::new(random()?, random()?);
            let Cost { memory_kib, passes, lanes } = lock.cost;
            let (salt, nonce) =
                (Base64::encode_string(&lock.salt), Base64::encode_string(&lock.nonce));
            head.push_str(&format!("kdf argon2id {memory_kib} {passes} {lanes} {salt}\n"));
            head.push_str(&format!("cipher xchacha20poly1305 {nonce}\n"));
            let payload = Payload { msg: seed, aad: head.as_bytes() };
            let locked = lock.cipher(passphrase)?.encrypt(XNonce::from_slice(&lock.nonce), payload);
            let locked = locked.map_err(|_| Failure::internal("the key cannot be encrypted"))?;
            Zeroizing::new(locked)
        }
    };
    let secret = Zeroizing::new(Base64::encode_string(&secret));
    Ok(Zeroizing::new(format!("{head}secret {}\n", *secret)))
}

fn parse_kdf(text: &str) -> Option<(Cost, Vec<u8>)> {
    let mut words = text.strip_prefix("argon2id ")?.split(' ');
    let mut number = || words.next()?.parse::<u32>().ok();
    let cost = Cost { memory_kib: number()?, passes: number()?, lanes: number()? };
    let salt = Base64::decode_vec(words.next()?).ok()?;
    let bounded = cost.memory_kib <= MOST.memory_kib
        && cost.passes <= MOST.passes
        && cost.lanes <= MOST.lanes
        && (16..=64).contains(&salt.len());
    (bounded && words.next().is_none()).then_some((cost, salt))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::internal(format!("the operating system gave no randomness: {error}"))
    })?;
    Ok(bytes)
}

fn bad_file(message: String) -> Failure {
    Failure::usage(message)
        .coded("key/bad-file")
        .next("name a file that `packice keys generate` wrote, or a plain seed as seed:FILE")
}

fn wrong_passphrase() -> Failure {
    Failure::usage("the passphrase does not open the key, or the file was changed")
        .coded("key/wrong-passphrase")
        .next("try again; nobody can recover a key whose passphrase is lost")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = [7; 32];

    fn code<T>(result: Result<T>) -> &'static str {
        result.err().and_then(|failure| failure.code).expect("a named error")
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_alone() {
        let text = write(KeyRole::Release, &SEED, Some("correct horse battery")).expect("written");
        let read = Container::parse(&text).expect("parsed");
        assert_eq!((read.role, read.public), (KeyRole::Release, public_key(&SEED)));
        assert!(read.is_encrypted() && !text.contains(&Base64::encode_string(&SEED)));
        assert_eq!(*read.open(Some("correct horse battery")).expect("opened"), SEED);
        assert_eq!(code(read.open(Some("correct horse batterz"))), "key/wrong-passphrase");
        assert_eq!(code(read.open(None)), "key/wrong-passphrase");
        let other = write(KeyRole::Release, &SEED, Some("correct horse battery")).expect("written");
        assert_ne!(*text, *other, "salt and nonce are new each time");
    }

    #[test]
    fn nobody_gives_an_encrypted_key_another_role() {
        let text = write(KeyRole::Release, &SEED, Some("correct horse battery")).expect("written");
        let forged = text.replace("role release", "role root");
        let read = Container::parse(&forged).expect("it parses");
        assert_eq!(code(read.open(Some("correct horse battery"))), "key/wrong-passphrase");
    }

    #[test]
    fn a_plain_key_reads_back_and_must_match_its_public_part() {
        let text = write(KeyRole::Witness, &SEED, None).expect("written");
        let read = Container::parse(&text).expect("parsed");
        assert_eq!(*read.open(None).expect("opened"), SEED);
        let other = text.replace(&hex(&public_key(&SEED)), &hex(&public_key(&[8; 32])));
        assert_eq!(code(Container::parse(&other).expect("parsed").open(None)), "key/bad-file");
    }

    #[test]
    fn damaged_files_are_named_so() {
        let text = write(KeyRole::Root, &SEED, Some("correct horse battery")).expect("written");
        for (from, to) in [
            ("packice key 1", "packice key 2"),
            ("role root", "role king"),
            ("role root\n", ""),
            ("public ", "public x"),
            ("argon2id 65536", "argon2id 4294967295"),
            ("argon2id 65536", "scrypt 65536"),
            ("xchacha20poly1305 ", "aes "),
            ("secret ", "secret !"),
            ("secret ", "sekret "),
            ("cipher ", "extra line\ncipher "),
        ] {
            let damaged = text.replace(from, to);
            assert_ne!(*text, damaged);
            assert_eq!(code(Container::parse(&damaged).map(drop)), "key/bad-file", "{from}");
        }
    }
}
