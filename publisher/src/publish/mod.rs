//! Publishes a build: upload, rehearse, draft, sign, have it cosigned, move the pointers.
//!
//! The signing may happen elsewhere: [`prepare`] ends with a release request, [`finish`] begins
//! with one that is signed, and [`publish`] does both with the keys that are here.
//!
//! Nothing is signed before the real client restored the candidate from what was uploaded
//! (`candidate`). The pointer moves by compare-and-swap, so of two publishers one wins and the
//! other is told. Every step may break off: what is uploaded stays, and the next run goes on.

pub mod bootstrap;
pub mod candidate;
pub mod channels;
pub mod desk;
mod ephemeral;
pub mod head;
pub mod parent;
pub mod paths;
pub mod pointer;
mod profile;
pub mod request;
pub mod signer;
pub mod upload;

use std::path::Path;
use std::sync::Arc;

use packice_core::format::head::Channel;
use packice_core::types::{Name, ObjectRef};

use crate::client::fetch::HttpSource;
use crate::config::Config;
use crate::edge::publish_key;
use crate::failure::{Failure, Kind, Result, on_file};
use crate::keys::passphrase::Source;
use crate::keys::{Key, KeyRole, RELEASE_KEY_ENV};
use crate::project::{Build, State};
use crate::ui::Ui;
use crate::witness::ask::Said;
use bootstrap::inlined_objects;
use candidate::{Rehearsed, rehearse};
use desk::{Change, Desk, Finished, sign_request};
use head::EdgeHead;
use parent::parent_of;
use paths::Goal;
use profile::Profile;
use request::ReleaseRequest;
use upload::{Uploaded, objects_of};

/// How to publish.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The build's version; the newest where left out.
    pub version: Option<u64>,
    /// The edge's base URL.
    pub edge_url: String,
    /// The publish key: `--publish-key`; else that of the environment or of packice.toml.
    pub publish_key: Option<String>,
    /// Put it on this channel instead of the configured one, which it was made after.
    pub stage: Option<Name>,
    /// Begin a log where the edge has none and this machine saw one.
    pub new_log: bool,
    /// Where the passphrases of release keys come from.
    pub passphrase: Source,
}

/// What publishing did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The channel.
    pub channel: Name,
    /// The version.
    pub version: u64,
    /// Whether the pointer moved, or stood there already.
    pub moved: bool,
    /// The log's size.
    pub log_size: u64,
    /// What was uploaded.
    pub uploaded: Uploaded,
    /// What the rehearsal read.
    pub rehearsed: Rehearsed,
    /// Bytes of the bootstrap.
    pub bootstrap_bytes: u64,
    /// Objects inlined in it.
    pub inlined: u64,
    /// What each witness said.
    pub witnesses: Vec<Said>,
    /// Other channels whose pointers did not follow, and why.
    pub behind: Vec<(Name, String)>,
}

/// A release that waits for signatures, or none because all of it stands.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// The channel stands at this build already.
    Stands(Outcome),
    /// The request, and what was done for it.
    Ready {
        /// What is to be signed.
        request: Box<ReleaseRequest>,
        /// What it comes to, once it is signed.
        outcome: Box<Outcome>,
        /// What the edge stood at.
        at: Box<EdgeHead>,
    },
}

/// Publishes a build with the release keys that are here.
pub fn publish(config: &Config, options: &Options, ui: Ui) -> Result<Outcome> {
    let key = publish_key(config, options.publish_key.as_deref(), &options.passphrase)?;
    let desk = Desk::open(config, &options.edge_url, Some(key), ui)?;
    let keys = release_keys(&desk, &options.passphrase)?;
    let mut state = desk.project.state()?;
    match prepare_at(&desk, options, &mut state)? {
        Prepared::Stands(outcome) => Ok(outcome),
        Prepared::Ready { mut request, outcome, at } => {
            sign_request(&mut request, &keys)?;
            let finished = desk.finish(&mut request, &at, &mut state)?;
            Ok(with_finished(*outcome, finished))
        }
    }
}

/// Does all of a publish that needs no release key: upload, rehearsal, draft.
pub fn prepare(config: &Config, options: &Options, ui: Ui) -> Result<Prepared> {
    let key = publish_key(config, options.publish_key.as_deref(), &options.passphrase)?;
    let desk = Desk::open(config, &options.edge_url, Some(key), ui)?;
    prepare_at(&desk, options, &mut desk.project.state()?)
}

