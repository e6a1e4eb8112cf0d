//! What shells, callers and rows of the store depend on by value: names, records of a page, the
//! state record's order.

use packice_core::engine::io::{Cause, Condition, Failure, Records, StoreFailure, StoreKey, Why};
use packice_core::engine::{ShelfRecord, StateRecord, VersionRecord};
use packice_core::error::{Error, FormatError};
use packice_core::trust::freshness::Level;
use packice_core::types::{ObjectKind, Version, WireName};

#[test]
fn names_that_callers_see_are_these() {
    let conditions = [Condition::Late, Condition::StoreSlow, Condition::Behind];
    assert_eq!(conditions.map(Condition::as_str), ["late", "store-slow", "behind"]);
    let causes = [Cause::Network, Cause::Store, Cause::Sources, Cause::Releases];
    assert_eq!(causes.map(Cause::as_str), ["network", "store", "sources", "releases"]);
    let whys = [Why::Held, Why::Only, Why::Outgrown, Why::Bytes, Why::Time];
    assert_eq!(whys.map(Why::as_str), ["held", "only", "outgrown", "bytes", "time"]);
    let levels = [Level::Unknown, Level::Fresh, Level::Stale, Level::Expired];
    assert_eq!(levels.map(Level::as_str), ["unknown", "fresh", "stale", "expired"]);
    let failures = [StoreFailure::Quota, StoreFailure::Closed, StoreFailure::Io]
        .map(|failure| Failure::Store(failure).code());
    assert_eq!(failures, ["store/quota", "store/closed", "store/io"]);
    assert_eq!(Failure::VersionChanged.code(), "read/version-changed");
    let gone = Failure::VersionGone(Version(7));
    assert_eq!(gone.code(), "read/version-gone");
    assert!(gone.to_string().contains("version 7 is not held"), "{gone}");
}

#[test]
fn keys_of_rows_are_text_and_back() {
    let name = WireName([0xab; 32]);
    let hex = "ab".repeat(32);
    let keys = [
        (StoreKey::State, "state".to_owned(), None),
        (StoreKey::Audit, "audit".to_owned(), None),
        (StoreKey::Sources, "sources".to_owned(), None),
        (StoreKey::Frame(name), format!("frame/{hex}"), Some(name)),
        (StoreKey::Object(ObjectKind::Layer, name), format!("layer/{hex}"), Some(name)),
    ];
    for (key, text, named) in keys {
        assert_eq!((key.text(), key.name()), (text.clone(), named));
        assert_eq!(StoreKey::parse(&text), Some(key));
    }
    let others =
        ["", "stat", "frame", "frame/ab", &format!("frames/{hex}"), &format!("bundle{hex}")];
    for other in others {
        assert_eq!(StoreKey::parse(other), None, "{other}");
    }
}

#[test]
fn records_of_a_page_are_in_two_lists() {
    let mut records = Records::default();
    assert!(records.is_empty() && records.iter().next().is_none());
    records.push(b"a", b"first");
    records.push(b"bc", b"");
    assert!(!records.is_empty());
    assert_eq!((records.len(), records.bytes()), (2, b"afirstbc".as_slice()));
    assert_eq!(records.lengths(), [1, 5, 2, 0]);
    let all: Vec<_> = records.iter().collect();
    assert_eq!(all, [(b"a".as_slice(), b"first".as_slice()), (b"bc", b"")]);
}

#[test]
fn parts_of_a_state_record_ascend() {
    let parse = |partial: &[usize]| {
        let version = VersionRecord {
            trust: vec![1],
            manifest: vec![2],
            shelves: vec![ShelfRecord::Delta; 3],
            partial: partial.to_vec(),
        };
        let record = StateRecord { committed: None, pinned: Some(version), kept: Vec::new() };
        let parsed = StateRecord::parse(&record.encode())?;
        assert_eq!(parsed, record);
        Ok(())
    };
    for partial in [&[][..], &[0], &[2], &[0, 2], &[0, 1, 2]] {
        assert_eq!(parse(partial), Ok(()), "{partial:?}");
    }
    let disordered = Err(Error::Format(FormatError::NotCanonical { field: "partial shelves" }));
    for partial in [[1, 0], [1, 1], [2, 1]] {
        assert_eq!(parse(&partial), disordered, "{partial:?}");
    }
    assert!(parse(&[3]).is_err() && parse(&[0, 1, 2, 2]).is_err());
}
