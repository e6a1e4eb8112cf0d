//! What a source gives: bytes a second while it gives any, and how long it takes to begin.
//!
//! The rate counts the time in which at least one transfer flows, however many there are: it is
//! what the source and its line give in all. The past fades: about four seconds count.

use crate::types::Millis;

/// So much flowing time counts whole; what was before counts half, a quarter and so on.
const SPAN_MS: u64 = 2_000;
/// What a rate is known from: so many bytes, or so much time.
const KNOWN_BYTES: u64 = 256 << 10;
const KNOWN_MS: u64 = 250;

/// A source's rate and latency.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    bytes: u64,
    ms: u64,
    since: Millis,
    flows: u32,
    latency_ms: Option<u64>,
    /// What was measured before the client last started: rate and latency.
    before: (Option<u64>, Option<u64>),
}

impl Gauge {
    /// The first bytes of an answer came so long after it was asked for.
    pub fn answered(&mut self, waited_ms: u64) {
        // A wait is the line's round trip and whatever stood in its way: the shortest says most.
        self.latency_ms = Some(match self.latency_ms {
            Some(known) if waited_ms > known => known + (waited_ms - known) / 8,
            Some(_) | None => waited_ms,
        });
    }

    /// A transfer begins to flow.
    pub fn began(&mut self, now: Millis) {
        self.pass(now);
        self.flows += 1;
    }

    /// Bytes of a transfer that flows.
    pub fn came(&mut self, bytes: u64, now: Millis) {
        self.pass(now);
        self.bytes += bytes;
        if self.ms > 2 * SPAN_MS {
            self.ms /= 2;
            self.bytes /= 2;
        }
    }

    /// A transfer that flowed has ended, at the time of its last bytes.
    pub fn ended(&mut self) {
        self.flows = self.flows.saturating_sub(1);
    }

    /// Bytes a second, once enough is known; a source that stands still sinks.
    pub fn rate(&self, now: Millis) -> Option<u64> {
        let passed = if self.flows > 0 { now.0.saturating_sub(self.since.0) } else { 0 };
        self.known(self.ms + passed)
    }

    fn known(&self, ms: u64) -> Option<u64> {
        let known = self.bytes >= KNOWN_BYTES || ms >= KNOWN_MS;
        known.then(|| (self.bytes.saturating_mul(1000) / ms.max(1)).max(1))
    }

    /// Bytes a second while any came, or before the last start as long as nothing is known.
    pub fn usual(&self) -> Option<u64> {
        self.known(self.ms).or(self.before.0)
    }

    /// [`Self::rate`], or what it was before the last start as long as nothing is known.
    pub fn expected(&self, now: Millis) -> Option<u64> {
        self.rate(now).or(self.before.0)
    }

    /// Milliseconds from a request to its first bytes, as short as they lately were.
    pub fn latency_ms(&self) -> Option<u64> {
        self.latency_ms.or(self.before.1)
    }

    /// What was measured before the last start, in bytes a second and milliseconds.
    pub(super) fn recall(&mut self, rate: Option<u64>, latency_ms: Option<u64>) {
        self.before = (rate, latency_ms);
    }

    fn pass(&mut self, now: Millis) {
        if self.flows > 0 {
            self.ms += now.0.saturating_sub(self.since.0);
        }
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_transfer_does_not_count() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.rate(Millis(0)), None);
        for round in 0..3 {
            let start = 10_000 * round;
            gauge.began(Millis(start));
            gauge.came(100_000, Millis(start + 100));
            gauge.ended();
        }
        assert_eq!(gauge.rate(Millis(50_000)), Some(1_000_000));
    }

    #[test]
    fn transfers_side_by_side_add_up() {
        let mut gauge = Gauge::default();
        gauge.began(Millis(0));
        gauge.began(Millis(0));
        for at in 1..=20 {
            gauge.came(10_000, Millis(at * 50));
            gauge.came(10_000, Millis(at * 50));
        }
        assert_eq!(gauge.rate(Millis(1000)), Some(400_000));
    }

    #[test]
    fn who_stands_still_sinks() {
        let mut gauge = Gauge::default();
        gauge.began(Millis(0));
        gauge.came(1_000_000, Millis(1000));
        assert_eq!(gauge.rate(Millis(1000)), Some(1_000_000));
        assert_eq!(gauge.rate(Millis(10_000)), Some(100_000));
    }

    #[test]
    fn the_shortest_wait_counts_most() {
        let mut gauge = Gauge::default();
        for wait in [100, 40, 200] {
            gauge.answered(wait);
        }
        assert_eq!(gauge.latency_ms(), Some(60));
    }
}
