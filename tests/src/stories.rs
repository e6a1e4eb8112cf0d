//! Stories: runs of the simulator that are written by hand, one for each thing that can happen to a
//! client, told in words. They are frozen in tests/stories: a change of what the engine decides
//! shows there as a change of text, request by request, for whoever reads it to agree with.
//!
//! `cargo run -p packice-tests --bin stories` writes them anew.

use packice_core::engine::io::{KeyRange, RangeQuery, ReadId, StoreFailure};
use packice_core::engine::{Command, Follow};
use packice_core::types::Version;

use crate::publication::numbered_record;
use crate::sim::{Lie, Op, Scenario, SourcePlan, run, story};

/// A story: a run, and what it is about.
#[derive(Debug)]
pub struct Story {
    /// The name of its file.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    scenario: Scenario,
    /// When it ends.
    end_ms: u64,
}

impl Story {
    /// The story in words, one line after the other.
    ///
    /// # Panics
    ///
    /// If an invariant breaks.
    pub fn told(&self) -> String {
        let lines = story(&self.scenario, self.end_ms);
        let lines = lines.unwrap_or_else(|what| panic!("{}: {what}", self.name));
        let (about, sources) = (self.about, &self.scenario.sources);
        let mut text = format!("{about}\n\n");
        for (at, source) in sources.iter().enumerate() {
            text += &format!("source-{at}: {}\n", source_words(source));
        }
        text + &format!("store: {} ms an access\n\n", self.scenario.disk_ms)
            + &lines.join("\n")
            + "\n"
    }
}

fn source_words(source: &SourcePlan) -> String {
    let SourcePlan { latency_ms, bytes_per_ms, lag, faults, lies, live, seed } = source;
    let mut words = format!("{latency_ms} ms away, {bytes_per_ms} bytes a ms");
    let more = [
        (*lag > 0, format!(", {lag} versions behind")),
        (*faults > 0, format!(", {faults} of 1000 answers fail")),
        (!lies.is_empty(), format!(", every other answer is a lie of {lies:?}")),
        (*live, ", tells of versions".into()),
        (*seed, ", a file of the application".into()),
    ];
    words.extend(more.into_iter().filter(|(holds, _)| *holds).map(|(_, words)| words));
    words
}

/// The data sets of the simulator: two small ones, one with bundles of half a megabyte.
const SMALL: usize = 1;
const LARGER: usize = 2;
const MEGABYTES: usize = 3;

/// The collections of each.
const CONFIG: usize = 0;
const HEADERS: usize = 1;
const TOKENS: usize = 2;

fn good() -> SourcePlan {
    SourcePlan::good(20, 100)
}

fn liar(lies: &[Lie]) -> SourcePlan {
    SourcePlan { lies: lies.to_vec(), ..SourcePlan::good(5, 100) }
}

fn ask(command: Command) -> Op {
    Op::Ask(command)
}

fn key(number: u64) -> Vec<u8> {
    numbered_record(number, 0).0
}

fn prove(read: u64, number: u64) -> Op {
    let (collection, key) = ("headers".into(), key(number));
    ask(Command::Prove { read: ReadId(read), collection, key, version: None })
}

fn get_at(read: u64, number: u64, version: u64) -> Op {
    let (collection, key, version) = ("headers".into(), key(number), Some(Version(version)));
    ask(Command::Get { read: ReadId(read), collection, key, version })
}

fn range(read: u64, start: u64, end: u64, limit: usize) -> Op {
    let (start, end) = (key(start), Some(key(end)));
    let range = RangeQuery { collection: "headers".into(), start, end, limit, at: None };
    ask(Command::Range { read: ReadId(read), range, version: None })
}

fn subscribe(ranges: &[(u64, u64)]) -> Op {
    let range = |(start, end): &(u64, u64)| KeyRange { start: key(*start), end: Some(key(*end)) };
    let ranges = ranges.iter().map(range).collect();
    ask(Command::Subscribe(vec![("headers".into(), ranges)]))
}

/// Idle time, so often, a quarter of a second apart.
fn idle(from: u64, times: u64) -> impl Iterator<Item = (u64, Op)> {
    (0..times).map(move |at| (from + 250 * at, Op::Idle))
}

struct Telling(Vec<Story>);

