//! The seed: a version in one file that came with the application, whole, older, newer, damaged.

use std::collections::BTreeMap;

use packice_core::engine::io::{Answer, FetchFailure, UnknownReason};
use packice_core::format::seed::{PRELUDE_LEN, SeedIndex, index_len};
use packice_core::types::Version;
use packice_tests::publication::{Publication, Spec};
use packice_tests::shell::{Rule, Shell, Source};

fn specs(seed: u64) -> Vec<Spec> {
    let mut headers = Spec::numbered("headers", 1, 1500, 1);
    headers.dictionary = true;
    let mut private = Spec::numbered("private", 2, 6000, 2);
    private.lazy = false;
    vec![Spec::numbered("config", 0, 10, 10 * seed), headers, private]
}

fn publication(versions: u64) -> Publication {
    let mut publication = Publication::default();
    for version in 1..=versions {
        publication.publish(&specs(version));
    }
    publication
}

fn dead(publication: &Publication) -> Source {
    let rule: Rule = Box::new(|_, _| Err(FetchFailure::Network));
    Source::with_rule(publication, rule)
}

fn assert_all(shell: &mut Shell, seed: u64) {
    for spec in specs(seed) {
        let expected: Vec<_> = spec.records.into_iter().collect();
        assert_eq!(shell.range(spec.name), expected, "{}", spec.name);
    }
}

fn from_network(shell: &Shell) -> Vec<&str> {
    let network = shell.requests.iter().filter(|request| request.source == 0);
    network.map(|request| request.path.as_str()).collect()
}

#[test]
fn the_first_run_without_a_network_reads_and_syncs_from_the_seed() {
    let ours = publication(1);
    let sources = || vec![dead(&ours), Source::seed(ours.seed())];
    let mut reader = Shell::new(&ours, sources());
    // A collection that allows no lazy reads is read, too: nobody learns which part.
    for (collection, spec) in [("private", 2), ("headers", 1)] {
        let (key, value) = specs(1)[spec].records.iter().nth(777).expect("a record").clone_pair();
        let answer = reader.get(collection, &key).expect("an answer");
        assert_eq!(answer, Answer::Present { value, version: Version(1) });
    }
    let absent = reader.get("private", b"key/zzz").expect("an answer");
    assert_eq!(absent, Answer::Absent { version: Version(1) });
    assert_eq!(from_network(&reader), Vec::<&str>::new());

    let mut shell = Shell::on_store(&ours, sources(), reader.close());
    let report = shell.sync().expect("the seed's version");
    assert_eq!((report.version, report.changed), (Version(1), true));
    assert_eq!((report.bytes_fetched, report.requests), (0, from_network(&shell).len() as u64));
    assert!(shell.status().stored);
    let code = shell.sync().expect_err("nobody tells what is newest").code();
    assert_eq!(code, "peer/network");
    let mut offline = Shell::on_store(&ours, vec![], shell.close());
    assert_all(&mut offline, 1);
    assert!(offline.requests.is_empty());
}

#[test]
fn without_any_source_but_the_seed_a_sync_commits_it() {
    let ours = publication(1);
    let mut shell = Shell::new(&ours, vec![Source::seed(ours.seed())]);
    assert_eq!(shell.sync().expect("the seed's version").version, Version(1));
    assert_all(&mut shell, 1);
    assert_eq!(shell.faults(), []);
}

#[test]
fn a_newer_version_on_the_network_wins_and_only_what_the_seed_lacks_is_fetched() {
    let mut ours = publication(1);
    let seed = ours.seed();
    let held = ours.files.clone();
    for version in 2..=4 {
        ours.publish(&specs(version));
    }
    let mut shell = Shell::new(&ours, vec![Source::honest(&ours), Source::seed(seed)]);
    assert_eq!(shell.sync().expect("version 4").version, Version(4));
    assert_all(&mut shell, 4);
    let fetched = from_network(&shell);
    let named = fetched.iter().filter(|path| !matches!(**path, "checkpoint" | "bootstrap/stable"));
    for path in named {
        assert!(!held.contains_key(*path), "{path} stands in the seed");
    }
    assert!(!fetched.iter().any(|path| path.starts_with("bundle/")), "{fetched:?}");
    assert_eq!(shell.faults(), []);
}

#[test]
fn a_newer_seed_helps_a_store_that_is_behind_with_and_without_a_network() {
    let mut ours = publication(1);
    let mut first = Shell::new(&ours, vec![Source::honest(&ours)]);
    first.sync().expect("version 1");
    let store = first.close();
    let mut grown = specs(2);
    grown[2] = Spec { lazy: false, ..Spec::numbered("private", 2, 6000, 99) };
    ours.publish(&grown);
    let seed = || Source::seed(ours.seed());

    let mut offline = Shell::on_store(&ours, vec![dead(&ours), seed()], store.clone());
    let report = offline.sync().expect("the seed's version");
    assert_eq!((report.version, report.changed), (Version(2), true));

    let mut online = Shell::on_store(&ours, vec![Source::honest(&ours), seed()], store.clone());
    assert_eq!(online.sync().expect("version 2").version, Version(2));
    let fetched = from_network(&online);
    assert!(!fetched.iter().any(|path| path.starts_with("bundle/")), "{fetched:?}");

    let mut warm = Shell::on_store(&ours, vec![Source::honest(&ours), seed()], online.close());
    let first = specs(2)[1].records.iter().next().expect("a record").clone_pair();
    warm.get("headers", &first.0).expect("an answer");
    warm.sync().expect("nothing new");
    let asked: Vec<_> = warm.requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(asked, ["checkpoint"], "the seed is not even opened");
}

