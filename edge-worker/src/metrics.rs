//! What the edge counts, and how it says so: Prometheus text.
//!
//! An isolate counts in memory and tells its region's shard in batches ([`Batch`]), with the uses
//! of objects that the regional store's rule wants to know; the shard adds up and is asked by
//! `/metrics`. So a request costs no message of its own. What an isolate had not told when it ended
//! is lost: at most [`BATCH_REQUESTS`] requests. Answers that Workers Cache or a browser gave never
//! reach the Worker and are counted nowhere here.

use std::fmt::Write;

use packice_core::map::Map;
use packice_core::types::ObjectKind;

/// An isolate tells after so many requests.
pub const BATCH_REQUESTS: u32 = 256;
/// Or with one of the first requests after so many milliseconds.
pub const BATCH_MS: u64 = 10_000;
/// After so many requests the clock is looked at.
const LOOK_EVERY: u32 = 16;
/// Most objects of a batch; uses of others are not told.
const BATCH_KEYS: usize = 1024;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Answers out of the data centre's cache.
    ColoHits,
    /// Answers out of the region's store.
    RegionHits,
    /// Misses that were put into the region's store from another region.
    NeighbourFills,
    /// Misses that were put into the region's store from the origin.
    OriginFills,
    /// Reads of the origin's bucket for objects, whatever came of them.
    OriginReads,
    /// Misses that waited for another one's fill.
    Coalesced,
    /// Answers that something does not exist, without asking the origin.
    UnknownNames,
    /// Questions to the catalog.
    CatalogQuestions,
    /// Bytes put into the region's store.
    FilledBytes,
    /// Objects that left the region's store.
    Evictions,
    /// Bytes of a source's copy that were not what their name says.
    Damaged,
    /// Failures of a store, a cache or a Durable Object.
    Failures,
    /// Uploads taken.
    Uploads,
    /// Pointers moved.
    PointerMoves,
    /// Manifests answered, out of any tier.
    Manifests,
    /// Layouts.
    Layouts,
    /// Dictionaries.
    Dictionaries,
    /// Bundles.
    Bundles,
    /// Deltas.
    Deltas,
    /// Layers and their pages.
    Layers,
    /// Objects that the scrub hashed and found to be what their names say.
    ScrubbedSound,
    /// Those that it replaced from another edge.
    ScrubbedRepaired,
    /// Those that nobody had, and that it took out of the way.
    ScrubbedQuarantined,
    /// Listeners of live push that were let in.
    Listeners,
    /// Bytes of objects answered, out of any tier.
    ReadBytes,
}

impl Counter {
    /// What counts reads of a kind of object.
    pub fn of_kind(kind: ObjectKind) -> Self {
        match kind {
            ObjectKind::Manifest => Self::Manifests,
            ObjectKind::Layout => Self::Layouts,
            ObjectKind::Dictionary => Self::Dictionaries,
            ObjectKind::Bundle => Self::Bundles,
            ObjectKind::Delta => Self::Deltas,
            ObjectKind::Layer | ObjectKind::LayerPage => Self::Layers,
        }
    }
}

/// Name in the text, labels, what it says.
type Row = (Counter, &'static str, &'static str, &'static str);

const READS: &str = "packice_reads_total";
const SCRUBBED: &str = "packice_scrubbed_total";

/// One row for each counter, in the order of the enum; a name's rows stand together.
const ROWS: &[Row] = &[
    (Counter::ColoHits, "packice_hits_total", "tier=\"colo\"", "Reads answered, by tier"),
    (Counter::RegionHits, "packice_hits_total", "tier=\"region\"", ""),
    (
        Counter::NeighbourFills,
        "packice_fills_total",
        "source=\"region\"",
        "Misses filled, by source",
    ),
    (Counter::OriginFills, "packice_fills_total", "source=\"origin\"", ""),
    (Counter::OriginReads, "packice_origin_reads_total", "", "Reads of the origin for objects"),
    (Counter::Coalesced, "packice_coalesced_total", "", "Misses that shared another one's fill"),
    (Counter::UnknownNames, "packice_unknown_names_total", "", "Names that the filter refused"),
    (Counter::CatalogQuestions, "packice_catalog_questions_total", "", "Questions to the catalog"),
    (Counter::FilledBytes, "packice_filled_bytes_total", "", "Bytes put into the region's store"),
    (Counter::Evictions, "packice_evictions_total", "", "Objects that left the region's store"),
    (Counter::Damaged, "packice_damaged_total", "", "Copies that are not what their name says"),
    (Counter::Failures, "packice_failures_total", "", "Failures of stores, caches and objects"),
    (Counter::Uploads, "packice_uploads_total", "", "Uploads taken"),
    (Counter::PointerMoves, "packice_pointer_moves_total", "", "Pointers moved"),
    (Counter::Manifests, READS, "kind=\"manifest\"", "Objects answered, by kind"),
    (Counter::Layouts, READS, "kind=\"layout\"", ""),
    (Counter::Dictionaries, READS, "kind=\"dictionary\"", ""),
    (Counter::Bundles, READS, "kind=\"bundle\"", ""),
    (Counter::Deltas, READS, "kind=\"delta\"", ""),
    (Counter::Layers, READS, "kind=\"layer\"", ""),
    (Counter::ScrubbedSound, SCRUBBED, "result=\"sound\"", "Objects hashed again, by result"),
    (Counter::ScrubbedRepaired, SCRUBBED, "result=\"repaired\"", ""),
    (Counter::ScrubbedQuarantined, SCRUBBED, "result=\"quarantined\"", ""),
    (Counter::Listeners, "packice_listeners_total", "", "Listeners of live push let in"),
    (Counter::ReadBytes, "packice_read_bytes_total", "", "Bytes of objects answered"),
];

/// How many counters there are.
const COUNTERS: usize = ROWS.len();

/// Values by counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; COUNTERS]);

impl Counts {
    /// Counts.
    pub fn add(&mut self, counter: Counter, by: u64) {
        if let Some(own) = self.0.get_mut(counter as usize) {
            *own = own.saturating_add(by);
        }
    }

    /// A value.
    pub fn of(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own = own.saturating_add(*other);
        }
    }

    /// The values, in the order of the counters.
    pub fn values(&self) -> [u64; COUNTERS] {
        self.0
    }

    /// The values in one line.
    pub fn line(&self) -> String {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        numbers.join(" ")
    }

    /// Reads a line; what is missing is 0.
    pub fn parse(line: &str) -> Self {
        let mut counts = Self::default();
        for (own, number) in counts.0.iter_mut().zip(line.split(' ')) {
            *own = number.parse().unwrap_or(0);
        }
        counts
    }
}

