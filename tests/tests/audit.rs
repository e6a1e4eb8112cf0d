//! The audit in idle time: what an honest publisher's store passes, what a liar's does not, and
//! what stands in nobody's way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use packice::client::audit_failure;
use packice::client::fetch::Sink;
use packice::client::host::Host;
use packice::client::store::FileStore;
use packice_core::engine::io::{Answer, FetchFailure, KeyRange, Mismatch, StoreKey, Target};
use packice_core::engine::{Command, Event, Input, Output};
use packice_core::types::{ObjectKind, Version};
use packice_tests::attacks;
use packice_tests::publication::{self, Publication, Spec};
use packice_tests::shell::{Shell, Source};

fn specs(seed: u64) -> Vec<Spec> {
    let mut headers = Spec::numbered("headers", 1, 3000, 1);
    headers.dictionary = true;
    vec![Spec::numbered("config", 0, 10, seed), headers, Spec::numbered("wide", 2, 25_000, 3)]
}

fn synced(publication: &Publication) -> Shell {
    let mut shell = Shell::new(publication, vec![Source::honest(publication)]);
    shell.sync().expect("a sync");
    shell
}

/// Gives idle time until nothing is left to audit.
fn audit(shell: &mut Shell) {
    for _ in 0..10_000 {
        if shell.status().audit.bundles_done == shell.status().audit.bundles_total {
            return;
        }
        let before = shell.status().audit;
        shell.feed(Input::Idle);
        shell.settle();
        if shell.status().audit == before {
            return;
        }
    }
    panic!("the audit does not end");
}

fn mismatches(shell: &Shell) -> Vec<Mismatch> {
    let mut found = Vec::new();
    for event in &shell.events {
        if let Event::LayoutMismatch(mismatch) = event {
            found.push(mismatch.clone());
        }
    }
    found
}

fn loads(shell: &Shell) -> Vec<StoreKey> {
    shell.loaded.iter().filter(|key| key.name().is_some()).copied().collect()
}

#[test]
fn stored_becomes_audited_without_a_request_and_stays_so_over_a_restart() {
    let ours = Publication::of(&specs(1));
    let mut shell = synced(&ours);
    let status = shell.status();
    assert!(status.stored && !status.audit.audited);
    assert!(status.audit.bundles_total >= 3, "{:?}", status.audit);
    let requests = shell.requests.len();
    audit(&mut shell);
    let done = shell.status().audit;
    assert!(done.audited, "{done:?}");
    assert_eq!(done.bundles_done, done.bundles_total);
    assert_eq!((shell.requests.len(), mismatches(&shell)), (requests, vec![]));
    let mut again = Shell::on_store(&ours, vec![], shell.close());
    assert!(again.status().audit.audited);
    again.feed(Input::Idle);
    again.settle();
    assert_eq!(loads(&again), vec![], "nothing is read twice");
}

#[test]
fn of_a_collection_that_is_subscribed_in_part_that_part_is_audited() {
    let ours = Publication::of(&specs(1));
    let whole = synced(&ours).status().audit.bundles_total;
    let keys: Vec<_> = specs(1).remove(2).records.into_keys().collect();
    for (from, to) in [(0, 500), (12_000, 12_500), (24_500, 25_000)] {
        let mut shell = Shell::new(&ours, vec![Source::honest(&ours)]);
        let range = KeyRange { start: keys[from].clone(), end: keys.get(to).cloned() };
        let subscribed = vec![("wide".into(), vec![range])];
        shell.feed(Input::Command(Command::Subscribe(subscribed)));
        shell.sync().expect("a sync of a part");
        assert!(!shell.status().audit.audited);
        audit(&mut shell);
        let done = shell.status().audit;
        assert!(done.audited && done.bundles_done == done.bundles_total, "{from}: {done:?}");
        assert!(done.bundles_total < whole, "{from}: {done:?} of {whole}");
        assert_eq!(mismatches(&shell), []);
    }
}

#[test]
fn an_audit_that_is_left_takes_no_idle_time() {
    let ours = Publication::of(&specs(1));
    let mut shell = synced(&ours);
    shell.engine.leave_audit();
    let loads_before = loads(&shell);
    shell.feed(Input::Idle);
    shell.settle();
    let status = shell.status();
    assert!(status.audit.bundles_done == 0 && status.audit.bundles_total > 0);
    assert_eq!(loads(&shell), loads_before);
}

