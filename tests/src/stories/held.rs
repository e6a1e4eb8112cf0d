//! Reads, and what becomes of the rows that are held.

use super::*;

pub(super) fn reads(telling: &mut Telling) {
    let pages =
        (0..8).map(|at| (40_000 + 500 * at, range_of("tokens", 900 + at, 7_000 * at, 60_000, 300)));
    telling.add(
        "pages-of-a-range",
        "Pages of a range that is stored: the bundles behind the one at hand are loaded ahead.",
        (MEGABYTES, 20),
        [good()],
        [(0, Op::Sync), (39_000, Op::Partition(0, 20_000))].into_iter().chain(pages),
    );
    let reads = (0..20).map(|at| (2_000, range_of("tokens", 900 + at, 3_000 * at, 60_000, 3)));
    telling.add(
        "many-reads-at-once",
        "Twenty reads beside a sync from three sources: they have places of their own.",
        (MEGABYTES, 2),
        [good(), SourcePlan::good(50, 60), SourcePlan::good(30, 80)],
        [(0, Op::Sync), (2_500, Op::Sync)].into_iter().chain(reads),
    );
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

pub(super) fn store(telling: &mut Telling) {
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
