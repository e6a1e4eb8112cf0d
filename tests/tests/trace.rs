//! Traces: what was recorded of an engine leads another one to the same outputs, and nothing else
//! passes for it.

use packice_core::engine::Command;
use packice_core::engine::io::Input;
use packice_core::trace::{Seen, replay};
use packice_core::types::Millis;
use packice_tests::publication::{Publication, Spec};
use packice_tests::shell::{Shell, Source};

fn specs(seed: u64) -> Vec<Spec> {
    vec![Spec::numbered("config", 0, 10, seed), Spec::numbered("headers", 1, 3000, seed)]
}

/// A client that synced, read, and followed a second version, recorded.
fn recorded() -> Vec<u8> {
    let mut publication = Publication::of(&specs(1));
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.record(&publication);
    shell.engine.refuse_expired(true);
    shell.sync().expect("a sync that ends well");
    shell.range("headers");
    publication.publish(&specs(2));
    shell.sources = vec![Source::honest(&publication)];
    shell.feed(Input::Command(Command::Yield(true)));
    shell.sync().expect("a sync that ends well");
    let ended = shell.replayed();
    assert!(ended.compared > 20 && ended.differs_after.is_none() && !ended.cut, "{ended:?}");
    shell.engine.trace().expect("it records").bytes().to_vec()
}

fn quiet(_: Seen<'_>, _: Millis) {}

#[test]
fn a_trace_that_was_changed_is_noticed() {
    let trace = recorded();
    let mut noticed = 0;
    let places = (8..trace.len()).step_by(trace.len() / 200);
    let count = places.clone().count();
    for place in places {
        let mut changed = trace.clone();
        changed[place] ^= 1;
        let same = replay(&changed, &mut quiet).is_ok_and(|ended| ended.differs_after.is_none());
        noticed += usize::from(!same);
    }
    // A time of the clock, or a bit of a budget, may well change nothing.
    assert!(noticed * 10 > count * 9, "{noticed} of {count}");
}

#[test]
fn a_trace_that_is_cut_off_is_replayed_as_far_as_it_goes() {
    let trace = recorded();
    let whole = replay(&trace, &mut quiet).expect("it parses");
    for len in [trace.len() - 1, trace.len() / 2, trace.len() / 3] {
        let part = replay(&trace[..len], &mut quiet).expect("what is there parses");
        assert!(part.differs_after.is_none() && part.calls <= whole.calls, "{part:?}");
    }
    assert!(replay(&trace[..trace.len() - 1], &mut quiet).expect("it parses").cut);
}

#[test]
fn a_trace_keeps_to_its_length() {
    let publication = Publication::of(&specs(1));
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.record_up_to(&publication, 20_000);
    shell.sync().expect("a sync that ends well");
    let trace = shell.engine.trace().expect("it records").bytes();
    assert!((10_000..=20_000).contains(&trace.len()), "{}", trace.len());
    let ended = shell.replayed();
    assert!(ended.compared > 0 && ended.differs_after.is_none(), "{ended:?}");
}
