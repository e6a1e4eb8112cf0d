//! Live push: who may listen, on which shard, and what listeners are told when a pointer moves.
//!
//! In scope: the upgrade's headers, the limits, the choice of a shard, the push itself
//! (docs/spec/live.md). Out of scope: sockets, which are the shards' (`shell::durable::live`).
//!
//! What an attacker could try here: many connections. One address has a bounded number on each
//! shard, and a shard a bounded number in all; listeners may say nothing but `ping`, which is
//! answered without waking the shard. Shards are chosen by a hash of what the client's own library
//! made up for the handshake: choosing it only chooses which shard is full.

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::Channel;
use packice_core::format::head::Head;
use packice_core::format::manifest::Manifest;
use packice_core::format::push::Push;
use packice_core::hash;
use packice_core::keep::needs::Needed;
use packice_core::limits::{MAX_PUSH_LEN, MAX_PUSH_OBJECTS};
use packice_core::types::{Name, ObjectKind, ObjectRef, WireName};

use crate::problem::{Problem, ProblemCode};

/// Longest text that a listener may send; longer ones end the line before they are looked at.
pub const MAX_MESSAGE_LEN: usize = 64;
/// How often a shard looks at its pointer by itself, in milliseconds: a move whose news were lost
/// on their way is told by then.
pub const LOOK_MS: u64 = 30_000;
/// Bytes that a push needs beside its bootstrap and its objects, at most.
const FRAMING: usize = 16;
/// Bytes that an object's length takes in a push, at most.
const LENGTH: usize = 4;

/// How many may listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Over how many objects the listeners of a channel are spread.
    pub shards: u32,
    /// Listeners of one shard.
    pub per_shard: usize,
    /// Of these, listeners of one address.
    pub per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { shards: 4, per_shard: 8000, per_address: 16 }
    }
}

impl Limits {
    /// Reads `{shards}/{per shard}/{per address}`; what cannot be read stands at its default.
    pub fn parse(text: &str) -> Self {
        let usual = Self::default();
        let mut parts = text.split('/').map(str::trim);
        let mut number = |least: u32, most: u32| {
            let number: Option<u32> = parts.next().and_then(|part| part.parse().ok());
            number.filter(|number| (least..=most).contains(number))
        };
        let size = |number: Option<u32>, usual: usize| {
            number.and_then(|number| usize::try_from(number).ok()).unwrap_or(usual)
        };
        Self {
            shards: number(1, 256).unwrap_or(usual.shards),
            // What the runtime takes for one object.
            per_shard: size(number(1, 32_768), usual.per_shard),
            per_address: size(number(1, 32_768), usual.per_address),
        }
    }

    /// Whether one more may listen, on a shard with so many, of them so many of its address.
    pub fn admit(&self, on_shard: usize, of_address: usize) -> Result<(), Problem> {
        let (code, detail) = if of_address >= self.per_address {
            let detail = "too many listeners of this address: close one, or come back later";
            (ProblemCode::RateLimited, detail)
        } else if on_shard >= self.per_shard {
            let detail = "too many listeners: come back later, and look for versions until then";
            (ProblemCode::StoreUnavailable, detail)
        } else {
            return Ok(());
        };
        Err(Problem::new(code, detail).with_header("retry-after", "60"))
    }

    /// The shard of a listener, by what its handshake says.
    pub fn shard(&self, key: &str) -> u32 {
        let WireName(hash) = hash::wire_name(key.as_bytes());
        u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) % self.shards
    }
}

/// The name of a shard's object.
pub fn shard_name(dataset: &Name, channel: &Name, shard: u32) -> String {
    format!("{dataset}/{channel}/{shard}")
}

/// Checks that a request asks for a WebSocket; gives its key.
pub fn check_upgrade(header: impl Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let asks = header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
    match header("sec-websocket-key").filter(|key| asks && key.len() <= MAX_MESSAGE_LEN) {
        Some(key) => Ok(key),
        None => {
            let detail = "this path takes WebSockets alone: docs/spec/live.md";
            // The `Upgrade` that goes with a 426 is the runtime's to send; workerd sends none.
            Err(Problem::new(ProblemCode::UpgradeRequired, detail))
        }
    }
}

/// Why a listener that says something else than `ping` is hung up on: code and reason.
pub fn misspoke(len: usize) -> (u16, &'static str) {
    match len > MAX_MESSAGE_LEN {
        true => (1009, "listeners say nothing but ping"),
        false => (1008, "listeners say nothing but ping"),
    }
}

/// What listeners are told of a pointer that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    bootstrap: Vec<u8>,
    checkpoint: Vec<u8>,
    /// None where only the checkpoint is new.
    release: Option<Release>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Release {
    manifest: ObjectRef,
    /// The version that most listeners hold.
    before: Option<u64>,
    /// Layout directories that it has, as far as that is known.
    directories: Vec<WireName>,
    inlined: Vec<Vec<u8>>,
}

