//! What the regional store's rule is measured against: the offline optimum, and published rules,
//! each as plainly as its paper gives it. All may refuse an object, and are told of nothing but
//! requests.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// A request of one region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// The object.
    pub(super) thing: usize,
    /// Its length in bytes.
    pub(super) size: u64,
}

/// Misses of the offline optimum: of two that both know the future, the better one. Belady's drops
/// what is asked for latest; with sizes, dropping what is asked for latest and is largest may keep
/// more.
pub(super) fn belady(asks: &[Ask], budget: u64) -> usize {
    let next = next_asks(asks);
    belady_latest(asks, &next, budget).min(belady_bytes(asks, &next, budget))
}

/// When each object is asked for again.
fn next_asks(asks: &[Ask]) -> Vec<usize> {
    let mut next = vec![usize::MAX; asks.len()];
    let mut seen = HashMap::new();
    for (at, ask) in asks.iter().enumerate().rev() {
        if let Some(later) = seen.insert(ask.thing, at) {
            next[at] = later;
        }
    }
    next
}

fn belady_latest(asks: &[Ask], next: &[usize], budget: u64) -> usize {
    let (mut order, mut held) = (BTreeSet::new(), HashMap::new());
    let (mut used, mut misses) = (0, 0);
    for (at, ask) in asks.iter().enumerate() {
        match held.remove(&ask.thing) {
            Some(when) => {
                order.remove(&(when, ask.thing, ask.size));
                used -= ask.size;
            }
            None => misses += 1,
        }
        if next[at] == usize::MAX {
            continue;
        }
        held.insert(ask.thing, next[at]);
        order.insert((next[at], ask.thing, ask.size));
        used += ask.size;
        while used > budget {
            let Some((_, thing, size)) = order.pop_last() else { break };
            held.remove(&thing);
            used -= size;
        }
    }
    misses
}

fn belady_bytes(asks: &[Ask], next: &[usize], budget: u64) -> usize {
    let mut held: HashMap<usize, (usize, u64)> = HashMap::new();
    let (mut used, mut misses) = (0, 0);
    for (at, ask) in asks.iter().enumerate() {
        match held.remove(&ask.thing) {
            Some((_, size)) => used -= size,
            None => misses += 1,
        }
        if next[at] == usize::MAX {
            continue;
        }
        held.insert(ask.thing, (next[at], ask.size));
        used += ask.size;
        while used > budget {
            let cost = |(when, size): &(usize, u64)| (*when - at) as u128 * u128::from(*size);
            let dearest = held.iter().max_by_key(|(thing, what)| (cost(what), **thing));
            let Some((thing, size)) = dearest.map(|(thing, what)| (*thing, what.1)) else { break };
            held.remove(&thing);
            used -= size;
        }
    }
    misses
}

/// Misses of least recently used.
pub(super) fn lru(asks: &[Ask], budget: u64) -> usize {
    let (mut order, mut held) = (BTreeMap::new(), HashMap::new());
    let (mut used, mut misses) = (0, 0);
    for (at, ask) in asks.iter().enumerate() {
        match held.insert(ask.thing, at) {
            Some(before) => {
                order.remove(&before);
            }
            None => {
                misses += 1;
                used += ask.size;
            }
        }
        order.insert(at, *ask);
        while used > budget {
            let Some((_, oldest)) = order.pop_first() else { break };
            held.remove(&oldest.thing);
            used -= oldest.size;
        }
    }
    misses
}

/// Misses of S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, SOSP 2023): a small queue of a tenth, a
/// main queue, and the names of as many that left the small one. By bytes.
#[derive(Default)]
struct S3Fifo {
    budget: u64,
    small: VecDeque<Ask>,
    main: VecDeque<Ask>,
    small_used: u64,
    main_used: u64,
    ghosts: VecDeque<usize>,
    ghost_set: HashSet<usize>,
    uses: HashMap<usize, u8>,
}

impl S3Fifo {
    fn ask(&mut self, ask: Ask) -> bool {
        if let Some(uses) = self.uses.get_mut(&ask.thing) {
            *uses = (*uses + 1).min(3);
            return true;
        }
        while self.small_used + self.main_used + ask.size > self.budget {
            let from_small = self.small_used > self.budget / 10 || self.main.is_empty();
            match from_small && !self.small.is_empty() {
                true => self.leave_small(),
                false if self.main.is_empty() => break,
                false => self.leave_main(),
            }
        }
        self.uses.insert(ask.thing, 0);
        if self.ghost_set.remove(&ask.thing) {
            self.ghosts.retain(|ghost| *ghost != ask.thing);
            self.main_used += ask.size;
            self.main.push_back(ask);
        } else {
            self.small_used += ask.size;
            self.small.push_back(ask);
        }
        false
    }

    fn leave_small(&mut self) {
        let Some(ask) = self.small.pop_front() else { return };
        self.small_used -= ask.size;
        if self.uses.get(&ask.thing).is_some_and(|uses| *uses > 1) {
            self.uses.insert(ask.thing, 0);
            self.main_used += ask.size;
            self.main.push_back(ask);
            return;
        }
        self.uses.remove(&ask.thing);
        self.ghosts.push_back(ask.thing);
        self.ghost_set.insert(ask.thing);
        while self.ghosts.len() > self.main.len().max(16) {
            if let Some(ghost) = self.ghosts.pop_front() {
                self.ghost_set.remove(&ghost);
            }
        }
    }

    fn leave_main(&mut self) {
        while let Some(ask) = self.main.pop_front() {
            match self.uses.get_mut(&ask.thing) {
                Some(uses) if *uses > 0 => {
                    *uses -= 1;
                    self.main.push_back(ask);
                }
                Some(_) | None => {
                    self.uses.remove(&ask.thing);
                    self.main_used -= ask.size;
                    return;
                }
            }
        }
    }
}

/// Misses of S3-FIFO.
pub(super) fn s3_fifo(asks: &[Ask], budget: u64) -> usize {
    let mut rule = S3Fifo { budget, ..S3Fifo::default() };
    asks.iter().filter(|ask| !rule.ask(**ask)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(text: &str) -> Vec<Ask> {
        text.bytes().map(|byte| Ask { thing: byte.into(), size: 1 }).collect()
    }

    /// The fewest misses of any choice at all.
    fn brute(asks: &[Ask], held: &[usize], budget: usize) -> usize {
        let Some((ask, rest)) = asks.split_first() else { return 0 };
        if held.contains(&ask.thing) {
            return brute(rest, held, budget);
        }
        let mut all = held.to_vec();
        all.push(ask.thing);
        if all.len() <= budget {
            return 1 + brute(rest, &all, budget);
        }
        let without = (0..all.len()).map(|out| {
            let mut kept = all.clone();
            kept.remove(out);
            brute(rest, &kept, budget)
        });
        1 + without.min().unwrap_or(0)
    }

    #[test]
    fn the_optimum_is_the_best_of_all_choices() {
        for text in ["abcabcabc", "abacabadab", "aabbccddabcd", "abcdeabcde"] {
            let asks = asks(text);
            for budget in 1..4 {
                let best = brute(&asks, &[], budget);
                assert_eq!(belady(&asks, budget as u64), best, "{text} {budget}");
                assert!(lru(&asks, budget as u64) >= best);
                assert!(s3_fifo(&asks, budget as u64) >= best);
            }
        }
    }

    #[test]
    fn the_least_recently_used_leaves() {
        assert_eq!(lru(&asks("abcab"), 2), 5);
        assert_eq!(lru(&asks("ababab"), 2), 2);
    }
}