#[test]
fn an_audit_that_was_cut_off_goes_on_where_it_was_written_down() {
    let ours = Publication::of(&specs(1));
    let mut store = synced(&ours).close();
    let mut audited = 0;
    for life in 0..40 {
        let mut shell = Shell::on_store(&ours, vec![], store);
        // At worst the last few bundles are decoded again.
        assert!(shell.status().audit.bundles_done + 16 >= audited);
        for _ in 0..17 {
            shell.feed(Input::Idle);
            shell.settle();
        }
        let done = shell.status().audit;
        audited = done.bundles_done;
        store = shell.close();
        if done.audited {
            return assert!(life < 39);
        }
    }
    panic!("it never ends");
}

#[test]
fn an_update_leaves_what_it_did_not_change_audited() {
    let mut ours = Publication::of(&specs(1));
    let mut shell = synced(&ours);
    audit(&mut shell);
    ours.publish(&specs(2));
    let mut shell = Shell::on_store(&ours, vec![Source::honest(&ours)], shell.close());
    assert_eq!(shell.sync().expect("version 2").version, Version(2));
    let status = shell.status().audit;
    assert!(!status.audited);
    let config = shell.status().collections[0].bundles;
    assert_eq!(status.bundles_total - status.bundles_done, config, "the others are as they were");
    audit(&mut shell);
    assert!(shell.status().audit.audited);
}

#[test]
fn a_layout_that_does_not_deliver_its_root_is_found_named_and_never_read() {
    let lies = ["frame-of-another-content", "frame-that-ends-early", "dictionary-that-is-a-bundle"];
    for name in lies {
        let fixture = attacks::fixtures().into_iter().find(|f| f.name == name).expect("a fixture");
        let phase = &fixture.attack.phases[1];
        let sources = || vec![Source::of(fixture.set("evil").clone(), vec![])];
        let open = |store| {
            Shell::open(fixture.trust(phase).to_vec(), sources(), store)
                .expect("a trust root that holds")
        };
        let mut shell = open(BTreeMap::new());
        shell.sync().expect("every byte has its signed name");
        assert!(shell.status().stored);
        assert_eq!(mismatches(&shell), vec![], "{name}: nothing was decoded yet");
        audit(&mut shell);
        let found = mismatches(&shell);
        assert!(!found.is_empty(), "{name}");
        for mismatch in &found {
            assert_eq!(mismatch.collection, "tokens");
            let kind = mismatch.object.split('/').next();
            let frame = kind == Some(ObjectKind::Bundle.as_str());
            assert_eq!(mismatch.frame.is_some(), frame, "{mismatch:?}");
        }
        let status = shell.status();
        assert!(status.stored && !status.audit.audited);
        assert_eq!(status.audit.mismatches[0], found[0]);
        let key = packice_tests::publication::numbered_record(5, 0).0;
        let mut again = open(shell.close());
        let kept = again.status().audit;
        assert!(!kept.audited && kept.mismatches == status.audit.mismatches, "{name}: {kept:?}");
        let failure = again.get("tokens", &key).expect_err("a record that is not proven");
        assert!(["trust/layout-mismatch", "format/frame"].contains(&failure.code()), "{failure:?}");
    }
}

#[test]
fn a_page_that_does_not_fit_its_root_is_named_before_the_sync_ends() {
    let name = "layout-with-a-page-of-another-release";
    let fixture = attacks::fixtures().into_iter().find(|f| f.name == name).expect("a fixture");
    let sources = vec![Source::of(fixture.set("evil").clone(), vec![])];
    let trust = fixture.trust(&fixture.attack.phases[1]).to_vec();
    let mut shell = Shell::open(trust, sources, BTreeMap::new()).expect("a trust root that holds");
    assert_eq!(shell.sync().expect_err("a lie").code(), "trust/layout-mismatch");
    let found = mismatches(&shell);
    assert_eq!(found[0].collection, "tokens");
    assert!(found[0].object.starts_with("layout/") && found[0].frame.is_none(), "{found:?}");
}

