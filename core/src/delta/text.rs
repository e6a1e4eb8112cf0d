//! Strings predicted byte by byte: from the old text that the new one took the place of, from
//! earlier text that went on alike, and from the contexts of what came before.
//!
//! A byte is coded in up to three steps, each of which most bytes do not get past: is it what the
//! old text has here? is it what followed the last time? which one is it? The end of a string is a
//! symbol like any byte, so lengths are never spelled out.
//!
//! Sources: symbol ranking after M. Mahoney's `SR2`, order-n mixing after his `lpaq1`.

use alloc::vec;
use alloc::vec::Vec;

use super::coder::BitCoder;
use super::model::{INPUTS, Mixer, Model, Rare, mix_hash};

/// The symbol at the end of a string.
const END: u16 = 256;
/// A symbol's place in the packed context: ends look like a byte that text rarely has.
const END_BYTE: u64 = 0;

/// What a string is, since each kind has habits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Update = 0,
    Insert = 1,
    Key = 2,
}

/// A place in earlier text that has gone on as the text now does.
#[derive(Clone, Copy, Debug)]
struct Follow {
    at: usize,
    matched: usize,
}

/// The old text under a new one.
#[derive(Debug)]
struct Under<'a> {
    text: &'a [u8],
    at: usize,
    /// Symbols alike since the last that was not, at most 15.
    run: u32,
    /// Whether all were alike so far.
    aligned: bool,
}

/// How far around the expected place a text is searched after a difference.
const SEARCH_BACK: usize = 24;
const SEARCH_AHEAD: usize = 200;
/// How many symbols must agree there.
const SEARCH_LEN: usize = 4;

/// Counts of how often in a row a guess held.
const HELD: usize = 1 << 16;
/// From so many on, and a chance to fail of less than one in 2^`BET_BITS`, it is bet on.
const BET_MIN: u8 = 3;
const BET_BITS: u32 = 6;
/// Kinds of bets, sixteen counts of each.
const BETS: usize = 6;

const MATCH_LONG: usize = 7;
const MATCH_SHORT: usize = 4;
const MAX_MATCHED: usize = 60;

/// The slots of single-counter numbers stand apart from hashed ones by chance alone: the table is
/// large.
const NUMBER_SALT: u32 = 0x6e75;

/// Strings and numbers over a bit model.
#[derive(Debug)]
pub(super) struct Text<C> {
    pub(super) model: Model<C>,
    flag_mixer: Mixer,
    byte_mixer: Mixer,
    /// How often in a row a guess held, by what led to it.
    held: Vec<u8>,
    /// The chances that it fails all the same.
    rare: [Rare; BETS * 16],
    history: History,
    /// The last eight symbols, the newest lowest.
    recent: u64,
    /// Hash of the letters and digits since the last other symbol.
    word: u32,
    long: Vec<u32>,
    short: Vec<u32>,
    index_bits: u32,
    follow: Option<Follow>,
    /// Where the current record's key begins in the history.
    own_key: usize,
}

impl<C: BitCoder> Text<C> {
    /// A predictor with 2^`bits` counters, and an index in proportion.
    pub(super) fn new(coder: C, bits: u32) -> Self {
        let index_bits = bits - 3;
        Self {
            model: Model::new(coder, bits),
            flag_mixer: Mixer::new(128, 14_000, 10),
            byte_mixer: Mixer::new(256 * 3 + 16, 12_000, 6),
            held: vec![0; HELD],
            rare: [Rare::NEW; BETS * 16],
            history: History::default(),
            recent: 0,
            word: 0,
            long: vec![0; 1 << index_bits],
            short: vec![0; 1 << index_bits],
            index_bits,
            follow: None,
            own_key: 0,
        }
    }

