//! Note, trust root, head state, bootstrap and trust state as bytes: what parses is canonical,
//! and nothing hostile panics or allocates beyond its bounds.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::flips;
use super::publisher::{TestLog, head, manifest, name, role, signed, trust_root};
use crate::error::Error;
use crate::format::bootstrap::Bootstrap;
use crate::format::head::{Channel, Head, Policy};
use crate::format::note::Checkpoint;
use crate::format::trust_root::{
    Floor, Role, SignedTrustRoot, Staleness, TrustRoot, Witness, WitnessPolicy,
};
use crate::limits::MAX_NUMBER;
use crate::trust::accept::TrustState;
use crate::types::{LogHash, Version};

/// What a parser makes of bytes, written again.
type Again = fn(&[u8]) -> Result<Vec<u8>, Error>;

const FORMATS: [(&str, Again); 5] = [
    ("checkpoint", |bytes| Ok(Checkpoint::parse(bytes)?.encode().into_bytes())),
    ("trust root", |bytes| Ok(TrustRoot::parse(bytes)?.encode())),
    ("signed trust root", |bytes| Ok(SignedTrustRoot::parse(bytes)?.encode())),
    ("head state", |bytes| Ok(Head::parse(bytes)?.encode())),
    ("bootstrap", |bytes| Ok(Bootstrap::parse(bytes)?.encode())),
];

fn full_root() -> TrustRoot {
    let witness = |name: &str, key| Witness { name: name.into(), key: [key; 32] };
    let witnesses = vec![witness("a.example", 1), witness("b.example", 2), witness("c", 3)];
    TrustRoot {
        root: role(2, &[1, 2, 3]),
        witnesses: WitnessPolicy { quorum: 2, witnesses },
        staleness: Staleness { stale_ms: 86_400_000, expired_ms: 604_800_000 },
        floor: Some(Floor { origin: trust_root(1).origin, size: 300, root: LogHash([9; 32]) }),
        ..trust_root(7)
    }
}

fn full_head() -> Head {
    let channel = |text: &str, version| Channel {
        name: name(text),
        version: Version(version),
        manifest: manifest(version),
    };
    Head {
        trust_root_version: 300,
        channels: vec![channel("beta", 1_000), channel("stable", 999)],
        policy: Policy { keep_versions: 30, keep_ms: 1 << 40 },
        ..head(1)
    }
}

/// One valid object of each format, in the order of the formats.
fn examples() -> [Vec<u8>; 5] {
    let mut log = TestLog::of(6);
    log.bootstrap.trust_chain = vec![signed(&trust_root(1), &[1]), b"another".to_vec()];
    log.bootstrap.objects = vec![b"one".to_vec(), vec![], b"three".to_vec()];
    [
        log.bootstrap.checkpoint.clone(),
        full_root().encode(),
        signed(&full_root(), &[3, 1, 2]),
        full_head().encode(),
        log.bootstrap.encode(),
    ]
}

#[test]
fn what_was_written_parses_to_itself() {
    for ((format, again), bytes) in FORMATS.iter().zip(examples()) {
        assert_eq!(again(&bytes), Ok(bytes), "{format}");
    }
    assert_eq!(TrustRoot::parse(&full_root().encode()), Ok(full_root()));
    assert_eq!(Head::parse(&full_head().encode()), Ok(full_head()));
}

#[test]
fn what_parses_is_canonical_whatever_bit_is_turned() {
    for ((format, again), bytes) in FORMATS.iter().zip(examples()) {
        for flipped in flips(&bytes) {
            if let Ok(written) = again(&flipped) {
                assert_eq!(written, flipped, "{format}");
            }
        }
    }
}

#[test]
fn cut_and_lengthened_bytes_do_not_parse() {
    for ((format, again), bytes) in FORMATS.iter().zip(examples()) {
        for len in 0..bytes.len() {
            assert!(again(&bytes[..len]).is_err(), "{format}: {len} bytes");
        }
        for more in [0, b'\n', b'x', 0xff] {
            assert!(again(&[&bytes[..], &[more]].concat()).is_err(), "{format}");
        }
    }
}

#[test]
fn one_formats_bytes_are_no_other_format() {
    let examples = examples();
    for (at, (format, again)) in FORMATS.iter().enumerate() {
        for (other, bytes) in examples.iter().enumerate() {
            assert_eq!(again(bytes).is_ok(), at == other, "{format} from {other}");
        }
    }
}