#[test]
fn reads_and_syncs_do_not_wait_for_the_audit() {
    let mut ours = Publication::of(&specs(1));
    let mut shell = synced(&ours);
    shell.feed(Input::Idle);
    // The bundle is on its way out of the store, or being decoded.
    shell.step();
    shell.step();
    let (key, value) = specs(1)[1]
        .records
        .iter()
        .nth(1234)
        .map(|(k, v)| (k.clone(), v.clone()))
        .expect("a record");
    let read =
        shell.begin(|read| Command::Get { read, collection: "headers".into(), key, version: None });
    let answer = loop {
        if let Some(answer) = shell.answer(read) {
            break answer.expect("an answer");
        }
        assert!(shell.step(), "the read is not answered");
    };
    assert_eq!(answer, Answer::Present { value, version: Version(1) });
    let bundles = shell.events.iter().filter(|event| matches!(event, Event::Audit(_))).count();
    assert!(bundles <= 1, "the audit went on while somebody waited");

    ours.publish(&specs(2));
    let mut shell = Shell::on_store(&ours, vec![Source::honest(&ours)], shell.close());
    shell.feed(Input::Idle);
    shell.step();
    shell.sync().expect("version 2");
    assert!(!shell.events.iter().any(|event| matches!(event, Event::Audit(_))));
    let asked = shell.engine.poll_output();
    assert!(matches!(asked, Output::Wait { .. }));
}

#[test]
fn a_row_that_is_damaged_or_missing_is_not_audited_until_it_is_back() {
    let ours = Publication::of(&specs(1));
    let whole = synced(&ours).close();
    let bundles: Vec<StoreKey> = whole
        .keys()
        .filter(|key| matches!(key, StoreKey::Object(ObjectKind::Bundle, _)))
        .copied()
        .collect();
    for missing in [false, true] {
        let mut store = whole.clone();
        let key = bundles[bundles.len() / 2];
        match missing {
            true => drop(store.remove(&key)),
            false => store.get_mut(&key).expect("the row")[9] ^= 1,
        }
        let mut shell = Shell::on_store(&ours, vec![Source::honest(&ours)], store);
        audit(&mut shell);
        let status = shell.status().audit;
        assert!(!status.audited && status.mismatches.is_empty(), "{status:?}");
        let damaged =
            shell.events.iter().any(|e| matches!(e, Event::Damaged { key: k } if *k == key));
        assert_eq!(damaged, !missing);
        shell.sync().expect("a sync that brings it back");
        audit(&mut shell);
        assert!(shell.status().audit.audited);
    }
}

/// Files by path, as the native client's source.
struct Files(BTreeMap<String, Vec<u8>>);

impl packice::client::fetch::Source for Files {
    fn name(&self) -> &str {
        "liar"
    }

    fn fetch(
        &self,
        target: &Target,
        _: u64,
        _: Duration,
        sink: &mut Sink<'_>,
    ) -> Result<(), FetchFailure> {
        let missing = FetchFailure::Status { status: 404, retry_after_ms: None };
        let body = self.0.get(&target.path).ok_or(missing)?;
        let range = target.range.map_or(0..body.len(), |range| {
            let start = usize::try_from(range.start).expect("a small object");
            start..start + usize::try_from(range.len).expect("a small object")
        });
        sink(body[range].to_vec());
        Ok(())
    }
}

#[test]
fn the_native_client_ends_an_audit_of_a_liars_store_with_the_code_for_verification() {
    let name = "frame-of-another-content";
    let fixture = attacks::fixtures().into_iter().find(|f| f.name == name).expect("a fixture");
    let trust = fixture.trust(&fixture.attack.phases[1]).to_vec();
    for (set, lies) in [("v2", false), ("evil", true)] {
        let dir = std::env::temp_dir().join(format!("packice-audit-{}-{set}", std::process::id()));
        let store = FileStore::open(&dir).expect("a store");
        let source = Arc::new(Files(fixture.set(set).clone()));
        let (dataset, channel) = (publication::dataset(), publication::channel());
        let mut host =
            Host::new(dataset, channel, trust.clone(), store, vec![source]).expect("a host");
        host.sync(&mut |_| {}).expect("every byte has its signed name");
        let mut said = Vec::new();
        let audit = host.audit(&mut |event| said.push(event.clone())).expect("an audit");
        drop(host);
        std::fs::remove_dir_all(&dir).expect("the store's directory");
        let failure = audit_failure(&audit);
        assert_eq!((audit.audited, failure.is_some()), (!lies, lies), "{audit:?}");
        if let Some(failure) = failure {
            assert_eq!(
                (failure.kind.exit_code(), failure.code),
                (4, Some("trust/layout-mismatch"))
            );
            assert!(failure.message.contains("'tokens'"), "{failure}");
            assert!(said.iter().any(|event| matches!(event, Event::LayoutMismatch(_))));
        }
    }
}