impl Telling {
    fn add(
        &mut self,
        name: &'static str,
        about: &'static str,
        (set, disk_ms): (usize, u64),
        sources: impl IntoIterator<Item = SourcePlan>,
        ops: impl IntoIterator<Item = (u64, Op)>,
    ) {
        let mut ops: Vec<(u64, Op)> = ops.into_iter().collect();
        let last = ops.iter().map(|(at, _)| *at).max().unwrap_or(0);
        let end_ms = last + 30_000;
        ops.push((end_ms - 1, ask(Command::Status)));
        let sources = sources.into_iter().collect();
        let scenario = Scenario { seed: self.0.len() as u64 + 1, set, disk_ms, sources, ops };
        self.0.push(Story { name, about, scenario, end_ms });
    }
}

/// All of them.
pub fn all() -> Vec<Story> {
    let mut telling = Telling(Vec::new());
    sync(&mut telling);
    sources(&mut telling);
    changes(&mut telling);
    reads(&mut telling);
    store(&mut telling);
    following(&mut telling);
    telling.0
}

fn sync(telling: &mut Telling) {
    let once = [(0, Op::Sync)];
    telling.add(
        "first-sync",
        "A first sync of three small collections.",
        (SMALL, 5),
        [good()],
        once.clone(),
    );
    telling.add(
        "megabytes-from-two-sources",
        "Megabytes come from two sources, one half as fast, and the last bundles are raced.",
        (MEGABYTES, 2),
        [good(), SourcePlan::good(40, 50)],
        once.clone(),
    );
    telling.add(
        "megabytes-and-a-slow-store",
        "A store that takes 400 ms an access is slower than the network, and is said to be.",
        (MEGABYTES, 400),
        [SourcePlan::good(5, 5_000)],
        [(0, Op::Sync), (50, Op::Within(2_000))],
    );
    telling.add(
        "a-deadline-that-cannot-be-met",
        "A sync that should be over in three seconds is told to be late, while it is.",
        (MEGABYTES, 2),
        [SourcePlan::good(20, 60), SourcePlan::good(80, 30)],
        [(0, Op::Sync), (100, Op::Within(3_000))],
    );
    telling.add(
        "a-sync-that-yields",
        "A sync that yields takes one transfer at a time, and all again when it need not.",
        (MEGABYTES, 2),
        [good()],
        [(0, Op::Sync), (1, Op::Yield(true)), (9_000, Op::Yield(false))],
    );
    telling.add(
        "a-sync-that-is-cancelled",
        "A sync that is cancelled ends; what was stored is not fetched again.",
        (MEGABYTES, 2),
        [good()],
        [(0, Op::Sync), (7_000, ask(Command::CancelSync)), (9_000, Op::Sync)],
    );
    let crashes =
        (1..=5).map(|nth| (3_000 * nth, Op::CrashAtWrite { nth: 1, before: nth % 2 == 0 }));
    let syncs = (0..6).map(|nth| (3_000 * nth + 1, Op::Sync));
    telling.add(
        "a-client-that-dies-at-each-write",
        "The client dies before or after each of its first writes; the next one goes on.",
        (SMALL, 5),
        [SourcePlan::good(10, 2)],
        [(0, Op::CrashAtWrite { nth: 1, before: false })].into_iter().chain(crashes).chain(syncs),
    );
}

