//! The engine under random lives of a client: random data, random orders of syncs, reads,
//! cancellations, crashes and damage, with one honest and one lying source. What must hold is in
//! `packice_tests::scenario`.

use packice_tests::scenario::{Op, Setup, run};
use proptest::prelude::*;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Sync),
        1 => Just(Op::CancelSync),
        4 => (0..3u8, any::<u16>()).prop_map(|(at, draw)| Op::Get(at, draw)),
        2 => (0..3u8, any::<u16>(), any::<u8>()).prop_map(|(at, draw, n)| Op::Range(at, draw, n)),
        2 => (0..3u8, any::<u16>()).prop_map(|(at, draw)| Op::Prove(at, draw)),
        1 => Just(Op::CancelRead),
        8 => (0..60u8).prop_map(Op::Steps),
        3 => Just(Op::Settle),
        3 => Just(Op::Reopen),
        2 => Just(Op::Publish),
        1 => any::<bool>().prop_map(Op::FailStore),
        1 => any::<u16>().prop_map(Op::Evict),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(row, place)| Op::Damage(row, place)),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let ops = prop::collection::vec(op(), 1..24);
    (any::<u64>(), any::<bool>(), ops).prop_map(|(seed, liar_first, ops)| Setup {
        seed,
        liar_first,
        ops,
    })
}

/// So many cases, or times `PACKICE_PROPERTIES` of them. A failure prints its smallest input.
fn cases(count: u32) -> ProptestConfig {
    let times = std::env::var("PACKICE_PROPERTIES").ok().and_then(|times| times.parse().ok());
    let cases = count * times.unwrap_or(1);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn whatever_happens_answers_are_true_and_a_sync_completes(setup in setup()) {
        run(&setup);
    }
}

proptest! {
    #![proptest_config(cases(25))]

    #[test]
    fn the_same_inputs_give_the_same_outputs(setup in setup()) {
        prop_assert_eq!(run(&setup), run(&setup));
    }
}
