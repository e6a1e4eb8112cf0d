//! When a batch of a stream of operations ends: by size, by age, and by what the stream is like.
//!
//! A burst is cut as soon as it is large, and shortens the time that the next batch waits; a
//! quiet stream waits longer, up to a bound, so that few operations do not make many versions.
//! Time is an argument here.

use std::time::Duration;

/// What bounds a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// A batch is cut once it has so many bytes.
    pub most_bytes: u64,
    /// The least time that an operation waits for others.
    pub least_age: Duration,
    /// The longest time that an operation waits.
    pub most_age: Duration,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self {
            most_bytes: 1 << 20,
            least_age: Duration::from_secs(2),
            most_age: Duration::from_secs(60),
        }
    }
}

/// Decides when batches end.
#[derive(Clone, Debug)]
pub struct Batcher {
    policy: BatchPolicy,
    /// How long the first operation of a batch waits now.
    wait: Duration,
    begun: Option<Duration>,
    bytes: u64,
}

impl Batcher {
    /// Begins in the middle: neither a burst nor a quiet stream was seen yet.
    pub fn new(policy: BatchPolicy) -> Self {
        let least = policy.least_age.min(policy.most_age);
        let wait = (least + policy.most_age) / 2;
        Self { policy, wait, begun: None, bytes: 0 }
    }

    /// An operation came; whether the batch ends with it.
    pub fn push(&mut self, bytes: u64, now: Duration) -> bool {
        self.begun.get_or_insert(now);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes < self.policy.most_bytes {
            return self.is_due(now);
        }
        // A burst: the next batch waits half as long.
        self.wait = (self.wait / 2).max(self.policy.least_age);
        self.end();
        true
    }

    /// When the batch ends if nothing else comes; `None` where it is empty.
    pub fn due(&self) -> Option<Duration> {
        self.begun.map(|begun| begun + self.wait)
    }

    /// Whether the batch ends by its age now.
    pub fn is_due(&mut self, now: Duration) -> bool {
        if self.due().is_none_or(|due| now < due) {
            return false;
        }
        // Less than a quarter of a full batch came in that time: the stream is quiet.
        if self.bytes < self.policy.most_bytes / 4 {
            self.wait = (self.wait * 2).min(self.policy.most_age);
        }
        self.end();
        true
    }

    fn end(&mut self) {
        (self.begun, self.bytes) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn batcher() -> Batcher {
        let policy = BatchPolicy { most_bytes: 1000, least_age: ms(100), most_age: ms(1600) };
        Batcher::new(policy)
    }

    #[test]
    fn a_burst_is_cut_by_its_size_and_the_next_batch_waits_less() {
        let mut batches = batcher();
        let mut waits = Vec::new();
        for at in 0..8u64 {
            assert!(!batches.push(600, ms(at * 10)));
            waits.push(batches.due().expect("begun") - ms(at * 10));
            assert!(batches.push(600, ms(at * 10 + 1)));
            assert_eq!(batches.due(), None);
        }
        assert!(waits.is_sorted_by(|a, b| a >= b));
        assert_eq!(waits.last(), Some(&ms(100)));
    }

    #[test]
    fn a_quiet_stream_waits_up_to_the_bound_and_never_longer() {
        let mut batches = batcher();
        let mut now = ms(0);
        let mut waits = Vec::new();
        for _ in 0..6 {
            assert!(!batches.push(10, now));
            let due = batches.due().expect("begun");
            assert!(!batches.is_due(due - ms(1)));
            assert!(batches.is_due(due));
            waits.push(due - now);
            now = due + ms(5);
        }
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&ms(1600)));
        // A middling stream leaves the wait as it is.
        for _ in 0..3 {
            assert!(!batches.push(500, now));
            let due = batches.due().expect("begun");
            assert_eq!(due - now, ms(1600));
            assert!(batches.is_due(due));
            now = due;
        }
    }

    #[test]
    fn an_operation_that_comes_late_ends_the_batch_it_belongs_to() {
        let mut batches = batcher();
        assert!(!batches.push(10, ms(0)));
        assert!(batches.push(10, ms(5000)));
        assert!(!batches.is_due(ms(99_999)), "nothing waits");
    }
}
