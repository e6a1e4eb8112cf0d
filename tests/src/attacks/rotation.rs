//! Who may say who signs: compromised keys, rotations, floors, and trust roots that wallets embed.

use packice_core::format::trust_root::{SignedTrustRoot, TrustRoot};
use packice_core::trust::sign::{self, Seed};
use packice_core::types::Name;

use super::Objects;
use super::forge::{
    Forge, NEXT_RELEASE_KEYS, RELEASE_KEYS, ROOT_KEYS, STRANGERS, first_root, role, witnessed_root,
};

type Row = (&'static str, Objects);

/// The fixtures.
pub(super) fn all() -> Vec<Row> {
    let mut rows = compromises();
    rows.extend(rotations());
    rows.extend(initial());
    rows
}

/// The honest log at two releases, and the third release after a rotation with a floor there.
fn recovered() -> Forge {
    let mut forge = Forge::at(2);
    let floor = forge.floor();
    forge.rotate(|root| root.floor = Some(floor), &ROOT_KEYS[..2]);
    forge.release(3);
    forge
}

/// What whoever holds the release keys appends to the honest log: so many entries, the last one
/// of a version.
fn fast_forward(entries: u64, version: u64) -> Forge {
    let mut forge = Forge::at(2);
    for step in (0..entries).rev() {
        let manifest = forge.manifest(version, version - step);
        forge.publish(&manifest);
    }
    forge
}

fn compromises() -> Vec<Row> {
    let below = {
        let mut forge = Forge::at(2);
        forge.signers = vec![RELEASE_KEYS[0], STRANGERS[0]];
        let manifest = forge.manifest(33, 33);
        forge.publish(&manifest);
        Objects::evil(forge.files()).set("recovered", recovered().files())
    };
    let honest_without_floor = {
        let mut forge = Forge::at(2);
        forge.rotate(|_| {}, &ROOT_KEYS[..2]);
        forge.release(3);
        forge.files()
    };
    let root_key = {
        let mut forge = Forge::at(2);
        forge.rotate(|root| root.release = role(2, &STRANGERS), &[ROOT_KEYS[0], STRANGERS[0]]);
        forge.signers = STRANGERS[..2].to_vec();
        let manifest = forge.manifest(33, 33);
        forge.publish(&manifest);
        Objects::evil(forge.files())
    };
    let taken_over = {
        let mut forge = Forge::at(2);
        let change = |root: &mut TrustRoot| {
            root.root = role(2, &STRANGERS);
            root.release = role(2, &STRANGERS);
        };
        forge.rotate(change, &STRANGERS[..2]);
        forge.signers = STRANGERS[..2].to_vec();
        let manifest = forge.manifest(33, 33);
        forge.publish(&manifest);
        Objects::evil(forge.files())
    };
    vec![
        ("release-keys-compromised-below-threshold", below),
        (
            "release-keys-compromised-at-threshold",
            Objects::evil(fast_forward(1, 33).files()).set("recovered", recovered().files()),
        ),
        (
            "fast-forward-of-log-and-version",
            Objects::evil(fast_forward(9, 1_000_000).files())
                .set("recovered", recovered().files())
                .set("without-floor", honest_without_floor),
        ),
        ("root-keys-compromised-below-threshold", root_key),
        ("trust-root-signed-by-its-own-keys-alone", taken_over),
    ]
}

/// Two releases, a rotation by some root keys, and the third release.
fn rotated(change: impl FnOnce(&mut TrustRoot), signers: &[Seed]) -> Forge {
    let mut forge = Forge::at(2);
    forge.rotate(change, signers);
    forge.release(3);
    forge
}

fn rotations() -> Vec<Row> {
    let honest = || rotated(|_| {}, &ROOT_KEYS[..2]);
    let skipping = rotated(|root| root.version = 3, &ROOT_KEYS[..2]);
    let long = {
        let mut forge = Forge::at(3);
        let trust = forge.trust();
        forge.edit_bootstrap(|bootstrap| bootstrap.trust_chain = vec![trust; 33]);
        forge
    };
    let other_dataset =
        rotated(|root| root.dataset = Name::new("other-set").expect("a name"), &ROOT_KEYS[..2]);
    let bad_signature = {
        let mut forge = honest();
        let mut signed = SignedTrustRoot::parse(&forge.chain[1]).expect("a signed trust root");
        signed.signatures[0].1[40] ^= 1;
        forge.chain[1] = signed.encode();
        forge.sign();
        forge
    };
    // Another second trust root, by the same root keys and of keys that were thought lost.
    let other_second = rotated(|root| root.release = role(2, &STRANGERS), &ROOT_KEYS[1..]);
    let other_second = {
        let mut forge = other_second;
        forge.signers = STRANGERS[..2].to_vec();
        forge.release(4);
        forge
    };
    // A rotation that keeps the release keys and brings a floor, so that whoever holds them could
    // use it to bring back what was released before it.
    let delayed = {
        let mut forge = Forge::at(2);
        let floor = forge.floor();
        let old = forge.bootstrap();
        forge.rotate(
            |root| {
                root.floor = Some(floor);
                root.release = role(2, &RELEASE_KEYS);
            },
            &ROOT_KEYS[..2],
        );
        let mut forge_old = forge.clone();
        let chain = forge.chain[1..].to_vec();
        forge_old.serve_bootstrap(&packice_core::format::bootstrap::Bootstrap {
            trust_chain: chain,
            ..old
        });
        forge.signers = RELEASE_KEYS[..2].to_vec();
        forge.release(3);
        Objects::evil(forge_old.files())
            .set("far", fast_forward(6, 50).files())
            .set("recovered", forge.files())
    };
    let revoked = {
        let mut forge = honest();
        forge.signers = RELEASE_KEYS[..2].to_vec();
        forge.release(4);
        forge
    };
    let second = honest();
    let disjoint = |root: &mut TrustRoot| {
        root.witnesses = witnessed_root().witnesses;
        root.witnesses.quorum = 1;
    };
    vec![
        ("rotation-that-skips-a-version", Objects::evil(skipping.files())),
        ("rotation-of-another-dataset", Objects::evil(other_dataset.files())),
        ("rotation-with-a-bad-signature", Objects::evil(bad_signature.files())),
        ("trust-chain-without-end", Objects::evil(long.files())),
        (
            "trust-root-rolled-back",
            Objects::evil(Forge::at(6).files()).set("rotated", honest().files()),
        ),
        (
            "two-trust-roots-of-one-version",
            Objects::evil(other_second.files()).set("rotated", honest().files()),
        ),
        (
            "release-signed-by-revoked-keys",
            Objects::evil(revoked.files()).set("rotated", honest().files()),
        ),
        ("old-checkpoint-under-a-delayed-rotation", delayed),
        (
            "stored-state-under-a-rotated-root",
            Objects::default()
                .set("rotated", second.files())
                .root("second", second.chain[1].clone()),
        ),
        (
            "two-disjoint-quorums",
            Objects::evil(rotated(disjoint, &ROOT_KEYS[..2]).files()).root("disjoint", {
                let mut root = first_root();
                disjoint(&mut root);
                sign::sign_trust_root(&root, &ROOT_KEYS[..2]).encode()
            }),
        ),
        (
            "rotation-with-a-key-listed-twice",
            Objects::evil(
                rotated(|root| root.release.keys[1] = root.release.keys[0], &ROOT_KEYS[..2])
                    .files(),
            ),
        ),
        (
            "rotation-with-a-threshold-of-nothing",
            Objects::evil(rotated(|root| root.release.threshold = 0, &ROOT_KEYS[..2]).files()),
        ),
    ]
}

fn initial() -> Vec<Row> {
    let root = |change: &dyn Fn(&mut TrustRoot), seeds: &[Seed]| {
        let mut root = first_root();
        change(&mut root);
        sign::sign_trust_root(&root, seeds).encode()
    };
    let mut outdated = Forge::at(2);
    outdated.rotate(|_| {}, &ROOT_KEYS[..2]);
    let mut third = outdated.clone();
    third.rotate(
        |root| root.root = role(2, &NEXT_RELEASE_KEYS),
        &[ROOT_KEYS[0], ROOT_KEYS[2], NEXT_RELEASE_KEYS[0], NEXT_RELEASE_KEYS[1]],
    );
    third.release(3);
    let whole = third.files();
    let mut gap = third.clone();
    gap.edit_bootstrap(|bootstrap| {
        bootstrap.trust_chain.remove(0);
    });
    let mut withheld = third.clone();
    withheld.edit_bootstrap(|bootstrap| bootstrap.trust_chain.clear());
    let strangers = |root: &mut TrustRoot| {
        root.root = role(2, &STRANGERS);
        root.release = role(2, &STRANGERS);
    };
    let mut flipped = root(&|_| {}, &ROOT_KEYS[..2]);
    let last = flipped.len() - 1;
    flipped[last - 20] ^= 1;
    vec![
        (
            "initial-root-that-is-not-signed",
            Objects::default()
                .root("unsigned", root(&|_| {}, &[]))
                .root("by-one", root(&|_| {}, &ROOT_KEYS[..1]))
                .root("by-strangers", root(&|_| {}, &STRANGERS[..2]))
                .root("bad-signature", flipped),
        ),
        (
            "initial-root-that-is-wrong",
            Objects::default()
                .root("strangers", root(&strangers, &STRANGERS[..2]))
                .root(
                    "other-dataset",
                    root(
                        &|root| root.dataset = Name::new("other-set").expect("a name"),
                        &ROOT_KEYS[..2],
                    ),
                )
                .root("garbage", b"<!doctype html><title>404</title>".to_vec()),
        ),
        (
            "initial-root-that-is-outdated",
            Objects::default()
                .set("whole", whole)
                .set("gap", gap.files())
                .set("withheld", withheld.files()),
        ),
    ]
}