fn sources(telling: &mut Telling) {
    let once = [(0, Op::Sync)];
    let lies =
        [Lie::Flip, Lie::Truncate, Lie::Extend, Lie::Swap, Lie::Old, Lie::Html, Lie::Missing];
    telling.add(
        "a-source-that-lies",
        "The nearest source changes a bit of every other answer. What happens when a source lies: \
         its bytes are dropped, it is named and banned, the rest comes from the honest one.",
        (LARGER, 5),
        [liar(&[Lie::Flip]), SourcePlan::good(60, 100)],
        [(0, Op::Sync), (20_000, Op::Publish), (20_001, Op::Sync)],
    );
    telling.add(
        "a-source-that-lies-in-every-way",
        "One source lies in seven ways, one is honest; four versions are synced.",
        (SMALL, 5),
        [liar(&lies), SourcePlan::good(60, 100)],
        (0..4).flat_map(|at| [(15_000 * at, Op::Sync), (15_000 * at + 9_000, Op::Publish)]),
    );
    telling.add(
        "a-source-that-lies-alone",
        "Alone, a source that lies is not given the last word: the sync fails, the next one asks it again.",
        (LARGER, 5),
        [liar(&[Lie::Flip, Lie::Swap])],
        (0..4).map(|at| (10_000 * at, Op::Sync)),
    );
    telling.add(
        "a-source-that-is-cut-off",
        "One of two sources is cut off in the middle; what was asked of it is asked of the other.",
        (MEGABYTES, 2),
        [good(), good()],
        [(0, Op::Sync), (2_000, Op::Partition(1, 20_000))],
    );
    telling.add(
        "the-only-source-is-cut-off",
        "The only source is cut off for ten seconds: pauses grow, and nothing is asked in them.",
        (SMALL, 5),
        [good()],
        [(0, Op::Partition(0, 10_000)), (0, Op::Sync), (3_000, Op::Get(HEADERS, 7))],
    );
    telling.add(
        "sources-that-fail-often",
        "Three of ten answers fail, with 429, 500, time-outs and bodies that break off.",
        (MEGABYTES, 2),
        [
            SourcePlan { faults: 300, ..good() },
            SourcePlan { faults: 300, ..SourcePlan::good(50, 80) },
        ],
        once.clone(),
    );
    telling.add(
        "a-source-that-is-slow",
        "One source gives a hundredth of the other: what was begun there is given up.",
        (MEGABYTES, 2),
        [good(), SourcePlan::good(20, 1)],
        once.clone(),
    );
    telling.add(
        "three-sources-near-and-far",
        "Three sources, 5, 100 and 400 ms away: the nearest is asked first.",
        (MEGABYTES, 2),
        [SourcePlan::good(400, 100), SourcePlan::good(100, 100), SourcePlan::good(5, 100)],
        once.clone(),
    );
    telling.add(
        "a-source-that-is-behind",
        "A source is two versions behind another; its client goes to the newest, and not back.",
        (SMALL, 5),
        [SourcePlan::good(60, 100), SourcePlan { lag: 2, ..SourcePlan::good(5, 100) }],
        [
            (0, Op::Sync),
            (10_000, Op::Publish),
            (10_001, Op::Sync),
            (20_000, Op::Publish),
            (20_001, Op::Publish),
            (20_002, Op::Sync),
        ],
    );
    telling.add(
        "a-source-is-removed",
        "A source that is no more wanted is asked for nothing more.",
        (MEGABYTES, 2),
        [good(), good()],
        [(0, Op::Sync), (3_000, Op::Remove(1))],
    );
    telling.add(
        "a-seed",
        "The version before came with the application: it is read and synced from there, the newest \
         from the network.",
        (LARGER, 5),
        [good(), SourcePlan { seed: true, lag: 1, ..SourcePlan::good(0, 1_000) }],
        [
            (0, Op::Publish),
            (1, Op::Get(HEADERS, 80)),
            (1_000, Op::Sync),
            (9_000, Op::Publish),
            (9_001, Op::Sync),
        ],
    );
    telling.add(
        "a-seed-without-a-network",
        "The seed alone: a first run offline, and what a sync says once the network is there.",
        (LARGER, 5),
        [good(), SourcePlan { seed: true, ..SourcePlan::good(0, 1_000) }],
        [
            (0, Op::Partition(0, 40_000)),
            (0, Op::Sync),
            (5_000, Op::Get(TOKENS, 8)),
            (41_000, Op::Sync),
        ],
    );
    telling.add(
        "a-seed-that-is-damaged",
        "A seed in which bits are others is blamed, and the network serves.",
        (LARGER, 5),
        [good(), SourcePlan { seed: true, lies: vec![Lie::Flip], ..SourcePlan::good(0, 1_000) }],
        [(0, Op::Sync), (9_000, Op::Get(HEADERS, 8))],
    );
}

