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

/// How many contexts are mixed for one bit.
pub(super) const INPUTS: usize = 8;

/// A flag's counter: the chance of a set bit in its upper 22 bits, how often it was updated below.
const FRESH_FLAG: u32 = 1 << 31;
const FLAG_COUNT: u32 = 0x3ff;
const FLAG_COUNT_MAX: u32 = 255;

/// The counter of a symbol's bit: the chance in its upper 12 bits, how often it was updated below.
/// There are many of these, and the time goes into waiting for them: they are small.
const FRESH_BIT: u16 = 1 << 15;
const BIT_COUNT: u16 = 15;
/// Updates seen → how far such a counter moves, in 65,536 parts: 1/(n + 1.6), and 1/20 in the end.
const BIT_RATE: [i32; 16] = [
    40960, 25206, 18204, 14246, 11702, 9929, 8623, 7620, 6826, 6182, 5649, 5201, 4818, 4488, 4200,
    3276,
];

/// How much of a counter's word is taken, in quarters, by how often it was updated.
const BELIEF: [i32; 4] = [0, 3, 3, 4];

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
    /// Updates seen → how far a flag's counter moves, in 8,192 parts: 1/(n + 1.6).
    rate: Vec<i32>,
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
        let rate = (0..=FLAG_COUNT_MAX.cast_signed()).map(|n| 81_920 / (10 * n + 16)).collect();
        Self { stretch, rate }
    }

    /// What a counter says, in the logistic domain.
    fn believed(&self, chance: u32, count: u32) -> i32 {
        let stretched = i32::from(self.stretch[chance as usize]);
        (stretched * BELIEF[count.min(3) as usize]) >> 2
    }

    /// A flag's counter after one more bit.
    fn flag_moved(&self, counter: u32, bit: bool) -> u32 {
        let (chance, count) = ((counter >> 10).cast_signed(), counter & FLAG_COUNT);
        let target = if bit { (1 << 22) - 1 } else { 0 };
        let moved = chance + ((((target - chance) >> 3) * self.rate[count as usize]) >> 10);
        moved.cast_unsigned() << 10 | (count + u32::from(count < FLAG_COUNT_MAX))
    }
}

/// Groups of mixing weights, chosen by a set.
#[derive(Debug)]
pub(super) struct Mixer {
    weights: Vec<[i32; INPUTS]>,
    rate: i32,
}

/// Weights stay within ±8, so that eight products fit 32 bits.
const WEIGHT_MAX: i32 = (1 << 19) - 1;

impl Mixer {
    /// `sets` groups of weights that all begin at `weight` (65,536 is one).
    pub(super) fn new(sets: usize, weight: i32, rate: i32) -> Self {
        Self { weights: vec![[weight; INPUTS]; sets], rate }
    }
}

/// Predicts and codes bits.
#[derive(Debug)]
pub(super) struct Model<C> {
    pub(super) coder: C,
    /// While it learns, bits are not coded.
    pub(super) learning: bool,
    tables: Tables,
    bits: Vec<u16>,
    bits_mask: u32,
    flags: Vec<u32>,
    flags_mask: u32,
}

impl<C: BitCoder> Model<C> {
    /// A model with 2^`log` counters for the bits of symbols, and an eighth of that for flags.
    pub(super) fn new(coder: C, log: u32) -> Self {
        Self {
            coder,
            learning: false,
            tables: Tables::new(),
            bits: vec![FRESH_BIT; 1 << log],
            bits_mask: (1 << log) - 1,
            flags: vec![FRESH_FLAG; 1 << (log - 3)],
            flags_mask: (1 << (log - 3)) - 1,
        }
    }

    /// Codes one bit of a symbol, predicted by the counters at `slots`.
    #[inline]
    pub(super) fn bit(
        &mut self,
        bit: bool,
        slots: &[u32; INPUTS],
        mixer: &mut Mixer,
        set: usize,
    ) -> bool {
        let (mut counters, mut inputs) = ([0; INPUTS], [0; INPUTS]);
        for at in 0..INPUTS {
            counters[at] = self.bits[(slots[at] & self.bits_mask) as usize];
            let (chance, count) = (counters[at] >> 4, counters[at] & BIT_COUNT);
            inputs[at] = self.tables.believed(chance.into(), count.into());
        }
        let bit = self.mixed(bit, &inputs, mixer, set);
        for at in 0..INPUTS {
            self.bits[(slots[at] & self.bits_mask) as usize] = bit_moved(counters[at], bit);
        }
        bit
    }

