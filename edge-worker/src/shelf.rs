//! What a region's store keeps: a budget of bytes, and the rule by which objects leave.
//!
//! The rule is *hyperbolic caching* (Blankstein, Sen and Freedman, "Hyperbolic Caching: Flexible
//! Caching for Web Applications", USENIX ATC 2017): of a sample of what is held, the one leaves
//! whose uses per time and byte are fewest. It fits this store better than a queue does. Uses may
//! be told late, in batches and in any order, so a hit costs no message; nothing is kept sorted;
//! and a score takes a factor more, which is where versions come in. What left is remembered for a
//! while, so that it comes back with its past.
//!
//! The version-aware part: each object belongs to *groups* (a layout with its pages and bundles, a
//! manifest, a delta), and a release says which groups it needs. What the newest K releases need is
//! let go last, while the budget can hold it. For what is needed no more, uses of the past say too
//! much, since its readers move on: they count by the share of this region's own recent requests
//! that went to objects as far behind. That share is learnt, so a region with slow followers keeps
//! old versions longer.
//!
//! In scope: the books. Out of scope: deleting (`shell`), which follows [`GRACE_MS`] later so that
//! readers in flight end. An attacker can ask for much, and so warm it: no more than anybody's
//! requests do, within the budget, and never at the price of what the newest releases need.

use std::collections::{BTreeMap, VecDeque};

use packice_core::map::Map;
use packice_core::types::Name;

/// How long an object that left stays readable, in milliseconds: longer than a read takes.
pub const GRACE_MS: u64 = 60_000;
/// How many objects compete when room is made: the paper finds 64 enough where a choice must be
/// quick. Here each costs a write to a bucket, so that shelves of fewer objects look at them all.
const SAMPLE: usize = 1024;
/// A newcomer's uses are judged as if it had been here for so long already, in milliseconds.
const NEWCOMER_MS: u64 = 30 * 60_000;
/// Releases back from the newest that are told apart.
const MAX_LAG: usize = 64;
/// After so many uses the shares are computed anew, and the past counts a little less.
const SHARES_EVERY: u32 = 256;
/// What the past counts after [`SHARES_EVERY`] more uses.
const SHARES_DECAY: f64 = 0.95;
/// What the newest releases need is kept before all else while it takes up no more than these parts
/// of the budget: a shelf too small for a version would hold its least used objects and no others.
const FRESH_PARTS: (u64, u64) = (3, 4);
/// The least number of objects that left and are remembered.
const MIN_GHOSTS: usize = 1024;

/// How the shelf is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many bytes are held at most.
    pub budget: u64,
    /// How many of the newest releases are kept whole; 0 turns the version-aware part off.
    pub newest: u64,
}

/// What is known of an object, held or not.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Uses {
    count: u32,
    since_ms: u64,
}

/// What is known of a key. One map of all of it: each pair of types costs the module some 10 KB.
#[derive(Clone, Debug, Default)]
struct Thing {
    /// Its place among those that are held.
    at: Option<usize>,
    /// Its uses while it is not held.
    ghost: Option<Uses>,
    /// The groups that it belongs to.
    groups: Vec<u64>,
}

