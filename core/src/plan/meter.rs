//! The rate of bytes over the last seconds, from the times that the shell gives.

use crate::types::Millis;

const SLOT_MS: u64 = 500;
const SLOTS: usize = 10;

/// Counts bytes in slots of half a second and looks back five seconds.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    slots: [u64; SLOTS],
    newest: u64,
    first: Option<u64>,
}

impl Meter {
    /// Bytes came in.
    pub fn add(&mut self, bytes: u64, now: Millis) {
        self.advance(now);
        self.first.get_or_insert(self.newest);
        *self.slot(self.newest) += bytes;
    }

    /// Bytes a second over the slots that were watched; 0 before the first byte.
    pub fn rate(&mut self, now: Millis) -> u64 {
        self.advance(now);
        let Some(first) = self.first else { return 0 };
        let watched = (self.newest - first + 1).min(SLOTS as u64);
        self.slots.iter().sum::<u64>() * 1000 / (watched * SLOT_MS)
    }

    fn slot(&mut self, number: u64) -> &mut u64 {
        let at = usize::try_from(number % SLOTS as u64).unwrap_or(0);
        &mut self.slots[at]
    }

    fn advance(&mut self, now: Millis) {
        let slot = now.0 / SLOT_MS;
        if slot <= self.newest {
            return;
        }
        for passed in (self.newest + 1..=slot).take(SLOTS) {
            *self.slot(passed) = 0;
        }
        self.newest = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_rate_of_the_last_five_seconds() {
        let mut meter = Meter::default();
        for tick in 0..20 {
            meter.add(500, Millis(10_000 + tick * 500));
        }
        assert_eq!(meter.rate(Millis(19_500)), 1000);
        assert_eq!(meter.rate(Millis(30_000)), 0);
    }
}
