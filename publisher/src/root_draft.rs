//! Trust roots on their way: drafted, shown in words, signed, checked against the one before.

use packice_core::format::trust_root::{
    Floor, PublicKey, Role, SignedTrustRoot, TrustRoot, Witness, WitnessPolicy,
};
use packice_core::trust::signature::verify;
use packice_core::types::hex;
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::keys::read_public;
use crate::text::{parse_span_ms, show_span_ms};

/// What changes in a role.
#[derive(Clone, Debug, Default)]
pub struct RoleChange<'a> {
    /// The role's name.
    pub name: &'a str,
    /// Keys that come.
    pub add: &'a [String],
    /// Keys that go.
    pub remove: &'a [String],
    /// The new threshold.
    pub threshold: Option<u32>,
}

impl RoleChange<'_> {
    /// Changes a role, and checks that it can sign.
    pub fn apply(&self, role: &mut Role) -> Result<()> {
        let name = self.name;
        for key in self.remove {
            let key = read_public(key)?;
            let before = role.keys.len();
            role.keys.retain(|held| *held != key);
            if role.keys.len() == before {
                let message = format!("{} is no {name} key of the trust root before", hex(&key));
                return Err(Failure::usage(message).next("`packice root show` lists them"));
            }
        }
        for key in self.add {
            let key = read_public(key)?;
            match role.keys.binary_search(&key) {
                Ok(_) => {
                    let message = format!("{} is named as {name} key already", hex(&key));
                    return Err(Failure::usage(message));
                }
                Err(at) => role.keys.insert(at, key),
            }
        }
        if let Some(threshold) = self.threshold {
            role.threshold = threshold;
        }
        let most = packice_core::limits::MAX_ROLE_KEYS;
        let keys = role.keys.len();
        if role.threshold == 0 || role.threshold as usize > keys || keys > most {
            let message = format!("{} of {keys} {name} keys cannot be asked for", role.threshold);
            return Err(Failure::usage(message).next(format!(
                "name 1 to {most} keys by --add-{name}, and a threshold of at least 1 and at most \
                 their number by --{name}-threshold"
            )));
        }
        Ok(())
    }
}

/// Changes who watches.
pub fn change_witnesses(
    policy: &mut WitnessPolicy,
    add: &[String],
    remove: &[String],
    quorum: Option<u32>,
) -> Result<()> {
    let before = policy.witnesses.len();
    for name in remove {
        let count = policy.witnesses.len();
        policy.witnesses.retain(|witness| witness.name != *name);
        if policy.witnesses.len() == count {
            return Err(Failure::usage(format!("there is no witness '{name}'")));
        }
    }
    for text in add {
        let (name, key) = text.split_once('=').ok_or_else(|| {
            Failure::usage(format!("'{text}' is not NAME=KEY"))
                .next("give the witness's name and public key, or the file of the key")
        })?;
        let key = read_public(key)?;
        let same = |witness: &Witness| witness.name == name || witness.key == key;
        if policy.witnesses.iter().any(same) {
            let message = format!("a witness has the name '{name}' or its key already");
            return Err(Failure::usage(message).next("remove the old one by --remove-witness"));
        }
        policy.witnesses.push(Witness { name: name.to_owned(), key });
    }
    policy.witnesses.sort_by(|a, b| a.name.cmp(&b.name));
    let count = u32::try_from(policy.witnesses.len()).unwrap_or(u32::MAX);
    let majority = if count == 0 { 0 } else { count / 2 + 1 };
    match quorum {
        Some(quorum) => policy.quorum = quorum,
        None if before != policy.witnesses.len() || policy.quorum < majority => {
            policy.quorum = majority.max(policy.quorum.min(count));
        }
        None => {}
    }
    if policy.quorum < majority || policy.quorum > count {
        let message = format!("a quorum of {} of {count} witnesses is refused", policy.quorum);
        return Err(Failure::usage(message).next("it is more than half of them, and at most all"));
    }
    Ok(())
}

/// Reads an age.
pub fn age(field: &str, text: Option<&str>, usual: u64) -> Result<u64> {
    let Some(text) = text else { return Ok(usual) };
    parse_span_ms(text).ok_or_else(|| {
        Failure::usage(format!("{field}: '{text}' is not an age"))
            .next("write 90 s, 15 min, 36 h or 7 d; 0 for never")
    })
}

