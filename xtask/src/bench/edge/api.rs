//! e6: requests that schemathesis makes up from docs/spec/openapi.yaml, against the real worker:
//! tests/e2e/schemathesis.test.mjs, whole.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Outcome;
use crate::build::bindgen::Effort;
use crate::build::edge;
use crate::shop::Shop;
use crate::step::{self, Step};
use crate::toolchain;

/// The bar.
const CASES_MIN: u64 = 5_000;

/// Makes them up, and fails where an answer is a 5xx or not in the document.
pub(super) fn measure(shop: &mut Shop) -> Result<Outcome> {
    edge::build(shop, Effort::Ship)?;
    let program = toolchain::find_schemathesis(shop)
        .context("schemathesis is not installed: it takes Python 3 and a way to PyPI")?;
    let step = Step::start("requests made up from docs/spec/openapi.yaml");
    let mut node = shop.node();
    node.args(["--test", "--test-reporter=tap"]);
    node.arg(shop.path("tests/e2e/schemathesis.test.mjs"));
    node.env("PACKICE_SCHEMATHESIS", program).env("PACKICE_API_FUZZ", "1");
    let (ok, said) = step::tee(&mut node)?;
    ensure!(ok, "an answer is not what the document says");
    let counted = said.lines().find_map(|line| line.trim().strip_prefix("# cases: "));
    let cases: u64 = counted.context("no count of cases")?.parse()?;
    step.done(format!("{cases} cases"));
    let figures = vec![("e6.api_cases", json!(cases), "cases", cases >= CASES_MIN)];
    Ok(Outcome { figures, detail: json!({ "api": { "cases": cases } }) })
}
