//! `packice cost`: what serving this data set costs on Cloudflare, by line.

use serde_json::{Value, json};

use super::args::Cli;
use super::edge_args::CostArgs;
use super::session::Session;
use crate::client::watch::Watch;
use crate::cost::{self, Bill, LIST, Publishing, Serving, Sync};
use crate::failure::{Failure, Result};
use crate::text::{show_count, show_size};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &CostArgs, ui: Ui) -> Result<()> {
    let (sync, from) = match (args.requests, args.bytes) {
        (Some(requests), Some(bytes)) => {
            (Sync { requests: requests as f64, bytes: bytes as f64 }, "given")
        }
        _ => (measure(cli, args, ui)?, "measured: a cold sync from the edge"),
    };
    if !(0.0..=100.0).contains(&args.miss_percent) || args.cpu_ms < 0.0 {
        return Err(Failure::usage("--miss-percent is from 0 to 100, --cpu-ms from 0 on"));
    }
    let serving = Serving { misses: args.miss_percent / 100.0, cpu_ms: args.cpu_ms };
    let month = Publishing {
        releases: args.releases as f64,
        uploads: args.uploads as f64,
        gigabytes: cost::gigabytes(sync.bytes * args.kept as f64 * args.regions as f64),
    };
    let bills = [
        (
            format!("{} TB served", args.terabytes),
            cost::terabytes(args.terabytes, sync, serving, &LIST),
        ),
        (
            format!("{} cold syncs of {}", show_count(args.clients), show_size(whole(sync.bytes))),
            cost::clients(args.clients as f64, sync, serving, &LIST),
        ),
        (String::from("a month of publishing"), cost::publishing(month, &LIST)),
    ];
    let mut text = format!(
        "a cold sync takes {} requests for {} ({from})\n",
        show_count(whole(sync.requests)),
        show_size(whole(sync.bytes)),
    );
    for (title, bill) in &bills {
        text.push_str(&format!("\n{title}: ${:.2}\n", bill.total()));
        for line in &bill.lines {
            text.push_str(&format!(
                "  {:>16} {:<34} ${:.4}\n",
                show_count(whole(line.count)),
                line.what,
                line.usd
            ));
        }
    }
    text.push_str("\nlist prices of November 2026; what a plan includes is not taken off");
    let [terabytes, clients, publishing] = &bills;
    let json = json!({
        "sync": { "requests": sync.requests, "bytes": sync.bytes, "from": from },
        "terabytes": bill_json(args.terabytes, &terabytes.1),
        "clients": bill_json(args.clients as f64, &clients.1),
        "publishing": bill_json(1.0, &publishing.1),
    });
    ui.result(&text, &json);
    Ok(())
}

fn bill_json(of: f64, bill: &Bill) -> Value {
    let line = |line: &cost::Line| {
        json!({
            "what": line.what,
            "count": line.count,
            "price": line.price,
            "usd": line.usd,
        })
    };
    let lines: Vec<Value> = bill.lines.iter().map(line).collect();
    json!({ "of": of, "usd": bill.total(), "lines": lines })
}

/// Counts what a client without anything takes from the edge.
fn measure(cli: &Cli, args: &CostArgs, ui: Ui) -> Result<Sync> {
    let session = Session::new(cli, &args.client)?;
    session.need_sources()?;
    let profile = tempfile::tempdir().map_err(crate::failure::on_temporary)?;
    let mut host = session.host_on(profile.path(), &session.sources)?;
    let mut watch = Watch::new(ui, "sync");
    let report = host.sync(&mut |event| watch.hear(event));
    watch.finish();
    let report = report?;
    Ok(Sync { requests: report.requests as f64, bytes: report.bytes_fetched as f64 })
}

/// A count for people.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is counted here is positive and far below 2^53"
)]
fn whole(count: f64) -> u64 {
    count as u64
}
