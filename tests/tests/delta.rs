//! Deltas: what is packed comes out again, whatever the records; damaged segments are errors.

use packice_core::delta::{OldRecords, Op, Piece, PieceRecords, Unpacker, diff, pack, split};
use packice_core::error::Error;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn unpack(bytes: &[u8], old: &(impl OldRecords + ?Sized)) -> Result<Vec<Op>, Error> {
    let mut unpacker = Unpacker::open(bytes)?;
    let mut ops = Vec::new();
    while let Some(op) = unpacker.advance(old)? {
        ops.push(op);
    }
    Ok(ops)
}

/// Records of which only some ranks are at hand.
struct Only<'a> {
    records: &'a Records,
    ranks: Vec<u64>,
}

impl OldRecords for Only<'_> {
    fn count(&self) -> u64 {
        self.records.len() as u64
    }

    fn record(&self, rank: u64) -> Option<(&[u8], &[u8])> {
        self.ranks.binary_search(&rank).ok()?;
        self.records.as_slice().record(rank)
    }
}

/// The slow, plain way to apply operations.
fn apply(old: &Records, ops: &[Op]) -> Records {
    let mut records: std::collections::BTreeMap<_, _> = old.iter().cloned().collect();
    let key = |rank: &u64| old[usize::try_from(*rank).expect("a small rank")].0.clone();
    for op in ops {
        match op {
            Op::Delete { rank } => drop(records.remove(&key(rank))),
            Op::Update { rank, value } => drop(records.insert(key(rank), value.clone())),
            Op::Insert { key, value, .. } => drop(records.insert(key.clone(), value.clone())),
        }
    }
    records.into_iter().collect()
}

/// Keys and values with something in common, as real ones have, or with nothing.
fn records() -> impl Strategy<Value = Records> {
    let key =
        prop_oneof!["[ab]{0,3}/[a-d]{1,6}".prop_map(String::into_bytes), vec(any::<u8>(), 0..5),];
    let value = prop_oneof![
        Just(Vec::new()),
        "\\{\"name\":\"[a-c]{1,9}\",\"n\":[0-9]{1,4}\\}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..40),
    ];
    btree_map(key, value, 0..60).prop_map(|map| map.into_iter().collect())
}

/// Few cases: each packs with every reference, unoptimised.
fn cases() -> ProptestConfig {
    ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_delta_leads_from_any_records_to_any_others(old in records(), new in records()) {
        let ops = diff(old.as_slice(), new.as_slice());
        prop_assert_eq!(&apply(&old, &ops), &new);
        if !ops.is_empty() {
            let packed = pack(old.as_slice(), &ops)?;
            prop_assert_eq!(pack(old.as_slice(), &ops)?, packed.clone());
            prop_assert_eq!(unpack(&packed, old.as_slice())?, ops);
        }
    }

    #[test]
    fn only_the_ranks_that_it_names_are_needed(old in records(), new in records()) {
        let ops = diff(old.as_slice(), new.as_slice());
        prop_assume!(!ops.is_empty());
        let packed = pack(old.as_slice(), &ops)?;
        let ranks = Unpacker::open(&packed)?.ranks();
        prop_assert!(ranks.windows(2).all(|two| two[0] < two[1]));
        prop_assert_eq!(unpack(&packed, &Only { records: &old, ranks })?, ops);
    }

    #[test]
    fn pieces_together_are_the_whole(old in records(), new in records(), target in 1..200u64) {
        let ops = diff(old.as_slice(), new.as_slice());
        let mut all = Vec::new();
        let mut end = 0;
        for piece in split(old.as_slice(), ops.clone(), target) {
            let Piece { first_rank, old_records, ops, start } = piece;
            prop_assert_eq!(first_rank, end);
            end = first_rank + old_records;
            let range = PieceRecords { old: old.as_slice(), first_rank, count: old_records };
            for op in unpack(&pack(&range, &ops)?, &range)? {
                let rank = first_rank + op.rank();
                let key = match &op {
                    Op::Insert { key, .. } => key.clone(),
                    Op::Update { .. } | Op::Delete { .. } => {
                        old[usize::try_from(rank).expect("a small rank")].0.clone()
                    }
                };
                prop_assert!(key >= start);
                all.push((rank, op));
            }
        }
        prop_assert_eq!(all.len(), ops.len());
        for ((rank, op), whole) in all.iter().zip(&ops) {
            prop_assert_eq!(*rank, whole.rank());
            prop_assert_eq!(op.plain_len(), whole.plain_len());
        }
    }

    #[test]
    fn damage_is_an_error_or_other_operations_that_still_fit(
        old in records(),
        new in records(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
        cut in any::<bool>(),
    ) {
        let ops = diff(old.as_slice(), new.as_slice());
        prop_assume!(!ops.is_empty());
        let mut packed = pack(old.as_slice(), &ops)?;
        let at = at.index(packed.len());
        if cut { packed.truncate(at) } else { packed[at] ^= 1 << bit }
        if let Ok(ops) = unpack(&packed, old.as_slice()) {
            let made = apply(&old, &ops);
            prop_assert_eq!(diff(old.as_slice(), made.as_slice()).len() <= ops.len(), true);
            prop_assert!(made.windows(2).all(|two| two[0].0 < two[1].0));
        }
    }
}

#[test]
fn other_old_records_are_refused() {
    let old: Records = (0..9u8).map(|n| (vec![n], vec![n; 9])).collect();
    let packed = pack(old.as_slice(), &[Op::Delete { rank: 4 }]).expect("it packs");
    assert!(unpack(&packed, &old[1..]).is_err());
}

#[test]
fn ranks_that_do_not_fit_are_not_packed() {
    let old: Records = (0..9u8).map(|n| (vec![n], vec![])).collect();
    let refused = [
        vec![Op::Delete { rank: 9 }],
        vec![Op::Delete { rank: 3 }, Op::Delete { rank: 3 }],
        vec![Op::Insert { rank: 10, key: vec![99], value: vec![] }],
    ];
    for ops in refused {
        assert!(pack(old.as_slice(), &ops).is_err(), "{ops:?}");
    }
}

#[test]
fn what_was_said_before_costs_little() {
    let value = |n: u32, price: u32| {
        format!("{{\"name\":\"Token {n}\",\"price\":{price},\"uri\":\"https://example.org/{n}\"}}")
    };
    let records = |price: u32| -> Records {
        (0..500)
            .map(|n| (format!("key/{n:04}").into_bytes(), value(n, price).into_bytes()))
            .collect()
    };
    let (old, new) = (records(100), records(101));
    let ops = diff(old.as_slice(), new.as_slice());
    let plain: u64 = ops.iter().map(Op::plain_len).sum();
    let packed = pack(old.as_slice(), &ops).expect("it packs");
    assert!(plain > 20_000);
    assert!(packed.len() < 300, "{} bytes for one change, 500 times", packed.len());
}
