//! The engine's answers and events in the shapes of `js/types.ts`.
//!
//! In scope: names of fields and of enum values. Out of scope: any decision.

use js_sys::{Uint8Array, Uint32Array};
use packice_core::engine::io::{
    Answer, AuditStatus, BundleState, Changes, CollectionStatus, Event, KeyChange, Milestone,
    Mismatch, Phase, Progress, Road, SourceState, SourceStatus, Status, SyncReport, Timings,
    UnknownReason,
};
use packice_core::hash;
use packice_core::tree::proof::Proof;
use packice_core::trust::freshness::Freshness;
use packice_core::trust::proof::Statement;
use packice_core::types::Millis;
use wasm_bindgen::prelude::*;

use crate::store::key_text;
use crate::value::Record;

/// An answer to a read; the bytes of records go into `spare`, where that is long enough.
pub(crate) fn answer(answer: &Answer, spare: &Option<Uint8Array>) -> JsValue {
    match answer {
        Answer::Present { value, version } => Record::new()
            .with("state", "present")
            .bytes("value", value)
            .number("version", version.0),
        Answer::Absent { version } => {
            Record::new().with("state", "absent").number("version", version.0)
        }
        Answer::Unknown(reason) => {
            Record::new().with("state", "unknown").with("reason", unknown_reason(*reason))
        }
        Answer::Records { records, next, root, version } => Record::new()
            .with("bytes", bytes_in(spare.as_ref(), records.bytes()))
            .with("lengths", Uint32Array::from(records.lengths()))
            .nullable("next", next.as_deref().map(Uint8Array::from))
            .bytes("root", &root.0)
            .number("version", version.0),
        Answer::Proof { value, proof, full, root, version } => Record::new()
            .nullable("value", value.as_deref().map(Uint8Array::from))
            .bytes("bytes", proof)
            .bytes("full", full)
            .list("path", proof_path(proof).into_iter())
            .with("root", root.to_hex())
            .number("version", version.0),
    }
    .into()
}

fn bytes_in(spare: Option<&Uint8Array>, bytes: &[u8]) -> Uint8Array {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match spare.filter(|spare| spare.length() >= len) {
        Some(spare) => {
            let view = spare.subarray(0, len);
            view.copy_from(bytes);
            view
        }
        None => Uint8Array::from(bytes),
    }
}

/// What a full proof proves, at a time.
pub(crate) fn statement(proven: &Statement, now: Millis) -> JsValue {
    Record::new()
        .with("collection", proven.collection.as_str())
        .bytes("key", &proven.key)
        .nullable("value", proven.value.as_deref().map(Uint8Array::from))
        .number("version", proven.version.0)
        .with("root", proven.root.to_hex())
        .with("freshness", JsValue::from(freshness(&proven.freshness(now))))
        .into()
}

/// How old what is held or proven is.
fn freshness(freshness: &Freshness) -> Record {
    Record::new()
        .with("level", freshness.level.as_str())
        .nullable("at", freshness.at.map(|at| number(at.0)))
        .nullable("ageMs", freshness.age_ms.map(number))
}

/// The blocks of a proof from the root down to the leaf, as a page shows them.
fn proof_path(proof: &[u8]) -> Vec<JsValue> {
    // The engine made the proof: it parses.
    let Ok(proof) = Proof::parse(proof) else { return Vec::new() };
    let step = |level: u8, bytes: &[u8]| {
        Record::new()
            .number("level", u64::from(level))
            .with("identity", hash::identity(bytes).to_hex())
            .with("length", bytes.len())
            .into()
    };
    let nodes = proof.nodes.iter().map(|node| step(node.level, &node.encode()));
    nodes.chain(proof.leaf.as_deref().map(|leaf| step(0, leaf))).collect()
}

/// What a new version does to a collection.
fn changes(changes: &Changes) -> Record {
    let keys = |kind: KeyChange| {
        let of = changes.keys.iter().filter(move |(_, change)| *change == kind);
        of.map(|(key, _)| JsValue::from(Uint8Array::from(key.as_slice())))
    };
    Record::new()
        .with("collection", changes.collection.as_str())
        .number("from", changes.from.0)
        .number("to", changes.to.0)
        .with("complete", changes.complete)
        .list("added", keys(KeyChange::Added))
        .list("updated", keys(KeyChange::Updated))
        .list("removed", keys(KeyChange::Removed))
}