fn changes(telling: &mut Telling) {
    let four = |telling: &mut Telling, name, about, sources: Vec<SourcePlan>| {
        let versions = (0..4).flat_map(|at| {
            [(12_000 * at, Op::Sync), (12_000 * at + 9_000, Op::Publish)]
                .into_iter()
                .chain(idle(12_000 * at + 3_000, 20))
        });
        telling.add(name, about, (LARGER, 5), sources, versions);
    };
    four(
        telling,
        "four-versions",
        "Four versions one after the other, by deltas, with idle time between them: layers are \
         merged, frames are audited.",
        vec![good()],
    );
    four(
        telling,
        "four-versions-on-a-fast-line",
        "The same on a line so fast that what is applied takes longer than what is fetched.",
        vec![SourcePlan::good(1, 50_000)],
    );
    four(
        telling,
        "four-versions-from-sources-that-fail",
        "The same from two sources of which one fails and one lies.",
        vec![SourcePlan { faults: 300, ..good() }, liar(&[Lie::Flip, Lie::Truncate, Lie::Missing])],
    );
    telling.add(
        "away-for-three-versions",
        "A client that was away for a day asks for the head at once.",
        (LARGER, 5),
        [good()],
        [
            (0, Op::Sync),
            (5_000, Op::Publish),
            (5_001, Op::Publish),
            (5_002, Op::Jump(86_400_000)),
            (6_000, Op::Sync),
            (16_000, Op::Publish),
            (16_001, Op::Sync),
        ],
    );
    telling.add(
        "a-version-comes-during-a-sync",
        "A version is released while an older one is synced.",
        (MEGABYTES, 2),
        [good()],
        [(0, Op::Sync), (3_000, Op::Publish), (15_000, Op::Sync), (40_000, Op::Sync)],
    );
    telling.add(
        "going-back",
        "Two versions are kept, one is pinned; the client goes back, reads, dies, and on again with \
         what is newer.",
        (LARGER, 5),
        [good()],
        [
            (0, ask(Command::Keep(2))),
            (1, Op::Sync),
            (3_000, ask(Command::Pin(Version(1)))),
            (4_000, Op::Publish),
            (4_001, Op::Sync),
            (8_000, Op::Publish),
            (8_001, Op::Sync),
            (12_000, ask(Command::RollBack(Version(1)))),
            (13_000, Op::Get(HEADERS, 47)),
            (13_500, get_at(900, 47, 3)),
            (13_600, get_at(901, 47, 9)),
            (14_000, Op::Sync),
            (16_000, Op::Crash),
            (17_000, Op::Get(HEADERS, 47)),
            (18_000, Op::Publish),
            (18_001, Op::Sync),
            (22_000, ask(Command::Unpin(Version(1)))),
            (23_000, ask(Command::Keep(0))),
            (24_000, ask(Command::RollBack(Version(2)))),
            (25_000, Op::Idle),
        ],
    );
    telling.add(
        "a-part-of-a-collection",
        "A client holds two ranges of a collection, then others, then all.",
        (LARGER, 5),
        [good()],
        [
            (0, subscribe(&[(20, 60), (300, 320)])),
            (1, Op::Sync),
            (4_000, Op::Get(HEADERS, 47)),
            (5_000, Op::Get(HEADERS, 200)),
            (9_000, Op::Publish),
            (9_001, Op::Sync),
            (14_000, Op::Crash),
            (15_000, subscribe(&[(250, 320)])),
            (15_001, Op::Publish),
            (15_002, Op::Sync),
            (20_000, ask(Command::Subscribe(Vec::new()))),
            (21_000, Op::Sync),
        ]
        .into_iter()
        .chain(idle(25_000, 12)),
    );
    telling.add(
        "an-audit",
        "Idle time is used to look through what is stored; a damaged bundle is found and fetched again.",
        (MEGABYTES, 2),
        [good()],
        [(0, Op::Sync), (29_000, Op::Damage("bundle/")), (59_000, Op::Crash), (60_000, Op::Sync)]
            .into_iter()
            .chain(idle(30_000, 20))
            .chain(idle(61_000, 20)),
    );
}

fn reads(telling: &mut Telling) {
    telling.add(
        "reads-before-any-sync",
        "Reads of a client that holds nothing: each fetches what it needs, and no more.",
        (LARGER, 5),
        [good()],
        [
            (0, Op::Get(HEADERS, 47)),
            (1_000, Op::Get(HEADERS, 47)),
            (2_000, Op::Get(TOKENS, 129)),
            (3_000, prove(900, 90)),
            (4_000, prove(901, 1_900)),
            (5_000, range(902, 30, 140, 500)),
            (6_000, range(903, 30, 140, 7)),
            (7_000, Op::Get(CONFIG, 2)),
            (8_000, Op::Sync),
            (12_000, range(904, 100, 300, 40)),
        ],
    );
    telling.add(
        "reads-beside-a-sync",
        "Reads come first: they are asked for before the bundles that nobody waits for.",
        (MEGABYTES, 2),
        [good()],
        [
            (0, Op::Sync),
            (700, Op::Get(TOKENS, 120)),
            (1_500, Op::Get(TOKENS, 90)),
            (2_200, Op::Get(HEADERS, 1)),
        ],
    );
    telling.add(
        "a-read-that-is-cancelled",
        "Nobody waits for a read that was cancelled.",
        (LARGER, 5),
        [SourcePlan::good(500, 100)],
        [(0, prove(900, 90)), (700, prove(901, 91)), (900, ask(Command::CancelRead(ReadId(900))))],
    );
    telling.add(
        "reads-without-a-network",
        "What is not here and not to be had is unknown, and said to be.",
        (LARGER, 5),
        [good()],
        [
            (0, Op::Get(HEADERS, 47)),
            (2_000, Op::Partition(0, 50_000)),
            (2_001, Op::Get(HEADERS, 210)),
            (9_000, Op::Get(TOKENS, 5)),
            (50_000, Op::Get(TOKENS, 5)),
        ],
    );
}

