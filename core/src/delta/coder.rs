//! A binary arithmetic coder: 32-bit range, carry-free, probabilities of 16 bits.
//!
//! Encoder and decoder stand behind one trait, so that the model above them has one code path: the
//! decoder's answer takes the place of the bit that the encoder was given.
//!
//! Source: the coder of `lpaq1` by Matt Mahoney, with 16-bit probabilities.

use alloc::vec::Vec;

/// A probability of 1 in 65,536 parts, from 1 to 65,535.
pub(super) type Chance = u32;

/// Codes bits that are given, or finds them.
pub(super) trait BitCoder {
    /// Codes one bit, which is set with this chance. A decoder ignores `bit`.
    fn code(&mut self, bit: bool, chance: Chance) -> bool;
}

/// Splits a range in proportion to a chance: the last point that stands for a set bit.
fn split(low: u32, high: u32, chance: Chance) -> u32 {
    let part = (u64::from(high - low) * u64::from(chance)) >> 16;
    // The part is below the range, which has 32 bits.
    low + u32::try_from(part).unwrap_or(0)
}

/// Writes bits.
#[derive(Debug)]
pub(super) struct Encoder {
    low: u32,
    high: u32,
    out: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self { low: 0, high: u32::MAX, out }
    }

    /// Ends the stream with as few bytes as tell it apart: what is missing reads as zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.low > 0 {
            let [top, ..] = self.low.to_be_bytes();
            // The top bytes of low and high differ, so the next top byte, followed by zeros, is
            // within the range.
            self.out.push(top + 1);
        }
        self.out
    }
}

impl BitCoder for Encoder {
    fn code(&mut self, bit: bool, chance: Chance) -> bool {
        let middle = split(self.low, self.high, chance);
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            let [top, ..] = self.high.to_be_bytes();
            self.out.push(top);
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
        }
        bit
    }
}

/// Reads bits. Past its input it reads zeros, and counts them.
#[derive(Debug)]
pub(super) struct Decoder {
    low: u32,
    high: u32,
    at: u32,
    input: Vec<u8>,
    next: usize,
    over: usize,
}

/// A decoder looks at most this far past the end of what an encoder wrote.
const LOOK_AHEAD: usize = 4;

impl Decoder {
    pub(super) fn new(input: Vec<u8>) -> Self {
        let mut decoder = Self { low: 0, high: u32::MAX, at: 0, input, next: 0, over: 0 };
        for _ in 0..4 {
            decoder.shift();
        }
        decoder
    }

    /// Whether it read no more than there is, and all of that.
    pub(super) fn is_whole(&self) -> bool {
        self.next == self.input.len() && self.over <= LOOK_AHEAD
    }

    /// Whether it read past the end: everything since is invented.
    pub(super) fn is_over(&self) -> bool {
        self.over > LOOK_AHEAD
    }

    fn shift(&mut self) {
        let byte = match self.input.get(self.next) {
            Some(byte) => {
                self.next += 1;
                *byte
            }
            None => {
                self.over += 1;
                0
            }
        };
        self.at = self.at << 8 | u32::from(byte);
    }
}

impl BitCoder for Decoder {
    fn code(&mut self, _: bool, chance: Chance) -> bool {
        let middle = split(self.low, self.high, chance);
        let bit = self.at <= middle;
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
            self.shift();
        }
        bit
    }
}
