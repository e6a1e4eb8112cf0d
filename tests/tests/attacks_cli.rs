//! Every attack of `tests/attacks/` on the command line's light client: `packice sync` and
//! `packice get`, each a process of its own, against hostile mirrors on loopback, with a store of
//! files.
//!
//! This binary is the command line too, where [`AS_CLI`] is set: the same `packice::cli::run` that
//! the program `packice` consists of.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;

use packice_core::engine::io::StoreKey;
use packice_core::types::{ObjectKind, WireName};
use packice_tests::attacks::check::{Outcome, PROBES, Rows, alter, check, phases, report};
use packice_tests::attacks::rules::Action;
use packice_tests::attacks::server::Server;
use packice_tests::attacks::{self, Fault, Fixture, Phase, Sync};
use serde_json::Value;

const CLIENT: &str = "native";
const AS_CLI: &str = "PACKICE_TESTS_AS_CLI";
/// Fixtures at a time; five of them mostly wait.
const THREADS: usize = 8;

fn main() -> ExitCode {
    if std::env::var_os(AS_CLI).is_some() {
        return packice::cli::run();
    }
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let server = Server::start();
    let chosen = |fixture: &Fixture| {
        !phases(&fixture.attack, CLIENT).is_empty()
            && (only.is_empty() || only.contains(&fixture.name))
    };
    let mut todo: Vec<Fixture> = attacks::fixtures().into_iter().filter(chosen).collect();
    // Taken from the end: those that wait begin first.
    todo.sort_by_key(is_slow);
    let todo = Mutex::new(todo);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some(fixture) = todo.lock().expect("the list").pop() else { return };
                    let result = run(&server, &fixture);
                    let word = if result.is_ok() { "ok" } else { "FAILED" };
                    println!("test {} ... {word}", fixture.name);
                    results.lock().expect("the results").insert(fixture.name, result);
                }
            });
        }
    });
    let results = results.into_inner().expect("the results");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    if only.is_empty() {
        report(target, CLIENT, &results);
    }
    let mut failed = 0;
    for (name, why) in
        results.iter().filter_map(|(name, result)| Some((name, result.as_ref().err()?)))
    {
        failed += 1;
        println!("\n{name}\n{why}");
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {} passed; {failed} failed", results.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a fixture waits for deadlines, or for the pauses between retries.
fn is_slow(fixture: &Fixture) -> bool {
    let retries = Sync::Code { code: "peer/truncated".into() };
    fixture.attack.phases.iter().any(|phase| {
        let mut rules = phase.sources.iter().flat_map(|source| &source.rules);
        let waits = rules.any(|rule| matches!(rule.action, Action::Drip | Action::Stall));
        waits || phase.sync.as_ref() == Some(&retries)
    })
}

/// Runs all phases of a fixture on one store.
fn run(server: &Server, fixture: &Fixture) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut first, mut wrong) = (None, Vec::new());
    for (at, phase) in phases(&fixture.attack, CLIENT).into_iter().enumerate() {
        let mut before = match phase.restart {
            true => first.clone().expect("a phase before"),
            false => load(dir.path()),
        };
        for change in &phase.alter {
            alter(&mut before, fixture, change);
        }
        save(dir.path(), &before);
        let outcome = run_phase(server, fixture, phase, at, dir.path());
        let after = load(dir.path());
        let found = check(fixture, phase, CLIENT, &outcome, [&before, &after]);
        first.get_or_insert(after);
        wrong.extend(found.iter().map(|what| format!("  {}: {what}", phase.name)));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn run_phase(
    server: &Server,
    fixture: &Fixture,
    phase: &Phase,
    number: usize,
    dir: &Path,
) -> Outcome {
    let mut outcome = Outcome::default();
    let trust = dir.join("trust.bin");
    std::fs::write(&trust, fixture.trust(phase)).expect("the trust root is written");
    let mut names = BTreeMap::new();
    let mut sources = Vec::new();
    for (at, source) in phase.sources.iter().enumerate() {
        let mount = format!("{}/{number}/{at}", fixture.name);
        let files = fixture.set(&source.serve).clone();
        let url = server.mount(&mount, files, source.rules.clone());
        sources.extend(["--source".to_owned(), url.clone()]);
        names.insert(url, source.name.clone());
    }
    if phase.sync.is_some() || phase.open.is_some() {
        let (document, succeeded) = packice(dir, &["sync"], &sources);
        if succeeded {
            outcome.sync = Some(Ok(document["version"].as_u64().expect("a version")));
        } else {
            let code = document["error"]["code"].as_str().unwrap_or_default().to_owned();
            match phase.open.is_some() {
                true => outcome.open = Some(code),
                false => outcome.sync = Some(Err(code)),
            }
        }
        let said = if succeeded { &document } else { &document["error"] };
        outcome.freshness = said["freshness"]["level"].as_str().map(str::to_owned);
        for fault in said["faults"].as_array().into_iter().flatten() {
            let url = fault["source"].as_str().unwrap_or_default();
            let source = names.get(url).map_or(url, |name| name).to_owned();
            let code = fault["code"].as_str().unwrap_or_default().to_owned();
            outcome.faults.insert(Fault { source, code });
        }
        note_damaged(&mut outcome, said);
    }
    if phase.open.is_some() {
        return outcome;
    }
    for (collection, key, _) in PROBES {
        let (document, succeeded) = packice(dir, &["get", collection, key], &sources);
        let said = if succeeded { &document } else { &document["error"] };
        note_damaged(&mut outcome, said);
        let answer = match (succeeded, document["value"].as_str()) {
            (true, Some(value)) => Ok(value.to_owned()),
            (true, None) => Err(document["state"].to_string()),
            (false, _) => Err(document["error"]["code"].as_str().unwrap_or("unknown").to_owned()),
        };
        outcome.answers.insert(collection.into(), answer);
    }
    outcome
}

fn note_damaged(outcome: &mut Outcome, said: &Value) {
    for row in said["damaged"].as_array().into_iter().flatten() {
        let kind = row.as_str().and_then(|row| row.split('/').next()).unwrap_or_default();
        outcome.damaged.insert(kind.to_owned());
    }
}

/// Runs the command line; its JSON, and whether it succeeded.
fn packice(dir: &Path, verb: &[&str], sources: &[String]) -> (Value, bool) {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.env(AS_CLI, "1").current_dir(dir);
    command.args(verb).args(["--json", "--trust", "trust.bin", "--store", "store"]).args(sources);
    let Output { status, stdout, stderr } = command.output().expect("the command line runs");
    let text = if status.success() { &stdout } else { &stderr };
    let document = serde_json::from_slice(text).unwrap_or_else(|error| {
        panic!("{verb:?}: {error}: {}", String::from_utf8_lossy(text));
    });
    (document, status.success())
}

/// The rows of a store of files.
fn load(dir: &Path) -> Rows {
    let store = dir.join("store");
    let mut rows = Rows::new();
    if let Ok(state) = std::fs::read(store.join("state")) {
        rows.insert(StoreKey::State, state);
    }
    let kinds = ObjectKind::ALL.map(|kind| (kind.as_str(), Some(kind)));
    for (folder, kind) in kinds.into_iter().chain([("frame", None)]) {
        for entry in std::fs::read_dir(store.join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = WireName::from_hex(&name).expect("a row's name");
            let key = kind.map_or(StoreKey::Frame(name), |kind| StoreKey::Object(kind, name));
            rows.insert(key, std::fs::read(entry.path()).expect("a row"));
        }
    }
    rows
}

/// Puts rows in the place of a store's.
fn save(dir: &Path, rows: &Rows) {
    let store = dir.join("store");
    let held = load(dir);
    for key in held.keys().filter(|key| !rows.contains_key(key)) {
        std::fs::remove_file(store.join(key.text())).expect("a row is removed");
    }
    for (key, row) in rows.iter().filter(|(key, row)| held.get(key) != Some(row)) {
        std::fs::write(store.join(key.text()), row).expect("a row is written");
    }
}
