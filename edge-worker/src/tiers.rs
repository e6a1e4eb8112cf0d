//! The regions of an edge: which one answers a request, and where it looks for what it lacks.
//!
//! A region is a bucket (named like R2's location hints) bound to the Worker, listed in the
//! variable
//! `REGIONS` as `{region}={binding}`, separated by commas. Without any, the origin's bucket is the
//! only store. In scope: the list, distances, the order of sources. Out of scope: reading.

use crate::place::Place;

/// Most regions of a list.
const MAX_REGIONS: usize = 16;

/// The places of R2's and the Durable Objects' location hints: latitude and longitude in degrees.
const PLACES: &[(&str, f64, f64)] = &[
    ("wnam", 37.4, -122.1),
    ("enam", 39.0, -77.5),
    ("sam", -23.5, -46.6),
    ("weur", 50.1, 8.7),
    ("eeur", 52.2, 21.0),
    ("apac", 1.35, 103.8),
    ("oc", -33.9, 151.2),
    ("afr", -26.2, 28.0),
    ("me", 25.2, 55.3),
];

/// A region.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Its name: a location hint.
    pub name: String,
    /// The binding of its bucket.
    pub binding: String,
    /// Where it is.
    at: Place,
}

/// The regions of this edge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Regions {
    list: Vec<Region>,
}

impl Regions {
    /// Reads the list. An entry without a known place is left out.
    pub fn parse(text: &str) -> Self {
        let mut list: Vec<Region> = Vec::new();
        for entry in text.split([',', '\n']) {
            let Some((name, binding)) = entry.split_once('=') else { continue };
            let (name, binding) = (name.trim(), binding.trim());
            let Some((_, latitude, longitude)) = PLACES.iter().find(|(own, ..)| *own == name)
            else {
                continue;
            };
            let known = list.iter().any(|own| own.name == name);
            if known || binding.is_empty() || list.len() == MAX_REGIONS {
                continue;
            }
            let at = Place { latitude: *latitude, longitude: *longitude };
            list.push(Region { name: name.to_owned(), binding: binding.to_owned(), at });
        }
        Self { list }
    }

    /// Whether the origin's bucket is the only store.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, as listed.
    pub fn all(&self) -> &[Region] {
        &self.list
    }

    /// The region of this name.
    pub fn named(&self, name: &str) -> Option<&Region> {
        self.list.iter().find(|own| own.name == name)
    }

    /// The region nearest to a place; the first one where the place is not known.
    pub fn nearest(&self, place: Option<Place>) -> Option<&Region> {
        let Some(place) = place else { return self.list.first() };
        let far = |region: &&Region| region.at.distance(place);
        self.list.iter().min_by(|a, b| far(a).total_cmp(&far(b)))
    }

    /// Where a region looks for what it lacks before it asks the origin: the others, nearest first.
    pub fn neighbours(&self, of: &Region) -> Vec<&Region> {
        let mut others: Vec<_> = self.list.iter().filter(|other| other.name != of.name).collect();
        let far = |region: &Region| region.at.distance(of.at);
        others.sort_by(|a, b| far(a).total_cmp(&far(b)));
        others
    }
}

/// The budget of a region where none is set: 64 GiB.
const BUDGET: u64 = 64 << 30;
/// How many releases are kept whole where nothing else is set.
const NEWEST: u64 = 2;
/// Most shards of a region.
const MAX_SHARDS: u32 = 64;

/// The variables that set the tiers up.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `REGIONS`
    pub regions: Regions,
    /// `REGION`: the region of this deployment, instead of the one nearest to a request.
    pub pinned: Option<String>,
    /// `REGION_SHARDS`: how many Durable Objects run a region.
    pub shards: u32,
    /// `REGION_BYTES`: the budget of a region's store.
    pub budget: u64,
    /// `REGION_VERSIONS`: how many of the newest releases are kept whole; 0 turns the
    /// version-aware part off.
    pub newest: u64,
}

