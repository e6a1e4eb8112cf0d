//! How long things took, by powers of two.

/// The last bucket has everything from 2^14 ms on.
const BUCKETS: usize = 16;

/// Spans in milliseconds: how many, their sum, and how many in each bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum_ms: u64,
}

impl Histogram {
    /// Counts a span.
    pub fn add(&mut self, ms: u64) {
        let bucket = (u64::BITS - ms.leading_zeros()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// How many spans.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum, in milliseconds.
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// How many spans lie below 1 ms, from there below 2 ms, below 4 ms, and so on; the last one
    /// counts all from 16,384 ms on.
    pub fn buckets(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    /// A bound that so many percent of the spans lie below, in milliseconds: a power of two; `None`
    /// where there is none, or for what lies in the last bucket.
    pub fn below_ms(&self, percent: u64) -> Option<u64> {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            wanted > 0 && seen >= wanted
        })?;
        (at + 1 < BUCKETS).then(|| 1 << at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_fall_into_powers_of_two() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.below_ms(50), None);
        for ms in [0, 1, 2, 3, 4, 16_383, 16_384, u64::MAX] {
            histogram.add(ms);
        }
        let mut expected = [0; BUCKETS];
        expected[..4].copy_from_slice(&[1, 1, 2, 1]);
        expected[14..].copy_from_slice(&[1, 2]);
        assert_eq!(histogram.buckets(), &expected);
        assert_eq!((histogram.count(), histogram.sum_ms()), (8, u64::MAX));
        let below = [1, 12, 50, 75, 76].map(|percent| histogram.below_ms(percent));
        assert_eq!(below, [Some(1), Some(1), Some(4), Some(16_384), None]);
    }
}
