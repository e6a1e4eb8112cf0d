//! Versions that follow each other: deltas, going back, parts, following.

use super::*;

pub(super) fn changes(telling: &mut Telling) {
    let four = |telling: &mut Telling, name, about, sources: Vec<SourcePlan>| {
        let versions = (0..4).flat_map(|at| {
            [(12_000 * at, Op::Sync), (12_000 * at + 9_000, Op::Publish)]
                .into_iter()
                .chain(idle(12_000 * at + 3_000, 20))
        });
        telling.add(name, about, (LARGER, 5), sources, versions);
    };
    four(
        telling,
        "four-versions",
        "Four versions one after the other, by deltas, with idle time between them: layers are \
         merged, frames are audited.",
        vec![good()],
    );
    telling.slowly(
        "four-versions-on-a-slow-processor",
        "The same where each turn of work takes 150 ms.",
        150,
    );
    four(
        telling,
        "four-versions-on-a-fast-line",
        "The same on a line so fast that what is applied takes longer than what is fetched.",
        vec![SourcePlan::good(1, 50_000)],
    );
    four(
        telling,
        "four-versions-from-sources-that-fail",
        "The same from two sources of which one fails and one lies.",
        vec![SourcePlan { faults: 300, ..good() }, liar(&[Lie::Flip, Lie::Truncate, Lie::Missing])],
    );
    telling.add(
        "away-for-three-versions",
        "A client that was away for a day asks for the head at once.",
        (LARGER, 5),
        [good()],
        [
            (0, Op::Sync),
            (5_000, Op::Publish),
            (5_001, Op::Publish),
            (5_002, Op::Jump(86_400_000)),
            (6_000, Op::Sync),
            (16_000, Op::Publish),
            (16_001, Op::Sync),
        ],
    );
    telling.add(
        "a-version-comes-during-a-sync",
        "A version is released while an older one is synced.",
        (MEGABYTES, 2),
        [good()],
        [(0, Op::Sync), (3_000, Op::Publish), (15_000, Op::Sync), (40_000, Op::Sync)],
    );
    telling.add(
        "going-back",
        "Two versions are kept, one is pinned; the client goes back, reads, dies, and on again \
         with what is newer.",
        (LARGER, 5),
        [good()],
        [
            (0, ask(Command::Keep(2))),
            (1, Op::Sync),
            (3_000, ask(Command::Pin(Version(1)))),
            (4_000, Op::Publish),
            (4_001, Op::Sync),
            (8_000, Op::Publish),
            (8_001, Op::Sync),
            (12_000, ask(Command::RollBack(Version(1)))),
            (13_000, Op::Get(HEADERS, 47)),
            (13_500, get_at(900, 47, 3)),
            (13_600, get_at(901, 47, 9)),
            (14_000, Op::Sync),
            (16_000, Op::Crash),
            (17_000, Op::Get(HEADERS, 47)),
            (18_000, Op::Publish),
            (18_001, Op::Sync),
            (22_000, ask(Command::Unpin(Version(1)))),
            (23_000, ask(Command::Keep(0))),
            (24_000, ask(Command::RollBack(Version(2)))),
            (25_000, Op::Idle),
        ],
    );
    telling.add(
        "a-part-of-a-collection",
        "A client holds two ranges of a collection, then others, then all.",
        (LARGER, 5),
        [good()],
        [
            (0, subscribe("headers", &[(20, 60), (300, 320)])),
            (1, Op::Sync),
            (4_000, Op::Get(HEADERS, 47)),
            (5_000, Op::Get(HEADERS, 200)),
            (9_000, Op::Publish),
            (9_001, Op::Sync),
            (14_000, Op::Crash),
            (15_000, subscribe("headers", &[(250, 320)])),
            (15_001, Op::Publish),
            (15_002, Op::Sync),
            (20_000, ask(Command::Subscribe(Vec::new()))),
            (21_000, Op::Sync),
        ]
        .into_iter()
        .chain(idle(25_000, 12)),
    );
    telling.add(
        "an-audit",
        "Idle time is used to look through what is stored; a damaged bundle is \
         found and fetched again.",
        (MEGABYTES, 2),
        [good()],
        [(0, Op::Sync), (29_000, Op::Damage("bundle/")), (59_000, Op::Crash), (60_000, Op::Sync)]
            .into_iter()
            .chain(idle(30_000, 20))
            .chain(idle(61_000, 20)),
    );
}