/// The bytes of a draft that nobody signed.
pub fn unsigned(root: &TrustRoot) -> Result<Vec<u8>> {
    let body = root.encode();
    // What is drafted must be what everybody reads.
    TrustRoot::parse(&body)?;
    Ok(SignedTrustRoot { body, signatures: Vec::new() }.encode())
}

/// The keys of a role that signed.
pub fn signers(signed: &SignedTrustRoot, role: &Role) -> Vec<PublicKey> {
    let message = TrustRoot::signed_bytes(&signed.body);
    let holds = |key: &&PublicKey| {
        signed.signatures.iter().any(|(by, bytes)| by == *key && verify(key, &message, bytes))
    };
    role.keys.iter().filter(holds).copied().collect()
}

/// What a trust root changes, one line each.
pub fn differences(old: Option<&TrustRoot>, new: &TrustRoot) -> Vec<String> {
    let mut lines = Vec::new();
    if old.is_none_or(|old| old.origin != new.origin) {
        lines.push(match old {
            Some(_) => format!("log: ANOTHER LOG begins, {}", new.origin),
            None => format!("log: {}", new.origin),
        });
    }
    let roles = [
        ("root", old.map(|old| &old.root), &new.root),
        ("release", old.map(|old| &old.release), &new.release),
    ];
    for (name, before, after) in roles {
        let gone = before.map(|role| role.keys.clone()).unwrap_or_default();
        lines.extend(
            gone.iter()
                .filter(|key| !after.keys.contains(key))
                .map(|key| format!("{name} key GOES: {}", hex(key))),
        );
        lines.extend(
            after
                .keys
                .iter()
                .filter(|key| !gone.contains(key))
                .map(|key| format!("{name} key comes: {}", hex(key))),
        );
        if before.is_none_or(|role| role.threshold != after.threshold || role.keys != after.keys) {
            let was =
                before.map(|role| format!(" (was {} of {})", role.threshold, role.keys.len()));
            let was = was.unwrap_or_default();
            lines.push(format!(
                "{name}: {} of {} must sign{was}",
                after.threshold,
                after.keys.len()
            ));
        }
    }
    lines.extend(witness_differences(old.map(|old| &old.witnesses), &new.witnesses));
    let ages = |root: &TrustRoot| (root.staleness.stale_ms, root.staleness.expired_ms);
    if old.map(ages).unwrap_or_default() != ages(new) {
        let (stale, expired) = ages(new);
        let (stale, expired) = (show_span_ms(stale), show_span_ms(expired));
        lines.push(format!("data is stale after {stale}, expired after {expired}"));
    }
    if let Some(floor) = &new.floor
        && old.is_none_or(|old| old.floor != new.floor)
    {
        let Floor { size, root, .. } = floor;
        lines.push(format!(
            "NEW FLOOR: what came after {size} releases (root {}) is void, and versions begin anew",
            hex(&root.0)
        ));
    }
    lines
}

fn witness_differences(old: Option<&WitnessPolicy>, new: &WitnessPolicy) -> Vec<String> {
    let before = old.cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for witness in before.witnesses.iter().filter(|witness| !new.witnesses.contains(witness)) {
        lines.push(format!("witness GOES: {} {}", witness.name, hex(&witness.key)));
    }
    for witness in new.witnesses.iter().filter(|witness| !before.witnesses.contains(witness)) {
        lines.push(format!("witness comes: {} {}", witness.name, hex(&witness.key)));
    }
    if before.quorum != new.quorum || !lines.is_empty() {
        lines.push(format!("witnesses: {} of {} must cosign", new.quorum, new.witnesses.len()));
    }
    lines
}

/// A draft for machines.
pub fn draft_json(old: Option<&TrustRoot>, new: &TrustRoot, signed: &SignedTrustRoot) -> Value {
    let keys = |keys: Vec<PublicKey>| keys.iter().map(|key| hex(key)).collect::<Vec<_>>();
    json!({
        "dataset": new.dataset.as_str(),
        "version": new.version,
        "changes": differences(old, new),
        "signed_by_old": old.map(|old| keys(signers(signed, &old.root))),
        "threshold_old": old.map(|old| old.root.threshold),
        "signed_by_new": keys(signers(signed, &new.root)),
        "threshold_new": new.root.threshold,
    })
}
