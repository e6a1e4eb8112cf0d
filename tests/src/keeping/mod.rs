//! An edge that is collected while others publish to it, as steps in a random order: the rules of
//! `packice_core::keep` decide, and after every step all that was promised must be there.
//!
//! Time leaps, publishers break off, go on after hours or sign days later, collectors stand still
//! between any two steps, a removal that the store was asked for happens late or after its asker is
//! gone. A [`Mutation`] takes one rule out; then something that is needed must be found missing.

mod objects;

use std::collections::{BTreeMap, BTreeSet};

use packice_core::format::head::{Channel, Head, Policy};
use packice_core::keep::keeper::{self, Claim, Removal, Row, Rules};
use packice_core::keep::mark::{Key, Mark, Marked, Releases};
use packice_core::types::{Millis, Name, ObjectKind, ObjectRef, Version, WireName};

use self::objects::version;
use crate::sim::Draw;

const HOUR: u64 = 3_600_000;

/// A rule that is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Nothing is.
    None,
    /// What was condemned may go at once, whatever was promised.
    NoWaiting,
    /// What is there is relied upon without being claimed.
    NoClaims,
    /// What is being removed may be relied upon.
    LeavingIsGranted,
    /// A collector need not have seen the moves that were begun.
    NoFence,
    /// A removal that broke off is taken over at once.
    NoLeaveTime,
    /// A manifest that does not stay keeps nothing else.
    OldManifestsAreNoRoots,
    /// A collector removes by what it saw before it was allowed to.
    OldLists,
}

impl Mutation {
    /// All but none.
    pub const ALL: [Self; 7] = [
        Self::NoWaiting,
        Self::NoClaims,
        Self::LeavingIsGranted,
        Self::NoFence,
        Self::NoLeaveTime,
        Self::OldManifestsAreNoRoots,
        Self::OldLists,
    ];
}

/// What a publisher is at.
#[derive(Clone, Debug)]
enum Step {
    /// To claim and upload the object of that number; the last is the manifest.
    Upload(usize),
    /// A removal that the publisher took over: when it was asked for, and when it happens.
    TakenOver(usize, Millis, Millis),
    /// To begin the move: hours or days later, where others sign.
    Sign,
    /// The move was claimed at that time; the pointer is swapped or not.
    Swap(Millis),
}

struct Publisher {
    channel: usize,
    manifest: WireName,
    objects: Vec<(Key, Vec<u8>)>,
    step: Step,
    /// When its first claim since the last round was made.
    claimed: Option<Millis>,
}

/// What a collector is at.
enum Look {
    List,
    Read(BTreeMap<Key, u64>),
    Mark(Box<Mark>),
    Condemn(Marked),
    Remove(Vec<Key>),
    /// Waits for the store: what was asked for when, when it happens, and what is left to do.
    Asked(Key, Millis, Millis, Vec<Key>),
}

struct Collector {
    seen: Millis,
    look: Look,
}

/// A version that was released.
struct Released {
    needs: BTreeSet<Key>,
    channel: usize,
    replaced: Option<Millis>,
    keep_ms: u64,
}

/// What a schedule came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Versions that were released.
    pub released: u64,
    /// Objects that were removed.
    pub removed: u64,
    /// Releases that relied on an object that had been condemned.
    pub rescued: u64,
    /// Moves that were refused.
    pub refused: u64,
}

/// The edge and everybody around it.
pub struct Keeping {
    draw: Draw,
    mutation: Mutation,
    rules: Rules,
    now: Millis,
    store: BTreeMap<Key, Vec<u8>>,
    rows: BTreeMap<Key, Row>,
    moved: Option<Millis>,
    /// Removals that the store was asked for, and when each happens.
    leaving: Vec<(Millis, Key)>,
    heads: Vec<Head>,
    policy: Policy,
    released: Vec<Released>,
    publishers: Vec<Publisher>,
    collectors: Vec<Collector>,
    versions: u64,
    changed: bool,
    /// How rarely somebody begins.
    publish_every: u64,
    collect_every: u64,
    ran: Ran,
}

