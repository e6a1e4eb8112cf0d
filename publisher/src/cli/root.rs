//! `packice root`.

use std::path::Path;

use base64ct::{Base64, Encoding};
use packice_core::format::trust_root::{
    Floor, Role, SignedTrustRoot, Staleness, TrustRoot, WitnessPolicy,
};
use packice_core::trust::accept::Seen;
use packice_core::trust::append::check_trust_root;
use packice_core::trust::log::Frontier;
use packice_core::trust::sign::add_root_signature;
use packice_core::types::LogHash;
use serde_json::json;

use super::args::{Cli, RootArgs};
use super::trust_args::{PassphraseArgs, RootChangeArgs, RootVerb};
use crate::build::objects::write_whole;
use crate::config::Config;
use crate::edge::publish_key;
use crate::failure::{Failure, Result, on_file};
use crate::keys::passphrase::Source;
use crate::keys::{Key, KeyRole};
use crate::publish::desk::Desk;
use crate::release_log::walk_entries;
use crate::root_draft::{
    RoleChange, age, change_witnesses, differences, draft_json, signers, unsigned,
};
use crate::trust_store::{self, path_of, read_chain};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &RootArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    match &args.verb {
        RootVerb::New { out, origin, changes } => new(&config, out, origin.as_deref(), changes, ui),
        RootVerb::Rotate { out, origin, floor, edge, changes } => {
            let floor = floor.as_deref().map(|floor| (floor, edge.as_deref()));
            rotate(&config, out, origin.as_deref(), floor, changes, ui)
        }
        RootVerb::Show { file } => show(&config, file, ui),
        RootVerb::Sign { file, keys, passphrase } => sign(&config, file, keys, passphrase, ui),
        RootVerb::Publish { file, edge, publish_key, local } => {
            let publish_key = publish_key.as_deref();
            publish(&config, file, edge.as_deref(), publish_key, *local, ui)
        }
    }
}

fn new(
    config: &Config,
    out: &Path,
    origin: Option<&str>,
    changes: &RootChangeArgs,
    ui: Ui,
) -> Result<()> {
    let first = path_of(&config.trust_dir, 1);
    if first.exists() {
        let message = format!("{} is there already", first.display());
        return Err(Failure::usage(message).next("`packice root rotate` drafts the next one"));
    }
    let none = || Role { threshold: 1, keys: Vec::new() };
    let mut root = TrustRoot {
        dataset: config.dataset.clone(),
        origin: origin.map_or_else(|| format!("packice/{}", config.dataset), str::to_owned),
        version: 1,
        root: none(),
        release: none(),
        witnesses: WitnessPolicy::default(),
        staleness: Staleness::default(),
        floor: None,
    };
    apply(&mut root, changes)?;
    write_draft(out, None, &root, ui)
}

fn rotate(
    config: &Config,
    out: &Path,
    origin: Option<&str>,
    floor: Option<(&str, Option<&str>)>,
    changes: &RootChangeArgs,
    ui: Ui,
) -> Result<()> {
    let chain = read_chain(&config.trust_dir)?;
    // `read_chain` gives at least one.
    let old = &chain[chain.len() - 1].root;
    let mut root = old.clone();
    root.version = old.version.saturating_add(1);
    if let Some(origin) = origin.filter(|origin| *origin != old.origin) {
        // Another log: the old one's floor is none of it.
        root.floor = None;
        root.origin = origin.to_owned();
    }
    apply(&mut root, changes)?;
    if let Some((floor, edge)) = floor {
        root.floor = read_floor(config, &root.origin, floor, edge, ui)?;
    }
    write_draft(out, Some(old), &root, ui)
}

