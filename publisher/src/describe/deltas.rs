//! Overlays and deltas: in a manifest, and as objects of their own.

use packice_core::delta::Unpacker;
use packice_core::format::layer::{Change, LayerDirectory, LayerPage, PageBody};
use packice_core::format::manifest::Collection;
use packice_core::hash::wire_name;
use packice_core::limits::MAX_LAYER_PAGE_PLAIN_LEN;
use serde_json::{Value, json};

use super::Described;
use crate::failure::{Failure, Result};
use crate::text::{show_bytes, show_count, show_size};

/// The overlay and the deltas of a collection, for people.
pub(super) fn roads_text(collection: &Collection) -> String {
    let mut text = String::new();
    if let Some(overlay) = &collection.overlay {
        text.push_str(&format!(
            "  overlay   {} over the base: {} records\n",
            show_size(overlay.wire_len),
            show_count(overlay.operations),
        ));
    }
    for delta in &collection.deltas {
        text.push_str(&format!(
            "  delta     from version {}: {} records, {} in {} segments\n",
            delta.from_version,
            show_count(delta.operations),
            show_size(delta.wire_len()),
            delta.segments.len(),
        ));
    }
    text
}

pub(super) fn overlay_json(collection: &Collection) -> Value {
    let overlay = collection.overlay.map(|overlay| {
        json!({
            "directory": overlay.directory.name.to_hex(),
            "wire_bytes": overlay.wire_len,
            "operations": overlay.operations,
        })
    });
    json!(overlay)
}

pub(super) fn deltas_json(collection: &Collection) -> Value {
    let deltas = collection.deltas.iter().map(|delta| {
        let segments = delta.segments.iter().map(
            |segment| json!({ "name": segment.object.name.to_hex(), "bytes": segment.object.len }),
        );
        json!({
            "from_version": delta.from_version.0,
            "from_root": delta.from_root.to_hex(),
            "operations": delta.operations,
            "wire_bytes": delta.wire_len(),
            "segments": segments.collect::<Vec<_>>(),
        })
    });
    Value::Array(deltas.collect())
}

/// The directory of a layer.
pub(super) fn layer(directory: &LayerDirectory) -> Described {
    let runs = &directory.patch.runs;
    let dropped: u64 = runs.iter().map(|run| run.drop).sum();
    let new: usize = runs.iter().map(|run| run.new.len()).sum();
    let mut text = format!(
        "layer       {} records; {} frames go, {} come\n",
        show_count(directory.operations),
        show_count(dropped),
        show_count(new as u64),
    );
    let mut pages = Vec::new();
    for page in &directory.pages {
        text.push_str(&format!(
            "page        {} ({}, {} plain) from '{}' on\n",
            page.object.name,
            show_size(page.object.len),
            show_size(page.plain_len),
            show_bytes(&page.start),
        ));
        pages.push(json!({
            "name": page.object.name.to_hex(),
            "bytes": page.object.len,
            "plain_bytes": page.plain_len,
        }));
    }
    let json = json!({
        "kind": "layer",
        "operations": directory.operations,
        "frames_dropped": dropped,
        "frames_new": new,
        "pages": pages,
    });
    Described { text, json }
}

/// A page of a layer.
pub(super) fn layer_page(bytes: &[u8]) -> Result<Described> {
    let (codec, plain) = match PageBody::parse(bytes)? {
        PageBody::Raw(body) => ("raw", body.to_vec()),
        PageBody::Zstd(body) => {
            let plain = zstd::bulk::decompress(body, MAX_LAYER_PAGE_PLAIN_LEN);
            let failed =
                |error| Failure::verification(format!("the page does not decode: {error}"));
            ("zstd", plain.map_err(failed)?)
        }
    };
    let page = LayerPage::parse(plain)?;
    let (mut inserts, mut updates, mut deletes) = (0u64, 0u64, 0u64);
    page.visit_from(&[], &mut |_, change| {
        match change {
            Change::Insert(_) => inserts += 1,
            Change::Update(_) => updates += 1,
            Change::Delete => deletes += 1,
        }
        true
    });
    let name = wire_name(bytes).to_hex();
    let text = format!(
        "layer page  {name} ({}, {codec})\nrecords     {inserts} inserted, {updates} updated, \
         {deletes} deleted\n",
        show_size(bytes.len() as u64),
    );
    let json = json!({
        "kind": "layer-page",
        "name": name,
        "codec": codec,
        "bytes": bytes.len(),
        "plain_bytes": page.plain().len(),
        "inserts": inserts,
        "updates": updates,
        "deletes": deletes,
    });
    Ok(Described { text, json })
}

/// A segment of a delta; what it does needs the records that it starts from.
pub(super) fn segment(bytes: &[u8]) -> Result<Described> {
    let unpacker = Unpacker::open(bytes)?;
    let name = wire_name(bytes).to_hex();
    let text = format!(
        "segment     {name} ({}): {} operations on {} records, {} of new keys and values\n",
        show_size(bytes.len() as u64),
        show_count(unpacker.operations() as u64),
        show_count(unpacker.old_records()),
        show_size(unpacker.plain_len()),
    );
    let json = json!({
        "kind": "delta-segment",
        "name": name,
        "bytes": bytes.len(),
        "operations": unpacker.operations(),
        "old_records": unpacker.old_records(),
        "plain_bytes": unpacker.plain_len(),
    });
    Ok(Described { text, json })
}
