//! Prints what a client fetches that was away for so many releases (`packice_tests::away`), as
//! JSON for `cargo xtask bench trust`; the numbers of releases are the arguments.

use packice_tests::away::away;
use serde_json::Value;

fn main() {
    let counts = std::env::args().skip(1);
    let counts = counts.map(|text| text.parse().expect("a number of releases"));
    let rows: Vec<Value> = counts.map(away).collect();
    println!("{}", Value::Array(rows));
}