fn apply(root: &mut TrustRoot, changes: &RootChangeArgs) -> Result<()> {
    let RootChangeArgs { add_root, remove_root, root_threshold, .. } = changes;
    let RootChangeArgs { add_release, remove_release, release_threshold, .. } = changes;
    let role = |name, add, remove, threshold| RoleChange { name, add, remove, threshold };
    role("root", add_root, remove_root, *root_threshold).apply(&mut root.root)?;
    let release = role("release", add_release, remove_release, *release_threshold);
    release.apply(&mut root.release)?;
    if let Some(both) = root.root.keys.iter().find(|key| root.release.keys.contains(key)) {
        let key = packice_core::types::hex(both);
        let message = format!("{key} is a root key and a release key");
        return Err(Failure::usage(message).next("a key has one role: name another"));
    }
    let RootChangeArgs { add_witness, remove_witness, quorum, .. } = changes;
    change_witnesses(&mut root.witnesses, add_witness, remove_witness, *quorum)?;
    let Staleness { stale_ms, expired_ms } = root.staleness;
    root.staleness = Staleness {
        stale_ms: age("--stale-after", changes.stale_after.as_deref(), stale_ms)?,
        expired_ms: age("--expired-after", changes.expired_after.as_deref(), expired_ms)?,
    };
    Ok(())
}

/// `end`, a size, SIZE:BASE64 or `none`. A point that is read from an edge is verified first.
fn read_floor(
    config: &Config,
    origin: &str,
    text: &str,
    edge: Option<&str>,
    ui: Ui,
) -> Result<Option<Floor>> {
    let floor = |size, root| Some(Floor { origin: origin.to_owned(), size, root });
    let bad = || {
        Failure::usage(format!("--floor '{text}' is not a point of the log"))
            .next("write end, a size, SIZE:BASE64 or none")
    };
    if text == "none" {
        return Ok(None);
    }
    if let Some((size, root)) = text.split_once(':') {
        let size = size.parse().map_err(|_| bad())?;
        let root = Base64::decode_vec(root).ok().and_then(|root| <[u8; 32]>::try_from(root).ok());
        return Ok(floor(size, LogHash(root.ok_or_else(bad)?)));
    }
    let desk = Desk::open(config, &config.edge(edge)?, None, ui)?;
    let at = desk.read_head(&mut desk.project.state()?, false)?;
    if at.trust.root().origin != origin {
        let message = format!("the edge's log is '{}', not '{origin}'", at.trust.root().origin);
        return Err(Failure::usage(message).next("another log begins without a floor"));
    }
    let Seen { size: end, root } = at.trust.seen();
    if text == "end" {
        return Ok(floor(end, root));
    }
    let size: u64 = text.parse().map_err(|_| bad())?;
    if size > end {
        return Err(Failure::usage(format!("the log has {end} releases, not {size}")));
    }
    let mut prefix = Frontier::new();
    walk_entries(&desk.edge, at.trust.seen(), &mut |index, entry| {
        if index < size {
            prefix.push(packice_core::hash::log_leaf(entry));
        }
        Ok(())
    })?;
    Ok(floor(size, prefix.root()))
}

fn write_draft(out: &Path, old: Option<&TrustRoot>, root: &TrustRoot, ui: Ui) -> Result<()> {
    if out.exists() {
        let message = format!("{} is there already", out.display());
        return Err(Failure::usage(message).next("name another file by --out"));
    }
    let bytes = unsigned(root)?;
    write_whole(out, &bytes)?;
    let signed = SignedTrustRoot::parse(&bytes)?;
    let text = format!(
        "{}wrote {}\nnext: packice root sign {} --key ROOT-KEY",
        words(old, root, &signed),
        out.display(),
        out.display()
    );
    ui.result(&text, &draft_json(old, root, &signed));
    Ok(())
}

/// A draft: its signatures, its body, and the trust root that it follows.
struct Draft {
    signed: SignedTrustRoot,
    root: TrustRoot,
    old: Option<trust_store::LoadedTrustRoot>,
}

fn read_draft(config: &Config, path: &Path) -> Result<Draft> {
    let bytes = std::fs::read(path).map_err(on_file("read", path))?;
    let signed = SignedTrustRoot::parse(&bytes)
        .map_err(|error| Failure::from(error).within(path.display()))?;
    let root = TrustRoot::parse(&signed.body)?;
    if root.dataset != config.dataset {
        let message = format!("{} is of '{}'", path.display(), root.dataset);
        return Err(Failure::usage(message).next("name the configuration by --config"));
    }
    let old = match root.version {
        1 => None,
        version => Some(trust_store::read(&path_of(&config.trust_dir, version - 1))?),
    };
    Ok(Draft { signed, root, old })
}