/// Makes a signed release request visible; the build need not be here.
pub fn finish(
    config: &Config,
    path: &Path,
    edge_url: Option<&str>,
    key: Key,
    ui: Ui,
) -> Result<(ReleaseRequest, Finished)> {
    let mut request = ReleaseRequest::read(path)?;
    let edge_url = match edge_url {
        Some(url) => crate::config::edge_url(url)?,
        None => request.edge_url.clone(),
    };
    let desk = Desk::open(config, &edge_url, Some(key), ui)?;
    let signed: Vec<&Vec<u8>> = desk.chain.iter().map(|loaded| &loaded.bytes).collect();
    if request.dataset != config.dataset || !request.trust_chain.iter().eq(signed) {
        let message = "the request was prepared under another dataset or other trust roots";
        return Err(Failure::conflict(message).next("prepare it again with this trust_dir"));
    }
    let mut state = desk.project.state()?;
    let at = desk.read_head(&mut state, request.before.is_none())?;
    desk.upload_trust_roots()?;
    let finished = desk.finish(&mut request, &at, &mut state)?;
    Ok((request, finished))
}

fn prepare_at(desk: &Desk<'_>, options: &Options, state: &mut State) -> Result<Prepared> {
    let build = desk.project.build(options.version)?;
    if build.manifest.dataset != desk.config.dataset {
        let message = format!("the build is of '{}'", build.manifest.dataset);
        return Err(Failure::usage(message).next("run `packice build` again"));
    }
    let name = options.stage.as_ref().unwrap_or(&desk.config.channel);
    let channel = channel_of(name, &build);
    let at = desk.read_head(state, options.new_log)?;
    let same_root =
        at.head().map(|head| head.trust_root_version) == Some(desk.newest_root().root.version);
    let stands = at.channel(&channel.name) == Some(&channel);
    let mut outcome = Outcome {
        channel: channel.name.clone(),
        version: channel.version.0,
        moved: false,
        log_size: at.trust.seen().size,
        uploaded: Uploaded::default(),
        rehearsed: Rehearsed::default(),
        bootstrap_bytes: at
            .pointers
            .get(&channel.name)
            .map_or(0, |pointer| pointer.bytes.len() as u64),
        inlined: 0,
        witnesses: Vec::new(),
        behind: Vec::new(),
    };
    if stands && same_root && at.pointers.contains_key(&channel.name) {
        desk.record(state, &at.trust)?;
        return Ok(Prepared::Stands(outcome));
    }
    if !stands {
        check_place(desk, &at, &build, &channel)?;
        desk.config.check_promise(wire_len(&build))?;
    }
    desk.upload_trust_roots()?;
    outcome.uploaded = upload(desk, &build)?;
    if outcome.uploaded.sent > 0 {
        // What was restored before does not speak for what was sent since.
        Profile::open(&desk.project, &desk.edge_url, &channel)?.clear()?;
    }
    outcome.rehearsed = rehearse_candidate(desk, &channel, &build.manifest)?;
    outcome.rehearsed.paths = rehearse_paths(desk, &channel, &build.manifest)?;
    let others = at.head().map(|head| head.channels.clone()).unwrap_or_default();
    let mut channels: Vec<Channel> =
        others.into_iter().filter(|other| other.name != channel.name).collect();
    channels.push(channel.clone());
    let change = Change {
        channel: &channel.name,
        head: desk.head_of(channels),
        objects: &|room| inlined_objects(&build, room),
    };
    let request = Box::new(desk.draft(&at, &change)?);
    outcome.inlined = request.pointers.first().map_or(0, |first| first.objects.len() as u64);
    Ok(Prepared::Ready { request, outcome: Box::new(outcome), at: Box::new(at) })
}

fn with_finished(outcome: Outcome, finished: Finished) -> Outcome {
    let Finished { log_size, bootstrap_bytes, witnesses, moved: _, behind } = finished;
    Outcome { moved: true, log_size, bootstrap_bytes, witnesses, behind, ..outcome }
}

/// Bytes on the wire of all that a new client fetches of a build.
fn wire_len(build: &Build) -> u64 {
    let of = |collection: &packice_core::format::manifest::Collection| {
        let base = &collection.base;
        base.wire_len
            + base.dictionary.map_or(0, |dictionary| dictionary.object.len)
            + collection.overlay.map_or(0, |overlay| overlay.wire_len)
    };
    build.manifest.collections.iter().map(of).sum()
}

fn channel_of(channel: &Name, build: &Build) -> Channel {
    let name = packice_core::hash::wire_name(&build.manifest_bytes);
    let manifest = ObjectRef { name, len: build.manifest_bytes.len() as u64 };
    Channel { name: channel.clone(), version: build.manifest.version, manifest }
}

