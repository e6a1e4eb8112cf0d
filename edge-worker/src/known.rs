//! The names that exist, as a filter: a region answers for what exists nowhere without asking the
//! origin.
//!
//! The catalog (a Durable Object) keeps a print of each key that was ever written, in the order of
//! writing; each region follows by asking for what came after. A print is 48 bits of a hash that is
//! keyed with a secret of the catalog: of a million keys, one unknown name in 280 million passes
//! for known, and costs a read. What was deleted stays in a region's filter until it starts anew,
//! and costs a read likewise.
//!
//! No answer is out of date: a name that is not in the filter is unknown only once the catalog,
//! asked
//! *after the request came*, had nothing more ([`Known::settles`]). A flood shares those questions.
//!
//! What an attacker could try: names that collide with known ones, so that they pass. Without the
//! secret there is nothing better than guessing.

use std::collections::BTreeSet;

use packice_core::hash;
use packice_core::map::Map;

/// Length of the secret, in bytes.
pub const SECRET_LEN: usize = 32;
/// Length of a print, in bytes.
const PRINT_LEN: usize = 6;
/// Most prints of one page.
pub const PAGE_MAX: u32 = 32_768;
/// Most prints of a filter: 16 MiB or so of memory. What goes beyond counts as known.
const MAX_PRINTS: usize = 1 << 20;
/// How often the catalog is asked at most, in milliseconds: the longest that an answer about an
/// unknown name waits in a flood.
pub const ASK_EVERY_MS: u64 = 1_000;

/// The print of a key.
pub fn print(secret: &[u8; SECRET_LEN], key: &str) -> u64 {
    let mut hasher = hash::WireHasher::default();
    // BLAKE3 is no Merkle-Damgård hash: a secret in front of a message keys it.
    hasher.update(secret);
    hasher.update(key.as_bytes());
    let name = hasher.finish();
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(name.0.iter().take(PRINT_LEN)) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

/// A page of the catalog: the secret, the number of the last print, and the prints.
pub fn encode_page(secret: &[u8; SECRET_LEN], last: u64, prints: &[u64]) -> Vec<u8> {
    let mut page = secret.to_vec();
    page.extend_from_slice(&last.to_le_bytes());
    for print in prints {
        page.extend(print.to_le_bytes().iter().take(PRINT_LEN));
    }
    page
}

/// The filter of a region.
#[derive(Clone, Debug, Default)]
pub struct Known {
    secret: Option<[u8; SECRET_LEN]>,
    prints: BTreeSet<u64>,
    /// The number of the last print that is known.
    last: u64,
    /// When the catalog was asked last.
    asked_ms: Option<u64>,
    /// How many questions were asked, and up to which one they were answered.
    asked: u64,
    answered: u64,
    overflown: bool,
}

impl Known {
    /// The number of the last print: what to ask the catalog for is what comes after it.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many prints are known.
    pub fn len(&self) -> usize {
        self.prints.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.prints.is_empty()
    }

    /// Whether a key may exist, as far as is known.
    pub fn may_hold(&self, key: &str) -> bool {
        let Some(secret) = &self.secret else { return false };
        self.overflown || self.prints.contains(&print(secret, key))
    }

    /// How many questions were asked: what a request that comes now must see exceeded.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// A question goes out; its number.
    pub fn ask(&mut self, now_ms: u64) -> u64 {
        self.asked += 1;
        self.asked_ms = Some(now_ms);
        self.asked
    }

    /// Whether what is not in the filter does not exist, for a request that came when so many
    /// questions had been asked.
    pub fn settles(&self, came: u64) -> bool {
        self.answered > came
    }

    /// How long to wait until the catalog may be asked again.
    pub fn wait_ms(&self, now_ms: u64) -> u64 {
        let next = self.asked_ms.map_or(0, |asked_ms| asked_ms.saturating_add(ASK_EVERY_MS));
        next.saturating_sub(now_ms).min(ASK_EVERY_MS)
    }

    /// Takes a page in that answers a question; whether there are more, or `None` for bytes that
    /// are no page.
    pub fn learn(&mut self, page: &[u8], question: u64) -> Option<bool> {
        let (secret, rest) = page.split_first_chunk::<SECRET_LEN>()?;
        let (last, prints) = rest.split_first_chunk::<8>()?;
        let last = u64::from_le_bytes(*last);
        if self.secret.is_some_and(|own| own != *secret) {
            // Another catalog: its numbers are its own.
            (self.secret, self.last) = (None, 0);
            self.prints.clear();
            return Some(true);
        }
        if prints.len() % PRINT_LEN != 0 || last < self.last {
            return None;
        }
        let more = prints.len() / PRINT_LEN >= usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
        for print in prints.chunks_exact(PRINT_LEN) {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(print) {
                *to = *from;
            }
            if self.prints.len() < MAX_PRINTS {
                self.prints.insert(u64::from_le_bytes(bytes));
            } else {
                self.overflown = true;
            }
        }
        self.secret = Some(*secret);
        self.last = last;
        if !more {
            self.answered = self.answered.max(question);
        }
        Some(more)
    }
}

/// How long a refusal is repeated without asking again, in milliseconds.
const REFUSED_MS: u64 = 1_000;
/// Most refusals that are remembered.
const MAX_REFUSED: usize = 1_024;

/// Names that were refused a moment ago: a flood for one name asks once a second.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    until_ms: Map<String, u64>,
}

