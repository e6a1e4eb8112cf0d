//! First syncs, and the sources that they come from.

use packice_core::engine::Command;

use super::*;

pub(super) fn sync(telling: &mut Telling) {
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

pub(super) fn sources(telling: &mut Telling) {
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
        "Alone, a source that lies is not given the last word: the sync fails, the next \
         one asks it again.",
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
        "The version before came with the application: it is read and synced from there, the \
         newest from the network.",
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
