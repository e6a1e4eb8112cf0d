//! What must hold after each phase, whatever client ran it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use packice_core::engine::io::StoreKey;
use packice_core::hash;
use serde_json::{Value, json};

use super::{Alter, Attack, Fault, Fixture, Phase, Read, Reads, Sync};

/// The rows of a store.
pub type Rows = BTreeMap<StoreKey, Vec<u8>>;

/// What every phase reads: a collection, its key that tells releases apart, and what its value
/// begins with.
pub const PROBES: [(&str, &str, &str); 3] = [
    ("config", "release", "config"),
    ("notes", "key/00000003", "note"),
    ("tokens", "key/00000005", "token"),
];

/// What a client did in a phase.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The code that opening failed with.
    pub open: Option<String>,
    /// How the sync ended: the version, or a code.
    pub sync: Option<Result<u64, String>>,
    /// Who was blamed for what during the sync.
    pub faults: BTreeSet<Fault>,
    /// The kinds of rows that were reported as damaged.
    pub damaged: BTreeSet<String>,
    /// By collection what its probe gave: a value, `unknown`, or an error's code.
    pub answers: BTreeMap<String, Result<String, String>>,
    /// The freshness it reports.
    pub freshness: Option<String>,
}

/// The value of a probe in a release.
pub fn expected_value(collection: &str, release: u64) -> String {
    let probe = PROBES.iter().find(|(name, ..)| *name == collection).expect("a probe");
    format!("{} of release {release}", probe.2)
}

/// Does to the rows what a phase says; panics where nothing is there to be altered.
pub fn alter(rows: &mut Rows, fixture: &Fixture, alter: &Alter) {
    let kind_of = |key: &StoreKey| key.text().split('/').next().unwrap_or_default().to_owned();
    if alter.how == "plant" {
        let with = alter.with.as_deref().unwrap_or_default();
        let row = fixture.objects.rows.get(with).expect("a row to plant").clone();
        assert_eq!(alter.row, "state", "only the state can be planted");
        rows.insert(StoreKey::State, row);
        return;
    }
    let keys: Vec<StoreKey> = rows.keys().copied().filter(|k| kind_of(k) == alter.row).collect();
    assert!(!keys.is_empty(), "{}: no row of kind {}", fixture.name, alter.row);
    let first = rows[&keys[0]].clone();
    for (at, key) in keys.iter().enumerate() {
        let next = keys.get(at + 1).map_or_else(|| first.clone(), |next| rows[next].clone());
        let row = rows.get_mut(key).expect("the row");
        match alter.how.as_str() {
            // All over, so that every part is hit that a client may read alone.
            "flip" => row.iter_mut().step_by(64).for_each(|byte| *byte ^= 1),
            "truncate" => row.truncate(row.len() / 2),
            "extend" => row.push(0),
            "swap" => *row = next,
            "remove" => {
                rows.remove(key);
            }
            other => panic!("there is no way '{other}' to alter a row"),
        }
    }
}

/// Compares what happened with what must have, given the rows before and after; says all that
/// differs.
pub fn check(
    fixture: &Fixture,
    phase: &Phase,
    client: &str,
    outcome: &Outcome,
    [before, rows]: [&Rows; 2],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |what: &str, expected: String, found: String| {
        if expected != found {
            wrong.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    let differs = phase.clients.get(client);
    expect("opening", format!("{:?}", phase.open), format!("{:?}", outcome.open));
    let sync = differs.and_then(|differs| differs.sync.as_ref()).or(phase.sync.as_ref());
    let expected = sync.map(|sync| match sync {
        Sync::Version { version } => Ok(*version),
        Sync::Code { code } => Err(code.clone()),
    });
    expect("the sync", format!("{expected:?}"), format!("{:?}", outcome.sync));
    let faults = differs.and_then(|differs| differs.faults.as_ref()).unwrap_or(&phase.faults);
    let faults: BTreeSet<Fault> = faults.iter().cloned().collect();
    let found = outcome.faults.iter().filter(|fault| !phase.may_fault.contains(fault));
    expect("faults", shown(&faults), shown(&found.cloned().collect()));
    let damaged: BTreeSet<String> = phase.damaged.iter().cloned().collect();
    expect("damaged rows", format!("{damaged:?}"), format!("{:?}", outcome.damaged));
    if let Some(freshness) = &phase.freshness {
        expect("freshness", freshness.clone(), outcome.freshness.clone().unwrap_or_default());
    }
    for (collection, answer) in expected_answers(phase) {
        let found = outcome.answers.get(&collection);
        expect(&format!("reading {collection}"), format!("{answer:?}"), shown_answer(found));
    }
    wrong.extend(check_rows(fixture, before, rows));
    wrong
}

fn shown(faults: &BTreeSet<Fault>) -> String {
    let each = faults.iter().map(|fault| format!("{} by {}", fault.code, fault.source));
    format!("[{}]", each.collect::<Vec<_>>().join(", "))
}

fn shown_answer(answer: Option<&Result<String, String>>) -> String {
    answer.map_or_else(|| "no answer".into(), |answer| format!("{answer:?}"))
}

/// What each probe must give; none where the client does not open.
fn expected_answers(phase: &Phase) -> Vec<(String, Result<String, String>)> {
    if phase.open.is_some() {
        return Vec::new();
    }
    let value = |collection: &str, read: &Read| match read {
        Read::Release(release) => Ok(expected_value(collection, *release)),
        Read::Other(other) => Err(other.clone()),
    };
    let unknown = Read::Other("unknown".into());
    let read = |collection: &str| match &phase.reads {
        None => unknown.clone(),
        Some(Reads::Release(release)) => Read::Release(*release),
        Some(Reads::Each(each)) => each.get(collection).unwrap_or(&unknown).clone(),
    };
    PROBES.iter().map(|(name, ..)| ((*name).into(), value(name, &read(name)))).collect()
}

/// Every row that the client wrote is what its name says, and of an honest release, or of one that
/// the fixture allows. `before` are the rows that it found.
fn check_rows(fixture: &Fixture, before: &Rows, rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, row) in rows {
        let Some(name) = key.name().filter(|_| before.get(key) != Some(row)) else { continue };
        if hash::wire_name(row) != name {
            wrong.push(format!("the row {} is not what its name says", key.text()));
        }
        if !fixture.allowed.contains(&name) {
            wrong.push(format!("the row {} is of the attack", key.text()));
        }
    }
    wrong
}

/// The phases of a fixture that a client goes through; none where it cannot be exposed.
pub fn phases<'a>(attack: &'a Attack, client: &str) -> Vec<&'a Phase> {
    let exposed = !attack.not_for.contains_key(client);
    let phases = attack.phases.iter().filter(|phase| !phase.not_for.contains_key(client));
    phases.filter(|_| exposed).collect()
}

/// Writes how each row went in a client to `target/attacks/{client}.json`.
pub fn report(target: &Path, client: &str, rows: &BTreeMap<String, Result<(), String>>) {
    let folder = target.join("attacks");
    std::fs::create_dir_all(&folder).expect("a folder for the results");
    let row = |(name, result): (&String, &Result<(), String>)| {
        let value = match result {
            Ok(()) => json!({ "passed": true }),
            Err(why) => json!({ "passed": false, "why": why }),
        };
        (name.clone(), value)
    };
    let rows: serde_json::Map<String, Value> = rows.iter().map(row).collect();
    let report = json!({ "client": client, "rows": rows });
    std::fs::write(folder.join(format!("{client}.json")), format!("{report:#}\n"))
        .expect("the results are written");
}
