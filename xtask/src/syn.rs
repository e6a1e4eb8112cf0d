//! The synthetic set: any number of account-like records, the same on every machine.
//!
//! The key of an id is BLAKE3 of the id as 8 bytes, little-endian: 32 bytes, so the order of ids
//! says nothing about the order of keys. A value has 40 to 100 bytes: a type, a nonce, a balance, a
//! code hash for one id in five, and numbers, every other of them small. Half of a value is of its
//! id alone; the rest changes with the version that wrote it last. From one version to the next
//! one record in a thousand changes: 90 % updates, popular ids more often than others (Zipf with
//! s = 1), 8 % inserts and 2 % deletes.
//!
//! In scope: what a record is, in memory that does not grow with their number. All arithmetic is on
//! integers, so no platform's mathematics can change a record. Out of scope: files (`data`).

use std::collections::BTreeMap;

/// The number of these rules: files of other rules are written again.
pub(crate) const RECIPE: u32 = 1;
/// What every draw begins from.
const SEED: u64 = 42;
/// One record of so many changes with a version.
const CHANGED_PART: u64 = 1000;
/// One id of so many has a code hash.
const CODE_PART: u64 = 5;
/// The least numbers after a balance, and how many more there may be.
const NUMBERS_MIN: u64 = 3;
const NUMBERS_SPREAD: u64 = 7;
/// The greatest nonce that an id starts with.
const NONCE_MAX: u64 = 100_000;

/// All records of one version.
#[derive(Clone, Debug)]
pub(crate) struct Syn {
    /// The ids of the first version, and those inserted since.
    ids: u64,
    /// What happened to the ids that changed after the first version: written by a version, or
    /// deleted.
    changed: BTreeMap<u64, Option<u64>>,
    deleted: u64,
}

impl Syn {
    /// A version, from 1, of the set that began with so many records.
    pub(crate) fn new(records: u64, version: u64) -> Self {
        let mut set = Self { ids: records, changed: BTreeMap::new(), deleted: 0 };
        for version in 2..=version {
            set.step(records, version);
        }
        set
    }

    /// How many records.
    pub(crate) fn len(&self) -> u64 {
        self.ids - self.deleted
    }

    /// The ids that were ever given.
    pub(crate) fn ids(&self) -> std::ops::Range<u64> {
        0..self.ids
    }

    /// The version that wrote an id last; `None` where it is deleted or was never given.
    pub(crate) fn written(&self, id: u64) -> Option<u64> {
        if id >= self.ids {
            return None;
        }
        self.changed.get(&id).copied().unwrap_or(Some(1))
    }

    /// The value of an id, if it has one.
    pub(crate) fn value(&self, id: u64) -> Option<Vec<u8>> {
        self.written(id).map(|version| value(id, version))
    }

    /// The ids whose value is not what it was in an earlier version.
    pub(crate) fn changed_since(&self, before: &Self) -> impl Iterator<Item = u64> {
        let written =
            |(id, now): (&u64, &Option<u64>)| (before.written(*id) != *now).then_some(*id);
        self.changed.iter().filter_map(written)
    }

    fn step(&mut self, records: u64, version: u64) {
        let mut draws = Draws::new(u64::MAX, version);
        let changes = records / CHANGED_PART;
        let (inserts, deletes) = (changes * 8 / 100, changes * 2 / 100);
        for _ in 0..deletes {
            let id = loop {
                let id = draws.below(self.ids);
                if self.written(id).is_some() {
                    break id;
                }
            };
            self.changed.insert(id, None);
            self.deleted += 1;
        }
        let log2 = log2(self.ids);
        let mut left = changes - inserts - deletes;
        while left > 0 {
            let id = zipf(log2, draws.next()).min(self.ids - 1);
            // A popular id is drawn often; it changes once in a version all the same.
            if self.written(id).is_some_and(|before| before < version) {
                self.changed.insert(id, Some(version));
                left -= 1;
            }
        }
        for id in self.ids..self.ids + inserts {
            self.changed.insert(id, Some(version));
        }
        self.ids += inserts;
    }
}

/// The key of an id.
pub(crate) fn key(id: u64) -> [u8; 32] {
    *blake3::hash(&id.to_le_bytes()).as_bytes()
}