impl Keeping {
    /// A schedule of a seed.
    pub fn new(seed: u64, mutation: Mutation) -> Self {
        let mut draw = Draw(seed);
        let keep_ms =
            [0, HOUR, 30 * HOUR, 100 * HOUR][usize::try_from(draw.below(4)).expect("few")];
        let policy = Policy { keep_versions: draw.below(4), keep_ms };
        let mut rarely = || 4 << draw.below(5);
        let (publish_every, collect_every) = (rarely(), rarely());
        let mut rules = Rules::default();
        match mutation {
            Mutation::NoFence => rules.move_ms = 0,
            Mutation::NoLeaveTime => rules.leave_ms = 0,
            _ => {}
        }
        Self {
            draw,
            mutation,
            rules,
            now: Millis(1_000_000 * HOUR),
            store: BTreeMap::new(),
            rows: BTreeMap::new(),
            moved: None,
            leaving: Vec::new(),
            heads: Vec::new(),
            policy,
            released: Vec::new(),
            publishers: Vec::new(),
            collectors: Vec::new(),
            versions: 0,
            changed: false,
            publish_every,
            collect_every,
            ran: Ran::default(),
        }
    }

    /// Runs so many steps; what was missing, where something was.
    pub fn run(mut self, steps: u64) -> Result<Ran, String> {
        for step in 0..steps {
            self.step();
            // Only a removal or a release can leave something missing.
            if core::mem::take(&mut self.changed)
                && let Some(missing) = self.missing()
            {
                return Err(format!("step {step}: {missing}"));
            }
        }
        Ok(self.ran)
    }

    fn step(&mut self) {
        self.pass();
        let lands = |(at, _): &(Millis, Key)| *at <= self.now;
        let landed: Vec<_> = self.leaving.iter().filter(|l| lands(l)).copied().collect();
        self.leaving.retain(|(at, _)| *at > self.now);
        for (_, key) in landed {
            self.ran.removed += u64::from(self.store.remove(&key).is_some());
            self.changed = true;
        }
        if self.publishers.len() < 3 && self.draw.one_in(self.publish_every) {
            self.begin_publish();
        }
        if self.collectors.len() < 3 && self.draw.one_in(self.collect_every) {
            self.collectors.push(Collector { seen: self.now, look: Look::List });
        }
        let actors = (self.publishers.len() + self.collectors.len()) as u64;
        let Some(at) = (actors > 0).then(|| self.draw.below(actors)) else { return };
        let at = usize::try_from(at).expect("few");
        if at < self.publishers.len() {
            let publisher = self.publishers.swap_remove(at);
            let stays = !self.draw.one_in(120);
            if let Some(publisher) = self.publish(publisher).filter(|_| stays) {
                self.publishers.push(publisher);
            }
        } else {
            let collector = self.collectors.swap_remove(at - self.publishers.len());
            let stays = !self.draw.one_in(60);
            if let Some(collector) = self.collect(collector).filter(|_| stays) {
                self.collectors.push(collector);
            }
        }
    }

    fn pass(&mut self) {
        // A move takes seconds, most of the time.
        let swaps = self.publishers.iter().any(|p| matches!(p.step, Step::Swap(_)));
        let span = match self.draw.below(if swaps { 400 } else { 40 }) {
            0 => HOUR * (1 + self.draw.below(20)),
            1 => HOUR * (20 + self.draw.below(100)),
            2..6 => 60_000 * (1 + self.draw.below(3)),
            _ => self.draw.below(2000),
        };
        self.now = self.now.plus(span);
    }

    /// A version of a few of the contents that there are, half of them those of an earlier one.
    fn begin_publish(&mut self) {
        self.versions += 1;
        if self.draw.one_in(6) {
            self.policy.keep_ms = HOUR * self.draw.below(60);
        }
        let channel = usize::try_from(self.draw.below(2)).expect("few");
        let contents: Vec<u64> = (0..4).map(|_| self.draw.below(14)).collect();
        let delta = self.draw.below(14);
        let overlay = self.draw.one_in(2).then(|| self.draw.below(14));
        let (manifest, objects) = version(self.versions, &contents, delta, overlay);
        self.publishers.push(Publisher {
            channel,
            manifest,
            objects,
            step: Step::Upload(0),
            claimed: None,
        });
    }

    fn claim(&mut self, key: Key) -> Claim {
        let row = self.rows.get(&key).copied();
        let (row, claim) = keeper::claim(row, self.now, &self.rules);
        self.set(key, row);
        match claim {
            Claim::Leaving if self.mutation == Mutation::LeavingIsGranted => Claim::Granted,
            claim => claim,
        }
    }

