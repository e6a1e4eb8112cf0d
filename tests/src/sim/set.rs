//! The data that runs are made with: small signed histories, each made once.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use packice_core::types::WireName;

use crate::change::{History, edited};
use crate::publication::{Publication, Spec};
use crate::scenario::frame_names;

/// Data that all runs share: a small signed history.
pub(super) struct Set {
    pub(super) trust: Vec<u8>,
    pub(super) names: Vec<&'static str>,
    pub(super) versions: Vec<Vec<Spec>>,
    /// What is served from each version on.
    pub(super) releases: Vec<Publication>,
    pub(super) frames: BTreeSet<WireName>,
}

/// The last one is for scenarios that are written by hand: it has bundles of half a megabyte.
pub(super) fn set(at: usize) -> &'static Set {
    static SETS: [OnceLock<Set>; COUNTS.len()] = [const { OnceLock::new() }; COUNTS.len()];
    let at = at % SETS.len();
    SETS[at].get_or_init(|| Set::build(at as u64))
}

/// Records of each collection, by set.
const COUNTS: [[u64; 3]; 4] = [[3, 20, 8], [5, 120, 40], [0, 400, 90], [0, 0, 60_000]];

impl Set {
    fn build(at: u64) -> Self {
        let counts = COUNTS[usize::try_from(at).expect("small")];
        let names = ["config", "headers", "tokens"];
        let spec = |(i, name): (usize, &&'static str)| {
            let priority = u8::try_from(i).expect("few");
            Spec::numbered(name, priority, counts[i], at * 10 + i as u64)
        };
        let mut history = History::of(&names.iter().enumerate().map(spec).collect::<Vec<_>>());
        history.plain = true;
        history.publication.heads = true;
        let mut releases = vec![history.publication.clone()];
        for round in 1..=3 {
            let specs = edited(history.newest(), round);
            match round {
                3 => history.publish_base(&specs),
                _ => history.publish_change(&specs),
            }
            releases.push(history.publication.clone());
        }
        Self {
            trust: history.publication.trust.clone(),
            names: names.to_vec(),
            frames: frame_names(&history.publication),
            versions: history.versions,
            releases,
        }
    }
}
