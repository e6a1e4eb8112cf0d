//! A crowd of a few thousand at the modelled edge: the bars of `cargo xtask sim crowd`.

use std::sync::OnceLock;

use packice_tests::crowd::{Bars, Data, Outage, Plan, Report, run};

fn data() -> &'static Data {
    static DATA: OnceLock<Data> = OnceLock::new();
    DATA.get_or_init(Data::build)
}

fn ran(outage: Outage, clients: u32) -> Report {
    run(data(), Plan { seed: 1, clients, outage }).expect("everyone completes at the right roots")
}

#[test]
fn a_crowd_reads_each_object_once_a_region_and_no_outage_makes_a_storm() {
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let one = |outage| scope.spawn(move || ran(outage, 2_000));
        let runs = Outage::ALL.map(one);
        runs.into_iter().map(|run| run.join().expect("no panic")).collect()
    });
    let bars = Bars::default();
    let broken = reports.iter().flat_map(|own| own.broken(&reports[0], data(), &bars));
    assert_eq!(broken.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_seed_brings_the_same_crowd() {
    let (one, other) = (ran(Outage::Origin, 300), ran(Outage::Origin, 300));
    assert_eq!((one.digest, one.requests_max()), (other.digest, other.requests_max()));
    assert_ne!(one.digest, ran(Outage::Calm, 300).digest);
}

#[test]
fn a_bar_that_is_too_low_is_found_broken() {
    let calm = ran(Outage::Calm, 300);
    let none = Bars { origin_ratio: 0.0, requests_max: 0, requests_ratio: 0.0, peak_ratio: 0.0 };
    assert_eq!(calm.broken(&calm, data(), &none).len(), 4);
    assert_eq!(calm.broken(&calm, data(), &Bars::default()), Vec::<String>::new());
}