impl Thing {
    fn is_nothing(&self) -> bool {
        self.at.is_none() && self.ghost.is_none() && self.groups.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Held {
    key: String,
    size: u64,
    uses: Uses,
    lag: u64,
}

/// The books of one region's store, or of one shard of it.
#[derive(Clone, Debug)]
pub struct Shelf {
    policy: Policy,
    used: u64,
    /// Of [`Self::used`], what the newest releases need.
    fresh: u64,
    held: Vec<Held>,
    things: BTreeMap<String, Thing>,
    /// How many of them have a ghost.
    ghosts: usize,
    ghost_order: VecDeque<String>,
    needed_at: Map<(Name, u64), u64>,
    newest: Map<Name, u64>,
    lags: [f64; MAX_LAG],
    shares: [f64; MAX_LAG],
    uses_told: u32,
    seed: u64,
}

impl Shelf {
    /// An empty shelf. The seed decides which objects compete.
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self {
            policy,
            used: 0,
            fresh: 0,
            held: Vec::new(),
            things: BTreeMap::new(),
            ghosts: 0,
            ghost_order: VecDeque::new(),
            needed_at: Map::new(),
            newest: Map::new(),
            lags: [0.0; MAX_LAG],
            shares: [1.0; MAX_LAG],
            uses_told: 0,
            seed: seed | 1,
        }
    }

    /// How many bytes are held.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// How many objects are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many bytes may be held.
    pub fn budget(&self) -> u64 {
        self.policy.budget
    }

    /// Whether an object is held.
    pub fn holds(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    fn place(&self, key: &str) -> Option<usize> {
        self.things.get(key)?.at
    }

    fn thing(&mut self, key: &str) -> &mut Thing {
        self.things.entry(key.to_owned()).or_default()
    }

    /// An object becomes a member of a group.
    pub fn join(&mut self, key: &str, group: u64) {
        let groups = &mut self.thing(key).groups;
        if !groups.contains(&group) {
            groups.push(group);
        }
        if self.holds(key) {
            self.look_again();
        }
    }

    /// Whether a group was needed by any release that is told apart.
    pub fn knows(&self, dataset: &Name, group: u64) -> bool {
        self.needed_at.contains_key(&(dataset.clone(), group))
    }

    /// A release becomes the newest, and needs these groups.
    pub fn release(&mut self, dataset: &Name, groups: &[u64]) {
        let known = &self.needed_at;
        let before = self.newest.get(dataset).copied().unwrap_or(0);
        let same = |group: &u64| known.get(&(dataset.clone(), *group)) == Some(&before);
        // Told twice.
        if before > 0 && groups.iter().all(same) {
            return;
        }
        let newest = before + 1;
        self.newest.insert(dataset.clone(), newest);
        for group in groups {
            self.needed_at.insert((dataset.clone(), *group), newest);
        }
        let horizon = newest.saturating_sub(MAX_LAG as u64);
        let gone = |own: &Name, at: u64| own == dataset && at < horizon;
        self.needed_at.retain(|(own, _), at| !gone(own, *at));
        let known = &self.needed_at;
        self.things.retain(|key, thing| {
            match dataset_of(key) {
                Some(own) => {
                    thing.groups.retain(|group| known.contains_key(&(own.clone(), *group)));
                }
                None => thing.groups.clear(),
            }
            !thing.is_nothing()
        });
        self.look_again();
    }

    /// What a release changes for everything that is held.
    fn look_again(&mut self) {
        let mut held = core::mem::take(&mut self.held);
        for held in &mut held {
            held.lag = self.lag(&held.key);
        }
        let fresh = held.iter().filter(|held| self.is_fresh(held.lag)).map(|held| held.size);
        self.fresh = fresh.sum();
        self.held = held;
    }

    fn is_fresh(&self, lag: u64) -> bool {
        lag < self.policy.newest
    }

    /// Objects were read from this region, so many times each.
    pub fn used_again(&mut self, key: &str, times: u32, now_ms: u64) {
        self.note(key, times);
        if let Some(held) = self.place(key).and_then(|at| self.held.get_mut(at)) {
            held.uses.count = held.uses.count.saturating_add(times);
        } else {
            let past = self.things.get(key).and_then(|thing| thing.ghost);
            if past.is_none() {
                self.ghost_order.push_back(key.to_owned());
            }
            let uses = past.unwrap_or(Uses { count: 0, since_ms: now_ms });
            let count = uses.count.saturating_add(times);
            self.set_ghost(key, Some(Uses { count, ..uses }));
            self.forget_ghosts();
        }
    }

    /// An object comes in; those that leave for it, which may be itself. What was there already
    /// stays.
    pub fn take(&mut self, key: &str, size: u64, now_ms: u64) -> Vec<String> {
        if self.holds(key) {
            return Vec::new();
        }
        let uses = self.set_ghost(key, None).unwrap_or(Uses { count: 0, since_ms: now_ms });
        self.put(key, size, uses);
        let mut left = Vec::new();
        while self.used > self.policy.budget {
            let Some(at) = self.victim(now_ms) else { break };
            left.extend(self.remove_at(at));
        }
        self.forget_ghosts();
        left
    }

    /// An object is put back with what was known of it, after a restart.
    pub fn restore(&mut self, key: &str, size: u64, count: u32, since_ms: u64) {
        if !self.holds(key) {
            self.put(key, size, Uses { count, since_ms });
        }
    }

    /// An object that is gone, whatever the reason.
    pub fn lost(&mut self, key: &str) {
        if let Some(at) = self.place(key) {
            self.remove_at(at);
        }
    }

    /// What there is to persist of a held object: its uses, and since when.
    pub fn state(&self, key: &str) -> Option<(u32, u64)> {
        let held = self.held.get(self.place(key)?)?;
        Some((held.uses.count, held.uses.since_ms))
    }

    /// How many releases ago an object was needed last; 0 for what no release spoke of.
    pub fn lag(&self, key: &str) -> u64 {
        let (Some(thing), Some(dataset)) = (self.things.get(key), dataset_of(key)) else {
            return 0;
        };
        let newest = self.newest.get(&dataset).copied().unwrap_or(0);
        let needed = thing
            .groups
            .iter()
            .filter_map(|group| self.needed_at.get(&(dataset.clone(), *group)).copied());
        needed.max().map_or(0, |at| newest.saturating_sub(at))
    }

    /// The uses per time and byte, as far as they tell about those to come. What the newest
    /// releases need comes before everything else.
    fn score(&self, held: &Held, now_ms: u64) -> (bool, f64) {
        let age_ms = now_ms.saturating_sub(held.uses.since_ms).saturating_add(NEWCOMER_MS);
        let rate = f64::from(held.uses.count.max(1)) / exact(age_ms) / exact(held.size.max(1));
        if self.policy.newest == 0 {
            return (false, rate);
        }
        let at = usize::try_from(held.lag).unwrap_or(MAX_LAG).min(MAX_LAG - 1);
        let (parts, of) = FRESH_PARTS;
        let kept = self.is_fresh(held.lag) && self.fresh / parts * of <= self.policy.budget;
        (kept, rate * self.shares.get(at).copied().unwrap_or(0.0))
    }

    /// Which of a sample leaves.
    fn victim(&mut self, now_ms: u64) -> Option<usize> {
        let count = self.held.len();
        let places: Vec<usize> = if count <= SAMPLE {
            (0..count).collect()
        } else {
            (0..SAMPLE).map(|_| self.draw(count)).collect()
        };
        let scored = places.into_iter().filter_map(|at| Some((at, self.held.get(at)?)));
        let scored = scored.map(|(at, held)| (at, self.score(held, now_ms)));
        let least = scored.min_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        least.map(|(at, _)| at)
    }

    fn draw(&mut self, below: usize) -> usize {
        // Xorshift64 (Marsaglia, 2003).
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let below = below.max(1) as u64;
        usize::try_from(self.seed % below).unwrap_or(0)
    }

    fn put(&mut self, key: &str, size: u64, uses: Uses) {
        self.thing(key).at = Some(self.held.len());
        let lag = self.lag(key);
        self.held.push(Held { key: key.to_owned(), size, uses, lag });
        self.used = self.used.saturating_add(size);
        if self.is_fresh(lag) {
            self.fresh = self.fresh.saturating_add(size);
        }
    }

    fn remove_at(&mut self, at: usize) -> Option<String> {
        if at >= self.held.len() {
            return None;
        }
        let held = self.held.swap_remove(at);
        self.thing(&held.key).at = None;
        if let Some(moved) = self.held.get(at) {
            let key = moved.key.clone();
            self.thing(&key).at = Some(at);
        }
        self.used = self.used.saturating_sub(held.size);
        if self.is_fresh(held.lag) {
            self.fresh = self.fresh.saturating_sub(held.size);
        }
        self.set_ghost(&held.key, Some(held.uses));
        self.ghost_order.push_back(held.key.clone());
        Some(held.key)
    }

    /// Remembers the uses of what is not held, or forgets them; what was remembered.
    fn set_ghost(&mut self, key: &str, uses: Option<Uses>) -> Option<Uses> {
        let thing = self.thing(key);
        let before = core::mem::replace(&mut thing.ghost, uses);
        if thing.is_nothing() {
            self.things.remove(key);
        }
        self.ghosts = self.ghosts + usize::from(uses.is_some()) - usize::from(before.is_some());
        before
    }

    /// Forgets the oldest of those that left.
    fn forget_ghosts(&mut self) {
        let most = MIN_GHOSTS.max(2 * self.held.len());
        while self.ghosts > most || self.ghost_order.len() > 2 * most {
            let Some(key) = self.ghost_order.pop_front() else { break };
            self.set_ghost(&key, None);
        }
    }

    /// Counts a use for the shares by lag.
    fn note(&mut self, key: &str, times: u32) {
        if self.policy.newest == 0 {
            return;
        }
        let lag = usize::try_from(self.lag(key)).unwrap_or(MAX_LAG).min(MAX_LAG - 1);
        if let Some(own) = self.lags.get_mut(lag) {
            *own += f64::from(times);
        }
        self.uses_told = self.uses_told.saturating_add(times);
        if self.uses_told < SHARES_EVERY {
            return;
        }
        self.uses_told = 0;
        let all: f64 = self.lags.iter().sum();
        let mut behind = 0.0;
        for (share, own) in self.shares.iter_mut().zip(&mut self.lags).rev() {
            behind += *own;
            *share = behind / all;
            *own *= SHARES_DECAY;
        }
    }
}

/// How many releases a shard remembers over a restart.
pub const RELEASES_KEPT: u64 = 2 * MAX_LAG as u64;

/// The dataset that a key of the store belongs to.
pub fn dataset_of(key: &str) -> Option<Name> {
    Name::new(key.split_once('/')?.0).ok()
}

/// Sizes and times stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a score needs no more than a few digits")]
fn exact(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn key(number: u32) -> String {
        format!("alpha/bundle/{number}")
    }

    fn shelf(budget: u64, newest: u64) -> Shelf {
        Shelf::new(Policy { budget, newest }, 7)
    }

    #[test]
    fn the_least_used_by_time_and_byte_leaves() {
        let mut shelf = shelf(100, 0);
        assert!(shelf.take("alpha/bundle/big", 60, 0).is_empty());
        assert!(shelf.take("alpha/bundle/small", 10, 0).is_empty());
        shelf.used_again("alpha/bundle/big", 5, 0);
        shelf.used_again("alpha/bundle/small", 2, 0);
        // 5 uses of 60 bytes are fewer by the byte than 2 of 10.
        shelf.used_again("alpha/bundle/new", 6, 0);
        assert_eq!(shelf.take("alpha/bundle/new", 40, 0), ["alpha/bundle/big"]);
        assert_eq!((shelf.used(), shelf.len()), (50, 2));
    }

    #[test]
    fn what_came_back_brings_its_past() {
        let mut shelf = shelf(100, 0);
        shelf.take(&key(1), 100, 0);
        shelf.used_again(&key(1), 50, 0);
        shelf.used_again(&key(2), 100, 0);
        assert_eq!(shelf.take(&key(2), 100, 0), [key(1)]);
        shelf.used_again(&key(1), 60, 0);
        assert_eq!(shelf.take(&key(1), 100, 0), [key(2)]);
    }

    #[test]
    fn an_object_that_fits_nowhere_is_the_one_that_leaves() {
        let mut shelf = shelf(100, 0);
        shelf.take(&key(1), 90, 0);
        assert_eq!(shelf.take(&key(2), 200, 0), [key(2)]);
        assert!(shelf.holds(&key(1)));
    }

    #[test]
    fn what_the_newest_releases_need_leaves_last() {
        let mut shelf = shelf(100, 1);
        let alpha = name("alpha");
        shelf.join(&key(1), 10);
        shelf.join(&key(2), 20);
        shelf.release(&alpha, &[10]);
        shelf.take(&key(1), 60, 0);
        shelf.used_again(&key(1), 1000, 0);
        shelf.release(&alpha, &[20]);
        assert_eq!((shelf.lag(&key(1)), shelf.lag(&key(2))), (1, 0));
        assert_eq!(shelf.take(&key(2), 60, 0), [key(1)]);
        // Without the version-aware part uses decide.
        let mut blind = self::shelf(100, 0);
        blind.take(&key(1), 60, 0);
        blind.used_again(&key(1), 1000, 0);
        assert_eq!(blind.take(&key(2), 60, 0), [key(2)]);
    }

    #[test]
    fn a_release_that_needs_an_old_group_again_brings_it_back_to_the_front() {
        let mut shelf = shelf(100, 1);
        let alpha = name("alpha");
        shelf.join(&key(1), 10);
        shelf.release(&alpha, &[10]);
        shelf.release(&alpha, &[20]);
        assert_eq!(shelf.lag(&key(1)), 1);
        shelf.release(&alpha, &[10, 20]);
        assert_eq!(shelf.lag(&key(1)), 0);
        // Told twice, a release counts once.
        shelf.release(&alpha, &[30]);
        shelf.release(&alpha, &[30]);
        assert_eq!(shelf.lag(&key(1)), 1);
        shelf.release(&alpha, &[10]);
        // Another dataset's releases are its own.
        shelf.release(&name("beta"), &[1]);
        assert_eq!(shelf.lag(&key(1)), 0);
    }

    #[test]
    fn what_readers_left_counts_less_the_farther_it_is_behind() {
        let mut shelf = shelf(1000, 1);
        let alpha = name("alpha");
        for group in 1..=3 {
            shelf.join(&key(group), u64::from(group));
            shelf.release(&alpha, &[u64::from(group)]);
        }
        for (number, times) in [(3, 700), (2, 250), (1, 50)] {
            shelf.used_again(&key(number), times, 0);
        }
        shelf.used_again(&key(3), SHARES_EVERY, 0);
        let [newest, one, two] = [0, 1, 2].map(|lag| shelf.shares[lag]);
        assert!((newest - 1.0).abs() < 1e-9);
        assert!(newest > one && one > two && two > 0.0, "{newest} {one} {two}");
    }

    /// The rule by the book: everything competes, by a plain scan.
    fn slow_victim(shelf: &Shelf, now_ms: u64) -> Option<String> {
        let mut least: Option<((bool, f64), &Held)> = None;
        for held in &shelf.held {
            let score = shelf.score(held, now_ms);
            let better = |(than, _): &((bool, f64), &Held)| {
                score.partial_cmp(than).is_some_and(core::cmp::Ordering::is_lt)
            };
            if least.as_ref().is_none_or(better) {
                least = Some((score, held));
            }
        }
        least.map(|(_, held)| held.key.clone())
    }

    proptest! {
        #[test]
        fn the_books_hold_whatever_comes(
            steps in prop::collection::vec((0u32..40, 1u64..50, 0u8..6), 1..300),
            newest in 0u64..3,
        ) {
            let mut shelf = shelf(400, newest);
            let mut sizes = BTreeMap::new();
            for (now, (number, size, step)) in steps.into_iter().enumerate() {
                let (key, now_ms) = (key(number), now as u64 * 1000);
                match step {
                    0 => shelf.used_again(&key, 3, now_ms),
                    1 => { shelf.lost(&key); sizes.remove(&key); }
                    2 => { shelf.join(&key, size); shelf.release(&name("alpha"), &[size]); }
                    _ => {
                        let was = shelf.holds(&key);
                        let before = shelf.clone();
                        let left = shelf.take(&key, size, now_ms);
                        if !was { sizes.insert(key.clone(), size); }
                        if let [only] = left.as_slice() {
                            // So few all compete: the choice is the slow one's.
                            let mut oracle = before;
                            let uses = oracle.set_ghost(&key, None);
                            let uses = uses.unwrap_or(Uses { count: 0, since_ms: now_ms });
                            oracle.put(&key, size, uses);
                            let slow = slow_victim(&oracle, now_ms);
                            prop_assert_eq!(slow.as_ref(), Some(only));
                        }
                        for key in &left { sizes.remove(key); }
                    }
                }
                prop_assert!(shelf.used() <= 400);
                prop_assert_eq!(shelf.used(), sizes.values().sum::<u64>());
                prop_assert_eq!(shelf.len(), sizes.len());
                let ghosts = shelf.things.values().filter(|thing| thing.ghost.is_some());
                prop_assert_eq!(shelf.ghosts, ghosts.count());
                prop_assert!(!shelf.things.values().any(Thing::is_nothing));
                for key in sizes.keys() { prop_assert!(shelf.holds(key)); }
            }
        }
    }
}