impl Settings {
    /// Reads the variables; what is missing or unreadable has its default.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| variable(name).unwrap_or_default();
        let number = |name: &str| text(name).trim().parse::<u64>().ok();
        let shards = number("REGION_SHARDS").and_then(|shards| u32::try_from(shards).ok());
        Self {
            regions: Regions::parse(&text("REGIONS")),
            pinned: Some(text("REGION").trim().to_owned()).filter(|name| !name.is_empty()),
            shards: shards.unwrap_or(1).clamp(1, MAX_SHARDS),
            budget: number("REGION_BYTES").unwrap_or(BUDGET),
            newest: number("REGION_VERSIONS").unwrap_or(NEWEST),
        }
    }

    /// The region that answers a request from a place.
    pub fn home(&self, place: Option<Place>) -> Option<&Region> {
        let pinned = self.pinned.as_deref().and_then(|name| self.regions.named(name));
        pinned.or_else(|| self.regions.nearest(place))
    }

    /// A shard's part of the budget.
    pub fn budget_of_shard(&self) -> u64 {
        self.budget / u64::from(self.shards)
    }

    /// The shard that a key belongs to: keys end in a hash, or there are few of them.
    pub fn shard(&self, key: &str) -> u32 {
        let sum = key
            .bytes()
            .rev()
            .take(8)
            .fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        sum % self.shards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "weur=REGION_WEUR, enam=REGION_ENAM,apac=REGION_APAC\noc=REGION_OC";

    fn names(regions: &[&Region]) -> Vec<String> {
        regions.iter().map(|region| region.name.clone()).collect()
    }

    #[test]
    fn a_request_is_answered_by_the_nearest_region() {
        let regions = Regions::parse(LIST);
        for (place, nearest) in [
            (Some((48.9, 2.3)), "weur"),
            (Some((40.7, -74.0)), "enam"),
            (Some((35.7, 139.7)), "apac"),
            (Some((-36.8, 174.8)), "oc"),
            // Across the date line.
            (Some((-18.1, -178.4)), "oc"),
            (None, "weur"),
        ] {
            let place = place.map(|(latitude, longitude)| Place { latitude, longitude });
            assert_eq!(regions.nearest(place).map(|own| own.name.as_str()), Some(nearest));
        }
    }

    #[test]
    fn a_region_asks_its_neighbours_nearest_first() {
        let regions = Regions::parse(LIST);
        let weur = regions.named("weur").expect("listed");
        assert_eq!(names(&regions.neighbours(weur)), ["enam", "apac", "oc"]);
        let oc = regions.named("oc").expect("listed");
        assert_eq!(names(&regions.neighbours(oc)), ["apac", "enam", "weur"]);
    }

    #[test]
    fn settings_have_defaults_and_bounds() {
        let none = Settings::read(|_| None);
        assert_eq!((none.shards, none.budget, none.newest), (1, BUDGET, NEWEST));
        assert_eq!(none.home(None), None);
        let set = Settings::read(|name| {
            let value = match name {
                "REGIONS" => LIST,
                "REGION" => "oc",
                "REGION_SHARDS" => "1000",
                "REGION_BYTES" => "6400",
                _ => "0",
            };
            Some(value.to_owned())
        });
        assert_eq!(
            set.home(Some(Place { latitude: 50.0, longitude: 8.0 })).map(|own| own.name.as_str()),
            Some("oc")
        );
        assert_eq!((set.shards, set.budget_of_shard(), set.newest), (64, 100, 0));
        let shards: std::collections::BTreeSet<u32> =
            (0..1000).map(|number| set.shard(&format!("alpha/bundle/{number:08x}"))).collect();
        assert_eq!(shards.len(), 64);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let regions = Regions::parse("weur=A, mars=B, enam, enam=, weur=C, =D");
        assert_eq!(names(&regions.all().iter().collect::<Vec<_>>()), ["weur"]);
        assert!(Regions::parse("").is_empty());
        assert_eq!(Regions::parse("").nearest(Some(Place::default())), None);
    }
}
