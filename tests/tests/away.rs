//! The way to the head stays short, however long a client was away.

use packice_tests::away::away;

#[test]
fn a_client_away_for_ten_thousand_releases_needs_three_round_trips_and_64_kib() {
    let row = away(10_000);
    let field = |name: &str| row[name].as_u64().expect("a number");
    assert!(field("round_trips") <= 3, "{row:#}");
    assert!(field("bytes") <= 64 << 10, "{row:#}");
    // The log is walked and not trusted: there were tiles to prove it by.
    assert!(field("tiles") >= 1, "{row:#}");
}

#[test]
fn a_client_one_release_behind_needs_no_tile() {
    let row = away(1);
    assert_eq!(row["tiles"], 0, "{row:#}");
    assert_eq!(row["round_trips"], 2, "{row:#}");
}
