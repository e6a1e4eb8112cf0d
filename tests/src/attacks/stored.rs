//! The local store in an attacker's hands: rows to plant. What is done to rows that are there
//! already, `attack.json` says by itself.

use std::collections::BTreeMap;

use packice_core::engine::io::StoreKey;
use packice_core::trust::sign;

use super::forge::{Forge, STRANGERS, first_root, role};
use super::{Files, Objects};
use crate::shell::{Shell, Source};

type Row = (&'static str, Objects);

/// The fixtures.
pub(super) fn all() -> Vec<Row> {
    let strangers = {
        let mut root = first_root();
        root.root = role(2, &STRANGERS);
        root.release = role(2, &STRANGERS);
        let signed = sign::sign_trust_root(&root, &STRANGERS[..2]).encode();
        let mut forge = Forge::under(root);
        forge.chain = vec![signed.clone()];
        forge.signers = STRANGERS[..2].to_vec();
        forge.release(33);
        Objects::default().row("state", state(&signed, forge.files()))
    };
    let old = Forge::at(1);
    let rolled_back = Objects::default().row("state", state(&old.trust(), old.files()));
    vec![("stored-state-of-a-stranger", strangers), ("stored-state-rolled-back", rolled_back)]
}

/// The state record of a client that synced these files.
fn state(trust: &[u8], files: Files) -> Vec<u8> {
    let sources = vec![Source::of(files, Vec::new())];
    let mut shell = Shell::open(trust.to_vec(), sources, BTreeMap::new()).expect("a trust root");
    shell.sync().expect("a sync from an honest source");
    shell.store[&StoreKey::State].clone()
}