/// What an isolate tells its region's shard.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    counts: Counts,
    uses: Map<String, u32>,
    requests: u32,
    since_ms: Option<u64>,
}

impl Batch {
    /// Counts.
    pub fn add(&mut self, counter: Counter, by: u64) {
        self.counts.add(counter, by);
    }

    /// An object of the region was used.
    pub fn used(&mut self, key: &str) {
        if let Some(times) = self.uses.get_mut(key) {
            *times = times.saturating_add(1);
        } else if self.uses.len() < BATCH_KEYS {
            self.uses.insert(key.to_owned(), 1);
        }
    }

    /// A request ends; whether the batch is due. The clock is looked at now and then.
    pub fn request(&mut self, now_ms: impl FnOnce() -> u64) -> bool {
        self.requests += 1;
        if !self.requests.is_multiple_of(LOOK_EVERY) && self.since_ms.is_some() {
            return false;
        }
        let now_ms = now_ms();
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        self.requests >= BATCH_REQUESTS || now_ms.saturating_sub(since_ms) >= BATCH_MS
    }

    /// The part for one shard: its objects, and the counts for one of them. `None` where that is
    /// nothing.
    pub fn part(&self, counts: bool, belongs: impl Fn(&str) -> bool) -> Option<Self> {
        let uses: Map<String, u32> = self
            .uses
            .iter()
            .filter(|(key, _)| belongs(key))
            .map(|(k, n)| (k.clone(), *n))
            .collect();
        if uses.is_empty() && !counts {
            return None;
        }
        let counts = if counts { self.counts.clone() } else { Counts::default() };
        Some(Self { counts, uses, requests: 0, since_ms: None })
    }

    /// The counts.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The batch as text: the counts, then a line for each object.
    pub fn encode(&self) -> String {
        let mut text = self.counts.line();
        for (key, times) in self.uses.iter() {
            // A string takes everything.
            let _ = write!(text, "\n{times} {key}");
        }
        text
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let counts = lines.next().map(Counts::parse).unwrap_or_default();
        let uses = lines.filter_map(|line| {
            let (times, key) = line.split_once(' ')?;
            Some((key.to_owned(), times.parse().ok()?))
        });
        Self { counts, uses: uses.take(BATCH_KEYS).collect(), requests: 0, since_ms: None }
    }

    /// The objects that were used, and how often.
    pub fn uses(&self) -> impl Iterator<Item = (&str, u32)> {
        self.uses.iter().map(|(key, times)| (key.as_str(), *times))
    }
}

/// What a shard of a region says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardReport {
    /// Its region.
    pub region: String,
    /// Its number.
    pub shard: u32,
    /// Bytes and objects held, and bytes that may be.
    pub used: u64,
    /// Objects held.
    pub objects: u64,
    /// Bytes that may be held.
    pub budget: u64,
    /// Prints in its filter.
    pub known: u64,
    /// What was counted.
    pub counts: Counts,
}

impl ShardReport {
    /// The report as two lines.
    pub fn encode(&self) -> String {
        let Self { region, shard, used, objects, budget, known, counts } = self;
        format!("{region} {shard} {used} {objects} {budget} {known}\n{}", counts.line())
    }