fn unknown_reason(reason: UnknownReason) -> &'static str {
    match reason {
        UnknownReason::NoSnapshot => "no-snapshot",
        UnknownReason::NotSynced => "not-synced",
        UnknownReason::Unreachable => "unreachable",
    }
}

/// What a sync did.
pub(crate) fn sync_report(report: &SyncReport) -> JsValue {
    Record::new()
        .number("version", report.version.0)
        .with("changed", report.changed)
        .number("bytesFetched", report.bytes_fetched)
        .number("requests", report.requests)
        .number("roundTrips", report.round_trips)
        .number("bundlesReused", report.bundles_reused)
        .number("ms", report.elapsed_ms)
        .into()
}

/// An event's name and data; a status is an answer, not an event.
pub(crate) fn event(event: &Event) -> Option<(&'static str, JsValue)> {
    let (name, data) = match event {
        Event::Phase { phase: at, version } => (
            "state",
            Record::new()
                .with("phase", phase(*at))
                .nullable("version", version.map(|version| number(version.0))),
        ),
        Event::Progress(done) => ("progress", progress(done)),
        Event::Bundle { collection, index, total, state } => (
            "bundle",
            Record::new()
                .with("collection", collection.as_str())
                .number("index", *index)
                .number("total", *total)
                .with("state", bundle_state(*state)),
        ),
        Event::Fault { source, code, object, detail } => (
            "fault",
            Record::new()
                .with("source", source.as_str())
                .with("code", *code)
                .with("object", object.as_str())
                .with("detail", detail.as_str()),
        ),
        Event::Milestone { milestone, version } => {
            let (name, collection) = match milestone {
                Milestone::Trusted => ("trusted", None),
                Milestone::Bootstrap => ("bootstrap", None),
                Milestone::Collection(collection) => ("collection", Some(collection.as_str())),
                Milestone::Complete => ("complete", None),
            };
            (
                "milestone",
                Record::new()
                    .with("name", name)
                    .number("version", version.0)
                    .nullable("collection", collection),
            )
        }
        Event::Condition { condition, holds, cause, eta_ms } => (
            "condition",
            Record::new()
                .with("name", condition.as_str())
                .with("holds", *holds)
                .with("because", cause.as_str())
                .nullable("etaMs", eta_ms.map(number)),
        ),
        Event::Damaged { key } => ("damaged", Record::new().with("object", key_text(key).as_str())),
        Event::LayoutMismatch(found) => ("mismatch", mismatch(found)),
        Event::Audit(done) => ("audit", audit(done)),
        Event::Changed(what) => ("changed", changes(what)),
        Event::Road { collection, road, why } => {
            let road = match road {
                Road::Keep => "keep",
                Road::Delta(_) => "delta",
                Road::Base => "base",
            };
            let road = Record::new().with("collection", collection.as_str()).with("road", road);
            ("road", road.with("why", why.as_str()))
        }
        Event::DeltaRefused { collection, from, from_root, to_root, code } => (
            "refused",
            Record::new()
                .with("collection", collection.as_str())
                .number("from", from.0)
                .with("fromRoot", from_root.to_hex())
                .with("toRoot", to_root.to_hex())
                .with("code", *code),
        ),
        Event::Freshness(now) => ("freshness", freshness(now)),
        Event::Live { source, heard } => {
            ("live", Record::new().with("source", source.as_str()).with("connected", *heard))
        }
        Event::Status(_) => return None,
    };
    Some((name, data.into()))
}

fn mismatch(mismatch: &Mismatch) -> Record {
    Record::new()
        .with("collection", mismatch.collection.as_str())
        .with("object", mismatch.object.as_str())
        .nullable("frame", mismatch.frame.map(number))
}

fn audit(audit: &AuditStatus) -> Record {
    let found = audit.mismatches.iter().map(|found| mismatch(found).into());
    Record::new()
        .number("bundlesDone", audit.bundles_done)
        .number("bundlesTotal", audit.bundles_total)
        .list("mismatches", found)
}