    fn set(&mut self, key: Key, row: Option<Row>) {
        match row {
            Some(row) => self.rows.insert(key, row),
            None => self.rows.remove(&key),
        };
    }

    /// Asks the store for a removal: when it happens. It is not later than the rules say, whatever
    /// they were changed to.
    fn ask_removal(&mut self, key: Key) -> Millis {
        let lands = self.now.plus(self.draw.below(Rules::default().leave_ms));
        self.leaving.push((lands, key));
        lands
    }

    fn publish(&mut self, mut publisher: Publisher) -> Option<Publisher> {
        match publisher.step.clone() {
            Step::Upload(at) => {
                let (key, body) = publisher.objects[at].clone();
                let last = at + 1 == publisher.objects.len();
                let late = publisher
                    .claimed
                    .is_some_and(|claimed| self.now.since(claimed) > self.rules.grace_ms / 2);
                if late {
                    // What was claimed so long ago is claimed again, and looked for.
                    (publisher.step, publisher.claimed) = (Step::Upload(0), None);
                    return Some(publisher);
                }
                publisher.claimed.get_or_insert(self.now);
                let there = self.store.contains_key(&key);
                if there && self.mutation == Mutation::NoClaims {
                    publisher.step = if last { Step::Sign } else { Step::Upload(at + 1) };
                    return Some(publisher);
                }
                let condemned = matches!(self.rows.get(&key), Some(Row::Condemned { .. }));
                match self.claim(key) {
                    Claim::Leaving => return Some(publisher),
                    Claim::Remove => {
                        let (asked, happens) = (self.now, self.ask_removal(key));
                        publisher.step = Step::TakenOver(at, asked, happens);
                        return Some(publisher);
                    }
                    Claim::Granted => {}
                }
                self.ran.rescued += u64::from(condemned && there);
                self.store.entry(key).or_insert(body);
                publisher.step = if last { Step::Sign } else { Step::Upload(at + 1) };
            }
            Step::TakenOver(at, asked, happens) => {
                let key = publisher.objects[at].0;
                if self.now < happens {
                    return Some(publisher);
                }
                let row = keeper::left(self.rows.get(&key).copied(), asked);
                self.set(key, row);
                publisher.step = Step::Upload(at);
            }
            Step::Sign => {
                let key = (ObjectKind::Manifest, publisher.manifest);
                match self.claim(key) {
                    Claim::Granted => {}
                    Claim::Leaving | Claim::Remove => {
                        self.ran.refused += 1;
                        return None;
                    }
                }
                self.moved = Some(self.now);
                publisher.step = Step::Swap(self.now);
            }
            Step::Swap(begun) => {
                let key = (ObjectKind::Manifest, publisher.manifest);
                let late = self.now.since(begun) > Rules::default().move_ms;
                if late || !self.store.contains_key(&key) {
                    self.ran.refused += 1;
                    return None;
                }
                self.swap(&publisher);
                return None;
            }
        }
        Some(publisher)
    }

    fn swap(&mut self, publisher: &Publisher) {
        let name = channel(publisher.channel);
        let before = self.heads.last();
        let mut channels = before.map(|head| head.channels.clone()).unwrap_or_default();
        channels.retain(|channel| channel.name != name);
        let version = Version(self.heads.len() as u64 + 1);
        let len = publisher.objects.last().map_or(0, |(_, body)| body.len() as u64);
        let manifest = ObjectRef { name: publisher.manifest, len };
        channels.push(Channel { name, version, manifest });
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        for released in &mut self.released {
            // What was promised in any head that names a version holds for it.
            if released.replaced.is_none() {
                if released.channel == publisher.channel {
                    released.replaced = Some(self.now);
                } else {
                    released.keep_ms = released.keep_ms.max(self.policy.keep_ms);
                }
            }
        }
        self.heads.push(Head {
            dataset: Name::new("kept").expect("a name"),
            trust_root_version: 1,
            channels,
            policy: self.policy,
        });
        self.released.push(Released {
            needs: publisher.objects.iter().map(|(key, _)| *key).collect(),
            channel: publisher.channel,
            replaced: None,
            keep_ms: self.policy.keep_ms,
        });
        self.ran.released += 1;
        self.changed = true;
    }