impl News {
    /// Of a move from one bootstrap to another; `None` where the new one is not of that channel.
    pub fn of(before: Option<&[u8]>, bootstrap: &[u8], channel: &Name) -> Option<Self> {
        // Who listens holds a version: the head is enough.
        let parsed = Bootstrap::parse(bootstrap).ok()?.lean(channel.as_str());
        let bootstrap = parsed.encode();
        let stands = |head: &[u8]| -> Option<Channel> {
            Head::parse(head).ok()?.channel(channel.as_str()).cloned()
        };
        let before = before.and_then(|bytes| Bootstrap::parse(bytes).ok());
        let release = match &before {
            Some(before) if before.head == parsed.head => None,
            _ => stands(&parsed.head).map(|new| {
                let before = before.and_then(|old| Some((stands(&old.head)?, old.objects)));
                let held = before.as_ref().and_then(|(old, objects)| {
                    Manifest::parse(named(objects, &old.manifest.name)?).ok()
                });
                let directories = held.iter().flat_map(|manifest| &manifest.collections);
                Release {
                    manifest: new.manifest,
                    before: before.as_ref().map(|(old, _)| old.version.0),
                    directories: directories.map(|c| c.base.directory.name).collect(),
                    inlined: parsed.objects,
                }
            }),
        };
        Some(Self { bootstrap, checkpoint: parsed.checkpoint, release })
    }

    /// The greeting of whoever begins to listen.
    pub fn greeting(&self) -> Vec<u8> {
        Push::Checkpoint(self.checkpoint.clone()).encode()
    }

    /// The manifest, where it is to be read before the push can be put together.
    pub fn manifest(&self) -> Option<WireName> {
        let release = self.release.as_ref()?;
        let inlined = self.inlined(&release.manifest.name);
        inlined.is_none().then_some(release.manifest.name)
    }

    fn inlined(&self, name: &WireName) -> Option<&[u8]> {
        named(&self.release.as_ref()?.inlined, name)
    }

    /// What a listener that holds the version before wants next and the head lacks, as long as all
    /// of it fits: the delta, or the directory of a new base where no delta leads to it. `manifest`
    /// is what [`Self::manifest`] asked for.
    pub fn wanted(&self, manifest: Option<&[u8]>) -> Vec<Needed> {
        let Some(release) = &self.release else { return Vec::new() };
        let mut wanted = Vec::new();
        if self.manifest().is_some() {
            wanted.push(Needed { kind: ObjectKind::Manifest, object: release.manifest });
        }
        let bytes = manifest.or_else(|| self.inlined(&release.manifest.name));
        if let Some(manifest) = bytes.and_then(|bytes| Manifest::parse(bytes).ok()) {
            let want = |kind| move |object| Needed { kind, object };
            for collection in &manifest.collections {
                let from = |version: u64| {
                    collection.deltas.iter().find(|delta| delta.from_version.0 == version)
                };
                let delta = match release.before {
                    Some(before) => from(before),
                    None => collection.deltas.last(),
                };
                let directory = collection.base.directory;
                if let Some(delta) = delta {
                    let segments = delta.segments.iter().map(|segment| segment.object);
                    wanted.extend(segments.map(want(ObjectKind::Delta)));
                } else if !release.directories.contains(&directory.name) {
                    wanted.push(want(ObjectKind::Layout)(directory));
                }
            }
        }
        wanted.retain(|needed| self.inlined(&needed.object.name).is_none());
        let mut room = MAX_PUSH_LEN.saturating_sub(self.bootstrap.len() + FRAMING) as u64;
        wanted.retain(|needed| {
            let len = needed.object.len + LENGTH as u64;
            let fits = len <= room;
            room -= if fits { len } else { 0 };
            fits
        });
        wanted.truncate(MAX_PUSH_OBJECTS);
        wanted
    }

    /// The push, with the objects that were to be had.
    pub fn push(&self, objects: Vec<Vec<u8>>) -> Vec<u8> {
        match &self.release {
            None => self.greeting(),
            Some(_) => Push::Release { bootstrap: self.bootstrap.clone(), objects }.encode(),
        }
    }
}

fn named<'a>(objects: &'a [Vec<u8>], name: &WireName) -> Option<&'a [u8]> {
    objects.iter().find(|object| hash::wire_name(object) == *name).map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_three_numbers_within_bounds() {
        let limits = Limits::parse("8/1000/3");
        assert_eq!(limits, Limits { shards: 8, per_shard: 1000, per_address: 3 });
        for text in ["", "x", "0/0/0", "257/40000/-1", "//"] {
            assert_eq!(Limits::parse(text), Limits::default(), "{text}");
        }
        assert_eq!(Limits::parse("2").shards, 2);
    }

    #[test]
    fn an_address_and_a_shard_are_full_at_their_limits() {
        let limits = Limits { shards: 1, per_shard: 10, per_address: 2 };
        assert!(limits.admit(9, 1).is_ok());
        let status = |on_shard, of_address| {
            limits.admit(on_shard, of_address).map_err(|problem| problem.code.status())
        };
        assert_eq!(status(9, 2), Err(429));
        assert_eq!(status(10, 0), Err(503));
    }

    #[test]
    fn listeners_are_spread_over_all_shards() {
        let limits = Limits::default();
        let mut seen = vec![0; 4];
        for listener in 0..1000 {
            seen[limits.shard(&format!("key {listener}")) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (150..350).contains(count)), "{seen:?}");
    }

    #[test]
    fn only_a_websocket_is_let_in() {
        let header = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                pairs.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
            }
        };
        let whole = header(&[("upgrade", "WebSocket"), ("sec-websocket-key", "abc")]);
        assert_eq!(check_upgrade(whole), Ok("abc".into()));
        let problem = check_upgrade(header(&[("upgrade", "websocket")])).expect_err("no key");
        assert_eq!(problem.code.status(), 426);
        assert!(check_upgrade(header(&[("sec-websocket-key", "abc")])).is_err());
    }
}
