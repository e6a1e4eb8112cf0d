//! `packice verify-proof`, and the proof that `packice get --proof` writes.

use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use packice_core::engine::io::Answer;
use packice_core::limits::MAX_FULL_PROOF_LEN;
use packice_core::trust::proof::{Statement, verify_full};
use packice_core::types::Millis;
use serde_json::json;

use super::args::{Cli, ClientArgs, GetArgs, VerifyProofArgs};
use super::session::{Session, freshness_json, key_bytes};
use crate::build::objects::write_whole;
use crate::client::host::Host;
use crate::failure::{Failure, Result, on_file};
use crate::text::{put_bytes, show_bytes, show_freshness, show_size};
use crate::ui::Ui;

/// Checks a full proof with nothing but the trust root.
pub(super) fn verify(cli: &Cli, args: &VerifyProofArgs, ui: Ui) -> Result<()> {
    let (trust, channel) = (args.trust.clone(), args.channel.clone());
    let client = ClientArgs { sources: Vec::new(), trust, channel, store: None };
    let Session { trust, channel, .. } = Session::new(cli, &client)?;
    let mut proof = Vec::new();
    let file = std::fs::File::open(&args.file).map_err(on_file("read", &args.file))?;
    // One byte over the bound is enough to be refused for it.
    let most = MAX_FULL_PROOF_LEN as u64 + 1;
    file.take(most).read_to_end(&mut proof).map_err(on_file("read", &args.file))?;
    let dataset = &trust.root.dataset;
    let proven = verify_full(&proof, &trust.bytes, dataset, &channel)
        .map_err(|error| Failure::from(error).within(args.file.display()))?;
    check_asked(args, &proven)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let freshness = proven.freshness(Millis(u64::try_from(now.as_millis()).unwrap_or(0)));
    let state = if proven.value.is_some() { "present" } else { "absent" };
    let mut json = json!({
        "state": state,
        "dataset": dataset.as_str(),
        "channel": channel.as_str(),
        "collection": proven.collection.as_str(),
        "version": proven.version.0,
        "root": proven.root.to_hex(),
        "log_size": proven.trust.seen().size,
        "trust_root_version": proven.trust.root().version,
        "freshness": freshness_json(&freshness),
    });
    put_bytes(&mut json, "key", &proven.key);
    if let Some(value) = &proven.value {
        put_bytes(&mut json, "value", value);
    }
    let text = format!(
        "proven {state}: {} in {} of {dataset}, version {}\n{}\
         channel {channel}, log of {} entries, trust root {}\nfreshness: {}\n",
        show_bytes(&proven.key),
        proven.collection,
        proven.version,
        proven.value.as_ref().map_or_else(String::new, |v| format!("{}\n", show_bytes(v))),
        proven.trust.seen().size,
        proven.trust.root().version,
        show_freshness(&freshness),
    );
    ui.result(&text, &json);
    Ok(())
}

/// A proof says which key it is of: it must be the one that was asked for, if one was.
fn check_asked(args: &VerifyProofArgs, proven: &Statement) -> Result<()> {
    let key = args.key.as_ref().map(|key| key_bytes(key, args.hex)).transpose()?;
    let other_key = key.is_some_and(|key| key != proven.key);
    let other = args.collection.as_ref().is_some_and(|name| *name != proven.collection.as_str());
    if !other_key && !other {
        return Ok(());
    }
    let (key, collection) = (show_bytes(&proven.key), &proven.collection);
    Err(Failure::verification(format!("the proof is of '{key}' in {collection}")))
}

/// Proves a key, writes the proof, and answers as a read does.
pub(super) fn prove(
    host: &mut Host,
    args: &GetArgs,
    key: &[u8],
    file: &std::path::Path,
    ui: Ui,
) -> Result<Answer> {
    match host.prove(&args.collection, key)? {
        Answer::Proof { value, full, version, .. } => {
            write_whole(file, &full)?;
            ui.note(&format!("{}: a proof of {}", file.display(), show_size(full.len() as u64)));
            Ok(match value {
                Some(value) => Answer::Present { value, version },
                None => Answer::Absent { version },
            })
        }
        unknown @ Answer::Unknown(_) => Ok(unknown),
        Answer::Present { .. } | Answer::Absent { .. } | Answer::Records { .. } => {
            Err(Failure::internal("the engine answers another question"))
        }
    }
}
