//! Bits predicted by mixing contexts: adaptive counters, a logistic mixer over them.
//!
//! Everything is integer arithmetic, so that a browser, the publisher and any other machine
//! predict alike to the last bit.
//!
//! Source: M. Mahoney, "Adaptive Weighing of Context Models for Lossless Data Compression"
//! (2005) and his `lpaq1`.

use alloc::vec;
use alloc::vec::Vec;

use super::coder::{BitCoder, Chance};

/// Most contexts that are mixed for one bit.
pub(super) const MAX_INPUTS: usize = 10;

/// A counter's chance of a set bit in its upper 22 bits, how often it was updated below.
const FRESH: u32 = 1 << 31;
const COUNT_MASK: u32 = 0x3ff;

/// The logistic domain: eight bits of fraction, cut at ±8.
const STRETCH_MAX: i32 = 2047;

/// `hash` of a context and a salt.
pub(super) fn mix_hash(a: u32, b: u32) -> u32 {
    let h = a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca77).rotate_left(13);
    let h = (h ^ h >> 15).wrapping_mul(0xc2b2_ae3d);
    h ^ h >> 13
}

/// The tables that all bits share.
#[derive(Debug)]
struct Tables {
    /// Chance in 4,096 parts → logistic domain.
    stretch: Vec<i16>,
    /// Updates seen → how far a counter moves, in 65,536 parts.
    rate: [u32; 256],
}

/// The logistic function, in 4,096 parts, of eight-bit fractions: interpolated from a table.
fn squash(x: i32) -> i32 {
    const TABLE: [i32; 33] = [
        1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994,
        3348, 3607, 3785, 3901, 3975, 4022, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
    ];
    let x = x.clamp(-STRETCH_MAX, STRETCH_MAX);
    let (weight, at) = (x & 127, usize::try_from((x >> 7) + 16).unwrap_or(0));
    let (left, right) = (TABLE[at.min(31)], TABLE[at.min(31) + 1]);
    (left * (128 - weight) + right * weight + 64) >> 7
}

/// The same in 65,536 parts, finer towards the ends, where long runs are cheap.
const FINE: [u32; 33] = [
    22, 36, 60, 99, 162, 267, 439, 722, 1179, 1916, 3108, 4971, 7812, 11954, 17625, 24743, 32768,
    40793, 47911, 53582, 57724, 60565, 62428, 63620, 64357, 64814, 65097, 65269, 65374, 65437,
    65476, 65500, 65514,
];

fn chance_of(x: i32) -> Chance {
    let x = x.clamp(-STRETCH_MAX, STRETCH_MAX);
    let at = usize::try_from((x >> 7) + 16).unwrap_or(0).min(31);
    let weight = u32::try_from(x & 127).unwrap_or(0);
    (FINE[at] * (128 - weight) + FINE[at + 1] * weight + 64) >> 7
}

impl Tables {
    fn new() -> Self {
        let mut stretch = vec![0i16; 4096];
        let mut from = 0usize;
        for x in -STRETCH_MAX..=STRETCH_MAX {
            let to = usize::try_from(squash(x)).unwrap_or(0);
            for slot in stretch.iter_mut().take(to + 1).skip(from) {
                *slot = i16::try_from(x).unwrap_or(0);
            }
            from = from.max(to + 1);
        }
        for slot in stretch.iter_mut().skip(from) {
            *slot = 2047;
        }
        let mut rate = [0u32; 256];
        for (slot, n) in rate.iter_mut().zip(0u32..) {
            // 65,536 / (n + 1.6)
            *slot = 655_360 / (10 * n + 16);
        }
        Self { stretch, rate }
    }
}

/// A group of mixing weights, chosen by a set.
#[derive(Debug)]
pub(super) struct Mixer {
    inputs: usize,
    weights: Vec<i32>,
    rate: i32,
}

impl Mixer {
    /// `inputs` contexts, `sets` groups of weights that all begin at `weight` (65,536 is one).
    pub(super) fn new(inputs: usize, sets: usize, weight: i32, rate: i32) -> Self {
        Self { inputs: inputs + 1, weights: vec![weight; (inputs + 1) * sets], rate }
    }
}

/// Predicts and codes bits.
#[derive(Debug)]
pub(super) struct Model<C> {
    pub(super) coder: C,
    /// While it learns, bits are not coded.
    pub(super) learning: bool,
    tables: Tables,
    counters: Vec<u32>,
    mask: usize,
}

impl<C: BitCoder> Model<C> {
    /// A model with 2^`bits` counters.
    pub(super) fn new(coder: C, bits: u32) -> Self {
        let counters = vec![FRESH; 1 << bits];
        let mask = counters.len() - 1;
        Self { coder, learning: false, tables: Tables::new(), counters, mask }
    }

    /// Codes one bit, predicted by the counters at `slots`.
    pub(super) fn bit(
        &mut self,
        bit: bool,
        slots: &[usize],
        mixer: &mut Mixer,
        set: usize,
        limit: u32,
    ) -> bool {
        let mut inputs = [0i32; MAX_INPUTS + 1];
        let first = (set * mixer.inputs) % mixer.weights.len();
        let Some(weights) = mixer.weights.get_mut(first..first + mixer.inputs) else {
            return bit;
        };
        let mut dot = 0i64;
        for ((slot, input), weight) in slots.iter().zip(&mut inputs).zip(weights.iter()) {
            let counter = self.counters[slot & self.mask];
            let stretched = i32::from(self.tables.stretch[(counter >> 20) as usize]);
            *input = match counter & COUNT_MASK {
                0 => 0,
                1 | 2 => stretched * 3 / 4,
                _ => stretched,
            };
            dot += i64::from(*weight) * i64::from(*input);
        }
        inputs[slots.len()] = 256;
        dot += i64::from(weights[slots.len()]) * 256;
        let max = i64::from(STRETCH_MAX);
        let x = i32::try_from((dot >> 16).clamp(-max, max)).unwrap_or(0);
        let bit = match self.learning {
            true => bit,
            false => self.coder.code(bit, chance_of(x)),
        };
        let error = ((i32::from(bit) << 12) - squash(x)) * mixer.rate;
        for (weight, input) in weights.iter_mut().zip(&inputs) {
            *weight += (input * error + 0x2000) >> 14;
        }
        for slot in slots {
            self.update(slot & self.mask, bit, limit);
        }
        bit
    }

    /// Codes one bit by a single counter.
    pub(super) fn plain_bit(&mut self, bit: bool, slot: usize) -> bool {
        let at = slot & self.mask;
        let chance = (self.counters[at] >> 16).clamp(32, 65_504);
        let bit = match self.learning {
            true => bit,
            false => self.coder.code(bit, chance),
        };
        self.update(at, bit, 255);
        bit
    }

    fn update(&mut self, at: usize, bit: bool, limit: u32) {
        let counter = self.counters[at];
        let (chance, count) = (counter >> 10, counter & COUNT_MASK);
        let rate = self.tables.rate[(count & 255) as usize];
        let moved = |distance: u32| {
            // 22 bits times 16.
            u32::try_from((u64::from(distance) * u64::from(rate)) >> 16).unwrap_or(0)
        };
        let chance = match bit {
            true => chance + moved((1 << 22) - 1 - chance),
            false => chance - moved(chance),
        };
        self.counters[at] = chance << 10 | (count + u32::from(count < limit));
    }
}
