//! Says what the bytes of any Packice format hold, for people and as JSON.
//!
//! It shows what the bytes say. Whether that holds is for `verify` and the client.

mod deltas;

use base64ct::{Base64, Encoding};
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::Head;
use packice_core::format::layer::LayerDirectory;
use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::Manifest;
use packice_core::format::note::Checkpoint;
use packice_core::format::seed::{PRELUDE_LEN, SeedIndex, index_len};
use packice_core::format::trust_root::Role;
use packice_core::hash::wire_name;
use packice_core::trust::note::verify_checkpoint;
use packice_core::types::hex;
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::text::{show_bytes, show_count, show_size};
use crate::trust_store::{self, LoadedTrustRoot};

/// A description.
pub struct Described {
    /// For people.
    pub text: String,
    /// For machines.
    pub json: Value,
}

/// Describes bytes by their magic.
pub fn describe(bytes: &[u8]) -> Result<Described> {
    match bytes.get(..4) {
        Some(b"PKS1") => describe_trust_root(bytes),
        Some(b"PKM1") => Ok(describe_manifest(bytes, &Manifest::parse(bytes)?)),
        Some(b"PKH1") => Ok(describe_head(&Head::parse(bytes)?)),
        Some(b"PKB1") => describe_bootstrap(&Bootstrap::parse(bytes)?, bytes.len(), None),
        Some(b"PKF1") => describe_seed(bytes),
        Some(b"PKD1") => Ok(describe_directory(&Directory::parse(bytes)?)),
        Some(b"PKP1") => Ok(describe_page(&Page::parse(bytes)?)),
        Some(b"PKO1") => Ok(deltas::layer(&LayerDirectory::parse(bytes)?)),
        Some(b"PKG1") => deltas::layer_page(bytes),
        Some(b"PKC1") => deltas::segment(bytes),
        Some([0x28, 0xb5, 0x2f, 0xfd]) => Ok(describe_zstd(bytes)),
        Some(_) | None => describe_text(bytes),
    }
}

/// A checkpoint, or a trust root as base64.
fn describe_text(bytes: &[u8]) -> Result<Described> {
    if let Ok(checkpoint) = Checkpoint::parse(bytes) {
        return Ok(describe_checkpoint(&checkpoint));
    }
    if trust_store::parse(bytes).is_ok() {
        return describe_trust_root(bytes);
    }
    Err(Failure::input("this is none of Packice's formats")
        .next("give a trust root, manifest, head state, bootstrap, layout, checkpoint or bundle"))
}

fn describe_trust_root(bytes: &[u8]) -> Result<Described> {
    let LoadedTrustRoot { bytes, root } = trust_store::parse(bytes)?;
    let holds = packice_core::trust::root::verify_trust_root(&bytes, &root.dataset).is_ok();
    let keys = |role: &Role| role.keys.iter().map(|key| hex(key)).collect::<Vec<_>>();
    let base64 = Base64::encode_string(&bytes);
    let mut text = format!(
        "trust root  version {} of {} ({})\norigin      {}\nsignatures  {}\n",
        root.version,
        root.dataset,
        show_size(bytes.len() as u64),
        root.origin,
        if holds { "hold" } else { "DO NOT HOLD" },
    );
    for (name, role) in [("root", &root.root), ("release", &root.release)] {
        text.push_str(&format!("{name:<12}{} of {}\n", role.threshold, role.keys.len()));
        for key in keys(role) {
            text.push_str(&format!("            {key}\n"));
        }
    }
    let witnesses = &root.witnesses;
    text.push_str(&format!(
        "witnesses   {} of {}\nto embed    {base64}\n",
        witnesses.quorum,
        witnesses.witnesses.len(),
    ));
    let json = json!({
        "kind": "trust-root",
        "dataset": root.dataset.as_str(),
        "origin": root.origin,
        "version": root.version,
        "holds": holds,
        "root": { "threshold": root.root.threshold, "keys": keys(&root.root) },
        "release": { "threshold": root.release.threshold, "keys": keys(&root.release) },
        "witness_quorum": witnesses.quorum,
        "witnesses": witnesses.witnesses.iter().map(|w| w.name.clone()).collect::<Vec<_>>(),
        "base64": base64,
    });
    Ok(Described { text, json })
}

