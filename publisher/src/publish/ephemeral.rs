//! A trust root and a log that exist for one self-check only: their keys are nowhere afterwards.

use std::collections::BTreeMap;

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head, Policy};
use packice_core::format::trust_root::{Role, Staleness, TrustRoot, WitnessPolicy};
use packice_core::trust::log::Frontier;
use packice_core::trust::sign::{grow, sign_checkpoint, sign_trust_root};
use packice_core::types::Name;

use super::bootstrap::{SignedPart, assemble};
use crate::client::fetch::Overlay;
use crate::failure::Result;
use crate::keys::Key;

/// A log under keys that nobody keeps.
pub(super) struct EphemeralLog {
    root: TrustRoot,
    /// The signed trust root.
    pub(super) trust: Vec<u8>,
    release_key: Key,
    frontier: Frontier,
}

/// A release of it.
pub(super) struct Ephemeral {
    pub(super) trust: Vec<u8>,
    pub(super) checkpoint: Vec<u8>,
    pub(super) bootstrap: Vec<u8>,
}

impl EphemeralLog {
    /// An empty log of a dataset.
    pub(super) fn new(dataset: &Name) -> Result<Self> {
        let (root_key, release_key) = (Key::random()?, Key::random()?);
        let role = |key: &Key| Role { threshold: 1, keys: vec![key.public()] };
        let root = TrustRoot {
            dataset: dataset.clone(),
            origin: format!("packice-rehearsal/{dataset}"),
            version: 1,
            root: role(&root_key),
            release: role(&release_key),
            witnesses: WitnessPolicy::default(),
            staleness: Staleness::default(),
            floor: None,
        };
        let trust = sign_trust_root(&root, &[*root_key.seed()]).encode();
        Ok(Self { root, trust, release_key, frontier: Frontier::new() })
    }

    /// The next release: a channel that stands at a version, with objects in its bootstrap.
    pub(super) fn release(
        &mut self,
        channel: &Channel,
        objects: Vec<Vec<u8>>,
    ) -> Result<Ephemeral> {
        let head = Head {
            dataset: self.root.dataset.clone(),
            trust_root_version: 1,
            channels: vec![channel.clone()],
            policy: Policy::default(),
        }
        .encode();
        let grown = grow(&self.frontier, &head);
        let checkpoint = sign_checkpoint(&self.root.origin, grown.at, &[*self.release_key.seed()]);
        let checkpoint = checkpoint.encode().into_bytes();
        let signed = SignedPart {
            checkpoint: checkpoint.clone(),
            trust_chain: vec![self.trust.clone()],
            head,
            inclusion: grown.inclusion,
        };
        self.frontier = grown.frontier;
        Ok(Ephemeral {
            trust: self.trust.clone(),
            checkpoint,
            bootstrap: assemble(signed, objects)?,
        })
    }
}

impl Ephemeral {
    /// A source that serves this release, and its objects from another one by their names.
    pub(super) fn before<S>(self, channel: &Name, under: S) -> Overlay<S> {
        // Its own bootstrap parses; without a head the bootstrap is asked for.
        let head = Bootstrap::parse(&self.bootstrap).map(|own| own.lean(channel.as_str()).encode());
        let mut bodies = BTreeMap::from([
            (format!("bootstrap/{channel}"), self.bootstrap),
            ("checkpoint".to_owned(), self.checkpoint),
        ]);
        bodies.extend(head.ok().map(|head| (format!("head/{channel}"), head)));
        Overlay {
            bodies,
            hidden: ["bootstrap/", "checkpoint", "head/", "log/", "trust-root/"]
                .map(str::to_owned)
                .into(),
            under,
        }
    }
}