    /// Reads the lines.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, counts) = text.split_once('\n')?;
        let mut words = first.split(' ');
        let region = words.next()?.to_owned();
        let shard = words.next()?.parse().ok()?;
        let [used, objects, budget, known] =
            [0; 4].map(|_| words.next().and_then(|word| word.parse().ok()).unwrap_or(0));
        let counts = Counts::parse(counts);
        Some(Self { region, shard, used, objects, budget, known, counts })
    }
}

/// Where the figures belong to: each line carries it.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// The release of the code.
    pub release: String,
    /// The deployment's id, where the platform gives one.
    pub deployment: String,
}

/// A gauge's name, what it says, and its value.
type Gauge = (&'static str, &'static str, fn(&ShardReport) -> u64);

/// The text for Prometheus (exposition format 0.0.4). `silent` are shards that did not answer.
pub fn render(deployment: &Deployment, reports: &[ShardReport], silent: u32) -> String {
    let mut text = String::new();
    let own = format!(
        "release=\"{}\",deployment=\"{}\"",
        escaped(&deployment.release),
        escaped(&deployment.deployment)
    );
    let mut named = "";
    for (counter, name, labels, help) in ROWS {
        if *name != named {
            named = name;
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        }
        for report in reports {
            let at = format!("region=\"{}\",shard=\"{}\"", escaped(&report.region), report.shard);
            let more = if labels.is_empty() { String::new() } else { format!(",{labels}") };
            let value = report.counts.of(*counter);
            let _ = writeln!(text, "{name}{{{at}{more},{own}}} {value}");
        }
    }
    let gauges: [Gauge; 4] = [
        ("packice_region_bytes", "Bytes held by the region's store", |report| report.used),
        ("packice_region_objects", "Objects held by the region's store", |report| report.objects),
        ("packice_region_budget_bytes", "Bytes that the store may hold", |report| report.budget),
        ("packice_known_names", "Names in the region's filter", |report| report.known),
    ];
    for (name, help, value) in gauges {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for report in reports {
            let at = format!("region=\"{}\",shard=\"{}\"", escaped(&report.region), report.shard);
            let _ = writeln!(text, "{name}{{{at},{own}}} {}", value(report));
        }
    }
    let name = "packice_silent_shards";
    let _ = writeln!(text, "# HELP {name} Shards that did not answer\n# TYPE {name} gauge");
    let _ = writeln!(text, "{name}{{{own}}} {silent}");
    text
}

/// A label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_counters() {
        for (at, (counter, ..)) in ROWS.iter().enumerate() {
            assert_eq!(*counter as usize, at);
        }
    }

    #[test]
    fn a_batch_is_due_by_number_or_by_time() {
        let mut batch = Batch::default();
        let due: Vec<bool> = (0..BATCH_REQUESTS).map(|_| batch.request(|| 5)).collect();
        assert_eq!(due.iter().position(|due| *due), Some(due.len() - 1));
        let mut batch = Batch::default();
        let mut told = |now_ms, times| (0..times).any(|_| batch.request(|| now_ms));
        assert!(!told(100, 1));
        assert!(!told(100 + BATCH_MS - 1, 2 * LOOK_EVERY));
        assert!(told(100 + BATCH_MS, LOOK_EVERY));
    }

    #[test]
    fn a_batch_comes_back_as_it_was() {
        let mut batch = Batch::default();
        batch.add(Counter::ColoHits, 3);
        batch.add(Counter::PointerMoves, 1);
        for key in ["alpha/bundle/1", "alpha/bundle/2", "alpha/bundle/1"] {
            batch.used(key);
        }
        let read = Batch::parse(&batch.encode());
        assert_eq!(read.counts(), batch.counts());
        let uses: Vec<_> = read.uses().collect();
        assert_eq!(uses, [("alpha/bundle/1", 2), ("alpha/bundle/2", 1)]);
        assert_eq!(Batch::parse("").counts(), &Counts::default());
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut batch = Batch::default();
        (0..5000).for_each(|number| batch.used(&format!("alpha/bundle/{number}")));
        assert_eq!(batch.uses().count(), BATCH_KEYS);
    }

    #[test]
    fn the_text_has_a_line_for_each_shard_and_counter() {
        let mut report =
            ShardReport { region: "weur".into(), shard: 2, used: 10, ..ShardReport::default() };
        report.counts.add(Counter::RegionHits, 7);
        assert_eq!(ShardReport::parse(&report.encode()), Some(report.clone()));
        let deployment = Deployment { release: "0.1.0".into(), deployment: "a\"b".into() };
        let text = render(&deployment, &[report], 1);
        let line = "packice_hits_total{region=\"weur\",shard=\"2\",tier=\"region\",\
                    release=\"0.1.0\",deployment=\"a\\\"b\"} 7";
        assert!(text.lines().any(|own| own == line), "{text}");
        assert!(text.contains("packice_region_bytes{region=\"weur\",shard=\"2\",release"));
        assert_eq!(text.matches("# TYPE packice_hits_total counter").count(), 1);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<u64>().is_ok(), "{line}");
        }
    }
}