/// Whether the build comes after what the edge stands at. What a new floor clears binds no more.
fn check_place(desk: &Desk<'_>, at: &EdgeHead, build: &Build, channel: &Channel) -> Result<()> {
    let (_, reset) = desk.ground(at)?;
    if reset {
        return Ok(());
    }
    let built = channel.version;
    let advice = "run `packice build --after-edge`, then publish again";
    if let Some(there) = at.channel(&channel.name).map(|stands| stands.version)
        && built <= there
    {
        let message = format!("the edge stands at version {there}; this build is {built}");
        return Err(Failure::conflict(message).next(advice));
    }
    // A staged version is made after what it is to take the place of.
    let Some(stands) = at.channel(&desk.config.channel) else { return Ok(()) };
    let there = stands.version;
    if build.manifest.parent != Some(stands.manifest.name) {
        let message = format!(
            "the build of version {built} was not made after version {there}, at which the edge \
             stands"
        );
        return Err(Failure::conflict(message).next(advice));
    }
    Ok(())
}

fn upload(desk: &Desk<'_>, build: &Build) -> Result<Uploaded> {
    let list = objects_of(build)?;
    let bar = desk.ui.bytes_bar("upload", list.iter().map(|item| item.object.len).sum());
    let uploaded = upload::upload(&desk.edge, build, &list, &bar);
    bar.finish_and_clear();
    uploaded
}

/// Restores a candidate from the edge by the real client.
pub(crate) fn rehearse_candidate(
    desk: &Desk<'_>,
    channel: &Channel,
    manifest: &packice_core::format::manifest::Manifest,
) -> Result<Rehearsed> {
    let profile = Profile::open(&desk.project, &desk.edge_url, channel)?;
    rehearse(profile, &desk.edge_url, channel, manifest, desk.ui).map_err(not_restored)
}

/// Goes every delta path to a candidate that begins at a version which is held here.
fn rehearse_paths(
    desk: &Desk<'_>,
    channel: &Channel,
    manifest: &packice_core::format::manifest::Manifest,
) -> Result<u64> {
    let Some(name) = manifest.parent else { return Ok(0) };
    let starts = paths::starts(manifest);
    let history = parent_of(desk.config, name, None)?.history;
    let temporary = desk.project.temporary_dir();
    std::fs::create_dir_all(&temporary).map_err(on_file("create", &temporary))?;
    let mut gone = 0;
    for past in history.iter().filter(|past| starts.contains(&past.manifest.version)) {
        let goal = Goal {
            channel,
            manifest,
            source: Arc::new(HttpSource::new(&desk.edge_url, &manifest.dataset)),
            inlined: Vec::new(),
            temporary: &temporary,
            // Each path ends at the signed root; the parent's is read back record by record too.
            compare: gone == 0,
        };
        paths::follow(&goal, past, desk.ui).map_err(not_restored)?;
        gone += 1;
    }
    Ok(gone)
}

/// A rehearsal that failed; the client's own advice, another source, is none for a publisher.
fn not_restored(failure: Failure) -> Failure {
    let failure = failure.within("the candidate was not restored, nothing is signed");
    if failure.kind != Kind::Verification {
        return failure;
    }
    failure.next(
        "the edge, or a proxy before it, serves other bytes than were uploaded: remove them there \
         and from its caches, then publish again",
    )
}

/// The release keys that are here: each named by the newest trust root, and enough of them.
pub(crate) fn release_keys(desk: &Desk<'_>, source: &Source) -> Result<Vec<Key>> {
    let keys = Key::load_all(RELEASE_KEY_ENV, &desk.config.release_keys, KeyRole::Release, source)?;
    let root = &desk.newest_root().root;
    let role = &root.release;
    for key in &keys {
        if !role.keys.contains(&key.public()) {
            let message = format!("trust root {} does not name this release key", root.version);
            return Err(Failure::usage(message)
                .coded("key/not-named")
                .next("check [keys] and trust_dir in packice.toml"));
        }
    }
    let mut distinct: Vec<_> = keys.iter().map(Key::public).collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < role.threshold as usize {
        let (here, needed) = (distinct.len(), role.threshold);
        let message = format!("{needed} release keys must sign, {here} are here");
        return Err(Failure::usage(message).coded("trust/below-threshold").next(
            "run `packice publish --prepare FILE`, have the others run `packice sign FILE`, then \
             `packice publish --finish FILE`",
        ));
    }
    Ok(keys)
}
