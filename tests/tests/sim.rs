//! The simulator: many seeds without a broken invariant, each the same twice, and what it finds
//! when a source or a store is not what the scenario says.

use packice_tests::sim::{Op, Scenario, SourcePlan, run};

#[test]
fn two_thousand_runs_break_no_invariant() {
    let failed: Vec<String> = std::thread::scope(|scope| {
        let part = |thread: u64| {
            scope.spawn(move || {
                (0..1000).find_map(|at| {
                    let seed = 1 + thread * 1000 + at;
                    run(&Scenario::of(seed), false).err().map(|what| format!("{seed}: {what}"))
                })
            })
        };
        let parts: Vec<_> = (0..2).map(part).collect();
        parts.into_iter().filter_map(|part| part.join().expect("no panic")).collect()
    });
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn a_seed_replays_into_the_same_trace() {
    for seed in 0..40 {
        let scenario = Scenario::of(seed);
        assert_eq!(run(&scenario, true), run(&scenario, true), "seed {seed}");
    }
    let digest = |seed| run(&Scenario::of(seed), false).expect("it holds").digest;
    assert_ne!(digest(1), digest(2));
}

#[test]
fn without_a_source_the_missing_progress_is_found() {
    let mut scenario = Scenario::of(1);
    scenario.sources.clear();
    let what = run(&scenario, false).expect_err("nobody has the data");
    assert!(what.starts_with("no progress"), "{what}");
}

#[test]
fn a_scenario_shrinks_to_the_parts_that_matter() {
    let crashes = |op: &Op| matches!(op, Op::Crash | Op::CrashAtWrite { .. });
    let fits = |plan: &Scenario| {
        plan.ops.len() > 8 && plan.sources.len() > 1 && !plan.ops.iter().any(|(_, op)| crashes(op))
    };
    let mut scenario = (0..).map(Scenario::of).find(fits).expect("one of many");
    scenario.ops.push((10_000, Op::Crash));
    let dies = |plan: &Scenario| {
        run(plan, true).is_ok_and(|ran| ran.story.iter().any(|line| line.contains("dies")))
    };
    let least = scenario.shrunk(&dies);
    assert_eq!((least.ops, least.sources.len()), (vec![(10_000, Op::Crash)], 1));
}

/// A first sync of megabytes from sources that give so many bytes a millisecond on each
/// connection: how long it takes.
fn synced_ms(rates: &[u64]) -> u64 {
    let sources = rates.iter().map(|rate| SourcePlan::good(20, *rate)).collect();
    let ops = vec![(0, Op::Sync)];
    let scenario = Scenario { seed: 1, set: 3, disk_ms: 1, work_ms: 0, sources, ops };
    run(&scenario, false).expect("it holds").synced_ms
}

#[test]
fn several_sources_serve_one_sync_and_a_slow_one_does_not_hold_it_up() {
    let alone = synced_ms(&[100]);
    for beside in [[100, 10], [100, 1]] {
        let both = synced_ms(&beside);
        // What was begun there is given up after 4 s at the latest.
        assert!(both <= alone + alone / 4 + 4000, "{beside:?}: {both} ms, {alone} ms alone");
    }
    let three = synced_ms(&[100; 3]);
    assert!(three <= alone, "three: {three} ms, {alone} ms alone");
}

#[test]
fn the_last_bundle_is_asked_of_a_second_source_that_may_be_done_first() {
    let (alone, both) = (synced_ms(&[100]), synced_ms(&[100, 50]));
    // Left with whom it was begun, it takes a fifth longer.
    assert!(both <= alone + alone / 8, "{both} ms, {alone} ms alone");
}
