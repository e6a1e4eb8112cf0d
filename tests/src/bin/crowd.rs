//! `crowd CLIENTS SEED`: a flash crowd in each scenario (docs/simulator.md), on all processors; a
//! table, charts, and one line of JSON at the end. It fails where a bar is broken.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use packice_tests::crowd::{Bars, Data, Outage, Plan, Report, report, run};

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let clients = words.first().and_then(|word| word.parse().ok());
    let seed = words.get(1).and_then(|word| word.parse().ok());
    let (Some(clients), Some(seed)) = (clients, seed) else {
        eprintln!("crowd CLIENTS SEED");
        return std::process::ExitCode::from(2);
    };
    let data = Data::build();
    let (next, ran) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while let Some(outage) = Outage::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let plan = Plan { seed, clients, outage: *outage };
            let result = run(&data, plan);
            ran.lock().expect("no panic").push((*outage as usize, result));
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut ran = ran.into_inner().expect("no panic");
    ran.sort_by_key(|(at, _)| *at);
    let mut broken: Vec<String> = Vec::new();
    let mut reports: Vec<Report> = Vec::new();
    for (_, result) in ran {
        match result {
            Ok(report) => reports.push(report),
            Err(what) => broken.push(what),
        }
    }
    reports.iter().for_each(|own| println!("{}", report::chart(own)));
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