    /// Codes one flag, predicted by the counters at `slots`.
    #[inline]
    pub(super) fn flag(
        &mut self,
        bit: bool,
        slots: &[u32; INPUTS],
        mixer: &mut Mixer,
        set: usize,
    ) -> bool {
        let (mut counters, mut inputs) = ([0; INPUTS], [0; INPUTS]);
        for at in 0..INPUTS {
            counters[at] = self.flags[(slots[at] & self.flags_mask) as usize];
            let (chance, count) = (counters[at] >> 20, counters[at] & FLAG_COUNT);
            inputs[at] = self.tables.believed(chance, count);
        }
        let bit = self.mixed(bit, &inputs, mixer, set);
        for at in 0..INPUTS {
            self.flags[(slots[at] & self.flags_mask) as usize] =
                self.tables.flag_moved(counters[at], bit);
        }
        bit
    }

    /// Codes one bit, predicted by what eight counters say.
    #[inline]
    fn mixed(&mut self, bit: bool, inputs: &[i32; INPUTS], mixer: &mut Mixer, set: usize) -> bool {
        let Some(weights) = mixer.weights.get_mut(set) else { return bit };
        let dot: i32 = weights.iter().zip(inputs).map(|(w, input)| (w * input) >> 3).sum();
        let x = (dot >> 13).clamp(-STRETCH_MAX, STRETCH_MAX);
        let bit = self.coded(bit, chance_of(x));
        let error = ((i32::from(bit) << 12) - squash(x)) * mixer.rate;
        for (weight, input) in weights.iter_mut().zip(inputs) {
            *weight = (*weight + ((input * error + 0x2000) >> 14)).clamp(-WEIGHT_MAX, WEIGHT_MAX);
        }
        bit
    }

    /// Codes one flag by a single counter.
    pub(super) fn plain_flag(&mut self, bit: bool, slot: u32) -> bool {
        let at = (slot & self.flags_mask) as usize;
        let chance = (self.flags[at] >> 16).clamp(32, 65_504);
        let bit = self.coded(bit, chance);
        self.flags[at] = self.tables.flag_moved(self.flags[at], bit);
        bit
    }

    /// Codes one bit that is all but certainly not set.
    pub(super) fn rare_bit(&mut self, bit: bool, rare: &mut Rare) -> bool {
        let bit = self.coded(bit, (rare.chance >> 16).clamp(1, 65_535));
        rare.update(bit);
        bit
    }

    fn coded(&mut self, bit: bool, chance: Chance) -> bool {
        if self.learning { bit } else { self.coder.code(bit, chance) }
    }
}

/// A symbol bit's counter after one more bit.
fn bit_moved(counter: u16, bit: bool) -> u16 {
    let (chance, count) = (i32::from(counter >> 4), counter & BIT_COUNT);
    let target = if bit { 4095 } else { 0 };
    let moved = chance + (((target - chance) * BIT_RATE[usize::from(count)]) >> 16);
    // Between what it was and 12 bits.
    u16::try_from(moved).unwrap_or(0) << 4 | (count + u16::from(count < BIT_COUNT))
}

/// The chance of something rare, in 32 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rare {
    chance: u32,
    count: u32,
}

impl Rare {
    /// One in 512, as if 30 bits had said so.
    pub(super) const NEW: Self = Self { chance: 1 << 23, count: 30 };

    /// Whether it is below one in 2^`bits`.
    pub(super) fn is_below(self, bits: u32) -> bool {
        self.chance >> (32 - bits) == 0
    }

    /// Moves by 1/(n + 2), rounded to a power of two, and by 1/256 in the end.
    fn update(&mut self, bit: bool) {
        let shift = (self.count + 2).ilog2();
        match bit {
            true => self.chance += (u32::MAX - self.chance) >> shift,
            false => self.chance -= self.chance >> shift,
        }
        self.count += u32::from(self.count < 254);
    }
}
