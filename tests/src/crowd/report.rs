//! What a crowd did, and the bars that it must hold: as a table, as a chart over time, as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::agenda::{MS, SECOND};
use super::edge::{CENTRES, Outcome};
use super::region::REGIONS;
use super::{Count, Counts, Data, Outage, Plan};
use crate::sim::Draw;

/// What must hold. The rates are those of whole seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bars {
    /// Objects read from the origin, by objects times regions, where nothing is down.
    pub origin_ratio: f64,
    /// Requests of any one client.
    pub requests_max: u64,
    /// Requests of a client on average, by those where nothing is down.
    pub requests_ratio: f64,
    /// The highest rate of requests after the outage, by the highest where nothing is down.
    pub peak_ratio: f64,
}

impl Default for Bars {
    fn default() -> Self {
        Self { origin_ratio: 1.05, requests_max: 120, requests_ratio: 3.0, peak_ratio: 2.0 }
    }
}

/// What a run did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it was made from.
    pub plan: Plan,
    /// How long it took, in seconds of the machine.
    pub took_s: f64,
    /// A digest over all answers and their times.
    pub digest: u64,
    /// From a client's coming to what it needs first, and to all of it, in milliseconds, sorted.
    bootstraps_ms: Vec<u64>,
    completes_ms: Vec<u64>,
    /// Requests of each client, sorted.
    requests: Vec<u32>,
    /// Syncs that failed.
    failed_syncs: u64,
    /// Each second's requests, completions and reads of the origin.
    asked: Vec<u64>,
    completed: Vec<u64>,
    origin: Vec<u64>,
    /// Answers: whole, 404, 429, 503, none.
    answers: [u64; 5],
    counts: Counts,
}

fn count(series: &mut Vec<u64>, now: u64, by: u64) {
    let at = usize::try_from(now / SECOND).expect("a short run");
    if series.len() <= at {
        series.resize(at + 1, 0);
    }
    series[at] += by;
}