    /// Codes a number of any size: its bit length in unary, then its bits.
    pub(super) fn number(&mut self, value: u64, id: u32, context: u32) -> u64 {
        let value = value.saturating_add(1);
        let length = 63 - value.leading_zeros();
        let salt = mix_hash(mix_hash(id, context), NUMBER_SALT);
        let mut bits = 0;
        while bits < 63 && self.model.plain_flag(bits < length, mix_hash(salt, bits)) {
            bits += 1;
        }
        let mut found = 1u64;
        for at in (0..bits).rev() {
            // The upper bits have habits, the lower ones none.
            let upper = if bits - at <= 3 { found & 7 } else { 0 };
            let known = u32::try_from(upper).unwrap_or(0);
            let slot = mix_hash(salt, 64 + (bits << 10 | at << 4 | known));
            let bit = self.model.plain_flag(value >> at & 1 == 1, slot);
            found = found << 1 | u64::from(bit);
        }
        found - 1
    }

    /// Notes text that is known, for later text to follow.
    pub(super) fn note(&mut self, text: &[u8]) {
        for byte in text {
            self.append(u16::from(*byte), false);
        }
        self.append(END, false);
    }

    /// Notes a record's key: its value often repeats parts of it.
    pub(super) fn note_key(&mut self, key: &[u8]) {
        let last = key.iter().rposition(|byte| *byte == b'/' || *byte == b'.');
        self.own_key = self.history.len() + last.map_or(0, |at| at + 1);
        self.note(key);
    }

    /// Codes a string that took the place of an old one, or came beside it.
    pub(super) fn string(&mut self, new: &[u8], old: &[u8], kind: Kind, most: usize) -> Vec<u8> {
        let mut under = Under { text: old, at: 0, run: 8, aligned: true };
        let mut out = Vec::new();
        self.follow = None;
        while out.len() <= most {
            let symbol = new.get(out.len()).map_or(END, |byte| u16::from(*byte));
            let expected = under.expected();
            let look = under.look();
            let state = under.run | u32::from(under.aligned) << 4;
            let symbol = self.symbol(symbol, expected.map(|e| (e, state, look)), kind);
            self.append(symbol, true);
            match u8::try_from(symbol) {
                Ok(byte) => out.push(byte),
                Err(_) => return out,
            }
            under.advance(symbol, &out);
        }
        out
    }

    /// Codes a key between its neighbours, of which it shares what they share.
    pub(super) fn key(&mut self, new: &[u8], before: &[u8], after: &[u8], most: usize) -> Vec<u8> {
        let common = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        let mut out = before[..common].to_vec();
        // The shared part counts as context, though not as text.
        for byte in &out[common.saturating_sub(8)..] {
            self.remember(u16::from(*byte));
        }
        let (mut with_before, mut with_after) = (true, true);
        self.follow = None;
        while out.len() <= most {
            let at = out.len();
            let symbol = new.get(at).map_or(END, |byte| u16::from(*byte));
            let (b, a) = (before.get(at), after.get(at));
            let (expected, other, state) = match (with_before, with_after) {
                (true, both) => (b, if both { a } else { None }, 32 + u32::from(both)),
                (false, true) => (a, None, 34),
                (false, false) => (None, None, 0),
            };
            let look = mix_hash(
                other.map_or(300, |byte| u32::from(*byte)),
                expected.map_or(300, |byte| u32::from(*byte)),
            );
            let far = u32::try_from((at - common).min(7)).unwrap_or(0);
            let expected = expected.map(|byte| (u16::from(*byte), state | far << 8, look));
            let symbol = self.symbol(symbol, expected, Kind::Key);
            self.append(symbol, true);
            let Ok(byte) = u8::try_from(symbol) else { break };
            with_before &= b == Some(&byte);
            with_after &= a == Some(&byte);
            out.push(byte);
        }
        out
    }

