//! A day of requests at four regions, made from one seed: releases come in between, readers are
//! spread over versions and over key ranges by Zipf's law.
//!
//! The set is cut as Packice cuts one. A base has its bundles, a layout's directory and pages, and
//! serves [`BASE_EVERY`] releases; some of its bundles keep their names in the next base. Each
//! release has a manifest and deltas that lead to it from the [`STAR`] before. A reader stands at a
//! release so many behind the newest, and asks for a manifest or layout, for a delta, or for a
//! bundle.

use packice_core::hash;

/// Regions.
pub(super) const REGIONS: usize = 4;
/// Requests of a day, all regions together.
pub(super) const REQUESTS: usize = 200_000;
/// Length of the day.
pub(super) const DAY_MS: u64 = 24 * 3_600_000;
/// Key ranges: bundles of a base.
const RANGES: usize = 500;
/// Releases of the day, after those that stand when it begins.
const RELEASES: usize = 40;
/// Releases that stand when it begins.
const STANDING: usize = 8;
/// Releases that one base serves.
const BASE_EVERY: usize = 12;
/// The share of a base's bundles that the next one keeps.
const KEPT: f64 = 0.3;
/// From how many releases back a delta leads to the newest.
const STAR: usize = 8;
/// How far behind readers are at most.
const BEHIND_MAX: usize = 16;
/// The exponents of Zipf's law.
const ZIPF_RANGES: f64 = 1.0;
const ZIPF_VERSIONS: f64 = 1.2;
/// Of all requests, those for manifests and layouts, and for deltas; the rest is for bundles.
const HEAD_SHARE: f64 = 0.1;
const DELTA_SHARE: f64 = 0.3;

/// An object of the day.
#[derive(Clone, Debug)]
pub(super) struct Thing {
    /// Its key in the store.
    pub(super) key: String,
    /// Its length in bytes.
    pub(super) size: u64,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Somebody in a region asks for an object.
    Ask { at_ms: u64, region: usize, thing: usize },
    /// A release becomes the newest.
    Release { release: usize },
}

/// What a release needs: groups by number, and the members of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    /// A number, and indices of things.
    pub(super) groups: Vec<(u64, Vec<usize>)>,
    /// What a client of the release before, or a new one, asks for first.
    pub(super) first: Vec<usize>,
}

/// A day.
pub(super) struct Day {
    /// All objects that exist in its course.
    pub(super) things: Vec<Thing>,
    /// What happens, in order.
    pub(super) events: Vec<Event>,
    /// By release.
    pub(super) needs: Vec<Needs>,
    /// The mean size of a release with its base, in bytes.
    pub(super) version_bytes: u64,
}

/// Splitmix64.
pub(super) struct Random(u64);

impl Random {
    /// From a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }
}

/// Ranks by Zipf's law.
struct Zipf(Vec<f64>);

impl Zipf {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    fn new(ranks: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut steps: Vec<f64> = (1..=ranks)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        steps.iter_mut().for_each(|step| *step /= sum);
        Self(steps)
    }

    fn draw(&self, random: &mut Random) -> usize {
        let at = random.unit();
        self.0.partition_point(|step| *step < at).min(self.0.len() - 1)
    }
}

/// A base version.
struct Base {
    bundles: Vec<usize>,
    layout: Vec<usize>,
}

/// The making of a day.
struct Maker {
    random: Random,
    things: Vec<Thing>,
    bases: Vec<Base>,
    manifests: Vec<usize>,
    /// By release and how many releases back it begins, less one.
    deltas: Vec<Vec<usize>>,
}

impl Maker {
    fn thing(&mut self, kind: &str, size: u64) -> usize {
        let number = self.things.len();
        let name = hash::wire_name(&body(number, size));
        self.things.push(Thing { key: format!("bench/{kind}/{name}"), size });
        number
    }

    /// Between `least` and `most`, around the middle.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, small")]
    #[expect(clippy::cast_precision_loss, reason = "sizes are exact in an f64")]
    fn size(&mut self, least: u64, most: u64) -> u64 {
        let middle = (self.random.unit() + self.random.unit() + self.random.unit()) / 3.0;
        least + (middle * (most - least) as f64) as u64
    }