fn words(old: Option<&TrustRoot>, root: &TrustRoot, signed: &SignedTrustRoot) -> String {
    let mut text = format!("trust root {} of {}\n", root.version, root.dataset);
    for line in differences(old, root) {
        text.push_str(&format!("  {line}\n"));
    }
    let roles = [old.map(|old| ("old", &old.root)), Some(("new", &root.root))];
    for (name, role) in roles.into_iter().flatten() {
        let count = signers(signed, role).len();
        text.push_str(&format!(
            "signed by {count} of the {name} root keys, {} must\n",
            role.threshold
        ));
    }
    text
}

fn show(config: &Config, path: &Path, ui: Ui) -> Result<()> {
    let Draft { signed, root, old } = read_draft(config, path)?;
    let old = old.as_ref().map(|old| &old.root);
    ui.result(&words(old, &root, &signed), &draft_json(old, &root, &signed));
    Ok(())
}

fn sign(
    config: &Config,
    path: &Path,
    keys: &[String],
    passphrase: &PassphraseArgs,
    ui: Ui,
) -> Result<()> {
    let Draft { mut signed, root, old } = read_draft(config, path)?;
    let old = old.as_ref().map(|old| &old.root);
    ui.note(&words(old, &root, &signed));
    for given in keys {
        let key = Key::open(given, KeyRole::Root, &passphrase.source())?;
        let named = |role: &Role| role.keys.contains(&key.public());
        if !named(&root.root) && !old.is_some_and(|old| named(&old.root)) {
            let message = format!("neither the draft nor the trust root before names {given}");
            return Err(Failure::usage(message).coded("key/not-named"));
        }
        add_root_signature(&mut signed, key.seed());
    }
    write_whole(path, &signed.encode())?;
    let complete = |role: &Role| signers(&signed, role).len() >= role.threshold as usize;
    let whole = complete(&root.root) && old.is_none_or(|old| complete(&old.root));
    let next = match whole {
        true => format!("next: packice root publish {}", path.display()),
        false => "more signers are needed".to_owned(),
    };
    let counts = words(old, &root, &signed);
    let counts: String =
        counts.lines().filter(|line| line.starts_with("signed")).collect::<Vec<_>>().join("\n");
    let mut json = draft_json(old, &root, &signed);
    json["complete"] = json!(whole);
    ui.result(&format!("{counts}\n{next}"), &json);
    Ok(())
}

fn publish(
    config: &Config,
    path: &Path,
    edge: Option<&str>,
    given: Option<&str>,
    local: bool,
    ui: Ui,
) -> Result<()> {
    let Draft { signed, root, old } = read_draft(config, path)?;
    let bytes = signed.encode();
    check_trust_root(&config.dataset, old.as_ref().map(|old| old.bytes.as_slice()), &bytes)
        .map_err(|error| {
            Failure::from(error)
                .within("the draft is not signed yet")
                .next("run `packice root sign FILE --key KEY` for each root key that must")
        })?;
    let kept = path_of(&config.trust_dir, root.version);
    match std::fs::read(&kept) {
        Ok(there) if there == bytes => {}
        Ok(_) => {
            let message = format!("{} is there with other bytes", kept.display());
            return Err(Failure::conflict(message).next("sign the version after it"));
        }
        Err(_) => {
            std::fs::create_dir_all(&config.trust_dir)
                .map_err(on_file("create", &config.trust_dir))?;
            write_whole(&kept, &bytes)?;
        }
    }
    if !local {
        let key = publish_key(config, given, &Source::default())?;
        let desk = Desk::open(config, &config.edge(edge)?, Some(key), ui)?;
        desk.upload_trust_roots()?;
    }
    let mut text = format!("wrote {}\n", kept.display());
    if !local {
        text.push_str(&format!("the edge holds trust root {}\n", root.version));
    }
    text.push_str("next: packice publish, so that clients follow; the build that stands will do");
    let mut json = draft_json(old.as_ref().map(|old| &old.root), &root, &signed);
    json["kept"] = json!(kept.display().to_string());
    json["uploaded"] = json!(!local);
    ui.result(&text, &json);
    Ok(())
}
