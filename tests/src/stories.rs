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

mod changes;
mod held;
mod sync;

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
        text += &format!("store: {} ms an access\n", self.scenario.disk_ms);
        if self.scenario.work_ms > 0 {
            text += &format!("processor: {} ms a turn of work\n", self.scenario.work_ms);
        }
        text + "\n" + &lines.join("\n") + "\n"
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
    range_of("headers", read, start, end, limit)
}

fn range_of(collection: &str, read: u64, start: u64, end: u64, limit: usize) -> Op {
    let (start, end) = (key(start), Some(key(end)));
    let range = RangeQuery { collection: collection.into(), start, end, limit, at: None };
    ask(Command::Range { read: ReadId(read), range, version: None })
}

fn subscribe(collection: &str, ranges: &[(u64, u64)]) -> Op {
    let range = |(start, end): &(u64, u64)| KeyRange { start: key(*start), end: Some(key(*end)) };
    let ranges = ranges.iter().map(range).collect();
    ask(Command::Subscribe(vec![(collection.into(), ranges)]))
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
        let scenario = Scenario { seed: 1, set, disk_ms, work_ms: 0, sources, ops };
        self.0.push(Story { name, about, scenario, end_ms });
    }

    /// The last story once more, on a processor that takes its time.
    fn slowly(&mut self, name: &'static str, about: &'static str, work_ms: u64) {
        let last = self.0.last().expect("a story");
        let scenario = Scenario { work_ms, ..last.scenario.clone() };
        self.0.push(Story { name, about, scenario, end_ms: last.end_ms });
    }
}

/// All of them.
pub fn all() -> Vec<Story> {
    let mut telling = Telling(Vec::new());
    sync::sync(&mut telling);
    sync::sources(&mut telling);
    changes::changes(&mut telling);
    changes::parts(&mut telling);
    held::reads(&mut telling);
    held::store(&mut telling);
    changes::following(&mut telling);
    telling.0
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
