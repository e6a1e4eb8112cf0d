//! How old what a client holds is (docs/spec/trust-state.md, "Freshness").
//!
//! Time is believed only where a whole quorum of witnesses wrote it under a checkpoint. The local
//! clock may add to it and can take nothing away: one that is behind the newest cosignatures
//! counts as standing at them. Nothing of the local clock is kept, so a clock that ran ahead does
//! no harm once it is set right.
//!
//! An attacker who withholds checkpoints makes data stale, and the caller is told so. One who
//! also sets the clock back hides at most the time since the newest cosignatures that the client
//! has seen.

use crate::format::trust_root::Staleness;
use crate::types::Millis;

/// How old is too old, in the trust root's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No witness tells the time, or nothing is held.
    #[default]
    Unknown,
    /// Younger than the trust root's bound.
    Fresh,
    /// Old enough that a caller should say so.
    Stale,
    /// Older than the publisher lets data be.
    Expired,
}

impl Level {
    /// The level's name in interfaces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Expired => "expired",
        }
    }
}

/// How old a checkpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// The level.
    pub level: Level,
    /// The time that a whole quorum of witnesses had reached, in milliseconds since 1970.
    pub at: Option<Millis>,
    /// How long ago that is.
    pub age_ms: Option<u64>,
}

impl Freshness {
    /// The age of a checkpoint that was cosigned at a time, `None` without witnesses. It is not
    /// earlier than `floor`: the newest cosignature time that is known.
    pub fn of(
        staleness: Staleness,
        cosigned: Option<Millis>,
        floor: Option<Millis>,
        now: Millis,
    ) -> Self {
        let Some(at) = cosigned else { return Self::default() };
        let age = floor.map_or(now, |floor| floor.max(now)).since(at);
        let past = |bound: u64| bound > 0 && age >= bound;
        let level = match staleness {
            bounds if past(bounds.expired_ms) => Level::Expired,
            bounds if past(bounds.stale_ms) => Level::Stale,
            _ => Level::Fresh,
        };
        Self { level, at: Some(at), age_ms: Some(age) }
    }
}
