//! What must hold before a pointer moves or a trust root is taken: the core's checks, asked with
//! what the store holds.
//!
//! In scope: what a check needs from the store, and the core's errors as problems. Out of scope:
//! the checks themselves, which are `packice_core::trust::append`'s.

use packice_core::error::{Error, TrustError};
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::Head;
use packice_core::format::manifest::Manifest;
use packice_core::format::note::Checkpoint;
use packice_core::limits::MAX_KEPT_TRUST_CHAIN;
use packice_core::trust::append::{
    self, PointerMove, PointerRequest, check_pointer_move, pointer_tiles,
};
use packice_core::trust::tiles::TileRef;
use packice_core::types::{Name, ObjectKind, ObjectRef, WireName};

use crate::pointer::PointerMark;
use crate::problem::{Problem, ProblemCode};
use crate::resource::Resource;

/// What the store holds that a move is checked against.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The trust roots, from version 1 on.
    pub trust_roots: Vec<Vec<u8>>,
    /// The newest bootstrap of the dataset.
    pub old: Option<Vec<u8>>,
    /// The channel's own.
    pub own: Option<Vec<u8>>,
    /// The tiles at the end of the new log.
    pub tiles: Vec<(TileRef, Vec<u8>)>,
}

/// An object that must be in the store before a pointer moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The object.
    pub resource: Resource,
    /// The length that is signed.
    pub len: u64,
}

impl Needed {
    fn new(dataset: &Name, kind: ObjectKind, object: &ObjectRef) -> Self {
        let resource = Resource::Object { dataset: dataset.clone(), kind, name: object.name };
        Self { resource, len: object.len }
    }

    /// Checks the length of the stored object, if any.
    pub fn check(&self, stored_len: Option<u64>) -> Result<(), Problem> {
        match stored_len {
            None => Err(missing(&self.resource)),
            Some(len) if len == self.len => Ok(()),
            Some(_) => Err(refused(&TrustError::WrongLength.into())),
        }
    }
}

/// The checkpoint inside a stored bootstrap.
pub fn checkpoint_text(bootstrap: &[u8]) -> Result<Vec<u8>, Problem> {
    match Bootstrap::parse(bootstrap) {
        Ok(bootstrap) => Ok(bootstrap.checkpoint),
        // It was parsed before it was stored: the fault is ours.
        Err(error) => Err(Problem::new(ProblemCode::Internal, error.to_string())),
    }
}

/// The head of a channel, out of its stored bootstrap.
pub fn head_bytes(bootstrap: &[u8], channel: &Name) -> Result<Vec<u8>, Problem> {
    match Bootstrap::parse(bootstrap) {
        Ok(bootstrap) => Ok(bootstrap.lean(channel.as_str()).encode()),
        Err(error) => Err(Problem::new(ProblemCode::Internal, error.to_string())),
    }
}

/// Where a stored bootstrap stands; `None` for bytes that are none.
pub fn mark(bootstrap: &[u8]) -> Option<PointerMark> {
    let bootstrap = Bootstrap::parse(bootstrap).ok()?;
    let log_size = Checkpoint::parse(&bootstrap.checkpoint).ok()?.size;
    let trust_root_version = Head::parse(&bootstrap.head).ok()?.trust_root_version;
    Some(PointerMark { trust_root_version, log_size })
}

/// The tiles that must be in the store before the pointer moves to a bootstrap.
pub fn tiles(new: &[u8]) -> Result<Vec<TileRef>, Problem> {
    pointer_tiles(new).map_err(|error| refused(&error))
}

/// What must have been uploaded before.
pub fn uploaded(resource: &Resource, stored: Option<Vec<u8>>) -> Result<Vec<u8>, Problem> {
    stored.ok_or_else(|| missing(resource))
}

/// Checks signatures, growth, versions and tiles.
pub fn check_move(
    dataset: &Name,
    channel: &Name,
    evidence: &Evidence,
    new: &[u8],
) -> Result<PointerMove, Problem> {
    if evidence.trust_roots.is_empty() {
        let version = 1;
        return Err(missing(&Resource::TrustRoot { dataset: dataset.clone(), version }));
    }
    let request = PointerRequest {
        dataset,
        channel,
        trust_roots: &evidence.trust_roots,
        old: evidence.old.as_deref(),
        own: evidence.own.as_deref(),
        new,
        tiles: &evidence.tiles,
    };
    check_pointer_move(&request).map_err(|error| refused(&error))
}

