//! `packice log`.

use std::path::Path;

use packice_core::error::{Error, TrustError};
use packice_core::format::head::Head;
use packice_core::format::note::Checkpoint;
use packice_core::trust::accept::{Seen, TrustState};
use packice_core::trust::log::root_of;
use packice_core::types::{LogHash, Name, hex};
use serde_json::{Value, json};

use super::args::{Cli, LogArgs};
use super::trust_args::{LogSourceArgs, LogVerb};
use crate::build::objects::write_whole;
use crate::config::Config;
use crate::edge::Edge;
use crate::failure::{Failure, Result, on_file};
use crate::publish::head::{Outside, read_outside};
use crate::release_log::{audit_hash_tiles, walk_entries};
use crate::text::show_time;
use crate::trust_store;
use crate::ui::Ui;

/// A log, verified as a cold client does.
struct Source {
    edge: Edge,
    trust: TrustState,
}

pub(super) fn run(cli: &Cli, args: &LogArgs, ui: Ui) -> Result<()> {
    match &args.verb {
        LogVerb::Show { last, source } => show(&Source::open(cli, source)?, *last, ui),
        LogVerb::Audit { from, save, source } => {
            audit(&Source::open(cli, source)?, from.as_deref(), save.as_deref(), ui)
        }
    }
}

impl Source {
    fn open(cli: &Cli, args: &LogSourceArgs) -> Result<Self> {
        let config = Config::load(&cli.config);
        let root = match (&args.trust_root, &config) {
            (Some(path), _) => trust_store::read(path)?,
            (None, Ok(config)) => trust_store::read(&trust_store::path_of(&config.trust_dir, 1))?,
            (None, Err(failure)) => return Err(failure.clone().next("or pass --trust-root")),
        };
        let edge_url = match (&args.edge, &config) {
            (Some(url), _) => crate::config::edge_url(url)?,
            (None, Ok(config)) => config.edge(None)?,
            (None, Err(failure)) => return Err(failure.clone().next("or pass --edge")),
        };
        let channel = match (&args.channel, &config) {
            (Some(name), _) => Name::new(name)?,
            (None, Ok(config)) => config.channel.clone(),
            (None, Err(_)) => Name::new("stable")?,
        };
        let edge = Edge::new(&edge_url, &root.root.dataset, None);
        let trust = match read_outside(&edge, &root, &channel)? {
            Outside::Verified(trust) => *trust,
            Outside::Nothing => {
                let message = format!("the edge has no channel '{channel}'");
                return Err(Failure::absent(message).next("name one by --channel"));
            }
        };
        Ok(Self { edge, trust })
    }
}

fn show(source: &Source, last: Option<u64>, ui: Ui) -> Result<()> {
    let seen = source.trust.seen();
    let first = seen.size.saturating_sub(last.unwrap_or(seen.size));
    let (mut text, mut list, mut before) = (String::new(), Vec::new(), None);
    walk_entries(&source.edge, seen, &mut |index, entry| {
        let head = Head::parse(entry)?;
        if index >= first {
            text.push_str(&format!("{index:>6}  trust root {}\n", head.trust_root_version));
            for line in crate::publish::signer::changes(before.as_ref(), &head) {
                text.push_str(&format!("        {line}\n"));
            }
            list.push(entry_json(index, &head));
        }
        before = Some(head);
        Ok(())
    })?;
    let cosigned_s = source.trust.cosigned_s();
    text.push_str(&format!("{} releases of {}", seen.size, source.trust.root().origin));
    if cosigned_s > 0 {
        text.push_str(&format!(", cosigned at {}", show_time(cosigned_s)));
    }
    ui.result(&text, &json!({ "entries": list, "log": summary(source) }));
    Ok(())
}

fn entry_json(index: u64, head: &Head) -> Value {
    let channels = head.channels.iter().map(|channel| {
        json!({
            "channel": channel.name.as_str(),
            "version": channel.version.0,
            "manifest": channel.manifest.name.to_hex(),
        })
    });
    json!({
        "index": index,
        "trust_root_version": head.trust_root_version,
        "channels": channels.collect::<Vec<_>>(),
    })
}

fn summary(source: &Source) -> Value {
    let seen = source.trust.seen();
    let cosigned_s = source.trust.cosigned_s();
    json!({
        "origin": source.trust.root().origin,
        "size": seen.size,
        "root_hash": hex(&seen.root.0),
        "trust_root_version": source.trust.root().version,
        "cosigned_at": (cosigned_s > 0).then_some(cosigned_s),
    })
}