    fn order(&self, symbols: u32) -> u32 {
        let kept = self.recent & ((1u64 << (8 * symbols)) - 1);
        let [a, b, c, d, e, f, g, h] = kept.to_le_bytes();
        mix_hash(u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]) ^ symbols)
    }

    /// Codes one symbol, with what the old text has here.
    fn symbol(&mut self, symbol: u16, expected: Option<(u16, u32, u32)>, kind: Kind) -> u16 {
        let follow = self.follow.and_then(|f| Some((self.history.symbol(f.at)?, f.matched)));
        let matched = follow.map_or(0, |(_, matched)| matched);
        let matched = u32::try_from(matched.min(MAX_MATCHED)).unwrap_or(0);
        let follow = follow.map(|(guess, _)| guess);
        if let Some((guess, state, look)) = expected
            && self.is_old(symbol == guess, guess, (state, look), follow, matched)
        {
            return guess;
        }
        let not = expected.map(|(guess, ..)| guess);
        if let Some(guess) = follow
            && not != Some(guess)
            && self.is_followed(symbol == guess, guess, not.is_some(), matched, kind)
        {
            return guess;
        }
        self.byte(symbol, not.or(follow), follow, matched, kind)
    }

    /// Codes whether the old text's symbol comes next.
    fn is_old(
        &mut self,
        bit: bool,
        guess: u16,
        (state, look): (u32, u32),
        follow: Option<u16>,
        matched: u32,
    ) -> bool {
        let agree = match follow {
            None => 0,
            Some(other) if other == guess => 1,
            Some(_) => 2,
        };
        let run = state & 15;
        let place = mix_hash(look, self.order(3));
        let count = usize::from(run == 15) | (agree as usize & 1) << 1;
        let bet = agree < 2 && state < 32;
        let (known, coded) = self.bet(bit, place, count, bet);
        if let Some(bit) = coded {
            return bit;
        }
        let g = u32::from(guess);
        let (o1, o2) = (self.order(1), self.order(2));
        let contexts = [
            mix_hash(state, 1),
            mix_hash(o2 ^ g << 8, 2 + agree * 16),
            mix_hash(look, 3),
            mix_hash(self.order(4) ^ g << 16, 4),
            mix_hash(look ^ o1, 5),
            mix_hash(agree << 8 | matched.min(15) | run.min(3) << 12, 6 + g * 16),
            mix_hash(self.word ^ g << 24, 7),
            mix_hash(u32::from(known.min(15)) | run.min(3) << 8 | agree << 12, 8),
        ];
        let set = (agree * 16 + run) as usize + if state >= 32 { 48 } else { 0 };
        let bit = self.model.flag(bit, &contexts, &mut self.flag_mixer, set);
        self.settle(bit, place);
        bit
    }

    /// Codes whether the symbol comes next that followed the last time.
    fn is_followed(
        &mut self,
        bit: bool,
        guess: u16,
        second: bool,
        matched: u32,
        kind: Kind,
    ) -> bool {
        let (g, second) = (u32::from(guess), u32::from(second));
        let o4 = self.order(4);
        let place = mix_hash(o4 ^ g << 16, 10);
        let count = 4 + usize::from(matched >= 32);
        let (known, coded) = self.bet(bit, place, count, second == 0 && matched >= 16);
        if let Some(bit) = coded {
            return bit;
        }
        let (o1, o2) = (self.order(1), self.order(2));
        let contexts = [
            mix_hash(matched, 11),
            mix_hash(o1 ^ g << 8, 12),
            mix_hash(o2 ^ g << 8, 13),
            mix_hash(self.order(3) ^ g << 16, 14),
            mix_hash(o4 ^ g << 16, 15),
            mix_hash(matched.min(15) | (kind as u32) << 8 | second << 10, 16),
            mix_hash(self.word ^ g << 24, 17),
            mix_hash(u32::from(known.min(15)) | matched.min(15) << 8, 18),
        ];
        let set = 96 + (matched / 4) as usize + 16 * second as usize;
        let bit = self.model.flag(bit, &contexts, &mut self.flag_mixer, set);
        self.settle(bit, place);
        bit
    }

    /// Codes a guess that held each time so far, cheaply: how often it did, and the bit if so.
    fn bet(&mut self, bit: bool, place: u32, kind: usize, bet: bool) -> (u8, Option<bool>) {
        let known = self.held[(place >> 16) as usize];
        let Some(rare) = self.rare.get_mut(usize::from(known.min(15)) | kind << 4) else {
            return (known, None);
        };
        if !bet || known < BET_MIN || !rare.is_below(BET_BITS) {
            return (known, None);
        }
        let bit = !self.model.rare_bit(!bit, rare);
        self.settle(bit, place);
        (known, Some(bit))
    }

    /// Counts whether a guess held.
    fn settle(&mut self, bit: bool, place: u32) {
        let held = &mut self.held[(place >> 16) as usize];
        *held = if bit { held.saturating_add(1) } else { 0 };
    }

    /// Codes a symbol by its contexts alone.
    fn byte(
        &mut self,
        symbol: u16,
        not: Option<u16>,
        follow: Option<u16>,
        matched: u32,
        kind: Kind,
    ) -> u16 {
        let o1 = self.order(1);
        let not = not.map_or(0, |guess| u32::from(guess) + 1);
        let contexts = [
            mix_hash(kind as u32, 20),
            mix_hash(o1, 21),
            mix_hash(self.order(2), 22),
            mix_hash(self.order(3), 23),
            mix_hash(self.order(4), 24),
            mix_hash(self.order(6), 25),
            mix_hash(not ^ o1 << 9, 26),
            mix_hash(self.word, 27 + ((kind as u32) << 8)),
        ];
        let mut slots = [0u32; INPUTS];
        let select = |node: u32, slots: &mut [u32; INPUTS]| {
            for (slot, context) in slots.iter_mut().zip(&contexts) {
                *slot = mix_hash(*context, node) & !15;
            }
        };
        select(0x10_0000, &mut slots);
        let mixer = &mut self.byte_mixer;
        let end_set = 256 * 3 + (kind as usize) + if not > 0 { 4 } else { 0 };
        if self.model.bit(symbol == END, &slots, mixer, end_set) {
            return END;
        }
        let (byte, mut node) = (u32::from(symbol), 1u32);
        for step in (0..8u32).rev() {
            if step == 7 || step == 3 {
                select(node, &mut slots);
            }
            let within =
                if step > 3 { node } else { node & ((1 << (3 - step)) - 1) | 1 << (3 - step) };
            let mut at = slots;
            for slot in &mut at {
                *slot |= within & 15;
            }
            let near =
                match follow {
                    Some(guess) if (u32::from(guess) | 256) >> (step + 1) == node => {
                        if matched < 16 { 1 } else { 2 }
                    }
                    _ => 0,
                };
            let set = node as usize + 256 * near;
            let bit = self.model.bit(byte >> step & 1 == 1, &at, &mut self.byte_mixer, set);
            node = node << 1 | u32::from(bit);
        }
        u16::try_from(node & 255).unwrap_or(0)
    }

    fn remember(&mut self, symbol: u16) {
        let byte = if symbol == END { END_BYTE } else { u64::from(symbol) };
        self.recent = self.recent << 8 | byte;
        let letter = u8::try_from(symbol).is_ok_and(|b| b.is_ascii_alphanumeric());
        self.word = match letter {
            true => mix_hash(self.word, u32::from(symbol)),
            false => mix_hash(u32::from(symbol), 99),
        };
    }

    /// Adds a symbol to the history, and finds what to follow.
    fn append(&mut self, symbol: u16, seek: bool) {
        self.follow = match self.follow {
            Some(f) if seek && self.history.symbol(f.at) == Some(symbol) => {
                Some(Follow { at: f.at + 1, matched: (f.matched + 1).min(MAX_MATCHED) })
            }
            _ => None,
        };
        self.history.push(symbol);
        self.remember(symbol);
        let end = self.history.len();
        let long = self.index(MATCH_LONG);
        let short = self.index(MATCH_SHORT);
        if seek && symbol != END {
            if self.follow.is_none() {
                self.follow = self.candidate(self.long[long]).or(self.candidate(self.short[short]));
            }
            if self.follow.is_none()
                && u8::try_from(symbol).is_ok_and(|b| !b.is_ascii_alphanumeric())
            {
                self.follow = Some(Follow { at: self.own_key, matched: 0 });
            }
        }
        let end = u32::try_from(end).unwrap_or(0);
        self.long[long] = end;
        self.short[short] = end;
    }

    fn index(&self, symbols: usize) -> usize {
        let bits = u32::try_from(symbols).unwrap_or(0);
        (self.order(bits) >> (32 - self.index_bits)) as usize
    }

    /// A place to follow, if what leads to it is what leads here.
    fn candidate(&self, at: u32) -> Option<Follow> {
        let (at, end) = (at as usize, self.history.len());
        if at == 0 || at >= end {
            return None;
        }
        let symbols = self.history.bytes.as_slice();
        let before = symbols[..at].iter().rev();
        let matched = before.zip(symbols.iter().rev()).take(32).take_while(|(a, b)| a == b);
        let matched = matched.count();
        if matched < MATCH_SHORT { None } else { Some(Follow { at, matched }) }
    }
}