fn describe_manifest(bytes: &[u8], manifest: &Manifest) -> Described {
    let name = wire_name(bytes).to_hex();
    let parent = manifest.parent.map(|parent| parent.to_hex());
    let mut text = format!(
        "manifest    {name}\ndataset     {}\nversion     {}\nparent      {}\nsource      {}\n\
         tool        {}\n",
        manifest.dataset,
        manifest.version,
        parent.as_deref().unwrap_or("none"),
        hex(&manifest.provenance.source_digest),
        manifest.provenance.tool,
    );
    let mut collections = Vec::new();
    for collection in &manifest.collections {
        let (tree, base) = (&collection.tree, &collection.base);
        text.push_str(&format!(
            "\ncollection  {} (priority {}{})\n  root      {} at level {}\n  records   {}, {} \
             plain\n  base      version {}: {} in {} bundles, {} frames\n",
            collection.name,
            collection.priority,
            if collection.lazy { ", lazy reads" } else { "" },
            tree.root,
            tree.level,
            show_count(tree.records),
            show_size(tree.plain_len),
            base.version,
            show_size(base.wire_len),
            show_count(base.bundles),
            show_count(base.frames),
        ));
        text.push_str(&deltas::roads_text(collection));
        collections.push(json!({
            "name": collection.name.as_str(),
            "priority": collection.priority,
            "lazy": collection.lazy,
            "leaf_target": collection.params.leaf_target,
            "frame_target": collection.params.frame_target,
            "node_target": collection.params.node_target,
            "root": tree.root.to_hex(),
            "level": tree.level,
            "records": tree.records,
            "plain_bytes": tree.plain_len,
            "base_version": base.version.0,
            "directory": base.directory.name.to_hex(),
            "wire_bytes": base.wire_len,
            "bundles": base.bundles,
            "frames": base.frames,
            "dictionary": base.dictionary.map(|dictionary| json!({
                "epoch": dictionary.epoch,
                "name": dictionary.object.name.to_hex(),
                "wire_bytes": dictionary.object.len,
                "plain_bytes": dictionary.plain_len,
            })),
            "overlay": deltas::overlay_json(collection),
            "deltas": deltas::deltas_json(collection),
        }));
    }
    let json = json!({
        "kind": "manifest",
        "name": name,
        "dataset": manifest.dataset.as_str(),
        "version": manifest.version.0,
        "parent": parent,
        "source_digest": hex(&manifest.provenance.source_digest),
        "tool": manifest.provenance.tool,
        "collections": collections,
    });
    Described { text, json }
}

fn describe_head(head: &Head) -> Described {
    let mut text =
        format!("head state  of {} under trust root {}\n", head.dataset, head.trust_root_version);
    for channel in &head.channels {
        text.push_str(&format!(
            "channel     {} at version {}, manifest {}\n",
            channel.name, channel.version, channel.manifest.name
        ));
    }
    let channels: Vec<Value> = head
        .channels
        .iter()
        .map(|channel| {
            json!({
                "name": channel.name.as_str(),
                "version": channel.version.0,
                "manifest": channel.manifest.name.to_hex(),
            })
        })
        .collect();
    let json = json!({
        "kind": "head",
        "dataset": head.dataset.as_str(),
        "trust_root_version": head.trust_root_version,
        "channels": channels,
        "keep_versions": head.policy.keep_versions,
        "keep_ms": head.policy.keep_ms,
    });
    Described { text, json }
}

fn describe_checkpoint(checkpoint: &Checkpoint) -> Described {
    let signers: Vec<String> = checkpoint
        .signatures
        .iter()
        .map(|line| format!("{}+{}", line.name, hex(&line.key_id)))
        .collect();
    let text = format!(
        "checkpoint  {} of {} releases\nroot        {}\nsigned by   {}\n",
        checkpoint.origin,
        show_count(checkpoint.size),
        checkpoint.root,
        signers.join(", "),
    );
    let json = json!({
        "kind": "checkpoint",
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.to_hex(),
        "signers": signers,
    });
    Described { text, json }
}

/// Describes a bootstrap; with trust roots, also whether its checkpoint holds.
pub fn describe_bootstrap(
    bootstrap: &Bootstrap,
    len: usize,
    chain: Option<&[LoadedTrustRoot]>,
) -> Result<Described> {
    let checkpoint = describe_checkpoint(&Checkpoint::parse(&bootstrap.checkpoint)?);
    let head = describe_head(&Head::parse(&bootstrap.head)?);
    let newest = chain.and_then(<[LoadedTrustRoot]>::last);
    let holds = newest.map(|root| verify_checkpoint(&root.root, &bootstrap.checkpoint).is_ok());
    let mut text = format!(
        "bootstrap   {} with {} trust roots and {} objects\n{}",
        show_size(len as u64),
        bootstrap.trust_chain.len(),
        bootstrap.objects.len(),
        checkpoint.text,
    );
    if let Some(holds) = holds {
        let holds = if holds { "holds" } else { "DOES NOT HOLD" };
        text.push_str(&format!("signature   {holds} under this project's trust root\n"));
    }
    text.push_str(&head.text);
    let mut objects = Vec::new();
    for bytes in &bootstrap.objects {
        let (kind, name) = (kind_of(bytes), wire_name(bytes).to_hex());
        text.push_str(&format!("object      {kind} {name} ({})\n", show_size(bytes.len() as u64)));
        objects.push(json!({ "kind": kind, "name": name, "bytes": bytes.len() }));
    }
    let json = json!({
        "kind": "bootstrap",
        "bytes": len,
        "trust_roots": bootstrap.trust_chain.len(),
        "checkpoint": checkpoint.json,
        "holds": holds,
        "head": head.json,
        "objects": objects,
    });
    Ok(Described { text, json })
}

