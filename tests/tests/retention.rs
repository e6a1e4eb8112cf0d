//! Nothing that a live version, an unfinished upload or a promise needs is ever removed, whatever
//! order collectors, publishers and slow removals come in; and each rule is needed for that.

use packice_tests::keeping::{Keeping, Mutation, Ran};

const SCHEDULES: u64 = 1000;
const STEPS: u64 = 600;

#[test]
fn in_a_thousand_schedules_nothing_needed_is_ever_gone() {
    let mut all = Ran::default();
    for seed in 0..SCHEDULES {
        let ran = Keeping::new(seed, Mutation::None).run(STEPS);
        let ran = ran.unwrap_or_else(|missing| panic!("seed {seed}: {missing}"));
        all.released += ran.released;
        all.removed += ran.removed;
        all.rescued += ran.rescued;
        all.refused += ran.refused;
    }
    println!("{all:?}");
    // The schedules are worth something only if all of this happens in them.
    assert!(all.released > 1000 && all.removed > 1000 && all.rescued > 100 && all.refused > 10);
}

#[test]
fn without_any_one_of_the_rules_something_needed_is_lost() {
    for mutation in Mutation::ALL {
        let lost =
            (0..5 * SCHEDULES).find_map(|seed| Keeping::new(seed, mutation).run(STEPS).err());
        let lost = lost.unwrap_or_else(|| panic!("{mutation:?} does no harm"));
        println!("{mutation:?}: {lost}");
    }
}