/// All symbols so far: a byte each, and a bit that tells an end from a zero.
#[derive(Debug, Default)]
struct History {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl History {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn push(&mut self, symbol: u16) {
        let at = self.bytes.len();
        if at.is_multiple_of(64) {
            self.ends.push(0);
        }
        let byte = u8::try_from(symbol);
        if let (Err(_), Some(ends)) = (byte, self.ends.last_mut()) {
            *ends |= 1 << (at % 64);
        }
        self.bytes.push(byte.unwrap_or(0));
    }

    fn symbol(&self, at: usize) -> Option<u16> {
        match *self.bytes.get(at)? {
            0 if self.ends[at / 64] >> (at % 64) & 1 == 1 => Some(END),
            byte => Some(byte.into()),
        }
    }
}

impl Under<'_> {
    fn expected(&self) -> Option<u16> {
        match self.text.get(self.at) {
            Some(byte) => Some(u16::from(*byte)),
            None if self.at == self.text.len() && !self.text.is_empty() => Some(END),
            None => None,
        }
    }

    /// The next symbols of the old text, as a context.
    fn look(&self) -> u32 {
        let mut bytes = [0u8; 4];
        for (byte, old) in bytes.iter_mut().zip(self.text.iter().skip(self.at)) {
            *byte = *old;
        }
        u32::from_le_bytes(bytes)
    }

