//! What a run is made from: drawn from a seed, and made smaller where it fails.

use packice_core::engine::io::{FetchFailure, StoreFailure};
use packice_core::engine::{Command, Follow};

use super::CALM_MS;
use crate::publication::Publication;

/// A sequence of draws (splitmix64).
#[derive(Clone, Debug)]
pub struct Draw(pub u64);

impl Draw {
    /// The next draw.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A draw below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n.max(1)
    }

    /// Whether one of so many chances is drawn.
    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// What happens at a time. Seeds draw those down to [`Op::Within`]; the others are for scenarios
/// that are written by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A sync begins, or joins the one that runs.
    Sync,
    /// A key of a collection is read.
    Get(usize, u64),
    /// The next version is there.
    Publish,
    /// The client dies.
    Crash,
    /// It dies at the n-th write from here, before or after the rows are in the store.
    CrashAtWrite {
        /// Which one, from 1.
        nth: u64,
        /// Whether nothing of it is written.
        before: bool,
    },
    /// The clock jumps ahead, in milliseconds.
    Jump(u64),
    /// A source is cut off for so many milliseconds.
    Partition(usize, u64),
    /// The shell gives idle time.
    Idle,
    /// Syncs yield from now on, or no more.
    Yield(bool),
    /// A sync that runs should be over in so many milliseconds.
    Within(u64),
    /// A command.
    Ask(Command),
    /// The client keeps up by itself.
    Follow(Follow),
    /// So many of the next transactions fail.
    StoreFails(StoreFailure, u64),
    /// The rows whose keys begin so are lost.
    Lose(&'static str),
    /// A bit of each of them is another.
    Damage(&'static str),
    /// A source is removed.
    Remove(usize),
    /// The lines that are open break.
    HangUp,
}

/// What a source does to an answer, but for the honest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A bit is another.
    Flip,
    /// The end is missing, and the length says otherwise.
    Truncate,
    /// Bytes follow.
    Extend,
    /// Another object, whole.
    Swap,
    /// The same path, of the first version.
    Old,
    /// A page of HTML with status 200.
    Html,
    /// 404.
    Missing,
}

/// A source and its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePlan {
    /// Half of the shortest round trip, in milliseconds; up to as much again is drawn.
    pub latency_ms: u64,
    /// Bandwidth of one connection.
    pub bytes_per_ms: u64,
    /// How many versions behind it is, until the end.
    pub lag: usize,
    /// Faults of the link in a thousand answers, until the calm.
    pub faults: u64,
    /// What it does to every other answer, until the end.
    pub lies: Vec<Lie>,
    /// Whether it keeps lines open, and tells of versions on them.
    pub live: bool,
    /// Whether it is a file that came with the application.
    pub seed: bool,
}

/// A body and how it breaks off, or no body.
type Served = Result<(Vec<u8>, Option<FetchFailure>), FetchFailure>;

impl SourcePlan {
    /// An honest source on a line without faults.
    pub fn good(latency_ms: u64, bytes_per_ms: u64) -> Self {
        let lies = Vec::new();
        Self { latency_ms, bytes_per_ms, lag: 0, faults: 0, lies, live: false, seed: false }
    }

    pub(super) fn serve(
        &self,
        draw: &mut Draw,
        body: Option<Vec<u8>>,
        range: Option<(u64, u64)>,
        stale: &Publication,
        path: &str,
        calm: bool,
    ) -> Served {
        let missing = FetchFailure::Status { status: 404, retry_after_ms: None };
        let mut body = body.ok_or(missing.clone())?;
        let cut = |body: &[u8]| match range {
            None => Ok(body.to_vec()),
            Some((start, len)) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let end = place(start.saturating_add(len));
                // Of a file of the application there are just fewer bytes past its end.
                let (start, end) = match self.seed {
                    true => (start.min(body.len() as u64), end.min(body.len())),
                    false => (start, end),
                };
                body.get(place(start)..end).map(<[u8]>::to_vec).ok_or(FetchFailure::WrongRange)
            }
        };
        if !calm && draw.below(1000) < self.faults {
            let body = cut(&body)?;
            let retry_after_ms = (draw.below(2) == 0).then(|| draw.below(5_000));
            return match draw.below(5) {
                0 => Err(FetchFailure::Network),
                1 => Err(FetchFailure::Timeout),
                2 => Err(FetchFailure::Status { status: 429, retry_after_ms }),
                3 => Err(FetchFailure::Status { status: 500, retry_after_ms: None }),
                _ => {
                    let keep = usize::try_from(draw.below(body.len() as u64 + 1)).expect("small");
                    Ok((body[..keep].to_vec(), Some(FetchFailure::Network)))
                }
            };
        }
        if self.lies.is_empty() || draw.below(2) == 0 {
            return Ok((cut(&body)?, None));
        }
        let which = usize::try_from(draw.below(self.lies.len() as u64)).expect("small");
        match self.lies[which] {
            Lie::Old => body = stale.files.get(path).cloned().unwrap_or(body),
            Lie::Swap => {
                let count = stale.files.len() as u64;
                let other = usize::try_from(draw.below(count)).expect("small");
                body = stale.files.values().nth(other).cloned().expect("a file");
            }
            Lie::Html => body = b"<!doctype html><title>502 Bad Gateway</title>".to_vec(),
            Lie::Missing => return Err(missing),
            Lie::Flip | Lie::Truncate | Lie::Extend => {}
        }
        let mut body = cut(&body)?;
        let at = usize::try_from(draw.below(body.len().max(1) as u64)).expect("small");
        match self.lies[which] {
            Lie::Flip if !body.is_empty() => body[at] ^= 1 << (draw.below(8)),
            Lie::Truncate => body.truncate(at),
            Lie::Extend => body.extend_from_slice(b"more"),
            _ => {}
        }
        Ok((body, None))
    }
}