/// The code of a trust root after a change.
fn root_code(change: impl FnOnce(&mut TrustRoot)) -> &'static str {
    let mut root = full_root();
    change(&mut root);
    TrustRoot::parse(&root.encode()).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn a_trust_root_must_make_sense() {
    assert_eq!(root_code(|_| ()), "ok");
    assert_eq!(root_code(|root| root.version = 0), "format/invalid");
    assert_eq!(root_code(|root| root.root.threshold = 0), "format/invalid");
    assert_eq!(root_code(|root| root.release.threshold = 3), "format/invalid");
    assert_eq!(root_code(|root| root.root.keys.swap(0, 1)), "format/order");
    assert_eq!(root_code(|root| root.root.keys[1] = root.root.keys[0]), "format/order");
    assert_eq!(root_code(|root| root.release.keys.clear()), "format/invalid");
    let many = (0..33).map(|byte| [byte; 32]).collect();
    assert_eq!(root_code(|root| root.root.keys = many), "format/too-large");
    assert_eq!(root_code(|root| root.origin = "two words".into()), "format/text");
    assert_eq!(root_code(|root| root.origin = "a+b".into()), "format/text");
    assert_eq!(root_code(|root| root.origin = String::new()), "format/text");
    assert_eq!(root_code(|root| root.origin = "other".into()), "format/text", "the floor's");
    assert_eq!(root_code(|root| root.floor = None), "ok");
}

#[test]
fn a_witness_quorum_is_more_than_half() {
    let quorum = |quorum| root_code(|root| root.witnesses.quorum = quorum);
    assert_eq!(quorum(0), "format/invalid");
    assert_eq!(quorum(1), "format/invalid");
    assert_eq!(quorum(2), "ok");
    assert_eq!(quorum(3), "ok");
    assert_eq!(quorum(4), "format/invalid");
    let half = root_code(|root| drop(root.witnesses.witnesses.pop()));
    assert_eq!(half, "ok", "2 of 2");
    assert_eq!(root_code(|root| root.witnesses.witnesses.clear()), "format/invalid");
    let one_key = root_code(|root| root.witnesses.witnesses[2].key = [1; 32]);
    assert_eq!(one_key, "format/order", "one key under two names");
    assert_eq!(root_code(|root| root.witnesses.witnesses.swap(0, 1)), "format/order");
}

#[test]
fn channels_are_named_once_and_in_order() {
    let code = |change: &dyn Fn(&mut Head)| {
        let mut head = full_head();
        change(&mut head);
        Head::parse(&head.encode()).map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(code(&|head| head.channels.swap(0, 1)), "format/order");
    assert_eq!(code(&|head| head.channels[1] = head.channels[0].clone()), "format/order");
    assert_eq!(code(&|head| head.channels[0].manifest.len = 0), "format/invalid");
    assert_eq!(code(&|head| head.channels[0].manifest.len = 1 << 30), "format/too-large");
    assert_eq!(code(&|head| head.channels[1].version = Version(0)), "format/invalid");
    assert_eq!(code(&|head| head.trust_root_version = 0), "format/invalid");
    assert_eq!(code(&|head| head.channels.clear()), "ok");
}

#[test]
fn counts_are_checked_before_anything_is_read_for_them() {
    // A bootstrap that claims 2^56 trust roots, and a head state that claims 2^56 channels.
    let claim = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    let bootstrap = [&b"PKB1\x00"[..], &claim].concat();
    let code = |bytes| Bootstrap::parse(bytes).expect_err("a lie").code();
    assert_eq!(code(&bootstrap), "format/too-large");
    let head = [&b"PKH1\x01a\x01"[..], &claim].concat();
    assert_eq!(Head::parse(&head).expect_err("a lie").code(), "format/too-large");
    let long = vec![b'P'; 129 << 10];
    assert_eq!(code(&long), "format/too-large");
}

fn checkpoint_code(text: &str) -> &'static str {
    Checkpoint::parse(text.as_bytes()).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn a_checkpoint_has_one_spelling() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let line = "\u{2014} log.example AAAAAAE=\n";
    let note = |size: &str, root: &str, rest: &str, lines: &str| {
        checkpoint_code(&["log.example\n", size, "\n", root, "\n", rest, "\n", lines].concat())
    };
    assert_eq!(note("5", root, "", line), "ok");
    assert_eq!(note("0", root, "", line), "ok");
    assert_eq!(note("18446744073709551615", root, "", line), "ok");
    for size in ["", "05", "+5", "-5", " 5", "5 ", "18446744073709551616", "5a", "٥"] {
        assert_eq!(note(size, root, "", line), "format/text", "size '{size}'");
    }
    for root in ["", "AAAA", &root[..43], &root.replace('=', ""), &root.replace("I=", "J=")] {
        assert_eq!(note("5", root, "", line), "format/text", "root '{root}'");
    }
    assert_eq!(note("5", root, "an extension\nanother\n", line), "ok");
    assert_eq!(note("5", root, "\nafter an empty line\n", line), "format/text");
    assert_eq!(note("5", root, "a\ttab\n", line), "format/text");
    assert_eq!(checkpoint_code(&["\n5\n", root, "\n\n", line].concat()), "format/text");
    for line in [
        "",
        "\n",
        "- log.example AAAAAAE=\n",
        "\u{2014} log.example AAAAAAE=",
        "\u{2014}  AAAAAAE=\n",
        "\u{2014} a+b AAAAAAE=\n",
        "\u{2014} log.example AAAAAA==\n",
        "\u{2014} log.example AAAAAAF=\n",
        "\u{2014} log.example  AAAAAAE=\n",
        "\u{2014} log.example AAAAAAE= \n",
        "\u{2014} log.example\u{2003}x AAAAAAE=\n",
    ] {
        let code = note("5", root, "", line);
        assert!(code.starts_with("format/"), "line '{line}': {code}");
    }
    assert_eq!(note("5", root, "", &line.repeat(64)), "ok");
    assert_eq!(note("5", root, "", &line.repeat(65)), "format/too-large");
}