/// The value that a version writes for an id.
fn value(id: u64, version: u64) -> Vec<u8> {
    // What the id is, whatever the version.
    let mut kind = Draws::new(id, 0);
    let mut now = Draws::new(id, version);
    let has_code = kind.below(CODE_PART) == 0;
    let mut out = Vec::with_capacity(100);
    out.push(u8::from(has_code));
    // Pareto, shape 1: one in a thousand is above a thousand.
    let nonce = (u64::from(u32::MAX) / (kind.below(1 << 32) + 1)).min(NONCE_MAX);
    put_varint(&mut out, nonce + version);
    let balance = u128::from(now.next()) << 64 | u128::from(now.next());
    let digits = 16 + 8 * kind.below(6);
    out.extend_from_slice(&(balance >> digits).to_be_bytes()[2..]);
    if has_code {
        out.extend_from_slice(&kind.next().to_le_bytes());
    }
    for at in 0..NUMBERS_MIN + kind.below(NUMBERS_SPREAD) {
        let number = if at % 2 == 0 { now.next() } else { kind.below(1000) };
        out.extend_from_slice(&number.to_le_bytes());
    }
    out
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// splitmix64, begun from an id and a version.
struct Draws(u64);

impl Draws {
    fn new(id: u64, version: u64) -> Self {
        Self(mixed(mixed(SEED ^ id).wrapping_add(version)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below a bound, by the high bits of a product.
    fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }
}

fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Bits behind the point of the logarithms below.
const LOG_BITS: u32 = 32;

/// floor(n^u) − 1 for the n of a logarithm and u in [0, 1) by a draw's 64 bits.
fn zipf(log2: u64, draw: u64) -> u64 {
    let power = (u128::from(log2) * u128::from(draw)) >> 64;
    exp2(u64::try_from(power).unwrap_or(0)).saturating_sub(1)
}

/// The binary logarithm of a number from 1, to [`LOG_BITS`] bits, by repeated squaring.
fn log2(number: u64) -> u64 {
    let whole = u64::from(number.max(1).ilog2());
    // In [1, 2) with 62 bits behind the point.
    let mut rest = (u128::from(number.max(1)) << 62) >> whole;
    let mut log = whole;
    for _ in 0..LOG_BITS {
        rest = (rest * rest) >> 62;
        log <<= 1;
        if rest >= 2 << 62 {
            rest >>= 1;
            log |= 1;
        }
    }
    log
}

/// floor(2^x) of an x below 62, by the roots of two.
fn exp2(log: u64) -> u64 {
    let mut root = 2u128 << 62;
    let mut product = 1u128 << 62;
    for bit in (0..LOG_BITS).rev() {
        root = (root << 62).isqrt();
        if log >> bit & 1 == 1 {
            product = (product * root) >> 62;
        }
    }
    let whole = u32::try_from(log >> LOG_BITS).unwrap_or(0).min(61);
    u64::try_from(product >> (62 - whole)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(set: &Syn) -> String {
        let mut hasher = blake3::Hasher::new();
        for id in set.ids() {
            if let Some(value) = set.value(id) {
                hasher.update(&key(id));
                hasher.update(&(value.len() as u64).to_le_bytes());
                hasher.update(&value);
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    #[test]
    fn the_records_are_the_same_for_ever() {
        assert_eq!(
            digest(&Syn::new(10_000, 1)),
            "c7a28dc6e7043bc5675561dfc3721e9cc735fc57e11ddbbee44df9c24879311a"
        );
        assert_eq!(
            digest(&Syn::new(10_000, 3)),
            "0e85e80cbb4a73eccbf479a3fcd39738eae8dce2ba15ef75873028e0015ce839"
        );
    }

    #[test]
    fn values_have_40_to_100_bytes_and_a_hundred_with_their_keys() {
        let set = Syn::new(100_000, 1);
        let lens: Vec<usize> = set.ids().filter_map(|id| set.value(id)).map(|v| v.len()).collect();
        assert_eq!(lens.len(), 100_000);
        assert!(lens.iter().all(|len| (40..=100).contains(len)));
        let mean = lens.iter().sum::<usize>() / lens.len();
        assert!((64..=72).contains(&mean), "{mean}");
    }

    #[test]
    fn one_record_in_a_thousand_changes_with_a_version() {
        let (old, new) = (Syn::new(100_000, 4), Syn::new(100_000, 5));
        let gone = old.ids().filter(|id| old.value(*id).is_some() && new.value(*id).is_none());
        let written = new.ids().filter(|id| new.written(*id) == Some(5));
        let (inserted, updated): (Vec<u64>, Vec<u64>) = written.partition(|id| *id >= old.ids);
        assert_eq!((gone.count(), inserted.len(), updated.len()), (2, 8, 90));
        assert_eq!(new.len(), old.len() + 6);
        let changed = updated.iter().filter(|id| old.value(**id) != new.value(**id)).count();
        assert_eq!(changed, 90, "an update is another value");
        // Half of all draws are below the square root.
        let popular = updated.iter().filter(|id| **id < 316).count();
        assert!((25..=65).contains(&popular), "{popular}");
    }

    #[test]
    fn powers_are_floors() {
        for number in [1, 2, 3, 10, 1000, 1_000_000, 10_000_000] {
            let back = exp2(log2(number));
            assert!(back == number || back + 1 == number, "{number} came back as {back}");
        }
        assert_eq!(zipf(log2(1_000_000), 0), 0);
        // The square root, less one, and less what 32 bits of logarithm cannot tell.
        assert!((998..=999).contains(&zipf(log2(1_000_000), 1 << 63)));
        assert!(zipf(log2(1_000_000), u64::MAX) < 1_000_000);
    }
}
