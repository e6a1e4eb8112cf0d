//! Who signed: checkpoints, head states and proofs that must not be believed.

use packice_core::format::note::{ED25519, NoteSignature, key_id};
use packice_core::trust::accept::Seen;
use packice_core::trust::log::Frontier;
use packice_core::trust::sign;
use packice_core::types::{LogHash, Name, Version};

use super::Objects;
use super::forge::{Forge, RELEASE_KEYS, ROOT_KEYS, STRANGERS, WITNESS_KEYS, WITNESSES};
use super::forge::{ORIGIN, witnessed_root};

type Row = (&'static str, Objects);

/// The fixtures.
pub(super) fn all() -> Vec<Row> {
    let mut rows = checkpoints();
    rows.extend(witnesses());
    rows.extend(logs());
    rows.extend(head_states());
    rows
}

/// The third release, its checkpoint changed.
fn third(change: impl FnOnce(&mut Forge)) -> Objects {
    let mut forge = Forge::at(3);
    change(&mut forge);
    Objects::evil(forge.files())
}

/// The third release, signed by these.
fn signed_by(seeds: &[sign::Seed]) -> Objects {
    third(|forge| {
        forge.signers = seeds.to_vec();
        forge.sign();
    })
}

fn checkpoints() -> Vec<Row> {
    let unsigned = third(|forge| {
        let note = forge.note().encode();
        let text = note.split('\u{2014}').next().expect("the text").to_owned();
        forge.serve_note(text.into_bytes());
    });
    let duplicate = third(|forge| {
        forge.edit_note(|note| note.signatures[1] = note.signatures[0].clone());
    });
    let bad = third(|forge| {
        forge.edit_note(|note| note.signatures[0].signature[40] ^= 1);
    });
    // A key of the role by name and id, a signature of a trust root's text.
    let confused = third(|forge| {
        let root_text = [b"packice trust root v1\n".as_slice(), &forge.root.encode()].concat();
        let signature = sign::sign(&RELEASE_KEYS[0], &root_text).to_vec();
        forge.edit_note(|note| note.signatures[0].signature = signature);
    });
    // A stranger's signature under the id of a release key.
    let borrowed = third(|forge| {
        forge.edit_note(|note| {
            let key_id = key_id(ORIGIN, ED25519, &sign::public_key(&RELEASE_KEYS[2]));
            let signature = sign::sign(&STRANGERS[0], note.body.as_bytes()).to_vec();
            note.signatures.push(NoteSignature { name: ORIGIN.into(), key_id, signature });
        });
    });
    let other_log = third(|forge| {
        forge.root.origin = "packice.test/other-set".into();
        forge.sign();
    });
    let many = third(|forge| {
        forge.edit_note(|note| {
            for at in 0..64 {
                let signature = sign::sign(&[at; 32], note.body.as_bytes()).to_vec();
                let (name, key_id) = (format!("stranger-{at}"), [at; 4]);
                note.signatures.insert(0, NoteSignature { name, key_id, signature });
            }
        });
    });
    vec![
        ("unsigned-checkpoint", unsigned),
        ("checkpoint-below-threshold", signed_by(&RELEASE_KEYS[..1])),
        ("checkpoint-signed-twice-by-one-key", duplicate),
        ("checkpoint-signed-by-strangers", signed_by(&STRANGERS[..2])),
        ("checkpoint-signed-by-root-keys", signed_by(&ROOT_KEYS[..2])),
        ("checkpoint-with-a-bad-signature", bad),
        ("checkpoint-with-a-signature-of-something-else", confused),
        ("checkpoint-with-a-borrowed-key-id", borrowed),
        ("checkpoint-of-another-log", other_log),
        ("checkpoint-with-too-many-signatures", many),
    ]
}

/// The third release of a publisher with witnesses.
fn cosigned(cosigners: &[(usize, usize, u64)]) -> Objects {
    let mut forge = Forge::under(witnessed_root());
    let good = |at: usize| (WITNESSES[at], WITNESS_KEYS[at], 1_700_000_000 + at as u64);
    forge.cosigners = vec![good(0), good(1)];
    let mut objects = Objects::default().root("witnessed", forge.trust());
    for release in 1..=2 {
        forge.release(release);
    }
    objects = objects.set("cosigned", forge.files());
    forge.release(3);
    let line = |(name, key, time): &(usize, usize, u64)| {
        (WITNESSES[*name], WITNESS_KEYS[*key], 1_700_000_000 + time)
    };
    forge.cosigners = cosigners.iter().map(line).collect();
    forge.sign();
    objects.set("evil", forge.files())
}

fn witnesses() -> Vec<Row> {
    let mut strange = Forge::under(witnessed_root());
    strange.release(1);
    vec![
        ("cosignatures-below-quorum", cosigned(&[(0, 0, 9)])),
        ("cosigned-twice-by-one-witness", {
            let mut objects = cosigned(&[(0, 0, 9)]);
            let mut forge = Forge::under(witnessed_root());
            for release in 1..=3 {
                forge.release(release);
            }
            let mut note = forge.note();
            sign::add_cosignature(&mut note, WITNESSES[0], &WITNESS_KEYS[0], 1_700_000_009);
            let first = note.signatures.last().expect("a line").clone();
            sign::add_cosignature(&mut note, WITNESSES[0], &WITNESS_KEYS[0], 1_700_000_010);
            note.signatures.push(first);
            forge.serve_note(note.encode().into_bytes());
            objects = objects.set("evil", forge.files());
            objects
        }),
        // The name of the second witness with the key of the third: a line of nobody's.
        ("cosigned-under-another-witness-name", cosigned(&[(0, 0, 9), (1, 2, 9)])),
    ]
}

fn logs() -> Vec<Row> {
    let truncated = {
        let mut forge = Forge::at(1);
        let manifest = forge.manifest(2, 9);
        forge.publish(&manifest);
        Objects::evil(forge.files())
    };
    let other_proof = third(|forge| {
        forge.edit_bootstrap(|bootstrap| bootstrap.inclusion[0].0[0] ^= 1);
    });
    let no_proof = third(|forge| forge.edit_bootstrap(|bootstrap| bootstrap.inclusion.clear()));
    let long_proof = third(|forge| {
        forge.edit_bootstrap(|bootstrap| bootstrap.inclusion.push(LogHash([7; 32])));
    });
    // The newest checkpoint with the entry of the release before it, and that entry's own proof.
    let older = third(|forge| {
        let second = Forge::at(2);
        forge.edit_bootstrap(|bootstrap| {
            bootstrap.head = second.entry.clone();
            bootstrap.inclusion = second.inclusion.clone();
        });
    });
    let mixed = third(|forge| {
        let second = Forge::at(2);
        forge.edit_bootstrap(|bootstrap| bootstrap.head = second.entry.clone());
    });
    vec![
        ("log-truncated-and-grown-again", truncated),
        ("wrong-inclusion-proof", other_proof),
        ("missing-inclusion-proof", no_proof),
        ("inclusion-proof-too-long", long_proof),
        ("newest-checkpoint-with-an-older-entry", older),
        ("mix-and-match-of-two-releases", mixed),
        ("old-signed-head-put-back", {
            let mut forge = Forge::at(1);
            let manifest = forge.manifest(7, 2);
            forge.publish(&manifest);
            Objects::default().set("fork", forge.files())
        }),
        ("two-logs-of-one-size", {
            let mut forge = Forge::at(1);
            let manifest = forge.manifest(7, 2);
            forge.publish(&manifest);
            Objects::evil(forge.files())
        }),
        ("two-logs-one-of-them-longer", {
            let mut forge = Forge::at(1);
            for (content, version) in [(7, 2), (8, 3), (9, 4), (7, 5), (8, 6)] {
                let manifest = forge.manifest(content, version);
                forge.publish(&manifest);
            }
            Objects::evil(forge.files())
        }),
        ("log-with-a-size-nobody-can-prove", {
            let mut forge = Forge::at(3);
            let at = Seen { size: u64::MAX >> 8, root: forge.seen().root };
            let note = sign::sign_checkpoint(ORIGIN, at, &RELEASE_KEYS[..2]);
            forge.serve_note(note.encode().into_bytes());
            Objects::evil(forge.files())
        }),
        ("empty-log", {
            let mut forge = Forge::at(3);
            let at = Seen { size: 0, root: Frontier::new().root() };
            let note = sign::sign_checkpoint(ORIGIN, at, &RELEASE_KEYS[..2]);
            forge.serve_note(note.encode().into_bytes());
            Objects::evil(forge.files())
        }),
    ]
}

/// Two honest releases, and then an entry that whoever holds the release keys made up.
fn entry(make: impl FnOnce(&mut Forge)) -> Objects {
    let mut forge = Forge::at(2);
    make(&mut forge);
    Objects::evil(forge.files())
}

fn head_states() -> Vec<Row> {
    vec![
        (
            "manifest-rolled-back",
            entry(|forge| {
                let manifest = forge.manifest(1, 1);
                forge.publish(&manifest);
            }),
        ),
        (
            "same-version-with-other-content",
            entry(|forge| {
                let manifest = forge.manifest(7, 2);
                forge.publish(&manifest);
            }),
        ),
        (
            "head-state-of-another-dataset",
            entry(|forge| {
                forge.head.dataset = Name::new("other-set").expect("a name");
                forge.append_head();
            }),
        ),
        (
            "manifest-of-another-dataset",
            entry(|forge| {
                let mut manifest = forge.manifest(3, 3);
                manifest.dataset = Name::new("other-set").expect("a name");
                forge.publish(&manifest);
            }),
        ),
        (
            "manifest-of-another-version",
            entry(|forge| {
                let mut manifest = forge.manifest(3, 3);
                let object =
                    forge.put(packice_core::types::ObjectKind::Manifest, manifest.encode());
                manifest.version = Version(3);
                forge.point_at(4, object);
            }),
        ),
        ("withdrawn-release", {
            let mut forge = Forge::at(2);
            forge.head.channels.clear();
            forge.append_head();
            let withdrawn = forge.files();
            forge.release(3);
            Objects::default().set("withdrawn", withdrawn).set("again", forge.files())
        }),
        (
            "channel-that-is-not-this-one",
            entry(|forge| {
                forge.release(3);
                forge.head.channels[0].name = Name::new("beta").expect("a name");
                forge.append_head();
            }),
        ),
        (
            "head-state-under-a-withheld-trust-root",
            entry(|forge| {
                forge.head.trust_root_version = 2;
                forge.release(3);
            }),
        ),
    ]
}
