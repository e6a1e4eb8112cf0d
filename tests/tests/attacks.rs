//! Every attack of `tests/attacks/` on the engine itself, over a store in memory; and that the
//! fixtures are what they are said to be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use packice_core::engine::Event;
use packice_core::engine::io::Answer;
use packice_core::trust::append::{PointerRequest, check_pointer_move, pointer_tiles};
use packice_core::types::Millis;
use packice_tests::attacks::check::{Outcome, PROBES, Rows, alter, check, phases, report};
use packice_tests::attacks::{self, EdgeMove, Fault, Fixture, Phase};
use packice_tests::publication::{channel, dataset};
use packice_tests::shell::{Shell, Source};

const CLIENT: &str = "core";

/// Runs a phase on the rows that the one before left.
fn run(fixture: &Fixture, phase: &Phase, rows: Rows) -> (Outcome, Rows) {
    let mut outcome = Outcome::default();
    let source = |source: &attacks::Source| {
        let mut served = Source::of(fixture.set(&source.serve).clone(), source.rules.clone());
        served.name = Some(source.name.clone());
        served
    };
    let sources = phase.sources.iter().map(source).collect();
    let mut shell = match Shell::open(fixture.trust(phase).to_vec(), sources, rows.clone()) {
        Ok(shell) => shell,
        Err(error) => {
            outcome.open = Some(error.code().into());
            return (outcome, rows);
        }
    };
    shell.engine.refuse_expired(phase.refuse_expired);
    // The others run on the machine's clock.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let clock = u64::try_from(since.as_millis()).expect("a clock before the year 584 million");
    shell.engine.set_clock(Millis(clock), shell.now);
    if phase.sync.is_some() {
        let ended = shell.sync();
        outcome.sync =
            Some(ended.map(|report| report.version.0).map_err(|error| error.code().into()));
    }
    let blamed = |(source, code): (String, &'static str)| Fault { source, code: code.into() };
    outcome.faults = shell.faults().into_iter().map(blamed).collect();
    outcome.freshness = Some(shell.status().freshness.level.as_str().into());
    for (collection, key, _) in PROBES {
        let answer = match shell.get(collection, key.as_bytes()) {
            Ok(Answer::Present { value, .. }) => Ok(String::from_utf8_lossy(&value).into_owned()),
            Ok(Answer::Unknown(_)) => Err("unknown".into()),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.code().into()),
        };
        outcome.answers.insert(collection.into(), answer);
    }
    for event in &shell.events {
        if let Event::Damaged { key } = event {
            let text = key.text();
            outcome.damaged.insert(text.split('/').next().unwrap_or_default().to_owned());
        }
    }
    (outcome, shell.close())
}

#[test]
fn the_core_answers_every_attack_as_its_fixture_says() {
    let mut results = BTreeMap::new();
    for fixture in attacks::fixtures() {
        let phases = phases(&fixture.attack, CLIENT);
        if phases.is_empty() {
            continue;
        }
        let (mut rows, mut first, mut wrong) = (Rows::new(), None, Vec::new());
        for phase in phases {
            if phase.restart {
                rows = first.clone().expect("a phase before");
            }
            for change in &phase.alter {
                alter(&mut rows, &fixture, change);
            }
            let (outcome, after) = run(&fixture, phase, rows.clone());
            let found = check(&fixture, phase, CLIENT, &outcome, [&rows, &after]);
            rows = after;
            first.get_or_insert_with(|| rows.clone());
            wrong.extend(found.iter().map(|what| format!("  {}: {what}", phase.name)));
        }
        for step in &fixture.attack.edge {
            wrong.extend(move_pointer(&fixture, step));
        }
        let result = if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) };
        results.insert(fixture.name, result);
    }
    report(target(), CLIENT, &results);
    let failed: Vec<String> = results
        .iter()
        .filter_map(|(name, result)| Some(format!("{name}\n{}", result.as_ref().err()?)))
        .collect();
    assert!(failed.is_empty(), "{} attacks:\n{}", failed.len(), failed.join("\n"));
}