/// A whole run. Source 0 is honest, and its link is whole from the calm on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What latencies, faults and lies are drawn from.
    pub seed: u64,
    /// Which of the data sets.
    pub set: usize,
    /// Milliseconds that each access of the store takes.
    pub disk_ms: u64,
    /// Milliseconds that each turn of work takes; seeds have a processor that takes none.
    pub work_ms: u64,
    /// The sources.
    pub sources: Vec<SourcePlan>,
    /// What happens, and when, in milliseconds from the start.
    pub ops: Vec<(u64, Op)>,
}

impl Scenario {
    /// The run of a seed.
    pub fn of(seed: u64) -> Self {
        let mut draw = Draw(seed ^ 0x5eed);
        let set = [0, 0, 0, 0, 0, 1, 1, 2][usize::try_from(draw.below(8)).expect("small")];
        let disk_ms = [0, 1, 5, 40, 400][usize::try_from(draw.below(5)).expect("small")];
        let count = 1 + draw.below(3);
        let sources = (0..count).map(|at| Self::source(&mut draw, at == 0)).collect();
        let mut ops = vec![(draw.below(100), Op::Sync)];
        for _ in 0..2 + draw.below(9) {
            let op = Self::op(&mut draw);
            ops.push((draw.below(CALM_MS / 2), op));
        }
        Self { seed, set, disk_ms, work_ms: 0, sources, ops }
    }

    fn source(draw: &mut Draw, honest: bool) -> SourcePlan {
        let pick = |draw: &mut Draw, of: &[u64]| {
            of[usize::try_from(draw.below(of.len() as u64)).expect("small")]
        };
        let latency_ms = pick(draw, &[1, 10, 50, 300]);
        let bytes_per_ms = pick(draw, &[10, 100, 1_000, 20_000]);
        let faults = pick(draw, &[0, 0, 50, 300, 900]);
        let all =
            [Lie::Flip, Lie::Truncate, Lie::Extend, Lie::Swap, Lie::Old, Lie::Html, Lie::Missing];
        let lies = all.into_iter().filter(|_| !honest && draw.below(3) == 0).collect();
        let lag = usize::try_from(draw.below(3)).expect("small");
        let lag = if honest { 0 } else { lag };
        SourcePlan { lag, faults, lies, ..SourcePlan::good(latency_ms, bytes_per_ms) }
    }

    fn op(draw: &mut Draw) -> Op {
        match draw.below(18) {
            0..3 => Op::Sync,
            3..7 => Op::Get(usize::try_from(draw.below(3)).expect("small"), draw.below(130)),
            7..10 => Op::Publish,
            10 => Op::Crash,
            11 | 12 => Op::CrashAtWrite { nth: 1 + draw.below(6), before: draw.below(2) == 0 },
            13 => Op::Jump(1 << draw.below(32)),
            14 => Op::Partition(usize::try_from(draw.below(3)).expect("small"), draw.below(30_000)),
            15 => Op::Yield(draw.below(3) > 0),
            16 => Op::Within(draw.below(20_000)),
            _ => Op::Idle,
        }
    }

    /// Every scenario that is one part smaller.
    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            if next != *self {
                all.push(next);
            }
        };
        for at in 0..self.ops.len() {
            add(&|next| _ = next.ops.remove(at));
        }
        for at in 0..self.sources.len() {
            if at > 0 {
                add(&|next| _ = next.sources.remove(at));
            }
            add(&|next| next.sources[at].faults = 0);
            add(&|next| next.sources[at].lag = 0);
            for lie in 0..self.sources[at].lies.len() {
                add(&|next| _ = next.sources[at].lies.remove(lie));
            }
        }
        add(&|next| next.disk_ms = 0);
        add(&|next| next.set = 0);
        all
    }

    /// The smallest scenario that is reached by leaving parts out and for which `fails` holds.
    #[must_use]
    pub fn shrunk(self, fails: &dyn Fn(&Self) -> bool) -> Self {
        let mut least = self;
        while let Some(next) = least.smaller().into_iter().find(|next| fails(next)) {
            least = next;
        }
        least
    }
}