pub(super) fn parts(telling: &mut Telling) {
    telling.add(
        "pins-are-counted",
        "A version that was pinned twice is let go of by the second unpin.",
        (LARGER, 5),
        [good()],
        [
            (0, Op::Sync),
            (2_000, ask(Command::Pin(Version(1)))),
            (2_001, ask(Command::Pin(Version(1)))),
            (3_000, Op::Publish),
            (3_001, Op::Sync),
            (6_000, Op::Publish),
            (6_001, Op::Sync),
            (9_000, ask(Command::Unpin(Version(1)))),
            (9_001, Op::Idle),
            (10_000, get_at(900, 47, 1)),
            (11_000, get_at(901, 47, 2)),
            (12_000, ask(Command::Unpin(Version(1)))),
            (13_000, get_at(902, 47, 1)),
            (14_000, ask(Command::Unpin(Version(1)))),
            (15_000, Op::Publish),
            (15_001, Op::Sync),
        ]
        .into_iter()
        .chain(idle(20_000, 8)),
    );
    telling.add(
        "layers-that-are-lost-before-the-next-delta",
        "The client's own layers are lost, and damaged, beneath it while it lives; the next \
         version comes by another road.",
        (LARGER, 5),
        [good()],
        [
            (0, Op::Sync),
            (3_000, Op::Publish),
            (3_001, Op::Sync),
            (6_000, Op::Lose("layer")),
            (7_000, Op::Publish),
            (7_001, Op::Sync),
            (11_000, Op::Damage("layer")),
            (12_000, Op::Get(HEADERS, 90)),
            (13_000, Op::Publish),
            (13_001, Op::Sync),
        ]
        .into_iter()
        .chain(idle(18_000, 12)),
    );
    telling.add(
        "a-part-of-megabytes",
        "A quarter of a large collection is held, and audited; then more of it, then less.",
        (MEGABYTES, 2),
        [good()],
        [
            (0, subscribe("tokens", &[(10_000, 20_000), (50_000, 52_000)])),
            (1, Op::Sync),
            (30_000, Op::Get(TOKENS, 100)),
            (31_000, subscribe("tokens", &[(10_000, 30_000)])),
            (31_001, Op::Sync),
            (50_000, subscribe("tokens", &[(15_000, 16_000)])),
            (50_001, Op::Sync),
            (60_000, Op::Publish),
            (60_001, Op::Sync),
        ]
        .into_iter()
        .chain(idle(20_000, 12))
        .chain(idle(40_000, 12))
        .chain(idle(70_000, 12)),
    );
    telling.add(
        "a-line-that-lies",
        "Who tells of versions damages what it says on every other: it is not \
         listened to any more.",
        (LARGER, 5),
        [SourcePlan { live: true, lies: vec![Lie::Flip], ..good() }, good()],
        [
            (0, Op::Follow(Follow { live: true, poll_ms: 30_000 })),
            (10_000, Op::Publish),
            (70_000, Op::Publish),
        ],
    );
}

pub(super) fn following(telling: &mut Telling) {
    let follow = |live| Op::Follow(Follow { live, poll_ms: 60_000 });
    telling.add(
        "following-by-asking",
        "A client that follows asks about once a minute.",
        (SMALL, 5),
        [good()],
        [
            (0, follow(false)),
            (100_000, Op::Publish),
            (200_000, Op::Publish),
            (400_000, Op::Partition(0, 1)),
        ],
    );
    telling.add(
        "following-live",
        "A client is told of versions on a line; when it breaks it comes back, ever later.",
        (LARGER, 5),
        [SourcePlan { live: true, ..good() }, SourcePlan { live: true, ..good() }],
        [
            (0, follow(true)),
            (10_000, Op::Publish),
            (20_000, Op::HangUp),
            (25_000, Op::HangUp),
            (35_000, Op::HangUp),
            (40_000, Op::Publish),
            (140_000, Op::HangUp),
            (150_000, Op::Publish),
        ],
    );
    telling.add(
        "following-live-behind",
        "Who tells of versions is behind, which costs it nothing; the newest is found by asking.",
        (SMALL, 5),
        [good(), SourcePlan { live: true, lag: 1, ..SourcePlan::good(5, 100) }],
        [
            (0, Op::Publish),
            (1, follow(true)),
            (30_000, Op::Publish),
            (200_000, Op::Publish),
            (300_000, Op::Idle),
        ],
    );
}
