//! The seed: a version that came with the application, in one file (docs/spec/seed.md).
//!
//! To the engine it is one more source that nobody trusts, and the first one asked for what its
//! index lists; every byte of it is verified as if it came from the network, by the same code.
//!
//! Its own head is looked at where nothing is held, before the network is asked, and where the
//! network does not answer. A seed that is older than what is held is passed over in silence; one
//! that is damaged is blamed for the object, by name, and that object comes from elsewhere.

use alloc::string::String;

use crate::error::{Error, TrustError};
use crate::format::seed::{PRELUDE_LEN, SeedIndex, index_len};
use crate::plan::queue::Class;
use crate::plan::sources::{Kind, Severity, SourceId};
use crate::types::Millis;

use super::Engine;
use super::head::HeadTask;
use super::io::{ByteRange, Event, Failure, Target};
use super::net::{Fault, Job, Reach, What};

/// The seed's name in targets: a shell reads the range from the seed's file.
pub(super) const SEED_PATH: &str = "seed";

/// The seed, and how far it is known.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    pub(super) id: SourceId,
    state: SeedState,
    /// Whether its head was looked at.
    tried: bool,
}

#[derive(Clone, Debug)]
enum SeedState {
    /// Nobody looked into the file yet.
    Unread,
    /// Its index is on its way.
    Reading,
    Open(SeedIndex),
    /// There is no index to be had.
    Broken,
}

/// Whether the seed serves a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    Yes,
    No,
    /// Its index is still on its way.
    NotYet,
}

impl Seed {
    pub(super) fn new(id: SourceId) -> Self {
        Self { id, state: SeedState::Unread, tried: false }
    }

    /// Whether it serves what a job asks for.
    pub(super) fn serves(&self, job: &Job, channel: &str) -> Serves {
        if matches!(job.what, What::SeedHead { .. }) {
            return Serves::Yes;
        }
        match &self.state {
            SeedState::Open(index) => match index.place(&job.target(channel).path) {
                Some(_) => Serves::Yes,
                None => Serves::No,
            },
            SeedState::Reading => Serves::NotYet,
            SeedState::Unread | SeedState::Broken => Serves::No,
        }
    }

    /// The range of the file where a target lies, of at most so many bytes. What reaches past the
    /// object, by a lie of the index, does not have its name.
    pub(super) fn target(&self, target: &Target, max_bytes: u64) -> Target {
        let range = match (&self.state, &target.range) {
            (SeedState::Open(index), range) => index.place(&target.path).map(|place| {
                let start = range.map_or(0, |range| range.start);
                let left = place.len.saturating_sub(start).max(1);
                let len = range.map_or(left, |range| range.len.min(left)).min(max_bytes);
                ByteRange { start: place.offset.saturating_add(start), len }
            }),
            (SeedState::Unread | SeedState::Reading | SeedState::Broken, range) => *range,
        };
        Target { path: String::from(SEED_PATH), range }
    }

    /// Whether its head is still to be looked at.
    fn is_fresh(&self) -> bool {
        !self.tried && !matches!(self.state, SeedState::Broken)
    }
}

impl Engine {
    pub(super) fn is_seed(&self, source: SourceId) -> bool {
        self.seed.as_ref().is_some_and(|seed| seed.id == source)
    }

    /// Looks at the seed's head, where there is one and nobody did; whether that is so.
    pub(super) fn ask_seed(&mut self, class: Class) -> bool {
        let Some(seed) = self.seed.as_mut().filter(|seed| seed.is_fresh()) else { return false };
        seed.tried = true;
        let open = matches!(seed.state, SeedState::Open(_));
        self.head = HeadTask::Asking;
        self.head_in_seed = true;
        if open {
            self.net.queue.push(class, Job::within(What::Bootstrap, Reach::Seed));
        } else {
            self.read_seed(class);
        }
        true
    }

    /// Whether the seed's index is on its way; begins to read it where nobody did.
    pub(super) fn is_reading_seed(&mut self, class: Class) -> bool {
        self.read_seed(class);
        self.seed.as_ref().is_some_and(|seed| matches!(seed.state, SeedState::Reading))
    }

    pub(super) fn read_seed(&mut self, class: Class) {
        if let Some(seed) = self.seed.as_mut().filter(|s| matches!(s.state, SeedState::Unread)) {
            seed.state = SeedState::Reading;
            let what = What::SeedHead { index_len: None };
            self.net.queue.push(class, Job::within(what, Reach::Seed));
        }
    }

    /// The prelude came, or the index.
    pub(super) fn seed_head_came(
        &mut self,
        known_len: Option<u64>,
        body: &[u8],
        class: Class,
    ) -> Result<(), Fault> {
        let blame = |error: Error| Fault::of(&error);
        let wanted = known_len.unwrap_or(PRELUDE_LEN as u64);
        if (body.len() as u64) < wanted {
            return Err(Fault::truncated());
        }
        if known_len.is_none() {
            let index_len = index_len(body).map_err(blame)? as u64;
            let what = What::SeedHead { index_len: Some(index_len.max(1)) };
            self.net.queue.push(class, Job::within(what, Reach::Seed));
            return Ok(());
        }
        let index = SeedIndex::parse(body).map_err(blame)?;
        if let Some(seed) = &mut self.seed {
            seed.state = SeedState::Open(index);
        }
        if self.head_in_seed {
            self.net.queue.push(class, Job::within(What::Bootstrap, Reach::Seed));
        }
        Ok(())
    }

    /// A seed that lists no head is of no use to anybody, and that is said.
    pub(super) fn seed_lacks(&mut self, object: String, now: Millis) {
        let Some(seed) = &self.seed else { return };
        let code = "peer/not-found";
        self.sources.faulted(seed.id, code, (Severity::Missing, Kind::Pointer), now);
        let (source, detail) = (String::from(self.sources.name(seed.id)), "it is not listed");
        self.event(Event::Fault { source, code, object, detail: String::from(detail) });
    }

    /// The file cannot be read as a seed.
    pub(super) fn seed_broke(&mut self) {
        if let Some(seed) = &mut self.seed {
            seed.state = SeedState::Broken;
        }
        if self.head_in_seed {
            self.seed_head_over();
        }
    }

    /// The seed's head brought nothing: the network is asked, or has failed already.
    pub(super) fn seed_head_over(&mut self) {
        self.head_in_seed = false;
        match self.network_failure.take() {
            Some(failure) => self.head_failed(failure),
            None => {
                self.head = HeadTask::Idle;
                let class = if self.sync.is_some() { Class::Trust } else { Class::Read };
                self.start_head(class);
            }
        }
    }

    /// Whether a sync that brought the seed's version home may end well with that, although no
    /// source could be asked for a newer one.
    pub(super) fn is_seeded(&self, failure: &Failure) -> bool {
        let brought = self.sync.as_ref().is_some_and(|sync| sync.changed);
        let unreachable = matches!(failure, Failure::Sources { .. });
        self.seed.is_some() && self.committed.is_some() && brought && unreachable
    }
}

/// Whether an offer is merely older than what is held.
pub(super) fn is_behind(error: &Error) -> bool {
    let older = |error: &TrustError| {
        matches!(error, TrustError::Rollback { .. } | TrustError::VersionRollback { .. })
    };
    matches!(error, Error::Trust(error) if older(error))
}