impl Refused {
    /// Whether a name was refused a moment ago.
    pub fn holds(&mut self, key: &str, now_ms: u64) -> bool {
        match self.until_ms.get(key) {
            Some(until_ms) if *until_ms > now_ms => true,
            Some(_) => {
                self.until_ms.remove(key);
                false
            }
            None => false,
        }
    }

    /// A name is refused.
    pub fn put(&mut self, key: &str, now_ms: u64) {
        if self.until_ms.len() >= MAX_REFUSED {
            self.until_ms.retain(|_, until_ms| *until_ms > now_ms);
        }
        if self.until_ms.len() < MAX_REFUSED {
            self.until_ms.insert(key.to_owned(), now_ms.saturating_add(REFUSED_MS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; SECRET_LEN] = [7; SECRET_LEN];

    fn page(last: u64, keys: &[&str]) -> Vec<u8> {
        let prints: Vec<u64> = keys.iter().map(|key| print(&SECRET, key)).collect();
        encode_page(&SECRET, last, &prints)
    }

    #[test]
    fn what_was_written_is_known_and_the_rest_is_not() {
        let mut known = Known::default();
        assert!(!known.may_hold("alpha/bundle/1"));
        assert_eq!(known.learn(&page(2, &["alpha/bundle/1", "alpha/bundle/2"]), 10), Some(false));
        assert!(known.may_hold("alpha/bundle/1") && known.may_hold("alpha/bundle/2"));
        assert!(!known.may_hold("beta/bundle/1") && !known.may_hold("alpha/bundle/12"));
        assert_eq!((known.last(), known.len()), (2, 2));
    }

    #[test]
    fn only_a_question_after_the_request_settles_it() {
        let mut known = Known::default();
        let first = known.ask(100);
        // A request that comes while the question is under way is not settled by its answer.
        let came = known.asked();
        known.learn(&page(0, &[]), first);
        assert!(known.settles(0) && !known.settles(came));
        let second = known.ask(200);
        known.learn(&page(0, &[]), second);
        assert!(known.settles(came));
        assert_eq!((known.wait_ms(200), known.wait_ms(700), known.wait_ms(5000)), (1000, 500, 0));
    }

    #[test]
    fn a_full_page_is_not_the_last() {
        let mut known = Known::default();
        let prints: Vec<u64> = (0..u64::from(PAGE_MAX)).collect();
        assert_eq!(known.learn(&encode_page(&SECRET, 40_000, &prints), 10), Some(true));
        assert!(!known.settles(0));
    }

    #[test]
    fn another_catalog_begins_anew() {
        let mut known = Known::default();
        known.learn(&page(9, &["alpha/bundle/1"]), 10);
        let other = encode_page(&[8; SECRET_LEN], 9, &[]);
        assert_eq!(known.learn(&other, 20), Some(true));
        assert_eq!((known.last(), known.may_hold("alpha/bundle/1")), (0, false));
    }

    #[test]
    fn what_is_no_page_changes_nothing() {
        let mut known = Known::default();
        known.learn(&page(9, &["alpha/bundle/1"]), 10);
        let mut odd = page(10, &["alpha/bundle/2"]);
        odd.pop();
        for bytes in [&b""[..], &[0; 39], &odd, &page(8, &[])] {
            assert_eq!(known.learn(bytes, 20), None);
        }
        assert!(known.may_hold("alpha/bundle/1"));
    }

    #[test]
    fn a_refusal_is_repeated_for_a_second_and_bounded() {
        let mut refused = Refused::default();
        refused.put("alpha/bundle/1", 100);
        assert!(refused.holds("alpha/bundle/1", 1_099) && !refused.holds("alpha/bundle/2", 100));
        assert!(!refused.holds("alpha/bundle/1", 1_100));
        (0..5_000).for_each(|number| refused.put(&format!("alpha/bundle/{number}"), 0));
        assert_eq!(refused.until_ms.len(), MAX_REFUSED);
        refused.put("alpha/bundle/new", 2_000);
        assert_eq!(refused.until_ms.len(), 1);
    }

    #[test]
    fn prints_depend_on_the_secret() {
        assert_ne!(print(&SECRET, "alpha/bundle/1"), print(&[8; SECRET_LEN], "alpha/bundle/1"));
        assert!(print(&SECRET, "alpha/bundle/1") < 1 << 48);
    }
}
