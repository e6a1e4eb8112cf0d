//! What every release goes through, whatever it changes: draft an entry of the log, have it
//! signed, have it cosigned, move the pointers.

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head};
use packice_core::format::note::Checkpoint;
use packice_core::limits::MAX_TRUST_ROOT_LEN;
use packice_core::trust::accept::{Evidence, Offer, Seen, TrustState};
use packice_core::trust::log::Frontier;
use packice_core::trust::note::verify_release;
use packice_core::trust::prove::{frontier_at, frontier_tiles};
use packice_core::trust::release::{check_release_draft, release_ground};
use packice_core::trust::root::TrustChain;
use packice_core::trust::sign::{add_release_signature, grow, grow_tiles, open_tiles};
use packice_core::trust::tiles::TileRef;
use packice_core::types::{Name, Version};

use super::bootstrap::{SignedPart, kept_objects, object_room};
use super::head::{EdgeHead, Pointer, fetch_tiles, remember};
use super::pointer::Move;
use super::request::{PointerDraft, ReleaseRequest};
use crate::config::Config;
use crate::edge::{Condition, Edge};
use crate::failure::{Failure, Result};
use crate::keys::Key;
use crate::project::{Project, Published, State};
use crate::trust_store::{LoadedTrustRoot, carried, read_chain};
use crate::ui::Ui;
use crate::witness::ask::{Said, ask_witnesses, check_quorum};

/// Bytes that a signature line takes at most, beside its name.
const LINE_BYTES: usize = 128;

/// What a release works with.
pub struct Desk<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The working directory.
    pub project: Project,
    /// The edge.
    pub edge: Edge,
    /// Its base URL.
    pub edge_url: String,
    /// The trust roots, from version 1 on.
    pub chain: Vec<LoadedTrustRoot>,
    /// How to talk.
    pub ui: Ui,
}

/// What a release changes.
pub struct Change<'a> {
    /// The channel that it is about: its pointer moves first.
    pub channel: &'a Name,
    /// The complete head state after.
    pub head: Head,
    /// What that channel's bootstrap carries along, within so many bytes.
    pub objects: &'a dyn Fn(usize) -> Result<Vec<Vec<u8>>>,
}

/// A release that became visible.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The log's size.
    pub log_size: u64,
    /// Bytes of the first pointer's bootstrap.
    pub bootstrap_bytes: u64,
    /// What each witness said.
    pub witnesses: Vec<Said>,
    /// The channels whose pointers moved.
    pub moved: Vec<Name>,
    /// Other channels whose pointers did not follow, and why.
    pub behind: Vec<(Name, String)>,
}

impl<'a> Desk<'a> {
    /// For a project and an edge.
    pub fn open(config: &'a Config, edge_url: &str, key: Option<Key>, ui: Ui) -> Result<Self> {
        let chain = read_chain(&config.trust_dir)?;
        let edge = Edge::new(edge_url, &config.dataset, key);
        let project = Project::new(config.work_dir());
        Ok(Self { config, project, edge, edge_url: edge_url.to_owned(), chain, ui })
    }

    /// The newest trust root that is here.
    pub fn newest_root(&self) -> &LoadedTrustRoot {
        // `read_chain` gives at least one.
        &self.chain[self.chain.len() - 1]
    }

    /// The trust roots, checked from the first on.
    pub fn trust_chain(&self) -> Result<TrustChain> {
        let signed: Vec<Vec<u8>> = self.chain.iter().map(|loaded| loaded.bytes.clone()).collect();
        let mut chain = TrustChain::embedded(&signed[0], &self.config.dataset)?;
        chain.extend(&signed[1..])?;
        Ok(chain)
    }

    /// What the edge stands at, remembered in the state.
    pub fn read_head(&self, state: &mut State, new_log: bool) -> Result<EdgeHead> {
        let at = EdgeHead::read(&self.edge, self.config, &self.chain, state, new_log)?;
        state.trust = Some(remember(&at.trust));
        let (known, there) = (self.newest_root().root.version, at.trust.root().version);
        if there > known {
            let message = format!("the edge is at trust root {there}, trust/ ends at {known}");
            return Err(Failure::conflict(message)
                .next(format!("get trust/{there}.bin from whoever signed it")));
        }
        Ok(at)
    }

    /// The point that the next release goes on from, and whether a floor takes the place of what
    /// the edge stands at.
    pub fn ground(&self, at: &EdgeHead) -> Result<(Seen, bool)> {
        let next = self.head_of(Vec::new());
        let before = at.head().map(|head| (head, at.trust.seen()));
        Ok(release_ground(&self.trust_chain()?, before, &next))
    }

