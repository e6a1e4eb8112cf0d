//! `sim_bugs RUNS`: plants each bug of `packice_core::planted` in turn and runs the simulator's
//! seeds from 1 on until an invariant breaks, RUNS of them at most; one line of JSON at the end.
//! Without a bug, as many seeds as the slowest one needed must hold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use packice_core::planted::{Bug, plant};
use packice_tests::sim::{Scenario, run};
use serde_json::json;

/// The first seed that breaks an invariant, and how.
fn first_broken(runs: u64) -> Option<(u64, String)> {
    let (next, found) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > runs || found.load(Ordering::Relaxed) < seed {
                return;
            }
            if broken(seed).is_some() {
                found.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let seed = found.into_inner();
    (seed <= runs).then(|| (seed, broken(seed).unwrap_or_default()))
}

/// How the run of a seed breaks an invariant; a panic is one too.
fn broken(seed: u64) -> Option<String> {
    let ran = catch_unwind(AssertUnwindSafe(|| run(&Scenario::of(seed), false)));
    let what = match ran {
        Ok(ran) => ran.err()?,
        Err(_) => "it panics".to_owned(),
    };
    what.lines().next().map(str::to_owned)
}

fn main() -> std::process::ExitCode {
    let Some(runs) = std::env::args().nth(1).and_then(|word| word.parse::<u64>().ok()) else {
        eprintln!("sim_bugs RUNS");
        return std::process::ExitCode::from(2);
    };
    std::panic::set_hook(Box::new(|_| {}));
    let (mut bugs, mut least) = (Vec::new(), 100);
    for bug in Bug::ALL {
        plant(Some(bug));
        let name = format!("{bug:?}");
        let found = first_broken(runs);
        match &found {
            Some((seed, what)) => eprintln!("{name}: seed {seed}: {what}"),
            None => eprintln!("{name}: not found in {runs} runs"),
        }
        least = found.as_ref().map_or(least, |(seed, _)| least.max(*seed));
        let (seed, what) = found.unzip();
        bugs.push(json!({"bug": name, "seed": seed, "what": what}));
    }
    plant(None);
    let without = first_broken(least);
    let found = bugs.iter().filter(|bug| !bug["seed"].is_null()).count();
    println!(
        "{}",
        json!({"found": found, "planted": bugs.len(), "bugs": bugs,
        "without_a_bug": {"runs": least, "broken": without.is_some()}})
    );
    std::process::ExitCode::from(u8::from(found < Bug::ALL.len() || without.is_some()))
}