fn progress(progress: &Progress) -> Record {
    Record::new()
        .number("bytesDone", progress.bytes_done)
        .number("bytesTotal", progress.bytes_total)
        .number("bundlesDone", progress.bundles_done)
        .number("bundlesTotal", progress.bundles_total)
        .number("rate", progress.rate)
        .nullable("etaMs", progress.eta_ms.map(number))
}

/// The state in full; `sources` are the URLs by source.
pub(crate) fn status<'a>(
    status: &Status,
    dataset: &str,
    channel: &str,
    urls: impl Iterator<Item = &'a str>,
) -> JsValue {
    let sources = status.sources.iter().zip(urls);
    Record::new()
        .with("dataset", dataset)
        .with("channel", channel)
        .with("phase", phase(status.phase))
        .nullable("version", status.version.map(|version| number(version.0)))
        .with("stored", status.stored)
        .with("audited", status.audit.audited)
        .with("audit", audit(&status.audit))
        .with("freshness", freshness(&status.freshness))
        .list("collections", status.collections.iter().map(collection))
        .list("sources", sources.map(|(status, url)| source(status, url)))
        .number("bytesFetched", status.bytes_fetched)
        .number("requests", status.requests)
        .number("decodedBytes", status.decoded_bytes)
        .list("kept", status.kept.iter().map(|version| number(version.0).into()))
        .with(
            "deltas",
            JsValue::from(
                Record::new()
                    .number("bytes", status.deltas.bytes)
                    .number("operations", status.deltas.operations)
                    .number("bytesWritten", status.deltas.bytes_written)
                    .number("composedBytes", status.deltas.composed_bytes),
            ),
        )
        .with("timings", timings(&status.timings))
        .number("wasmMemoryBytes", u64::from(crate::platform::memory_bytes()))
        .into()
}

fn timings(timings: &Timings) -> Record {
    let Timings { answers, transfers, transactions, reads } = timings;
    let all = [
        ("answers", answers),
        ("transfers", transfers),
        ("transactions", transactions),
        ("reads", reads),
    ];
    all.into_iter().fold(Record::new(), |record, (name, histogram)| {
        let buckets = histogram.buckets().iter().map(|count| number(*count).into());
        let spans = Record::new().number("sumMs", histogram.sum_ms()).list("buckets", buckets);
        record.with(name, spans)
    })
}

fn collection(status: &CollectionStatus) -> JsValue {
    Record::new()
        .with("name", status.name.as_str())
        .number("priority", u64::from(status.priority))
        .with("lazy", status.lazy)
        .number("records", status.records)
        .with("root", status.root.to_hex())
        .number("plainBytes", status.plain_bytes)
        .number("wireBytes", status.wire_bytes)
        .number("layers", status.layers)
        .number("layerBytes", status.layer_bytes)
        .number("bundles", status.bundles)
        .number("bundlesStored", status.bundles_stored)
        .number("framesStored", status.frames_stored)
        .with("complete", status.complete)
        .into()
}

fn source(status: &SourceStatus, url: &str) -> JsValue {
    Record::new()
        .with("name", status.name.as_str())
        .with("url", url)
        .with("state", source_state(status.state))
        .number("bytes", status.bytes)
        .number("requests", status.requests)
        .number("faults", status.faults)
        .nullable("lastFault", status.last_fault)
        .nullable("bytesPerSecond", status.bytes_per_second.map(number))
        .nullable("latencyMs", status.latency_ms.map(number))
        .into()
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Trust => "trust",
        Phase::Bootstrap => "bootstrap",
        Phase::Collections => "collections",
        Phase::Commit => "commit",
        Phase::Complete => "complete",
        Phase::Failed => "failed",
    }
}

fn bundle_state(state: BundleState) -> &'static str {
    match state {
        BundleState::Fetching => "fetching",
        BundleState::Stored => "stored",
    }
}

fn source_state(state: SourceState) -> &'static str {
    match state {
        SourceState::Unused => "unused",
        SourceState::Ok => "ok",
        SourceState::BackingOff => "backing-off",
        SourceState::Banned => "banned",
        SourceState::Removed => "removed",
    }
}

/// Counts and lengths stay far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn number(value: u64) -> f64 {
    value as f64
}
