//! `crowd CLIENTS SEED [SCENARIO]`: a flash crowd in each scenario, or in calm and in that one
//! (docs/simulator.md); charts, a table, and one line of JSON at the end. It fails where a bar is
//! broken. The scenarios run one after the other, for the memory that they take.

use packice_tests::crowd::{Bars, Data, Outage, Plan, Report, report, run};

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let clients = words.first().and_then(|word| word.parse().ok());
    let seed = words.get(1).and_then(|word| word.parse().ok());
    let (Some(clients), Some(seed)) = (clients, seed) else {
        eprintln!("crowd CLIENTS SEED");
        return std::process::ExitCode::from(2);
    };
    let only = words.get(2).map(String::as_str);
    let wanted = |outage: Outage| match only {
        None => outage != Outage::Cold,
        Some(only) => outage == Outage::Calm || only == outage.name(),
    };
    let data = Data::build();
    let mut broken: Vec<String> = Vec::new();
    let mut reports: Vec<Report> = Vec::new();
    for outage in Outage::ALL.into_iter().chain([Outage::Cold]).filter(|outage| wanted(*outage)) {
        match run(&data, Plan { seed, clients, outage }) {
            Ok(report) => {
                println!("{}", report::chart(&report));
                reports.push(report);
            }
            Err(what) => broken.push(what),
        }
    }
    println!("{}", report::table(&reports, &data));
    let bars = Bars::default();
    let mut scenarios = serde_json::Map::new();
    if let Some(calm) = reports.first().filter(|first| first.plan.outage == Outage::Calm) {
        for own in &reports {
            broken.extend(own.broken(calm, &data, &bars));
            scenarios.insert(own.plan.outage.name().into(), own.to_json(calm, &data));
        }
    }
    broken.iter().for_each(|what| println!("broken: {what}"));
    let bars = serde_json::json!({
        "origin_ratio": bars.origin_ratio, "requests_max": bars.requests_max,
        "requests_ratio": bars.requests_ratio, "peak_ratio": bars.peak_ratio,
    });
    let json = serde_json::json!({
        "clients": clients, "seed": seed, "broken": broken, "bars": bars, "scenarios": scenarios,
    });
    println!("{json}");
    std::process::ExitCode::from(u8::from(!broken.is_empty()))
}