    /// A complete head state under the newest trust root.
    pub fn head_of(&self, mut channels: Vec<Channel>) -> Head {
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        Head {
            dataset: self.config.dataset.clone(),
            trust_root_version: self.newest_root().root.version,
            channels,
            policy: self.config.policy,
        }
    }

    /// Uploads the trust roots that the edge lacks.
    pub fn upload_trust_roots(&self) -> Result<()> {
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

    /// Drafts the release: the log's next entry, and where each pointer moves.
    pub fn draft(&self, at: &EdgeHead, change: &Change<'_>) -> Result<ReleaseRequest> {
        let root = &self.newest_root().root;
        let head = change.head.encode();
        let frontier = self.frontier(at)?;
        let grown = grow(&frontier, &head);
        let open = fetch_tiles(&self.edge, &open_tiles(frontier.size()))?;
        let tiles = grow_tiles(frontier.size(), &open, &head)?;
        let mut note = Checkpoint::body(&root.origin, grown.at.size, &grown.at.root);
        note.push('\n');
        let new = Evidence { checkpoint: note.into_bytes(), head, inclusion: grown.inclusion };
        let before = match (at.trust.checkpoint(), at.trust.entry()) {
            (Some(note), Some((head, inclusion))) => {
                Some(Evidence { checkpoint: note.to_vec(), head: head.to_vec(), inclusion })
            }
            (None, _) | (_, None) => None,
        };
        check_release_draft(&self.trust_chain()?, before.as_ref(), &new)?;
        let trust_chain: Vec<Vec<u8>> =
            self.chain.iter().map(|loaded| loaded.bytes.clone()).collect();
        let names = root.witnesses.witnesses.iter().map(|witness| witness.name.len());
        let lines = root.release.keys.len() * (root.origin.len() + LINE_BYTES)
            + names.map(|name| name + LINE_BYTES).sum::<usize>();
        let room = object_room(&SignedPart {
            checkpoint: [new.checkpoint.clone(), vec![0; lines]].concat(),
            trust_chain: carried(&trust_chain),
            head: new.head.clone(),
            inclusion: new.inclusion.clone(),
        });
        let mut pointers = vec![PointerDraft {
            channel: change.channel.clone(),
            etag: at.pointers.get(change.channel).map(|pointer| pointer.etag.clone()),
            objects: (change.objects)(room)?,
        }];
        for (channel, pointer) in &at.pointers {
            if channel != change.channel {
                pointers.push(follower(channel, pointer, room)?);
            }
        }
        let (dataset, edge_url) = (self.config.dataset.clone(), self.edge_url.clone());
        Ok(ReleaseRequest { dataset, edge_url, trust_chain, before, new, tiles, pointers })
    }

    /// The frontier that the next entry is appended to.
    fn frontier(&self, at: &EdgeHead) -> Result<Frontier> {
        let (from, _) = self.ground(at)?;
        if from == at.trust.seen() && at.trust.entry().is_some() {
            return at.frontier();
        }
        let tiles = fetch_tiles(&self.edge, &frontier_tiles(from.size))?;
        let frontier = frontier_at(from.size, &tiles)?;
        if frontier.root() != from.root {
            let message = format!("the edge's log at {} releases is not the floor's", from.size);
            return Err(Failure::verification(message)
                .next("check the floor of the newest trust root by `packice log audit`"));
        }
        Ok(frontier)
    }

    /// Has the witnesses cosign, and moves the pointers.
    pub fn finish(
        &self,
        request: &mut ReleaseRequest,
        at: &EdgeHead,
        state: &mut State,
    ) -> Result<Finished> {
        let chain = request.chain()?;
        let root = chain.newest();
        check_release_draft(&chain, request.before.as_ref(), &request.new)?;
        let mut checkpoint = verify_release(root, &request.new.checkpoint).map_err(not_signed)?;
        let witnesses = self.cosign(request, &chain, &mut checkpoint)?;
        request.new.checkpoint = checkpoint.encode().into_bytes();
        let trust = self.check_own(at, request)?;
        let mut moved = Vec::new();
        let mut behind = Vec::new();
        let mut bootstrap_bytes = 0;
        for (place, pointer) in request.pointers.iter().enumerate() {
            let bootstrap = request.bootstrap(pointer)?;
            let step = self.move_pointer(request, pointer, &bootstrap);
            match (place, step) {
                (0, Err(failure)) => return Err(failure),
                (0, Ok(())) => {
                    // Visible from here on: what follows may fail and be done again.
                    bootstrap_bytes = bootstrap.len() as u64;
                    state.trust = Some(remember(&trust));
                    self.record(state, &trust)?;
                    moved.push(pointer.channel.clone());
                }
                (_, Ok(())) => moved.push(pointer.channel.clone()),
                (_, Err(failure)) => behind.push((pointer.channel.clone(), failure.message)),
            }
        }
        Ok(Finished { log_size: checkpoint.size, bootstrap_bytes, witnesses, moved, behind })
    }

    fn cosign(
        &self,
        request: &ReleaseRequest,
        chain: &TrustChain,
        checkpoint: &mut Checkpoint,
    ) -> Result<Vec<Said>> {
        let root = chain.newest();
        if root.witnesses.witnesses.is_empty() {
            return Ok(Vec::new());
        }
        let known = |tiles: &[TileRef]| -> Result<Vec<(TileRef, Vec<u8>)>> {
            let mut found = Vec::new();
            for tile in tiles {
                match request.tiles.iter().find(|(other, _)| other == tile) {
                    Some(own) => found.push(own.clone()),
                    None => found.extend(fetch_tiles(&self.edge, &[*tile])?),
                }
            }
            Ok(found)
        };
        let old = checkpoint.size.saturating_sub(1);
        let spinner = self.ui.spinner("witnesses");
        let said = ask_witnesses(root, &self.config.witnesses, old, checkpoint, &known);
        spinner.finish_and_clear();
        check_quorum(root, &said)?;
        Ok(said)
    }

    fn move_pointer(
        &self,
        request: &ReleaseRequest,
        pointer: &PointerDraft,
        bootstrap: &[u8],
    ) -> Result<()> {
        let head = Head::parse(&request.new.head)?;
        let version = head.channel(pointer.channel.as_str()).map_or(Version(0), |c| c.version);
        let step = Move {
            channel: &pointer.channel,
            version,
            before: pointer.etag.as_deref(),
            tiles: &request.tiles,
            bootstrap,
        };
        step.perform(&self.edge)
    }

    /// What is about to be published must pass this client's own checks, after what it saw last.
    fn check_own(&self, at: &EdgeHead, request: &ReleaseRequest) -> Result<TrustState> {
        let refused = |error| {
            Failure::from(error).within("the signed head does not pass the client's own checks")
        };
        let pointer = request.pointers.first();
        let pointer = pointer.ok_or_else(|| Failure::input("the request moves no pointer"))?;
        let bootstrap = Bootstrap::parse(&request.bootstrap(pointer)?).map_err(refused)?;
        let head = Head::parse(&request.new.head)?;
        let named = head.channels.first();
        let named = named.ok_or_else(|| Failure::usage("a head state names some channel"))?;
        match at.trust.offer(&bootstrap, &named.name).map_err(refused)? {
            Offer::Accepted(accepted) => Ok(accepted.state),
            Offer::NeedsConsistency { tiles, pending } => {
                let tiles = fetch_tiles(&self.edge, &tiles)?;
                Ok(pending.finish(&tiles).map_err(refused)?.state)
            }
            Offer::Unchanged => Ok(at.trust.clone()),
        }
    }

    /// Keeps what the channels were moved to.
    pub fn record(&self, state: &mut State, trust: &TrustState) -> Result<()> {
        let channels = trust.head().map(|head| head.channels.as_slice()).unwrap_or_default();
        for channel in channels {
            let version = channel.version.0;
            let published = Published { version, manifest: channel.manifest.name.to_hex() };
            state.channels.insert(channel.name.to_string(), published);
        }
        self.project.save_state(state)
    }
}

/// Signs with release keys that are here.
pub fn sign_request(request: &mut ReleaseRequest, keys: &[Key]) -> Result<()> {
    let mut checkpoint = request.checkpoint()?;
    for key in keys {
        add_release_signature(&mut checkpoint, key.seed());
    }
    request.new.checkpoint = checkpoint.encode().into_bytes();
    Ok(())
}

/// Another channel's pointer, which follows to the same checkpoint.
fn follower(channel: &Name, pointer: &Pointer, room: usize) -> Result<PointerDraft> {
    let objects = kept_objects(Bootstrap::parse(&pointer.bytes)?.objects, room);
    Ok(PointerDraft { channel: channel.clone(), etag: Some(pointer.etag.clone()), objects })
}

fn not_signed(error: packice_core::error::Error) -> Failure {
    Failure::from(error)
        .within("the release is not signed yet")
        .next("run `packice sign FILE --key KEY` for each signer, then --finish again")
}
