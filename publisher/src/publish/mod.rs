//! Publishes a build: upload, rehearse, append to the log, sign, move the pointer.
//!
//! Nothing is signed before the real client restored the candidate from what was uploaded
//! (`candidate`). The pointer moves by compare-and-swap, so of two publishers one wins and the
//! other is told. Every step may break off: what is uploaded stays, and the next run goes on.

pub mod bootstrap;
pub mod candidate;
pub mod head;
pub mod parent;
pub mod pointer;
pub mod upload;

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head};
use packice_core::limits::{MAX_TRUST_CHAIN, MAX_TRUST_ROOT_LEN};
use packice_core::trust::accept::{Offer, TrustState};
use packice_core::trust::sign::{grow, grow_tiles, open_tiles, sign_checkpoint};
use packice_core::types::{Name, ObjectRef};

use crate::config::Config;
use crate::edge::{Condition, Edge};
use crate::failure::{Failure, Kind, Result};
use crate::keys::{Key, RELEASE_KEY_ENV};
use crate::project::{Build, Project, Published};
use crate::trust_store::{LoadedTrustRoot, read_chain};
use crate::ui::Ui;
use bootstrap::{SignedPart, assemble, inlined_objects, object_room};
use candidate::{Rehearsed, rehearse};
use head::{EdgeHead, fetch_tiles, remember};
use pointer::Move;
use upload::{Uploaded, objects_of};

/// How to publish.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The build's version; the newest where left out.
    pub version: Option<u64>,
    /// The edge's base URL.
    pub edge_url: String,
    /// The publish token.
    pub token: Option<String>,
    /// Begin a log where the edge has none and this machine saw one.
    pub new_log: bool,
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
}

/// What a publish works with.
struct Desk<'a> {
    config: &'a Config,
    project: Project,
    edge: Edge,
    chain: Vec<LoadedTrustRoot>,
    release: Key,
    build: Build,
    channel: Channel,
    ui: Ui,
}

/// Publishes a build.
pub fn publish(config: &Config, options: &Options, ui: Ui) -> Result<Outcome> {
    let desk = Desk::open(config, options, ui)?;
    let mut state = desk.project.state()?;
    let channel = &config.channel;
    let at = EdgeHead::read(&desk.edge, config, &desk.chain, &state, options.new_log)?;
    state.trust = Some(remember(&at.trust));
    if at.channel(channel) == Some(&desk.channel) && at.pointer.is_some() {
        desk.record(&mut state)?;
        return Ok(desk.unchanged(&at));
    }
    desk.check_place(&at)?;
    desk.upload_trust_roots()?;
    let uploaded = desk.upload()?;
    let rehearsed = rehearse(&desk.project, &options.edge_url, &desk.channel, &desk.build, ui)
        .map_err(not_restored)?;
    let (outcome, trust) = desk.release(&at, uploaded, rehearsed)?;
    state.trust = Some(remember(&trust));
    desk.record(&mut state)?;
    Ok(outcome)
}

impl<'a> Desk<'a> {
    fn open(config: &'a Config, options: &Options, ui: Ui) -> Result<Self> {
        let project = Project::new(config.work_dir());
        let build = project.build(options.version)?;
        if build.manifest.dataset != config.dataset {
            let message = format!("the build is of '{}'", build.manifest.dataset);
            return Err(Failure::usage(message).next("run `packice build` again"));
        }
        let chain = read_chain(&config.trust_dir)?;
        let release = Key::load(RELEASE_KEY_ENV, &config.release_key)?;
        check_release_key(&chain, &release)?;
        let name = packice_core::hash::wire_name(&build.manifest_bytes);
        let manifest = ObjectRef { name, len: build.manifest_bytes.len() as u64 };
        let version = build.manifest.version;
        let channel = Channel { name: config.channel.clone(), version, manifest };
        let edge = Edge::new(&options.edge_url, &config.dataset, options.token.clone());
        Ok(Self { config, project, edge, chain, release, build, channel, ui })
    }

    /// Whether the build comes after what the edge stands at.
    fn check_place(&self, at: &EdgeHead) -> Result<()> {
        let (known, there) = (self.newest_root().root.version, at.trust.root().version);
        if there > known {
            let message = format!("the edge is at trust root {there}, trust/ ends at {known}");
            return Err(Failure::conflict(message)
                .next(format!("get trust/{there}.bin from whoever signed it")));
        }
        let Some(stands) = at.channel(&self.config.channel) else { return Ok(()) };
        let (built, there) = (self.channel.version, stands.version);
        let advice = "run `packice build --after-edge`, then publish again";
        if built <= there {
            let message = format!("the edge stands at version {there}; this build is {built}");
            return Err(Failure::conflict(message).next(advice));
        }
        if self.build.manifest.parent != Some(stands.manifest.name) {
            let message = format!(
                "the build of version {built} was not made after version {there}, at which the \
                 edge stands"
            );
            return Err(Failure::conflict(message).next(advice));
        }
        Ok(())
    }

    fn upload_trust_roots(&self) -> Result<()> {
        for loaded in &self.chain {
            let path = format!("trust-root/{}", loaded.root.version);
            if !self.edge.exists(&path)? {
                self.edge.put(&path, &loaded.bytes, &Condition::Always)?;
                continue;
            }
            let there = self.edge.get(&path, MAX_TRUST_ROOT_LEN)?;
            if there.is_none_or(|there| there.bytes != loaded.bytes) {
                let message = format!("the edge has another trust root {}", loaded.root.version);
                return Err(Failure::conflict(message)
                    .next("check that trust/ belongs to this edge's dataset"));
            }
        }
        Ok(())
    }