#[test]
fn a_seed_older_than_the_store_is_passed_over_in_silence() {
    let old = publication(1).seed();
    let ours = publication(3);
    let mut first = Shell::new(&ours, vec![Source::honest(&ours)]);
    first.sync().expect("version 3");
    let sources = vec![dead(&ours), Source::seed(old)];
    let mut shell = Shell::on_store(&ours, sources, first.close());
    assert_eq!(shell.sync().expect_err("no network").code(), "peer/network");
    assert!(shell.faults().iter().all(|(source, _)| source == "source-0"));
    assert_eq!(shell.status().version, Some(Version(3)));
    assert_all(&mut shell, 3);
}

#[test]
fn every_damage_to_a_seed_is_blamed_on_it_and_the_network_serves() {
    let mut ours = Publication::default();
    // Everything is read under its own name.
    ours.inline = false;
    ours.publish(&specs(1));
    let file = ours.seed();
    let len = index_len(&file[..PRELUDE_LEN]).expect("a prelude");
    let head = PRELUDE_LEN..PRELUDE_LEN + len;
    let index = SeedIndex::parse(&file[head.clone()]).expect("an index");
    let mut spots: BTreeMap<&str, usize> = BTreeMap::from([("the magic", 1), ("the index", 20)]);
    for (path, place) in index.entries() {
        let kind = path.split('/').next().expect("a kind");
        let middle = usize::try_from(place.offset + place.len / 2).expect("a small file");
        spots.entry(kind).or_insert(middle);
    }
    assert!(spots.len() >= 8, "{spots:?}");
    for (what, at) in spots {
        // Neither is read where the head is proven by the bootstrap alone.
        let unread = ["checkpoint", "log"].contains(&what);
        for cut in [false, true] {
            let mut bad = file.clone();
            match cut {
                true => bad.truncate(at),
                false => bad[at] ^= 1,
            }
            let sources = vec![Source::honest(&ours), Source::seed(bad.clone())];
            let mut shell = Shell::new(&ours, sources);
            let report = shell.sync().expect("a sync that the network serves");
            assert_eq!(report.version, Version(1), "{what}");
            assert_all(&mut shell, 1);
            let faults = shell.faults();
            assert!(faults.iter().all(|(source, _)| source == "seed"), "{what}: {faults:?}");
            assert!(!faults.is_empty() || (unread && !cut), "{what} cut {cut}: nobody was blamed");

            let mut alone = Shell::new(&ours, vec![Source::seed(bad)]);
            match alone.sync() {
                Ok(_) => assert!(unread && !cut, "{what} cut {cut} was taken"),
                Err(failure) => {
                    assert!(!alone.status().stored);
                    let code = failure.code();
                    let named =
                        ["peer/", "format/", "trust/"].iter().any(|at| code.starts_with(at));
                    assert!(named, "{what} cut {cut}: {code}");
                }
            }
        }
    }
}

#[test]
fn a_foreign_file_is_no_seed_and_reads_say_why_they_know_nothing() {
    let ours = publication(1);
    let foreign = Publication::signed_by([9; 32]);
    for file in [Vec::new(), b"<!doctype html>".to_vec(), foreign.seed()] {
        let mut shell = Shell::new(&ours, vec![Source::seed(file)]);
        let unknown = Answer::Unknown(UnknownReason::NoSnapshot);
        assert_eq!(shell.get("config", b"key/00000001").expect("an answer"), unknown);
        shell.sync().expect_err("no seed");
    }
}

#[test]
fn a_restore_that_was_killed_goes_on_from_what_was_stored() {
    let ours = publication(1);
    let sources = || vec![dead(&ours), Source::seed(ours.seed())];
    let mut steps = 0;
    loop {
        let mut shell = Shell::new(&ours, sources());
        shell.feed(packice_core::engine::Input::Command(packice_core::engine::Command::Sync));
        let mut over = false;
        for _ in 0..steps {
            over |= !shell.step();
        }
        let mut next = Shell::on_store(&ours, sources(), shell.close());
        match next.sync() {
            Ok(report) => assert_eq!(report.version, Version(1)),
            // It had committed, and there is nothing new.
            Err(failure) => {
                assert_eq!((failure.code(), next.status().stored), ("peer/network", true))
            }
        }
        assert_all(&mut next, 1);
        if over {
            return;
        }
        steps += 97;
    }
}

trait ClonePair {
    fn clone_pair(&self) -> (Vec<u8>, Vec<u8>);
}

impl ClonePair for (&Vec<u8>, &Vec<u8>) {
    fn clone_pair(&self) -> (Vec<u8>, Vec<u8>) {
        (self.0.clone(), self.1.clone())
    }
}