fn any_hash() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn any_role() -> impl Strategy<Value = Role> {
    (prop::collection::btree_set(any_hash(), 1..5), any::<u32>()).prop_map(|(keys, threshold)| {
        let keys: Vec<_> = keys.into_iter().collect();
        Role { threshold: threshold % keys.len() as u32 + 1, keys }
    })
}

prop_compose! {
    fn any_root()(
        version in 1..MAX_NUMBER, root in any_role(), release in any_role(),
        stale_ms in 0..MAX_NUMBER, size in prop::option::of(0..MAX_NUMBER),
        hash in any_hash(),
    ) -> TrustRoot {
        let origin = String::from("log.example/x");
        let floor = size.map(|size| Floor { origin: origin.clone(), size, root: LogHash(hash) });
        let staleness = Staleness { stale_ms, expired_ms: 0 };
        TrustRoot { origin, root, release, staleness, floor, ..trust_root(version) }
    }
}

prop_compose! {
    fn any_bootstrap()(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 2),
        trust_chain in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..99), 0..5),
        inclusion in prop::collection::vec(any_hash(), 0..65),
        objects in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..99), 0..9),
    ) -> Bootstrap {
        let inclusion = inclusion.into_iter().map(LogHash).collect();
        let [checkpoint, head] = [parts[0].clone(), parts[1].clone()];
        Bootstrap { checkpoint, trust_chain, head, inclusion, objects }
    }
}

proptest! {
    #[test]
    fn any_trust_root_parses_to_itself(root in any_root()) {
        prop_assert_eq!(TrustRoot::parse(&root.encode()), Ok(root));
    }

    #[test]
    fn any_bootstrap_parses_to_itself(bootstrap in any_bootstrap()) {
        prop_assert_eq!(Bootstrap::parse(&bootstrap.encode()), Ok(bootstrap.clone()));
        // A head state that cannot be read names no object.
        let lean = bootstrap.clone().lean("stable");
        prop_assert_eq!(lean, Bootstrap { objects: Vec::new(), ..bootstrap });
    }

    #[test]
    fn hostile_bytes_do_not_panic_and_parse_only_to_themselves(
        magic in prop::sample::select(vec!["PKT1", "PKS1", "PKH1", "PKB1", "PKA1", "a\n5\n"]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [magic.as_bytes(), &rest].concat();
        for (_, again) in FORMATS {
            if let Ok(written) = again(&bytes) {
                prop_assert_eq!(&written, &bytes);
            }
        }
        let root = signed(&trust_root(1), &[1]);
        prop_assert!(TrustState::restore(&root, &name("tokens"), &bytes).is_err());
    }

    #[test]
    fn spoiled_objects_do_not_panic_and_parse_only_to_themselves(
        format in 0usize..5, at: prop::sample::Index, with: u8, cut: prop::sample::Index, del: bool,
    ) {
        let mut bytes = examples()[format].clone();
        let at = at.index(bytes.len());
        if del { bytes.remove(at); } else { bytes[at] = with; }
        let cut = cut.index(bytes.len() * 4).min(bytes.len());
        for bytes in [&bytes[..], &bytes[..cut]] {
            if let Ok(written) = FORMATS[format].1(bytes) {
                prop_assert_eq!(&written[..], bytes);
            }
        }
    }
}
