//! When a source that failed is asked again: a pause that doubles, from a window that is learned.
//!
//! Pointers and objects have a record each: a source may well serve one and fail the other. The
//! first pause is half of what it lately took until the source answered again, so that one which
//! drops single requests is asked at once, and one which restarts for seconds is left in peace.
//! Pauses are spread by the seed: exponential backoff with "equal jitter" (Brooker, "Exponential
//! Backoff And Jitter", 2015).

use crate::types::Millis;

/// The first pause of a source of which nothing is known, and the shortest.
pub(super) const PAUSE_MS: u64 = 200;
/// The longest first pause, whatever was learned: somebody may wait.
pub(super) const LEARNED_MS_MAX: u64 = 2_000;
pub(super) const PAUSE_MS_MAX: u64 = 10_000;
/// A failure counts less by one for each so many milliseconds since, at most so many failures do.
pub(super) const FORGIVE_MS: u64 = 10_000;
const FAILURES_MAX: u32 = 12;
/// No longer time without an answer is learned from: a client that slept was not kept waiting.
const OUTAGE_MS_MAX: u64 = 60_000;

/// What is asked of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What moves: a checkpoint, a head, a bootstrap.
    Pointer,
    /// What is named by its hash.
    Object,
}

impl Kind {
    /// Both, in the order of the sources' row.
    pub const ALL: [Self; 2] = [Self::Pointer, Self::Object];
}

/// A source's failures with one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Retry {
    pub(super) paused_until: Millis,
    pub(super) in_a_row: u32,
    first_failed: Millis,
    failed_at: Millis,
    /// How long it lately took until it answered again.
    pub(super) window_ms: Option<u64>,
}

impl Retry {
    /// It failed; `pause`: spreads a span.
    pub(super) fn failed(&mut self, now: Millis, pause: impl FnOnce(u64) -> u64) {
        if self.in_a_row == 0 {
            self.first_failed = now;
        }
        let learned = self.window_ms.unwrap_or(0) / 2;
        let first = learned.clamp(PAUSE_MS, LEARNED_MS_MAX);
        let span = (first << self.in_a_row.min(16)).min(PAUSE_MS_MAX);
        self.in_a_row += 1;
        self.failed_at = now;
        self.wait(pause(span), now);
    }

    /// It is not to be asked for so long.
    pub(super) fn wait(&mut self, ms: u64, now: Millis) {
        self.paused_until = self.paused_until.max(now.plus(ms));
    }

    /// It answered well.
    pub(super) fn succeeded(&mut self, now: Millis) {
        if self.in_a_row > 0 {
            let outage = now.since(self.first_failed).min(OUTAGE_MS_MAX);
            self.window_ms = Some(self.window_ms.map_or(outage, |known| (3 * known + outage) / 4));
        }
        self.in_a_row = 0;
    }

    /// Failures in a row, forgiven with time.
    pub(super) fn failing(&self, now: Millis) -> u32 {
        let forgiven = now.since(self.failed_at) / FORGIVE_MS;
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        self.in_a_row.min(FAILURES_MAX).saturating_sub(forgiven)
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, seeded, good enough for jitter.
#[derive(Clone, Debug)]
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between half of a span and the whole of it.
    pub(super) fn half_to_whole(&mut self, span: u64) -> u64 {
        let half = span / 2;
        half + self.next() % (span - half + 1)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Fails at once, and again after each pause, until so long after the first time.
    fn outage(retry: &mut Retry, start: u64, ms: u64) -> Vec<u64> {
        let mut now = Millis(start);
        let mut pauses = Vec::new();
        while now.0 < start + ms {
            retry.failed(now, |span| span);
            pauses.push(retry.paused_until.0 - now.0);
            now = retry.paused_until;
        }
        retry.succeeded(now);
        pauses
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let mut retry = Retry::default();
        let pauses = outage(&mut retry, 1000, 30_000);
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn the_first_pause_is_learned_from_what_it_took_before() {
        let mut retry = Retry::default();
        assert_eq!(outage(&mut retry, 0, 1000), [200, 400, 800]);
        assert_eq!(retry.window_ms, Some(1400));
        assert_eq!(outage(&mut retry, 50_000, 1000), [700, 1400]);
        assert_eq!(retry.window_ms, Some((3 * 1400 + 2100) / 4));
        // Long ones do not make it wait for longer than somebody would.
        outage(&mut retry, 100_000, 90_000);
        assert_eq!(outage(&mut retry, 300_000, 1), [LEARNED_MS_MAX]);
        // Single failures bring it back.
        for round in 0..40 {
            outage(&mut retry, 400_000 + round * 10_000, 1);
        }
        assert_eq!(outage(&mut retry, 900_000, 1), [PAUSE_MS]);
    }

    #[test]
    fn failures_are_forgiven_with_time() {
        let mut retry = Retry::default();
        outage(&mut retry, 0, 1);
        for _ in 0..20 {
            retry.failed(Millis(1000), |span| span);
        }
        let failing = [0, FORGIVE_MS - 1, FORGIVE_MS, 12 * FORGIVE_MS];
        assert_eq!(failing.map(|ms| retry.failing(Millis(1000 + ms))), [12, 12, 11, 0]);
    }
}