/// The manifest that a move leads to; none where it ends the channel.
pub fn manifest(dataset: &Name, moved: &PointerMove) -> Option<Needed> {
    let channel = moved.channel.as_ref()?;
    Some(Needed::new(dataset, ObjectKind::Manifest, &channel.manifest))
}

/// The size of the log that stands for good: that of the pointers, or a new floor below them.
pub fn lasting_size(
    dataset: &Name,
    trust_roots: &[Vec<u8>],
    newest: &[u8],
    log_size: u64,
) -> Result<u64, Problem> {
    let void = append::void_from(dataset, trust_roots, newest).map_err(|error| refused(&error))?;
    Ok(void.map_or(log_size, |floor| floor.min(log_size)))
}

/// The manifest that a bootstrap names for a channel, as far as it can be read.
pub fn manifest_of(bootstrap: &[u8], channel: &Name) -> Option<WireName> {
    let head = Head::parse(&Bootstrap::parse(bootstrap).ok()?.head).ok()?;
    head.channel(channel.as_str()).map(|channel| channel.manifest.name)
}

/// What a client fetches right after the manifest: layouts' directories and dictionaries.
pub fn manifest_needs(
    dataset: &Name,
    moved: &PointerMove,
    stored: Option<Vec<u8>>,
) -> Result<Vec<Needed>, Problem> {
    let (Some(needed), Some(channel)) = (manifest(dataset, moved), &moved.channel) else {
        return Ok(Vec::new());
    };
    let stored = uploaded(&needed.resource, stored)?;
    needed.check(Some(stored.len() as u64))?;
    let manifest = Manifest::parse(&stored).map_err(|error| refused(&error))?;
    if manifest.dataset != *dataset || manifest.version != channel.version {
        return Err(refused(&TrustError::WrongManifest.into()));
    }
    let mut needs = Vec::new();
    for collection in &manifest.collections {
        let base = &collection.base;
        needs.push(Needed::new(dataset, ObjectKind::Layout, &base.directory));
        if let Some(dictionary) = &base.dictionary {
            needs.push(Needed::new(dataset, ObjectKind::Dictionary, &dictionary.object));
        }
    }
    Ok(needs)
}

/// The versions of trust roots that are looked for.
pub fn trust_root_versions() -> std::ops::RangeInclusive<u64> {
    1..=MAX_KEPT_TRUST_CHAIN as u64
}

/// A version of the trust root is written once.
pub fn same_trust_root(version: u64, existing: &[u8], body: &[u8]) -> Result<(), Problem> {
    if existing == body {
        return Ok(());
    }
    let detail = format!("trust root {version} is there with other bytes: sign the next version");
    Err(Problem::new(ProblemCode::Conflict, detail))
}

/// The trust root that one of this version must follow.
pub fn trust_root_before(dataset: &Name, version: u64) -> Option<Resource> {
    let version = version.checked_sub(1).filter(|before| *before > 0)?;
    Some(Resource::TrustRoot { dataset: dataset.clone(), version })
}

/// Checks a trust root that is new here: the first by itself, a later one against the one before.
pub fn check_trust_root(
    dataset: &Name,
    version: u64,
    before: Option<&[u8]>,
    body: &[u8],
) -> Result<(), Problem> {
    let root = append::check_trust_root(dataset, before, body).map_err(|error| refused(&error))?;
    if root.version == version {
        return Ok(());
    }
    let detail = format!("the body is trust root {}, the URL says {version}", root.version);
    Err(Problem::new(ProblemCode::CheckFailed, detail))
}

fn missing(resource: &Resource) -> Problem {
    let detail = format!("{} must be uploaded before", resource.path());
    Problem::new(ProblemCode::CheckFailed, detail).with_reason("edge/missing-object")
}

/// A check of the core's that failed, as the edge answers it.
pub(crate) fn refused(error: &Error) -> Problem {
    // What stands is better than what is offered: no fault of the bytes.
    let code = match error {
        Error::Trust(TrustError::OlderCosignatures { .. }) => ProblemCode::Conflict,
        Error::Trust(_) | Error::Format(_) | Error::Delta(_) | Error::Misuse(_) => {
            ProblemCode::CheckFailed
        }
    };
    Problem::new(code, error.to_string()).with_reason(error.code())
}