/// A seed file, by its index; whether its objects hold is for the client that reads them.
fn describe_seed(bytes: &[u8]) -> Result<Described> {
    let (prelude, rest) = bytes.split_at(PRELUDE_LEN.min(bytes.len()));
    let index = rest.get(..index_len(prelude)?).unwrap_or(rest);
    let index = SeedIndex::parse(index)?;
    let (len, needed) = (bytes.len() as u64, index.file_len());
    let whole = if len == needed { "whole" } else { "NOT OF THE LENGTH that its index says" };
    let mut text = format!(
        "seed        {} objects in {}, {whole}\n",
        show_count(index.entries().len() as u64),
        show_size(len),
    );
    let mut objects = Vec::new();
    for (path, place) in index.entries() {
        text.push_str(&format!("object      {path} ({})\n", show_size(place.len)));
        objects.push(json!({ "path": path, "offset": place.offset, "bytes": place.len }));
    }
    let json = json!({
        "kind": "seed", "bytes": len, "whole": len == needed, "objects": objects,
    });
    Ok(Described { text, json })
}

fn kind_of(bytes: &[u8]) -> &'static str {
    match bytes.get(..4) {
        Some(b"PKM1") => "manifest",
        Some(b"PKD1") => "layout directory",
        Some(b"PKP1") => "layout page",
        Some(b"PKO1") => "layer directory",
        Some(b"PKG1") => "layer page",
        Some(b"PKC1") => "delta segment",
        Some([0x28, 0xb5, 0x2f, 0xfd]) => "bundle",
        Some(_) | None => "unknown object",
    }
}

fn describe_directory(directory: &Directory) -> Described {
    let mut text = format!(
        "layout      directory of {} nodes and {} pages\n",
        directory.nodes.len(),
        directory.pages.len()
    );
    let mut pages = Vec::new();
    for page in &directory.pages {
        text.push_str(&format!(
            "page        {} ({}): {} nodes, {} bundles, {} frames, {}\n",
            page.object.name,
            show_size(page.object.len),
            page.nodes,
            page.bundles,
            page.frames,
            show_size(page.wire_len),
        ));
        pages.push(json!({
            "name": page.object.name.to_hex(),
            "bytes": page.object.len,
            "nodes": page.nodes,
            "bundles": page.bundles,
            "frames": page.frames,
            "wire_bytes": page.wire_len,
        }));
    }
    let json =
        json!({ "kind": "layout-directory", "nodes": directory.nodes.len(), "pages": pages });
    Described { text, json }
}

fn describe_page(page: &Page) -> Described {
    let first = page.nodes.first().and_then(|node| node.children.first());
    let mut text = format!(
        "layout      page of {} nodes from '{}' on, {} bundles\n",
        page.nodes.len(),
        first.map(|child| show_bytes(&child.separator)).unwrap_or_default(),
        page.bundles.len()
    );
    let mut bundles = Vec::new();
    for bundle in &page.bundles {
        text.push_str(&format!(
            "bundle      {} ({} in {} frames)\n",
            bundle.name,
            show_size(bundle.wire_len()),
            bundle.frames.len(),
        ));
        bundles.push(json!({
            "name": bundle.name.to_hex(),
            "bytes": bundle.wire_len(),
            "frames": bundle.frames.iter().map(|frame| json!({
                "name": frame.name.to_hex(), "bytes": frame.wire_len,
            })).collect::<Vec<_>>(),
        }));
    }
    let json = json!({ "kind": "layout-page", "nodes": page.nodes.len(), "bundles": bundles });
    Described { text, json }
}

fn describe_zstd(bytes: &[u8]) -> Described {
    let name = wire_name(bytes).to_hex();
    let size = show_size(bytes.len() as u64);
    let text = format!("zstd        a bundle, frame or dictionary of {size}\nname        {name}\n");
    Described { text, json: json!({ "kind": "zstd", "name": name, "bytes": bytes.len() }) }
}
