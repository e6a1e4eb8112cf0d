//! The native light client: a shell around core's engine.
//!
//! It performs what the engine asks for and decides nothing about it: `fetch` knows HTTP, `store`
//! and `seed` know files, `host` runs the loop, `watch` shows it, `audit` reads everything back.

pub mod audit;
pub mod fetch;
pub mod host;
pub mod seed;
pub mod store;
pub mod watch;

use packice_core::engine::io::{AuditStatus, Mismatch, UnknownReason};

use crate::failure::Failure;

/// What the publisher signed does not lead to the root that it signed.
pub fn belies(mismatch: &Mismatch) -> String {
    let Mismatch { collection, object, frame } = mismatch;
    let place = frame.map_or_else(String::new, |frame| format!(", frame {frame}"));
    format!("collection '{collection}': {object}{place} belies the signed root")
}

/// The failure of an audit that found something.
pub fn audit_failure(audit: &AuditStatus) -> Option<Failure> {
    let first = audit.mismatches.first()?;
    let code = Some("trust/layout-mismatch");
    let failure = Failure::verification(belies(first))
        .next("the publisher signed a lie, or a broken build: ask whom you trust");
    Some(Failure { code, ..failure })
}

/// Why a read had no answer.
pub fn unknown(reason: UnknownReason) -> Failure {
    match reason {
        UnknownReason::NoSnapshot => {
            Failure::network("no verified version is known").next("run `packice sync`")
        }
        UnknownReason::NotSynced => {
            Failure::usage("the collection allows no lazy reads and is not synced")
                .next("run `packice sync`")
        }
        UnknownReason::Unreachable => {
            Failure::network("no source gave the bytes that this read needs")
                .next("check the sources, or run `packice sync`")
        }
    }
}
