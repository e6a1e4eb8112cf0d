//! `sim RUNS SEED [--explain]`: that many runs from a seed on, on all processors; one line of JSON
//! at the end. A failing run is shrunk and printed as a scenario for tests/tests/sim.rs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use packice_tests::sim::{Scenario, run};

thread_local! {
    static SEED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let (Some(runs), Some(first)) = (number(0), number(1)) else {
        eprintln!("sim RUNS SEED [--explain]");
        return std::process::ExitCode::from(2);
    };
    let explain = words.get(2).is_some_and(|word| word == "--explain");
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("the run of seed {} panics", SEED.get());
        usual(info);
    }));
    // The data sets are made once, before the clock starts.
    _ = run(&Scenario::of(first), false);
    let (next, violations, begun) = (AtomicU64::new(0), AtomicU64::new(0), Instant::now());
    let (steps, requests, most) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (answers, rows) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= runs {
                return;
            }
            let seed = first + at;
            SEED.set(seed);
            match run(&Scenario::of(seed), explain) {
                Ok(ran) => {
                    steps.fetch_add(ran.steps, Ordering::Relaxed);
                    requests.fetch_add(ran.requests, Ordering::Relaxed);
                    most.fetch_max(ran.requests, Ordering::Relaxed);
                    answers.fetch_add(ran.answers, Ordering::Relaxed);
                    rows.fetch_add(ran.rows, Ordering::Relaxed);
                    if explain {
                        eprintln!("seed {seed}: holds\n{}", ran.story.join("\n"));
                    }
                }
                Err(what) => {
                    eprintln!("seed {seed}: {what}");
                    if violations.fetch_add(1, Ordering::Relaxed) < 3 {
                        let least = Scenario::of(seed).shrunk(&|plan| run(plan, false).is_err());
                        eprintln!("shrunk: {least:#?}\n{}", run(&least, true).unwrap_err());
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let violations = violations.into_inner();
    let report = serde_json::json!({
        "runs": runs, "seed": first, "violations": violations, "threads": threads,
        "seconds": begun.elapsed().as_secs_f64(), "steps": steps.into_inner(),
        "requests": requests.into_inner(), "requests_most": most.into_inner(),
        "answers": answers.into_inner(), "rows": rows.into_inner(),
    });
    println!("{report}");
    std::process::ExitCode::from(u8::from(violations > 0))
}