fn audit(source: &Source, from: Option<&Path>, save: Option<&Path>, ui: Ui) -> Result<()> {
    let seen = source.trust.seen();
    let earlier = from.map(|path| read_checkpoint(source, path)).transpose()?;
    let bar = ui.count_bar("entries", seen.size);
    let (mut leaves, mut before, mut resets): (Vec<LogHash>, Option<Head>, u64) =
        (Vec::new(), None, 0);
    walk_entries(&source.edge, seen, &mut |index, entry| {
        let head = Head::parse(entry).map_err(|error| at(index, error.into()))?;
        check_entry(source, before.as_ref(), &head, &mut resets)
            .map_err(|failure| at(index, failure))?;
        leaves.push(packice_core::hash::log_leaf(entry));
        before = Some(head);
        bar.set_position(index);
        Ok(())
    })?;
    bar.finish_and_clear();
    if let Some(earlier) = earlier {
        check_earlier(&earlier, &leaves)?;
    }
    let tiles = audit_hash_tiles(&source.edge, seen, &leaves)?;
    if let (Some(path), Some(checkpoint)) = (save, source.trust.checkpoint()) {
        write_whole(path, checkpoint)?;
    }
    let text = format!(
        "the log holds: {} releases, {tiles} hash tiles, signatures under trust root {}{}",
        seen.size,
        source.trust.root().version,
        if from.is_some() { ", and goes on from what was seen" } else { "" },
    );
    let mut json = summary(source);
    json["hash_tiles"] = json!(tiles);
    json["floors"] = json!(resets);
    ui.result(&text, &json);
    Ok(())
}

fn at(index: u64, failure: Failure) -> Failure {
    failure.within(format!("release {index} of the log"))
}

/// The rules between one entry and the next; a trust root's floor lets versions begin anew.
fn check_entry(
    source: &Source,
    before: Option<&Head>,
    head: &Head,
    resets: &mut u64,
) -> Result<()> {
    let refused = |error: TrustError| Err(Failure::from(Error::from(error)));
    if head.dataset != source.trust.root().dataset {
        return refused(TrustError::WrongDataset);
    }
    let known = source.trust.root().version;
    if head.trust_root_version > known {
        return refused(TrustError::OutdatedTrustRoot { needed: head.trust_root_version, known });
    }
    let Some(before) = before else { return Ok(()) };
    if head.trust_root_version < before.trust_root_version {
        let needed = before.trust_root_version;
        return refused(TrustError::OutdatedTrustRoot { needed, known: head.trust_root_version });
    }
    let passed = before.trust_root_version + 1..=head.trust_root_version;
    let floors = source.trust.chain().iter().filter_map(|signed| trust_store::parse(signed).ok());
    if floors
        .into_iter()
        .any(|root| passed.contains(&root.root.version) && root.root.floor.is_some())
    {
        *resets += 1;
        return Ok(());
    }
    Ok(packice_core::trust::accept::check_heads(before, head)?)
}

/// A checkpoint that was seen before, of this log.
fn read_checkpoint(source: &Source, path: &Path) -> Result<Seen> {
    let bytes = std::fs::read(path).map_err(on_file("read", path))?;
    let checkpoint =
        Checkpoint::parse(&bytes).map_err(|error| Failure::from(error).within(path.display()))?;
    if checkpoint.origin != source.trust.root().origin {
        let message = format!("{} is of the log '{}'", path.display(), checkpoint.origin);
        return Err(Failure::verification(message).coded("trust/wrong-origin"));
    }
    Ok(Seen { size: checkpoint.size, root: checkpoint.root })
}

fn check_earlier(earlier: &Seen, leaves: &[LogHash]) -> Result<()> {
    let size = leaves.len() as u64;
    let prefix = usize::try_from(earlier.size).ok().and_then(|end| leaves.get(..end));
    let Some(prefix) = prefix else {
        let error = TrustError::Rollback { offered: size, seen: earlier.size };
        return Err(Failure::from(Error::from(error)));
    };
    match root_of(prefix) == earlier.root {
        true => Ok(()),
        false => Err(Failure::from(Error::from(TrustError::Fork))
            .within(format!("at {} releases", earlier.size))
            .next("keep both checkpoints: together they prove that the log shows two faces")),
    }
}
