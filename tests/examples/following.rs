//! `following PACKICE DIR:FROM:TO…`: what a client that follows fetches from one version to the
//! next, by kind, as JSON for `cargo xtask bench update`.
//!
//! `PACKICE` is the publisher's binary, which builds both versions of `DIR/VERSION.jsonl`. They are
//! signed with three witnesses and served from memory; the engine syncs the first, then the second.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;

use packice::project::Build;
use packice::publish::bootstrap::inlined_objects;
use packice::publish::upload::objects_of;
use packice_core::engine::io::StoreKey;
use packice_core::format::trust_root::Staleness;
use packice_core::types::{Millis, ObjectKind};
use packice_tests::publication::{Publication, path};
use packice_tests::shell::{Request, Shell, Source};
use serde_json::{Value, json};

const T0_S: u64 = 1_790_000_000;
/// What the objects of a bootstrap may weigh together.
const ROOM: usize = 56 << 10;
const CONFIG: &str = r#"
dataset = "test-set"
channel = "stable"

[edge]
url = "http://127.0.0.1:1"

[keys]
release = "keys/release.key"
root = "keys/root.key"

[[collection]]
name = "records"
priority = 1
lazy = true
input = "records.jsonl"
key = "{k}"
value = "v"
value_text = true
"#;

type Held = BTreeMap<StoreKey, Vec<u8>>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let packice = args.next().ok_or("usage: following PACKICE DIR:FROM:TO…")?;
    let mut rows = Vec::new();
    for pair in args {
        let mut parts = pair.rsplitn(3, ':');
        let (to, from) = (parts.next(), parts.next());
        let (Some(dir), Some(from), Some(to)) = (parts.next(), from, to) else {
            return Err("a pair is DIR:FROM:TO".into());
        };
        rows.push(follow(Path::new(&packice), Path::new(dir), from, to)?);
    }
    println!("{}", Value::Array(rows));
    Ok(())
}

fn follow(packice: &Path, dir: &Path, from: &str, to: &str) -> Result<Value, Box<dyn Error>> {
    let project = tempfile::tempdir()?;
    std::fs::write(project.path().join("packice.toml"), CONFIG)?;
    let staleness = Staleness { stale_ms: 259_200_000, expired_ms: 2_592_000_000 };
    let mut publication = Publication::watched(staleness, vec![T0_S; 3]);
    publication.heads = true;
    publish(packice, project.path(), &dir.join(format!("{from}.jsonl")), &mut publication)?;
    let (store, _) = sync(&publication, Held::new())?;
    let build =
        publish(packice, project.path(), &dir.join(format!("{to}.jsonl")), &mut publication)?;
    let (_, requests) = sync(&publication, store)?;
    let collection = build.manifest.collections.first().ok_or("no collection")?;
    let delta = collection.deltas.last().ok_or("no delta")?.wire_len();
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for request in &requests {
        let kind = request.path.split('/').next().unwrap_or_default();
        *kinds.entry(kind).or_default() += request.bytes;
    }
    let all: u64 = kinds.values().sum();
    let by_base = kinds.contains_key("bundle") || kinds.contains_key("layer-page");
    let by_delta = all >= delta && !by_base;
    Ok(json!({
        "set": dir.file_name().map(|name| name.to_string_lossy()), "from": from, "to": to,
        "delta_bytes": delta, "manifest_bytes": build.manifest_bytes.len(), "fetched": kinds,
        "by_delta": by_delta,
        "overhead_bytes": all.saturating_sub(delta),
    }))
}

/// Builds the lines as the next version, signs and serves it.
fn publish(
    packice: &Path,
    project: &Path,
    lines: &Path,
    publication: &mut Publication,
) -> Result<Build, Box<dyn Error>> {
    std::fs::copy(lines, project.join("records.jsonl"))?;
    let out = Command::new(packice).args(["build", "--json"]).current_dir(project).output()?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into());
    }
    let built: Value = serde_json::from_slice(&out.stdout)?;
    let (version, manifest) = (&built["build"]["version"], &built["build"]["manifest"]);
    let state = json!({"channels": {"stable": {"version": version, "manifest": manifest}}});
    std::fs::write(project.join(".packice/state.json"), state.to_string())?;
    let build = Build::open(&project.join(format!(".packice/builds/{version}")))?;
    for item in objects_of(&build)? {
        if item.kind != ObjectKind::Manifest {
            let bytes = build.objects.read(item.kind, &item.object.name)?;
            publication.files.insert(path(item.kind, &item.object.name), bytes);
        }
    }
    // The manifest is the first, and inlined in any case.
    let inline = inlined_objects(&build, ROOM)?.split_off(1);
    publication.release(build.manifest.clone(), inline);
    Ok(build)
}

fn sync(publication: &Publication, store: Held) -> Result<(Held, Vec<Request>), Box<dyn Error>> {
    let mut shell = Shell::on_store(publication, vec![Source::honest(publication)], store);
    shell.now = Millis((T0_S + 60) * 1000);
    shell.sync().map_err(|failure| format!("{failure:?}"))?;
    let requests = std::mem::take(&mut shell.requests);
    Ok((shell.close(), requests))
}
