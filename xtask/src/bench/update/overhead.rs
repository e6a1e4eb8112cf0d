//! What a client that follows fetches besides the delta: checkpoint, proofs, head, manifest. The
//! newest pair of each set, built by the publisher and synced by the engine from memory.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Found, History};
use crate::demo;
use crate::shop::Shop;
use crate::step::{self, Step};

pub(super) fn main(shop: &Shop, histories: &[History], found: &mut Found) -> Result<()> {
    let packice = demo::build_publisher(shop)?;
    let step = Step::start("a client that follows, the newest pair of each set");
    let mut cargo = shop.cargo();
    cargo.args(["run", "--quiet", "--package", "packice-tests", "--example", "following", "--"]);
    cargo.arg(packice);
    for history in histories {
        if let [.., from, to] = history.versions.as_slice() {
            cargo.arg(format!("{}:{from}:{to}", history.dir.display()));
        }
    }
    let rows: Value = serde_json::from_str(&step::capture(&mut cargo)?)?;
    step.done("");
    let mut most = 0;
    for row in rows.as_array().context("no rows")? {
        ensure!(row["by_delta"] == true, "{row} came another way than by the delta");
        println!("{}: {} bytes besides the delta", row["set"], row["overhead_bytes"]);
        most = most.max(row["overhead_bytes"].as_u64().context("no bytes")?);
    }
    found.figure("c1.overhead_bytes", json!(most), "bytes");
    found.detail("following", rows);
    Ok(())
}
