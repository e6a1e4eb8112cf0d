//! What a million simulated runs found: ways to stand still before an honest source, each as short
//! as it gets.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one case")]

use std::collections::BTreeMap;

use packice_core::engine::io::{FetchFailure, SourceState, StoreKey};
use packice_core::types::Version;
use packice_tests::change::{History, edited, specs};
use packice_tests::publication::{Publication, Spec};
use packice_tests::shell::{Shell, Source};

const GONE: FetchFailure = FetchFailure::Status { status: 404, retry_after_ms: None };

fn states(shell: &mut Shell) -> Vec<SourceState> {
    shell.status().sources.iter().map(|source| source.state).collect()
}

/// A source that lacks what is under some paths.
fn lacking(publication: &Publication, missing: &'static [&'static str]) -> Source {
    let lacks = move |path: &str| missing.iter().any(|part| path.starts_with(part));
    let rule = move |path: &str, body| if lacks(path) { Err(GONE) } else { Ok(body) };
    Source::with_rule(publication, Box::new(rule))
}

/// A log that grew so far that its growth needs tiles, and the store of a client of its beginning.
fn grown() -> (Publication, BTreeMap<StoreKey, Vec<u8>>) {
    let mut specs = vec![Spec::numbered("tokens", 1, 50, 3)];
    let mut publication = Publication::of(&specs);
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.sync().expect("version 1");
    for release in 2..9_u64 {
        specs[0].records.insert(b"n".to_vec(), release.to_string().into_bytes());
        publication.publish(&specs);
    }
    (publication, shell.close())
}

fn flipped(path: &str, mut body: Vec<u8>) -> Result<Vec<u8>, FetchFailure> {
    if path.starts_with("log/tile/") {
        body[3] ^= 1;
    }
    Ok(body)
}

#[test]
fn a_version_that_could_not_be_had_by_either_road_is_taken_up_again() {
    let mut history = History::of(&specs());
    // A head has no layouts.
    history.publication.heads = true;
    let mut shell = Shell::new(&history.publication, vec![Source::honest(&history.publication)]);
    shell.sync().expect("version 1");
    history.publish_base(&edited(&specs(), 1));
    // Neither the delta nor the new base's layout: the log has moved on, the client has not.
    shell.sources = vec![lacking(&history.publication, &["delta/", "layout/", "bundle/"])];
    shell.sync().expect_err("nobody has it");
    shell.sources = vec![Source::honest(&history.publication)];
    assert_eq!(shell.sync().expect("somebody has it now").version, Version(2));
}

#[test]
fn who_offers_a_head_is_asked_to_prove_it() {
    let (publication, held) = grown();
    let sources =
        vec![lacking(&publication, &["checkpoint", "bootstrap/"]), Source::honest(&publication)];
    let mut shell = Shell::on_store(&publication, sources, held);
    assert_eq!(shell.sync().expect("a log that only grew").version, Version(8));
    let tiles = shell.requests.iter().filter(|request| request.path.starts_with("log/tile/"));
    let asked: Vec<u32> = tiles.map(|request| request.source).collect();
    assert!(!asked.is_empty() && asked.iter().all(|source| *source == 1), "{asked:?}");
}

#[test]
fn the_tile_of_a_liar_costs_an_honest_source_nothing() {
    let (publication, held) = grown();
    // The one who offers the head has no tiles, and the other one's are changed.
    let honest = lacking(&publication, &["log/tile/"]);
    let liar = Source::with_rule(&publication, Box::new(flipped));
    let mut shell = Shell::on_store(&publication, vec![honest, liar], held);
    shell.sync().expect_err("nobody has the tiles");
    // The liar offers a head as well, at last, and is banned for that one.
    assert_eq!(states(&mut shell), [SourceState::Ok, SourceState::Banned]);
    shell.sources[0] = Source::honest(&publication);
    shell.pass(60_000);
    assert_eq!(shell.sync().expect("a log that only grew").version, Version(8));
}

#[test]
fn who_offers_a_head_and_lies_about_its_growth_is_banned() {
    let (publication, held) = grown();
    let liar = Source::with_rule(&publication, Box::new(flipped));
    let sources = vec![liar, Source::honest(&publication)];
    let mut shell = Shell::on_store(&publication, sources, held);
    assert_eq!(shell.sync().expect("a log that only grew").version, Version(8));
    assert_eq!(states(&mut shell)[0], SourceState::Banned);
}
