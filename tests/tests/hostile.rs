//! Every parser against damaged vectors: flips, cuts, splices, other lengths. Seeded, so that a
//! failure comes back; what is taken must be canonical, and nothing may panic.
//! `tests/fuzz` does the same without end, guided by coverage.

use std::time::{Duration, Instant};

use packice_tests::parsers::{Kind, Parsers};
use packice_tests::sim::Draw;

/// Cases for each kind of bytes.
const CASES: u64 = 20_000;
/// No case takes so long, on a busy machine either: nothing hostile may keep a client at work.
const CASE_MAX: Duration = Duration::from_secs(5);

/// A fixed sequence of draws.
struct Rng(Draw);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0.draw()
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.below(end as u64)).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Lengths and counts that parsers trip over, as LEB128: small, at powers of two, at every bound,
/// too long by a byte, and without an end.
fn number(rng: &mut Rng) -> Vec<u8> {
    let mut value = match rng.below(5) {
        0 => rng.next() % 4,
        1 => (1u64 << rng.below(64)).wrapping_sub(rng.next() % 2),
        2 => u64::MAX >> rng.below(9),
        3 => rng.next(),
        _ => return vec![0x80; 1 + rng.below(11)],
    };
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

fn span(rng: &mut Rng, len: usize) -> std::ops::Range<usize> {
    let start = rng.below(len + 1);
    let end = start + rng.below((len - start).min(80) + 1);
    start..end
}

/// Damages bytes in one place.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    if bytes.is_empty() {
        bytes.push(rng.byte());
        return;
    }
    let at = rng.below(bytes.len());
    match rng.below(9) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.byte(),
        2 => bytes.truncate(at),
        3 => {
            let part = span(rng, bytes.len());
            bytes.drain(part);
        }
        4 => {
            let part = bytes[span(rng, bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        5 => {
            let other = &seeds[rng.below(seeds.len())];
            let part = other[span(rng, other.len())].to_vec();
            let end = (at + part.len()).min(bytes.len());
            bytes.splice(at..end, part);
        }
        6 => {
            let other = &seeds[rng.below(seeds.len())];
            let cut = rng.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[cut..]);
        }
        7 => {
            let end = (at + rng.below(3)).min(bytes.len());
            bytes.splice(at..end, number(rng));
        }
        // Near the front stand the counts.
        _ => {
            let at = rng.below(bytes.len().min(48));
            bytes[at] = bytes[at].wrapping_add(rng.byte() % 5).wrapping_sub(2);
        }
    }
}

fn attack(kind: Kind) {
    let seeds = kind.seeds();
    let mut parsers = Parsers::new();
    let mut taken = 0;
    for case in 0..CASES {
        let mut rng = Rng(Draw(case ^ 0x5eed_0000_0000));
        let mut bytes = seeds[rng.below(seeds.len())].clone();
        for _ in 0..=rng.below(3) {
            damage(&mut rng, &mut bytes, &seeds);
        }
        let started = Instant::now();
        let read = parsers.parse(kind, &bytes);
        let took = started.elapsed();
        assert!(took < CASE_MAX, "{kind:?} case {case} took {took:?}");
        if let Ok(written) = read {
            taken += 1;
            let canonical = written.is_none_or(|written| written == bytes);
            assert!(canonical, "{kind:?} case {case} has two encodings");
        }
    }
    println!("{kind:?}: {taken} of {CASES} damaged inputs were well-formed");
}

macro_rules! attacks {
    ($($name:ident: $($kind:ident)*;)*) => {
        $(
            #[test]
            fn $name() {
                $(attack(Kind::$kind);)*
            }
        )*
    };
}

attacks! {
    trees: Leaf Node LayoutPage LayoutDirectory Proof;
    changes: Layer LayerPage Segment;
    frames: Frame FrameWithDictionary FramePlain Dictionary;
    releases: SeedHead Manifest Head HashTile EntriesTile TilePath Checkpoint;
    trust: TrustRoot Bootstrap Push Pointer TrustState;
    full_proofs: FullProof;
    state_rows: EngineState AuditRow SourcesRow;
}