fn part(sorted: &[u64], thousandth: usize) -> u64 {
    let at = (sorted.len() * thousandth / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}

fn ratio(of: u64, by: u64) -> f64 {
    (of as f64 / by.max(1) as f64 * 1000.0).round() / 1000.0
}

impl Report {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            took_s: 0.0,
            digest: plan.seed,
            bootstraps_ms: Vec::new(),
            completes_ms: Vec::new(),
            requests: Vec::new(),
            failed_syncs: 0,
            asked: Vec::new(),
            completed: Vec::new(),
            origin: Vec::new(),
            answers: [0; 5],
            counts: Counts::default(),
        }
    }

    pub(super) fn completed(&self) -> u64 {
        self.requests.len() as u64
    }

    pub(super) fn asked(&mut self, now: u64) {
        count(&mut self.asked, now, 1);
    }

    pub(super) fn origin_read(&mut self, now: u64, reads: u64) {
        count(&mut self.origin, now, reads);
    }

    pub(super) fn bootstrapped(&mut self, passed: u64) {
        self.bootstraps_ms.push(passed / MS);
    }

    pub(super) fn complete(&mut self, now: u64, passed: u64, requests: u32, failed: u32) {
        count(&mut self.completed, now, 1);
        self.completes_ms.push(passed / MS);
        self.requests.push(requests);
        self.failed_syncs += u64::from(failed);
    }

    pub(super) fn answered(&mut self, now: u64, client: u32, outcome: Outcome) {
        self.answers[outcome as usize] += 1;
        let mixed = self.digest ^ now.rotate_left(24) ^ u64::from(client) ^ outcome as u64;
        self.digest = Draw(mixed).draw();
    }

    pub(super) fn finish(&mut self, counts: &Counts) {
        self.counts = *counts;
        self.bootstraps_ms.sort_unstable();
        self.completes_ms.sort_unstable();
        self.requests.sort_unstable();
    }

    /// Objects read from the origin, by objects times regions.
    pub fn origin_ratio(&self, data: &Data) -> f64 {
        ratio(self.counts.of(Count::ObjectReads), data.objects() * REGIONS as u64)
    }

    /// Requests of the client that made the most.
    pub fn requests_max(&self) -> u64 {
        self.requests.last().copied().unwrap_or(0).into()
    }

    fn requests_all(&self) -> u64 {
        self.requests.iter().map(|own| u64::from(*own)).sum()
    }

    /// The highest rate of requests from a second on.
    fn peak(&self, from: u64) -> u64 {
        let from = usize::try_from(from / SECOND).expect("a short run");
        self.asked.iter().skip(from).max().copied().unwrap_or(0)
    }

    /// The highest rate after the outage.
    fn peak_after(&self) -> u64 {
        self.peak(self.plan.outage.window().end)
    }

    /// The highest rate of reads of the origin after the outage.
    fn origin_peak_after(&self) -> u64 {
        let from = usize::try_from(self.plan.outage.window().end / SECOND).expect("a short run");
        self.origin.iter().skip(from).max().copied().unwrap_or(0)
    }

    /// Which bars a run breaks, beside the run where nothing is down.
    pub fn broken(&self, calm: &Self, data: &Data, bars: &Bars) -> Vec<String> {
        let name = self.plan.outage.name();
        let mut broken = Vec::new();
        let mut bar = |what: &str, is: f64, most: f64| {
            if is > most {
                broken.push(format!("{name}: {what} {is} > {most}"));
            }
        };
        if self.plan.outage == Outage::Calm {
            bar(
                "origin reads by objects times regions",
                self.origin_ratio(data),
                bars.origin_ratio,
            );
        }
        bar("requests of a client", self.requests_max() as f64, bars.requests_max as f64);
        let requests = ratio(self.requests_all(), calm.requests_all());
        bar("requests by those of calm", requests, bars.requests_ratio);
        let peak = ratio(self.peak_after(), calm.peak(0));
        bar("peak after the outage by the peak of calm", peak, bars.peak_ratio);
        broken
    }

    /// All figures.
    pub fn to_json(&self, calm: &Self, data: &Data) -> Value {
        let counts = Count::ALL.map(|(what, name)| (name.to_owned(), json!(self.counts.of(what))));
        let clients = self.completed();
        let requests = &self.requests;
        json!({
            "clients": clients, "seconds": self.took_s, "digest": format!("{:016x}", self.digest),
            "bootstrap_ms": { "p50": part(&self.bootstraps_ms, 500),
                "p99": part(&self.bootstraps_ms, 990) },
            "complete_ms": { "p50": part(&self.completes_ms, 500),
                "p99": part(&self.completes_ms, 990), "max": self.completes_ms.last() },
            "requests": { "mean": ratio(self.requests_all(), clients), "max": requests.last(),
                "by_calm": ratio(self.requests_all(), calm.requests_all()) },
            "peak": { "all": self.peak(0), "after": self.peak_after(),
                "after_by_calm": ratio(self.peak_after(), calm.peak(0)) },
            "failed_syncs": self.failed_syncs,
            "objects": data.objects(), "regions": REGIONS, "centres": REGIONS * CENTRES,
            "origin_ratio": self.origin_ratio(data), "origin_peak": self.origin.iter().max(),
            "origin_peak_after": self.origin_peak_after(),
            "answers": { "whole": self.answers[0], "404": self.answers[1],
                "429": self.answers[2], "503": self.answers[3], "none": self.answers[4] },
            "edge": counts.into_iter().collect::<serde_json::Map<_, _>>(),
            "series": { "requests": self.asked, "completions": self.completed,
                "origin_reads": self.origin },
        })
    }
}