    /// Goes on by one symbol; after a difference it looks where the old text goes on alike.
    fn advance(&mut self, symbol: u16, new: &[u8]) {
        let alike = self.expected() == Some(symbol);
        self.run = if alike { (self.run + 1).min(15) } else { 0 };
        self.aligned &= alike;
        if self.at <= self.text.len() {
            self.at += 1;
        }
        if self.run >= 4 || self.text.is_empty() {
            return;
        }
        let Some(tail) = new.last_chunk::<SEARCH_LEN>() else { return };
        if let Some(place) = nearest(self.text, self.at, *tail)
            && place != self.at
        {
            self.at = place;
            self.run = 1;
        }
    }
}

/// The place that is nearest to `at` and comes after four symbols.
fn nearest(text: &[u8], at: usize, tail: [u8; SEARCH_LEN]) -> Option<usize> {
    let start = at.saturating_sub(SEARCH_LEN);
    let end = (at + SEARCH_AHEAD).min(text.len());
    let ahead = text.get(start..end).and_then(|text| find(text, tail));
    let ahead = ahead.map(|found| start + found + SEARCH_LEN);
    let far = ahead.map_or(SEARCH_BACK, |place| (place.abs_diff(at)).min(SEARCH_BACK));
    let back = (1..=far).find_map(|far| {
        let start = at.checked_sub(far + SEARCH_LEN)?;
        (text.get(start..start + SEARCH_LEN)? == tail).then_some(at - far)
    });
    back.or(ahead)
}

/// Where four symbols come first. Looks at eight places at a time for the first of the four.
fn find(text: &[u8], tail: [u8; SEARCH_LEN]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let [first, ..] = tail;
    let is = |at: &usize| text.get(*at..*at + SEARCH_LEN) == Some(&tail);
    let (eights, rest) = text.as_chunks::<8>();
    for (eight, at) in eights.iter().zip((0..).step_by(8)) {
        let other = u64::from_le_bytes(*eight) ^ (u64::from(first) * ONES);
        // A byte that is zero, and perhaps some above it.
        let mut zeros = other.wrapping_sub(ONES) & !other & ONES << 7;
        while zeros != 0 {
            let place = at + (zeros.trailing_zeros() / 8) as usize;
            if is(&place) {
                return Some(place);
            }
            zeros &= zeros - 1;
        }
    }
    (text.len() - rest.len()..text.len()).find(is)
}