    fn base(&mut self, scale: u64) {
        let bundles = (0..RANGES)
            .map(|range| {
                let kept = self.bases.last().map(|base| base.bundles[range]);
                match kept.filter(|_| self.random.unit() < KEPT) {
                    Some(bundle) => bundle,
                    None => {
                        let size = self.size(300_000, 1_800_000) / scale;
                        self.thing("bundle", size)
                    }
                }
            })
            .collect();
        let layout = [20_000, 40_000, 40_000].map(|size| self.thing("layout", size / scale));
        self.bases.push(Base { bundles, layout: layout.to_vec() });
    }

    fn release(&mut self, release: usize, scale: u64) {
        if release.is_multiple_of(BASE_EVERY) {
            self.base(scale);
        }
        let manifest = self.thing("manifest", 1_500 / scale + 1);
        self.manifests.push(manifest);
        let deltas = (1..=STAR.min(release))
            .map(|back| {
                let size = back as u64 * self.size(10_000, 30_000) / scale + 1;
                self.thing("delta", size)
            })
            .collect();
        self.deltas.push(deltas);
    }

    fn needs(&self, release: usize) -> Needs {
        let number = release / BASE_EVERY;
        let base = &self.bases[number];
        let members = base.layout.iter().chain(&base.bundles).copied().collect();
        let mut own = vec![self.manifests[release]];
        own.extend(&self.deltas[release]);
        let mut first = own.clone();
        first.extend(&base.layout);
        let groups = vec![(number as u64, members), (1_000 + release as u64, own)];
        Needs { groups, first }
    }
}

/// The bytes of an object: nothing that compresses, and different for each.
pub(super) fn body(number: usize, size: u64) -> Vec<u8> {
    let mut random = Random::new(number as u64 ^ 0x5eed);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 8);
    while (bytes.len() as u64) < size {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(usize::try_from(size).unwrap_or(0));
    bytes
}

/// Makes a day. All sizes are divided by `scale`.
pub(super) fn day(seed: u64, scale: u64) -> Day {
    let mut maker = Maker {
        random: Random::new(seed),
        things: Vec::new(),
        bases: Vec::new(),
        manifests: Vec::new(),
        deltas: Vec::new(),
    };
    let releases = STANDING + RELEASES;
    for release in 0..=releases {
        maker.release(release, scale);
    }
    let needs: Vec<Needs> = (0..=releases).map(|release| maker.needs(release)).collect();
    let sum = |base: &Base| -> u64 {
        base.bundles.iter().chain(&base.layout).map(|thing| maker.things[*thing].size).sum()
    };
    let version_bytes = maker.bases.iter().map(sum).sum::<u64>() / maker.bases.len() as u64;
    let events = events(&mut maker, releases);
    Day { things: maker.things, events, needs, version_bytes }
}

fn events(maker: &mut Maker, releases: usize) -> Vec<Event> {
    let ranges = Zipf::new(RANGES, ZIPF_RANGES);
    let behind = Zipf::new(BEHIND_MAX, ZIPF_VERSIONS);
    // Which range has which rank.
    let mut places: Vec<usize> = (0..RANGES).collect();
    for end in (1..RANGES).rev() {
        let other = maker.random.below(end + 1);
        places.swap(end, other);
    }
    let mut events: Vec<Event> = (0..=STANDING).map(|release| Event::Release { release }).collect();
    let mut newest = STANDING;
    for number in 0..REQUESTS {
        let now = STANDING + (releases - STANDING) * number / REQUESTS;
        while newest < now {
            newest += 1;
            events.push(Event::Release { release: newest });
        }
        let random = &mut maker.random;
        let region = random.below(REGIONS);
        let version = newest.saturating_sub(behind.draw(random));
        let base = &maker.bases[version / BASE_EVERY];
        let kind = random.unit();
        let thing = if kind < HEAD_SHARE {
            match random.below(4) {
                0 => maker.manifests[version],
                page => base.layout[page - 1],
            }
        } else if kind < HEAD_SHARE + DELTA_SHARE && version > 0 {
            let deltas = &maker.deltas[version];
            deltas[behind.draw(random).min(deltas.len() - 1)]
        } else {
            base.bundles[places[ranges.draw(random)]]
        };
        let at_ms = DAY_MS * number as u64 / REQUESTS as u64;
        events.push(Event::Ask { at_ms, region, thing });
    }
    events
}