    fn upload(&self) -> Result<Uploaded> {
        let list = objects_of(&self.build)?;
        let bar = self.ui.bytes_bar("upload", list.iter().map(|item| item.object.len).sum());
        let uploaded = upload::upload(&self.edge, &self.build, &list, &bar);
        bar.finish_and_clear();
        uploaded
    }

    /// Appends to the log, signs, and moves the pointer.
    fn release(
        &self,
        at: &EdgeHead,
        uploaded: Uploaded,
        rehearsed: Rehearsed,
    ) -> Result<(Outcome, TrustState)> {
        let entry = self.next_head(at).encode();
        let frontier = at.frontier()?;
        let grown = grow(&frontier, &entry);
        let open = fetch_tiles(&self.edge, &open_tiles(frontier.size()))?;
        let tiles = grow_tiles(frontier.size(), &open, &entry)?;
        let newest = &self.newest_root().root;
        let checkpoint = sign_checkpoint(&newest.origin, grown.at, &[*self.release.seed()]);
        let signed = SignedPart {
            checkpoint: checkpoint.encode().into_bytes(),
            trust_chain: self.carried_chain(),
            head: entry,
            inclusion: grown.inclusion,
        };
        let objects = inlined_objects(&self.build, object_room(&signed))?;
        let inlined = objects.len() as u64;
        let bytes = assemble(signed, objects)?;
        let trust = self.check_own(at, &bytes)?;
        let pointer_move = Move {
            channel: &self.channel.name,
            version: self.channel.version,
            before: at.pointer.as_ref(),
            tiles: &tiles,
            bootstrap: &bytes,
        };
        pointer_move.perform(&self.edge)?;
        let outcome = Outcome {
            channel: self.channel.name.clone(),
            version: self.channel.version.0,
            moved: true,
            log_size: grown.at.size,
            uploaded,
            rehearsed,
            bootstrap_bytes: bytes.len() as u64,
            inlined,
        };
        Ok((outcome, trust))
    }

    /// The complete head state after this release.
    fn next_head(&self, at: &EdgeHead) -> Head {
        let mut channels: Vec<Channel> = at
            .head()
            .map(|head| head.channels.clone())
            .unwrap_or_default()
            .into_iter()
            .filter(|channel| channel.name != self.channel.name)
            .collect();
        channels.push(self.channel.clone());
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        Head {
            dataset: self.config.dataset.clone(),
            trust_root_version: self.newest_root().root.version,
            channels,
            policy: self.config.policy,
        }
    }

    /// The trust roots that a bootstrap carries: the last ones, as many as it may.
    fn carried_chain(&self) -> Vec<Vec<u8>> {
        let skipped = self.chain.len().saturating_sub(MAX_TRUST_CHAIN);
        self.chain.iter().skip(skipped).map(|loaded| loaded.bytes.clone()).collect()
    }

    fn newest_root(&self) -> &LoadedTrustRoot {
        // `read_chain` gives at least one.
        &self.chain[self.chain.len() - 1]
    }

    /// What is about to be published must pass this client's own checks, after what it saw last.
    fn check_own(&self, at: &EdgeHead, bytes: &[u8]) -> Result<TrustState> {
        let refused = |error| {
            Failure::from(error).within("the signed head does not pass the client's own checks")
        };
        let bootstrap = Bootstrap::parse(bytes).map_err(refused)?;
        match at.trust.offer(&bootstrap, &self.channel.name).map_err(refused)? {
            Offer::Accepted(accepted) => Ok(accepted.state),
            Offer::NeedsConsistency { tiles, pending } => {
                let tiles = fetch_tiles(&self.edge, &tiles)?;
                Ok(pending.finish(&tiles).map_err(refused)?.state)
            }
            Offer::Unchanged => Err(Failure::internal("the new head says nothing new")),
        }
    }

    fn record(&self, state: &mut crate::project::State) -> Result<()> {
        let published = Published {
            version: self.channel.version.0,
            manifest: self.channel.manifest.name.to_hex(),
        };
        state.channels.insert(self.channel.name.to_string(), published);
        self.project.save_state(state)
    }

    fn unchanged(&self, at: &EdgeHead) -> Outcome {
        Outcome {
            channel: self.channel.name.clone(),
            version: self.channel.version.0,
            moved: false,
            log_size: at.trust.seen().size,
            uploaded: Uploaded::default(),
            rehearsed: Rehearsed::default(),
            bootstrap_bytes: at.pointer.as_ref().map_or(0, |pointer| pointer.bytes.len() as u64),
            inlined: 0,
        }
    }
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

/// The release key must be one that the newest trust root names, and be enough alone.
fn check_release_key(chain: &[LoadedTrustRoot], release: &Key) -> Result<()> {
    let Some(newest) = chain.last() else { return Err(Failure::usage("no trust root")) };
    let role = &newest.root.release;
    if !role.keys.contains(&release.public()) {
        let message = format!("trust root {} does not name this release key", newest.root.version);
        return Err(Failure::usage(message).next("check [keys] and trust_dir in packice.toml"));
    }
    if role.threshold > 1 {
        let message = format!("{} release keys must sign, one is here", role.threshold);
        return Err(Failure::usage(message).next("this version publishes with one release key"));
    }
    Ok(())
}
