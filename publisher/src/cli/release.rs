//! `packice promote` and `packice withdraw`.

use packice_core::format::head::Head;
use packice_core::types::{Name, Version};
use serde_json::json;

use super::args::{Cli, PromoteArgs, WithdrawArgs};
use super::publish::show_finished;
use super::trust_args::ReleaseArgs;
use crate::config::Config;
use crate::edge::publish_key;
use crate::failure::{Failure, Result};
use crate::publish::channels::{Turn, draft_turn};
use crate::publish::desk::{Desk, sign_request};
use crate::publish::release_keys;
use crate::publish::signer::changes;
use crate::ui::Ui;

pub(super) fn promote(cli: &Cli, args: &PromoteArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let (from, to) = (Name::new(&args.from)?, channel(&config, args.to.as_deref())?);
    if from == to {
        return Err(Failure::usage(format!("'{from}' is both channels")));
    }
    release(&config, &Turn::Promote { from, to }, &args.release, ui)
}

pub(super) fn withdraw(cli: &Cli, args: &WithdrawArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let channel = channel(&config, args.channel.as_deref())?;
    let turn = match args.to {
        Some(version) => Turn::GoBack { channel, to: Version(version) },
        None => Turn::Drop { channel },
    };
    release(&config, &turn, &args.release, ui)
}

fn channel(config: &Config, given: Option<&str>) -> Result<Name> {
    match given {
        Some(text) => Ok(Name::new(text)?),
        None => Ok(config.channel.clone()),
    }
}

fn release(config: &Config, turn: &Turn, args: &ReleaseArgs, ui: Ui) -> Result<()> {
    let edge_url = config.edge(args.edge.as_deref())?;
    let source = args.passphrase.source();
    let key = publish_key(config, args.publish_key.as_deref(), &source)?;
    let desk = Desk::open(config, &edge_url, Some(key), ui)?;
    let keys = match args.prepare {
        None => release_keys(&desk, &source)?,
        Some(_) => Vec::new(),
    };
    let mut state = desk.project.state()?;
    let at = desk.read_head(&mut state, false)?;
    let mut drafted = draft_turn(&desk, &at, turn)?;
    let head = Head::parse(&drafted.request.new.head)?;
    for line in changes(at.head(), &head) {
        ui.note(&line);
    }
    let Some(path) = &args.prepare else {
        sign_request(&mut drafted.request, &keys)?;
        let finished = desk.finish(&mut drafted.request, &at, &mut state)?;
        show_finished(config, &head, &finished, ui);
        return Ok(());
    };
    drafted.request.write(path)?;
    let file = path.display();
    let text = format!(
        "wrote {file}; nothing is signed\n\nNext:\n\
         \x20 1. Each signer: packice sign {file} --key KEY\n\
         \x20 2. Then: packice publish --finish {file}"
    );
    let json = json!({
        "dataset": config.dataset.as_str(),
        "channel": drafted.channel.as_str(),
        "version": drafted.version.map(|version| version.0),
        "records_compared": drafted.rehearsed.records,
        "prepared": file.to_string(),
    });
    ui.result(&text, &json);
    Ok(())
}
