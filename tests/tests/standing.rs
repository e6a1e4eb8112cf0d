//! What a sync tells of how far it is and of what stands in its way, and what it does about that.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one case")]

use packice_core::engine::io::{Cause, Condition, FetchFailure, Milestone};
use packice_core::engine::{Command, Event, Follow, Input};
use packice_core::format::push::Push;
use packice_core::types::Version;
use packice_tests::publication::{Publication, Spec};
use packice_tests::shell::{Shell, Source};

fn specs(seed: u64) -> Vec<Spec> {
    vec![
        Spec::numbered("config", 0, 10, seed),
        Spec::numbered("headers", 1, 20_000, seed),
        Spec::numbered("tokens", 2, 2000, seed),
    ]
}

fn milestones(shell: &Shell) -> Vec<(Milestone, u64)> {
    let milestone = |event: &Event| match event {
        Event::Milestone { milestone, version } => Some((milestone.clone(), version.0)),
        _ => None,
    };
    shell.events.iter().filter_map(milestone).collect()
}

fn all_of(version: u64) -> Vec<(Milestone, u64)> {
    let collection = |name: &str| Milestone::Collection(name.into());
    let all = [
        Milestone::Trusted,
        collection("config"),
        Milestone::Bootstrap,
        collection("headers"),
        collection("tokens"),
        Milestone::Complete,
    ];
    all.into_iter().map(|milestone| (milestone, version)).collect()
}

fn conditions(shell: &Shell) -> Vec<(Condition, bool, Cause)> {
    let condition = |event: &Event| match event {
        Event::Condition { condition, holds, cause, .. } => Some((*condition, *holds, *cause)),
        _ => None,
    };
    shell.events.iter().filter_map(condition).collect()
}

/// The most bundles that were asked for before an answer came.
fn most_at_once(shell: &Shell) -> usize {
    let bundles = || shell.requests.iter().filter(|request| request.path.starts_with("bundle/"));
    let asked_by = |round| bundles().filter(|request| request.round == round).count();
    bundles().map(|request| asked_by(request.round)).max().unwrap_or(0)
}

#[test]
fn milestones_come_in_order_and_once() {
    let mut publication = Publication::of(&specs(1));
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.sync().expect("a sync that ends well");
    assert_eq!(milestones(&shell), all_of(1));
    shell.events.clear();
    shell.sync().expect("a sync that ends well");
    assert_eq!(milestones(&shell), [], "nothing newer, nothing told");
    publication.publish(&specs(2));
    shell.sources = vec![Source::honest(&publication)];
    shell.sync().expect("a sync that ends well");
    assert_eq!(milestones(&shell), all_of(2));
}

#[test]
fn what_a_milestone_promises_survives_the_client() {
    let specs = specs(1);
    let publication = Publication::of(&specs);
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.feed(Input::Command(Command::Sync));
    let mut told = 0;
    while shell.step() {
        let reached = milestones(&shell);
        for (milestone, _) in &reached[told..] {
            let Milestone::Collection(name) = milestone else { continue };
            let spec = specs.iter().find(|spec| spec.name == name).expect("one of ours");
            let mut offline = Shell::on_store(&publication, vec![], shell.store.clone());
            let expected: Vec<_> = spec.records.clone().into_iter().collect();
            assert_eq!(offline.range(spec.name), expected, "{name}");
        }
        told = reached.len();
    }
    assert_eq!(milestones(&shell), all_of(1));
}

#[test]
fn a_sync_that_yields_has_one_transfer_under_way() {
    let publication = Publication::of(&specs(1));
    let synced = |yields| {
        let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
        shell.feed(Input::Command(Command::Yield(yields)));
        shell.sync().expect("a sync that ends well");
        most_at_once(&shell)
    };
    assert_eq!(synced(true), 1);
    assert!(synced(false) > 1);
}

#[test]
fn a_sync_that_is_late_says_so_and_hurries() {
    let publication = Publication::of(&specs(1));
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.feed(Input::Command(Command::Yield(true)));
    shell.feed(Input::Command(Command::Sync));
    shell.feed(Input::Command(Command::Until(Some(shell.now))));
    shell.settle();
    shell.syncs.pop().expect("every sync ends").expect("a sync that ends well");
    let late = |holds| (Condition::Late, holds, Cause::Network);
    assert_eq!(conditions(&shell), [late(true), late(false)]);
    assert!(most_at_once(&shell) > 1);
}

#[test]
fn lateness_is_told_at_the_deadline_though_nothing_comes() {
    let publication = Publication::of(&specs(1));
    let silent =
        |_: &str, _| Err(FetchFailure::Status { status: 503, retry_after_ms: Some(60_000) });
    let mut shell =
        Shell::new(&publication, vec![Source::with_rule(&publication, Box::new(silent))]);
    let deadline = shell.now.plus(20_000);
    shell.feed(Input::Command(Command::Sync));
    shell.feed(Input::Command(Command::Until(Some(deadline))));
    shell.pass(19_000);
    assert_eq!(conditions(&shell), []);
    shell.pass(2_000);
    assert_eq!(conditions(&shell), [(Condition::Late, true, Cause::Sources)]);
}

#[test]
fn a_deadline_without_a_sync_is_nothing() {
    let publication = Publication::of(&specs(1));
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.feed(Input::Command(Command::Until(Some(shell.now))));
    shell.sync().expect("a sync that ends well");
    assert_eq!(conditions(&shell), []);
}

#[test]
fn releases_that_come_faster_than_they_are_brought_are_noticed() {
    let mut publication = Publication::of(&specs(1));
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.engine.follow(Follow { live: true, poll_ms: 600_000 });
    shell.pass(1000);
    let mut releases = Vec::new();
    for seed in 2..5 {
        publication.publish(&specs(seed));
        let bootstrap = publication.files["bootstrap/stable"].clone();
        releases.push(Push::Release { bootstrap, objects: Vec::new() }.encode());
    }
    shell.sources = vec![Source::honest(&publication)];
    for release in releases {
        shell.push(release);
    }
    shell.pass(5000);
    let behind = |holds| (Condition::Behind, holds, Cause::Releases);
    assert_eq!(conditions(&shell), [behind(true), behind(false)]);
    assert_eq!(shell.status_now().version, Some(Version(4)));
}