/// The runs as a table; the first is the one where nothing is down.
pub fn table(reports: &[Report], data: &Data) -> String {
    let Some(calm) = reports.first() else { return String::new() };
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    let mut line = |what: &str, of: &dyn Fn(&Report) -> String| {
        lines.push((what.to_owned(), reports.iter().map(of).collect()));
    };
    let seconds = |ms: u64| format!("{}.{:02} s", ms / 1000, ms % 1000 / 10);
    line("", &|own| own.plan.outage.name().to_owned());
    line("clients at the right roots", &|own| own.completed().to_string());
    line("bootstrap p50", &|own| seconds(part(&own.bootstraps_ms, 500)));
    line("bootstrap p99", &|own| seconds(part(&own.bootstraps_ms, 990)));
    line("complete p50", &|own| seconds(part(&own.completes_ms, 500)));
    line("complete p99", &|own| seconds(part(&own.completes_ms, 990)));
    line("complete, the last", &|own| seconds(part(&own.completes_ms, 1000)));
    line("requests a client", &|own| ratio(own.requests_all(), own.completed()).to_string());
    line("requests by calm", &|own| ratio(own.requests_all(), calm.requests_all()).to_string());
    line("requests, the most", &|own| own.requests_max().to_string());
    line("peak rate, 1/s", &|own| own.peak(0).to_string());
    line("peak after the outage, 1/s", &|own| own.peak_after().to_string());
    line("that by the peak of calm", &|own| ratio(own.peak_after(), calm.peak(0)).to_string());
    line("syncs that failed", &|own| own.failed_syncs.to_string());
    line("origin reads of objects", &|own| own.counts.of(Count::ObjectReads).to_string());
    line("by objects x regions", &|own| own.origin_ratio(data).to_string());
    line("origin reads of pointers", &|own| own.counts.of(Count::PointerReads).to_string());
    line("origin reads of log tiles", &|own| own.counts.of(Count::TileReads).to_string());
    line("of all these, failed", &|own| own.counts.of(Count::FailedReads).to_string());
    line("origin peak after, 1/s", &|own| own.origin_peak_after().to_string());
    line("origin peak, 1/s", &|own| own.origin.iter().max().copied().unwrap_or(0).to_string());
    line("answers 429", &|own| own.answers[2].to_string());
    line("answers 503", &|own| own.answers[3].to_string());
    line("no answer", &|own| own.answers[4].to_string());
    let mut table = String::new();
    for (what, cells) in lines {
        let cells = cells.iter().fold(String::new(), |all, cell| format!("{all}{cell:>12}"));
        _ = writeln!(table, "{what:<28}{cells}");
    }
    table
}

/// Requests and completions over time, five seconds a line.
pub fn chart(report: &Report) -> String {
    const STEP: usize = 5;
    const WIDTH: u64 = 36;
    let per = |series: &[u64], at: usize| -> u64 {
        series.iter().skip(at).take(STEP).sum::<u64>() / STEP as u64
    };
    let ends = report.asked.len().max(report.completed.len());
    let steps: Vec<usize> = (0..ends).step_by(STEP).collect();
    let most = |series: &[u64]| steps.iter().map(|at| per(series, *at)).max().unwrap_or(0).max(1);
    let (asked_most, completed_most) = (most(&report.asked), most(&report.completed));
    let bar = |value: u64, most: u64| {
        let len = usize::try_from((value * WIDTH).div_ceil(most)).expect("a short bar");
        format!("{:<36}", "#".repeat(len))
    };
    let name = report.plan.outage.name();
    let mut chart = format!("{name}: second, requests a second, completions a second\n");
    for at in steps {
        let (asked, completed) = (per(&report.asked, at), per(&report.completed, at));
        let begins = at as u64 * SECOND;
        let down = report.plan.outage.is_on(begins);
        let mark = if down { '!' } else { ' ' };
        let bars = (bar(asked, asked_most), bar(completed, completed_most));
        let line = format!("{at:>4}{mark} {asked:>7} {}{completed:>6} {}", bars.0, bars.1);
        _ = writeln!(chart, "{}", line.trim_end());
    }
    chart
}
