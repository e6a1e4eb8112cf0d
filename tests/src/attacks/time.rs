//! Time as witnesses tell it: frozen networks, clocks that are wrong, witnesses that lag.
//!
//! Clients run on the clock of the machine, so times here are far away on either side of it: a
//! checkpoint of 2020 is years old, and one of 2100 is younger than the clock.

use packice_core::format::trust_root::{Staleness, TrustRoot};

use super::Objects;
use super::forge::{Forge, WITNESS_KEYS, WITNESSES, witnessed_root};

type Row = (&'static str, Objects);

/// The year 2020, in seconds since 1970.
const LONG_AGO: u64 = 1_577_836_800;
/// The year 2100.
const FAR_AHEAD: u64 = 4_102_444_800;
const DAY_MS: u64 = 86_400_000;
const YEAR_MS: u64 = 365 * DAY_MS;

/// The fixtures.
pub(super) fn all() -> Vec<Row> {
    let refreshed = |times: [Option<u64>; 3]| {
        let mut forge = aging(DAYS);
        forge.cosigners = cosigners([Some(LONG_AGO), Some(LONG_AGO), None]);
        forge.release(1);
        forge.release(2);
        forge.cosigners = cosigners(times);
        forge.sign();
        forge.files()
    };
    let trust = aging(DAYS).trust();
    let old = || {
        let frozen = refreshed([Some(LONG_AGO), Some(LONG_AGO), None]);
        Objects::default().root("aging", trust.clone()).set("frozen", frozen)
    };
    let young = || refreshed([Some(FAR_AHEAD), Some(FAR_AHEAD), None]);
    let third = |times| {
        let mut forge = aging(DECADES);
        forge.cosigners = cosigners([Some(LONG_AGO), Some(LONG_AGO), None]);
        forge.release(1);
        forge.release(2);
        let second = forge.files();
        forge.cosigners = cosigners(times);
        forge.release(3);
        (second, forge.files())
    };
    let newer = {
        let mut forge = aging(DAYS);
        forge.cosigners = cosigners([Some(LONG_AGO), Some(LONG_AGO), None]);
        forge.release(1);
        forge.release(2);
        forge.cosigners = cosigners([Some(FAR_AHEAD), Some(FAR_AHEAD), None]);
        forge.release(3);
        forge.files()
    };
    let (second, third) = third([Some(FAR_AHEAD), Some(FAR_AHEAD), None]);
    vec![
        ("freeze-of-the-network", old().set("cosigned-again", young())),
        ("freeze-among-good-mirrors", old().set("cosigned-again", young()).set("newer", newer)),
        ("clock-far-ahead-of-the-witnesses", old().set("cosigned-again", young())),
        (
            "clock-set-back",
            Objects::default()
                .root("aging", aging(DECADES).trust())
                .set("second", second)
                .set("third", third),
        ),
        (
            "quorum-of-lagging-witnesses",
            Objects::default()
                .root("aging", trust.clone())
                .set("one-ahead", refreshed([Some(LONG_AGO), Some(LONG_AGO), Some(FAR_AHEAD)]))
                .set("cosigned-again", young()),
        ),
        ("older-cosignatures-put-back", old().set("cosigned-again", young())),
    ]
}

/// Stale after 30 days, expired after a year.
const DAYS: Staleness = Staleness { stale_ms: 30 * DAY_MS, expired_ms: YEAR_MS };
/// Stale after 50 years, expired after 70.
const DECADES: Staleness = Staleness { stale_ms: 50 * YEAR_MS, expired_ms: 70 * YEAR_MS };

/// A publisher with witnesses, whose data ages.
fn aging(staleness: Staleness) -> Forge {
    Forge::under(TrustRoot { staleness, ..witnessed_root() })
}

/// The witnesses that cosign, and when.
fn cosigners(times: [Option<u64>; 3]) -> Vec<(&'static str, [u8; 32], u64)> {
    let all = WITNESSES.iter().zip(&WITNESS_KEYS).zip(times);
    all.filter_map(|((name, seed), time)| Some((*name, *seed, time?))).collect()
}
