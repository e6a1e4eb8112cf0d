//! The head of a channel: whoever holds a version asks for it in the bootstrap's place.

use packice_core::engine::io::{FetchFailure, StoreKey};
use packice_core::format::bootstrap::Bootstrap;
use packice_core::types::Version;
use packice_tests::change::{History, check_all, edited, specs};
use packice_tests::publication::Publication;
use packice_tests::shell::{Shell, Source};

type Held = std::collections::BTreeMap<StoreKey, Vec<u8>>;

/// Two versions, and what a client of the first has stored.
fn changed(heads: bool) -> (History, Held) {
    let mut history = History::of(&specs());
    history.publication.heads = heads;
    let source = Source::honest(&history.publication);
    let mut shell = Shell::new(&history.publication, vec![source]);
    shell.sync().expect("version 1");
    assert_eq!(shell.requests[0].path, "bootstrap/stable", "who holds nothing wants all of it");
    let held = shell.close();
    history.publish_change(&edited(&specs(), 1));
    (history, held)
}

/// The client comes to the second version; the paths that it asked for first.
fn follows(history: &History, held: Held, sources: Vec<Source>) -> (Shell, Vec<String>) {
    let mut shell = Shell::on_store(&history.publication, sources, held);
    assert_eq!(shell.sync().expect("version 2").version, Version(2));
    check_all(&mut shell, &edited(&specs(), 1));
    let paths = shell.requests.iter().map(|request| request.path.clone());
    let paths = paths.take_while(|path| !path.starts_with("delta/")).collect();
    (shell, paths)
}

fn parsed(publication: &Publication, path: &str) -> Bootstrap {
    Bootstrap::parse(&publication.files[path]).expect("it parses")
}

#[test]
fn who_holds_a_version_asks_for_the_head_alone() {
    let (history, held) = changed(true);
    let (shell, paths) = follows(&history, held, vec![Source::honest(&history.publication)]);
    assert_eq!(paths, ["checkpoint", "head/stable"]);
    assert_eq!(shell.faults(), []);
}

/// The client starts so much later, behind by several versions, and comes to the newest; the
/// paths that it asked for, and the round trips.
fn comes_back(heads: bool, changes: u64, later_ms: u64) -> (Vec<String>, u64) {
    let (mut history, held) = changed(heads);
    let source = Source::honest(&history.publication);
    let mut shell = Shell::on_store(&history.publication, vec![source], held);
    let mut newest = edited(&specs(), 1);
    shell.sync().expect("version 2");
    for round in 2..2 + changes {
        newest = edited(&newest, round);
        history.publish_change(&newest);
    }
    let mut back = Shell::on_store(
        &history.publication,
        vec![Source::honest(&history.publication)],
        shell.close(),
    );
    back.now = back.now.plus(later_ms);
    let report = back.sync().expect("the newest version");
    assert_eq!(report.version, Version(2 + changes));
    check_all(&mut back, &newest);
    (back.requests.iter().map(|request| request.path.clone()).collect(), report.round_trips)
}

#[test]
fn who_was_away_asks_for_the_head_at_once_and_for_all_else_beside_its_proof() {
    const DAY_MS: u64 = 86_400_000;
    let (paths, round_trips) = comes_back(true, 3, DAY_MS);
    let kinds: Vec<&str> = paths.iter().filter_map(|path| path.split('/').next()).collect();
    assert_eq!((kinds.as_slice(), round_trips), (["head", "log", "delta"].as_slice(), 2));
    assert_eq!(comes_back(true, 0, DAY_MS), (vec!["head/stable".into()], 1));
    assert_eq!(comes_back(true, 0, 60_000), (vec!["checkpoint".into()], 1));
    // Where there are no heads the checkpoint says whether the bootstrap is worth it.
    let (paths, _) = comes_back(false, 0, DAY_MS);
    assert_eq!(paths, ["head/stable", "checkpoint"]);
}

#[test]
fn a_source_without_heads_is_asked_for_the_bootstrap_and_not_blamed() {
    let (history, held) = changed(false);
    let (shell, paths) = follows(&history, held, vec![Source::honest(&history.publication)]);
    assert_eq!(paths, ["checkpoint", "head/stable", "bootstrap/stable"]);
    assert_eq!(shell.faults(), []);
}

#[test]
fn a_head_is_believed_no_more_than_a_bootstrap() {
    let (history, held) = changed(true);
    let liar = Source::with_rule(
        &history.publication,
        Box::new(|path, mut body| {
            if path.starts_with("head/") {
                body[100] ^= 1;
            }
            Ok(body)
        }),
    );
    let sources = vec![liar, Source::honest(&history.publication)];
    let (shell, paths) = follows(&history, held, sources);
    assert_eq!(paths, ["checkpoint", "head/stable", "head/stable"]);
    assert_eq!(shell.faults().len(), 1, "{:?}", shell.faults());
}

#[test]
fn a_head_that_is_out_of_reach_is_asked_for_again() {
    let (history, held) = changed(true);
    let down = Source::with_rule(
        &history.publication,
        Box::new(|path, body| match path.starts_with("head/") {
            true => Err(FetchFailure::Status { status: 503, retry_after_ms: None }),
            false => Ok(body),
        }),
    );
    let sources = vec![down, Source::honest(&history.publication)];
    let (_, paths) = follows(&history, held, sources);
    assert_eq!(paths, ["checkpoint", "head/stable", "head/stable"]);
}

#[test]
fn a_head_has_the_manifest_and_nothing_for_cold_clients() {
    let mut publication = Publication::default();
    publication.heads = true;
    publication.publish(&specs());
    let (whole, lean) =
        (parsed(&publication, "bootstrap/stable"), parsed(&publication, "head/stable"));
    assert!(whole.objects.len() > 3, "layouts and bundles");
    let manifest = publication.manifest.expect("a version").encode();
    assert_eq!(lean, Bootstrap { objects: vec![manifest], ..whole.clone() });
    let none = whole.clone().lean("nightly");
    assert_eq!(none, Bootstrap { objects: Vec::new(), ..whole });
}