    fn saw_all(&self, seen: Millis) -> bool {
        self.mutation == Mutation::NoFence || keeper::saw_all(self.moved, seen, &self.rules)
    }

    fn collect(&mut self, collector: Collector) -> Option<Collector> {
        let Collector { seen, look } = collector;
        let look = match look {
            Look::List => {
                let there = self.store.iter().map(|(key, body)| (*key, body.len() as u64));
                Look::Read(there.collect())
            }
            Look::Read(there) => {
                let mut releases = Releases::default();
                for head in &self.heads {
                    releases.add(head);
                }
                Look::Mark(Box::new(self.mark(releases, there)))
            }
            Look::Mark(mut mark) => match mark.next_read() {
                None => Look::Condemn(mark.finish()),
                Some(key) => {
                    // What is not there any more ends the collection.
                    let bytes = self.store.get(&key)?;
                    mark.read(key, bytes).ok()?;
                    Look::Mark(mark)
                }
            },
            Look::Condemn(marked) => {
                if !self.saw_all(seen) {
                    return None;
                }
                for key in &marked.needed {
                    let row = keeper::spare(self.rows.get(key).copied());
                    self.set(*key, row);
                }
                for unneeded in &marked.unneeded {
                    let row = self.rows.get(&unneeded.key).copied();
                    let row = keeper::condemn(row, unneeded.keep_ms, self.now);
                    self.rows.insert(unneeded.key, row);
                }
                Look::Remove(marked.unneeded.iter().map(|unneeded| unneeded.key).collect())
            }
            Look::Remove(mut keys) => {
                let key = keys.pop()?;
                if !self.saw_all(seen) {
                    return None;
                }
                let until = match self.mutation {
                    Mutation::OldLists => self.now,
                    Mutation::NoWaiting => Millis(u64::MAX),
                    _ => seen,
                };
                let row = self.rows.get(&key).copied();
                let (row, removal) = keeper::remove(row, until, self.now, &self.rules);
                self.set(key, row);
                match removal {
                    Removal::Remove => {
                        let happens = self.ask_removal(key);
                        Look::Asked(key, self.now, happens, keys)
                    }
                    Removal::NotBefore(_) | Removal::NotCondemned | Removal::UnderWay => {
                        Look::Remove(keys)
                    }
                }
            }
            Look::Asked(key, asked, happens, keys) => {
                if self.now < happens {
                    Look::Asked(key, asked, happens, keys)
                } else {
                    let row = keeper::left(self.rows.get(&key).copied(), asked);
                    self.set(key, row);
                    Look::Remove(keys)
                }
            }
        };
        Some(Collector { seen, look })
    }

    fn mark(&self, releases: Releases, there: BTreeMap<Key, u64>) -> Mark {
        let mark = Mark::new(releases.clone(), there.clone());
        if self.mutation != Mutation::OldManifestsAreNoRoots {
            return mark;
        }
        // Only those that stay are there, as far as the mark is told.
        let manifests = |key: &Key| key.0 == ObjectKind::Manifest;
        let unneeded = mark.finish().unneeded;
        let old: BTreeSet<Key> = unneeded.iter().map(|u| u.key).filter(manifests).collect();
        let there = there.into_iter().filter(|(key, _)| !old.contains(key)).collect();
        Mark::new(releases, there)
    }

    /// Whatever is promised and not there.
    fn missing(&self) -> Option<String> {
        let newest = usize::try_from(self.heads.last()?.policy.keep_versions.max(1)).expect("few");
        let mut seen = [0usize; 2];
        for (at, released) in self.released.iter().enumerate().rev() {
            seen[released.channel] += 1;
            let promised = released
                .replaced
                .is_none_or(|replaced| self.now.since(replaced) <= released.keep_ms);
            if !promised && seen[released.channel] > newest {
                continue;
            }
            if let Some(key) = released.needs.iter().find(|key| !self.store.contains_key(key)) {
                let why = if promised { "promised" } else { "among the newest" };
                return Some(format!("release {at} is {why} and lacks {key:?}"));
            }
        }
        None
    }
}

fn channel(number: usize) -> Name {
    Name::new(["beta", "stable"][number]).expect("a name")
}