/// Asks the core as the edge does whether a pointer may move; what is wrong with the answer.
fn move_pointer(fixture: &Fixture, step: &EdgeMove) -> Option<String> {
    let pointer = |set: &str| fixture.set(set)["bootstrap/stable"].clone();
    let (old, new) = (step.published.last().map(|set| pointer(set)), pointer(&step.put));
    let tiles = pointer_tiles(&new).expect("a bootstrap").into_iter();
    let tiles: Vec<_> = tiles
        .filter_map(|tile| {
            let bytes = fixture.set(&step.put).get(&format!("log/{}", tile.path()))?;
            Some((tile, bytes.clone()))
        })
        .collect();
    let moved = check_pointer_move(&PointerRequest {
        dataset: &dataset(),
        channel: &channel(),
        trust_roots: &[fixture.objects.roots["root"].clone()],
        old: old.as_deref(),
        own: old.as_deref(),
        new: &new,
        tiles: &tiles,
    });
    let found = moved.map_or_else(|error| error.code(), |_| "a move");
    let wrong = || format!("  putting {}: expected {}, found {found}", step.put, step.code);
    (found != step.code).then(wrong)
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder")
}

#[test]
fn the_objects_are_made_again_as_they_are_frozen() {
    let text = std::fs::read_to_string(attacks::folder().join("digests.json")).expect("digests");
    let frozen: BTreeMap<String, String> = serde_json::from_str(&text).expect("digests by name");
    let made: BTreeMap<String, String> =
        attacks::all().iter().map(|(name, objects)| ((*name).into(), objects.digest())).collect();
    assert_eq!(made, frozen, "see tests/attacks/README.md before freezing them anew");
}

#[test]
fn every_fixture_is_whole_and_told_of_in_the_threat_model() {
    let attacks = attacks::attacks();
    assert!(attacks.len() >= 45, "{} fixtures", attacks.len());
    let objects = attacks::all();
    let without: Vec<_> = objects.keys().filter(|name| !attacks.contains_key(**name)).collect();
    assert!(without.is_empty(), "objects without a folder: {without:?}");
    for (name, attack) in &attacks {
        let readme = attacks::folder().join(name).join("README.md");
        assert!(readme.exists(), "{} is missing", readme.display());
        assert!(!attack.phases.is_empty(), "{name} has no phase");
        for client in attack.not_for.keys() {
            assert!(["core", "native", "browser"].contains(&client.as_str()), "{name}: {client}");
        }
        let own = objects.get(name.as_str());
        let served = attack.phases.iter().flat_map(|phase| &phase.sources);
        for source in served {
            let honest = source.serve.strip_prefix('v').is_some_and(|n| n.parse::<u64>().is_ok());
            let known = own.is_some_and(|own| own.sets.contains_key(&source.serve));
            assert!(honest || known, "{name}: there is no set '{}'", source.serve);
        }
        let used: BTreeSet<&str> = attack
            .phases
            .iter()
            .flat_map(|phase| phase.sources.iter().map(|source| source.serve.as_str()))
            .chain(attack.edge.iter().map(|edge| edge.put.as_str()))
            .collect();
        let idle: Vec<_> = own
            .iter()
            .flat_map(|own| own.sets.keys())
            .filter(|set| !used.contains(set.as_str()))
            .collect();
        assert!(idle.is_empty(), "{name}: sets that no phase serves: {idle:?}");
    }
    let threats = attacks::folder().join("../../docs/threats.md");
    let threats = std::fs::read_to_string(threats).expect("docs/threats.md");
    for name in attacks.keys() {
        let link = format!("(../tests/attacks/{name}/)");
        assert!(threats.contains(&link), "docs/threats.md has no link {link}");
    }
}