fn store(telling: &mut Telling) {
    telling.add(
        "a-store-that-is-full",
        "Transactions fail for want of space: the sync ends with that, and the next one goes on.",
        (LARGER, 5),
        [good()],
        [
            (0, Op::StoreFails(StoreFailure::Quota, 2)),
            (1, Op::Sync),
            (5_000, Op::Sync),
            (9_000, Op::Publish),
            (9_001, Op::StoreFails(StoreFailure::Io, 1)),
            (9_002, Op::Sync),
            (14_000, Op::Sync),
        ],
    );
    telling.add(
        "rows-that-are-lost",
        "Rows are lost beneath the client, of one kind after the other; they come again.",
        (LARGER, 5),
        [good()],
        [
            (0, Op::Sync),
            (3_000, Op::Publish),
            (3_001, Op::Sync),
            (6_000, Op::Crash),
            (6_001, Op::Lose("bundle/")),
            (7_000, Op::Get(HEADERS, 47)),
            (8_000, Op::Sync),
            (12_000, Op::Crash),
            (12_001, Op::Lose("layer")),
            (13_000, Op::Get(HEADERS, 47)),
            (14_000, Op::Sync),
            (18_000, Op::Crash),
            (18_001, Op::Lose("layout/")),
            (19_000, Op::Get(HEADERS, 47)),
            (20_000, Op::Sync),
        ],
    );
    telling.add(
        "rows-that-are-damaged",
        "The same, damaged in place of lost, and then the state itself.",
        (LARGER, 5),
        [good()],
        [
            (0, Op::Sync),
            (3_000, Op::Publish),
            (3_001, Op::Sync),
            (6_000, Op::Crash),
            (6_001, Op::Damage("bundle/")),
            (7_000, Op::Get(HEADERS, 47)),
            (8_000, Op::Sync),
            (12_000, Op::Crash),
            (12_001, Op::Damage("layer")),
            (13_000, Op::Get(HEADERS, 47)),
            (14_000, Op::Sync),
            (18_000, Op::Crash),
            (18_001, Op::Damage("s")),
            (19_000, Op::Get(HEADERS, 47)),
            (20_000, Op::Sync),
        ],
    );
}

fn following(telling: &mut Telling) {
    let follow = |live| Op::Follow(Follow { live, poll_ms: 60_000 });
    telling.add(
        "following-by-asking",
        "A client that follows asks about once a minute.",
        (SMALL, 5),
        [good()],
        [
            (0, follow(false)),
            (100_000, Op::Publish),
            (200_000, Op::Publish),
            (400_000, Op::Partition(0, 1)),
        ],
    );
    telling.add(
        "following-live",
        "A client is told of versions on a line; when it breaks it comes back, ever later.",
        (LARGER, 5),
        [SourcePlan { live: true, ..good() }, SourcePlan { live: true, ..good() }],
        [
            (0, follow(true)),
            (10_000, Op::Publish),
            (20_000, Op::HangUp),
            (25_000, Op::HangUp),
            (35_000, Op::HangUp),
            (40_000, Op::Publish),
            (140_000, Op::HangUp),
            (150_000, Op::Publish),
        ],
    );
    telling.add(
        "following-live-behind",
        "Who tells of versions is behind, which costs it nothing; the newest is found by asking.",
        (SMALL, 5),
        [good(), SourcePlan { live: true, lag: 1, ..SourcePlan::good(5, 100) }],
        [
            (0, Op::Publish),
            (1, follow(true)),
            (30_000, Op::Publish),
            (200_000, Op::Publish),
            (300_000, Op::Idle),
        ],
    );
}

/// What random lives cost: requests, milliseconds to the first commit, and a digest of the story.
pub fn lives() -> String {
    let mut text = String::from(
        "The first hundred seeds of the simulator: steps, requests, rows and answers that were \
         checked, ms to the first commit, a digest of the story.\n\n",
    );
    for seed in 1..=100 {
        let ran = run(&Scenario::of(seed), true).expect("it holds");
        let digest = packice_core::hash::wire_name(ran.story.join("\n").as_bytes()).to_hex();
        text += &format!(
            "seed {seed:>3}: {:>4} {:>3} {:>4} {:>3} {:>6} {}\n",
            ran.steps,
            ran.requests,
            ran.rows,
            ran.answers,
            ran.synced_ms,
            &digest[..8]
        );
    }
    text
}
