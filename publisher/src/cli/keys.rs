//! `packice keys`.

use std::path::Path;

use base64ct::{Base64, Encoding};
use packice_core::format::note::{COSIGNATURE, ED25519, key_id};
use packice_core::types::hex;
use serde_json::json;

use super::trust_args::{KeysArgs, KeysVerb, PassphraseArgs};
use crate::failure::{Failure, Result, on_file};
use crate::keys::container::Container;
use crate::keys::{Key, KeyRole, read_private, read_public};
use crate::ui::Ui;

pub(super) fn run(args: &KeysArgs, ui: Ui) -> Result<()> {
    match &args.verb {
        KeysVerb::Generate { role, file, unencrypted, passphrase } => {
            generate(*role, file, *unencrypted, passphrase, ui)
        }
        KeysVerb::Show { files, check, passphrase } => show(files, *check, passphrase, ui),
        KeysVerb::Export { file, vkey } => export(file, vkey.as_deref(), ui),
    }
}

fn generate(
    role: KeyRole,
    file: &Path,
    unencrypted: bool,
    passphrase: &PassphraseArgs,
    ui: Ui,
) -> Result<()> {
    if file.exists() {
        let message = format!("{} is there already; keys are never overwritten", file.display());
        return Err(Failure::usage(message).next("name another file"));
    }
    let chosen = match unencrypted {
        true => None,
        false => Some(passphrase.source().choose(file)?),
    };
    if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).map_err(on_file("create", dir))?;
    }
    let key = Key::random()?;
    key.write_file(file, role, chosen.as_ref().map(|text| text.as_str()))?;
    let public = hex(&key.public());
    let lock = if unencrypted { "NOT encrypted" } else { "encrypted" };
    let text = format!("wrote {} ({} key, {lock})\npublic {public}", file.display(), role.as_str());
    let json = json!({
        "file": file.display().to_string(),
        "role": role.as_str(),
        "public": public,
        "encrypted": !unencrypted,
    });
    ui.result(&text, &json);
    Ok(())
}

fn show(
    files: &[impl AsRef<Path>],
    check: bool,
    passphrase: &PassphraseArgs,
    ui: Ui,
) -> Result<()> {
    let (mut text, mut list) = (String::new(), Vec::new());
    for file in files.iter().map(AsRef::as_ref) {
        let content = read_private(file)?;
        let container =
            Container::parse(&content).map_err(|failure| failure.within(file.display()))?;
        if check {
            let chosen = match container.is_encrypted() {
                true => Some(passphrase.source().open(file)?),
                false => None,
            };
            let opened = container.open(chosen.as_ref().map(|text| text.as_str()));
            opened.map_err(|failure| failure.within(file.display()))?;
        }
        let (role, public) = (container.role.as_str(), hex(&container.public));
        let encrypted = container.is_encrypted();
        let lock = if encrypted { "encrypted" } else { "not encrypted" };
        let opens = if check { ", opens" } else { "" };
        text.push_str(&format!("{}  {role}, {lock}{opens}\n  {public}\n", file.display()));
        list.push(json!({
            "file": file.display().to_string(),
            "role": role,
            "public": public,
            "encrypted": encrypted,
            "opens": check.then_some(true),
        }));
    }
    ui.result(&text, &json!({ "keys": list }));
    Ok(())
}

fn export(file: &str, vkey: Option<&str>, ui: Ui) -> Result<()> {
    let (public, role) = match file.strip_prefix("seed:") {
        Some(_) => {
            let key =
                Key::open(file, KeyRole::Release, &crate::keys::passphrase::Source::default());
            (key?.public(), None)
        }
        None => {
            let content = read_private(Path::new(file))?;
            match Container::is_one(&content) {
                true => (read_public(file)?, Some(Container::parse(&content)?.role)),
                false => {
                    let message = format!("{file} is not a key file");
                    return Err(Failure::usage(message)
                        .coded("key/bad-file")
                        .next(format!("a plain seed is named seed:{file}")));
                }
            }
        }
    };
    let text = match vkey {
        None => hex(&public),
        Some(name) => {
            let algorithm = if role == Some(KeyRole::Witness) { COSIGNATURE } else { ED25519 };
            let id = hex(&key_id(name, algorithm, &public));
            let bytes = [&[algorithm], &public[..]].concat();
            format!("{name}+{id}+{}", Base64::encode_string(&bytes))
        }
    };
    let json = json!({
        "public": hex(&public),
        "role": role.map(KeyRole::as_str),
        "vkey": vkey.map(|_| text.clone()),
    });
    ui.result(&text, &json);
    Ok(())
}
