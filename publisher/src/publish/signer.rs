//! The signer's desk: what a release request asks to be signed, in words; whether it may be; and
//! what this key signed last.
//!
//! It needs no network. Whoever prepared the request is not trusted: the trust root is the
//! signer's own, growth is checked from the release before, and a record beside the key keeps it
//! from signing two releases for one place in the log.

use std::path::{Path, PathBuf};

use packice_core::format::head::{Channel, Head};
use packice_core::format::note::{Checkpoint, ED25519, key_id};
use packice_core::format::trust_root::{PublicKey, TrustRoot};
use packice_core::trust::release::{Step, check_release_draft};
use packice_core::trust::signature::verify;
use packice_core::types::hex;
use serde_json::{Value, json};

use super::request::ReleaseRequest;
use crate::build::objects::write_whole;
use crate::failure::{Failure, Result, on_file};
use crate::trust_store::LoadedTrustRoot;

/// A request that was checked.
pub struct Examined {
    /// What it does.
    pub step: Step,
    /// The trust root that it is signed under.
    pub root: TrustRoot,
    /// The release keys whose signatures it has.
    pub signed: Vec<PublicKey>,
}

/// Checks a request against the signer's own trust root.
pub fn examine(request: &ReleaseRequest, own: &LoadedTrustRoot) -> Result<Examined> {
    if own.root.dataset != request.dataset || !request.trust_chain.contains(&own.bytes) {
        let message = "the request's trust roots do not go through yours";
        return Err(Failure::verification(message)
            .coded("trust/bad-trust-chain")
            .next("sign nothing before you know why: ask who prepared it, by another way"));
    }
    let chain = request.chain()?;
    let step = check_release_draft(&chain, request.before.as_ref(), &request.new)?;
    let root = chain.newest().clone();
    let checkpoint = request.checkpoint()?;
    let signed = root.release.keys.iter().filter(|key| is_signed_by(&checkpoint, key));
    let signed = signed.copied().collect();
    Ok(Examined { step, root, signed })
}

fn is_signed_by(checkpoint: &Checkpoint, key: &PublicKey) -> bool {
    let id = key_id(&checkpoint.origin, ED25519, key);
    checkpoint.signatures.iter().any(|line| {
        line.name == checkpoint.origin
            && line.key_id == id
            && verify(key, checkpoint.body.as_bytes(), &line.signature)
    })
}

impl Examined {
    /// Whether enough have signed.
    pub fn is_complete(&self) -> bool {
        self.signed.len() >= self.root.release.threshold as usize
    }

    /// What is signed, in words.
    pub fn words(&self) -> String {
        let Step { before, from, after, to, reset } = &self.step;
        let mut text = format!(
            "dataset     {}\nlog         {}\n            {} releases become {}\n\
             root hash   {}\ntrust root  version {}\n",
            after.dataset,
            self.root.origin,
            from.size,
            to.size,
            hex(&to.root.0),
            after.trust_root_version,
        );
        if *reset {
            text.push_str(&format!(
                "floor       the log goes on from {} releases: what came after is void\n",
                from.size
            ));
        }
        for change in changes(before.as_ref(), after) {
            text.push_str(&format!("channel     {change}\n"));
        }
        let policy = after.policy;
        if before.as_ref().is_none_or(|before| before.policy != policy) {
            text.push_str(&format!(
                "keeps       {} versions, {}\n",
                policy.keep_versions,
                crate::text::show_span_ms(policy.keep_ms)
            ));
        }
        let threshold = self.root.release.threshold;
        text.push_str(&format!("signatures  {} of {threshold}\n", self.signed.len()));
        text
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let Step { before, from, after, to, reset } = &self.step;
        let channel = |channel: &Channel| {
            json!({
                "channel": channel.name.as_str(),
                "version": channel.version.0,
                "manifest": channel.manifest.name.to_hex(),
                "version_before": before
                    .as_ref()
                    .and_then(|before| before.channel(channel.name.as_str()))
                    .map(|before| before.version.0),
            })
        };
        let withdrawn: Vec<&str> =
            withdrawn(before.as_ref(), after).map(|channel| channel.name.as_str()).collect();
        json!({
            "dataset": after.dataset.as_str(),
            "origin": self.root.origin,
            "trust_root_version": after.trust_root_version,
            "log_size_before": from.size,
            "log_size": to.size,
            "root_hash": hex(&to.root.0),
            "reset": reset,
            "channels": after.channels.iter().map(channel).collect::<Vec<_>>(),
            "withdrawn": withdrawn,
            "threshold": self.root.release.threshold,
            "signed_by": self.signed.iter().map(|key| hex(key)).collect::<Vec<_>>(),
            "complete": self.is_complete(),
        })
    }
}

/// One line for each channel that changes, and for the others that they stay.
pub fn changes(before: Option<&Head>, after: &Head) -> Vec<String> {
    let mut lines = Vec::new();
    for channel in &after.channels {
        let Channel { name, version, manifest } = channel;
        let old = before.and_then(|before| before.channel(name.as_str()));
        lines.push(match old {
            Some(old) if old == channel => format!("{name}: stays at version {version}"),
            Some(old) => format!(
                "{name}: version {} becomes {version}, manifest {}",
                old.version, manifest.name
            ),
            None => format!("{name}: begins at version {version}, manifest {}", manifest.name),
        });
    }
    lines.extend(withdrawn(before, after).map(|channel| {
        format!("{}: WITHDRAWN, it stood at version {}", channel.name, channel.version)
    }));
    lines
}

fn withdrawn<'a>(
    before: Option<&'a Head>,
    after: &'a Head,
) -> impl Iterator<Item = &'a Channel> + 'a {
    let channels = before.map(|before| before.channels.as_slice()).unwrap_or_default();
    channels.iter().filter(|channel| after.channel(channel.name.as_str()).is_none())
}

/// Where the record of what a key signed last stands: beside its file.
pub fn record_path(key: &str) -> PathBuf {
    let path = key.strip_prefix("seed:").unwrap_or(key);
    PathBuf::from(format!("{path}.signed"))
}

/// Checks a release against what this key signed last.
pub fn check_record(path: &Path, examined: &Examined) -> Result<()> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(on_file("read", path)(error)),
    };
    let last = Checkpoint::parse_unsigned(&bytes).map_err(|error| {
        Failure::from(error)
            .within(path.display())
            .next("this record keeps you from signing twice: restore it, or pass --again")
    })?;
    let Step { from, to, reset, .. } = &examined.step;
    if last.origin != examined.root.origin || *reset {
        return Ok(());
    }
    let other_past = last.size == from.size && last.root != from.root;
    let other_now = last.size == to.size && last.root != to.root;
    if last.size > to.size || other_now || other_past {
        let message = format!(
            "this key signed the log at {} releases (root {}); this request is another history",
            last.size,
            hex(&last.root.0)
        );
        return Err(Failure::conflict(message).coded("release/signed-before").next(
            "where that release was never published, sign again with --again; else find out why",
        ));
    }
    Ok(())
}

/// Keeps what this key signs now, before the signature leaves.
pub fn write_record(path: &Path, request: &ReleaseRequest) -> Result<()> {
    let body = request.checkpoint()?.body;
    write_whole(path, format!("{body}\n").as_bytes())
}
