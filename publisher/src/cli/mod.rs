//! The verbs: each reads its options, calls the library, and shows the result.

mod apply;
pub mod args;
mod build;
pub mod change_args;
mod cost;
mod diff;
mod edge_args;
mod event;
mod export;
mod gc;
mod init;
mod inspect;
mod keys;
mod log;
mod paths;
mod proof;
mod prune;
mod publish;
mod read;
mod release;
mod replay;
mod rollback;
mod root;
mod seed;
mod session;
mod sign;
mod sync;
mod trail;
pub mod trust_args;
mod tune;
mod verify;
mod witness;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::Result;
use crate::ui::Ui;
use args::{Cli, Verb};

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui { json: cli.json, quiet: cli.quiet };
    match dispatch(&cli, ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            ui.failure(&failure);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

fn dispatch(cli: &Cli, ui: Ui) -> Result<()> {
    match &cli.verb {
        Verb::Init(args) => init::run(cli, args, ui),
        Verb::Build(args) => build::run(cli, args, ui),
        Verb::Apply(args) => apply::run(cli, args, ui),
        Verb::Rollback(args) => rollback::run(cli, args, ui),
        Verb::Event(args) => event::run(cli, args, ui),
        Verb::Prune(args) => prune::run(cli, args, ui),
        Verb::Publish(args) => publish::run(cli, args, ui),
        Verb::Seed(args) => seed::run(cli, args, ui),
        Verb::Sync(args) => sync::run(cli, args, ui),
        Verb::Replay(args) => replay::run(args, ui),
        Verb::Get(args) => read::get(cli, args, ui),
        Verb::Range(args) => read::range(cli, args, ui),
        Verb::Verify(args) => verify::run(cli, args, ui),
        Verb::VerifyProof(args) => proof::verify(cli, args, ui),
        Verb::Export(args) => export::run(cli, args, ui),
        Verb::Gc(args) => gc::run(cli, args, ui),
        Verb::Tune(args) => tune::run(cli, args, ui),
        Verb::Inspect(args) => inspect::run(cli, args, ui),
        Verb::Diff(args) => diff::run(cli, args, ui),
        Verb::Keys(args) => keys::run(args, ui),
        Verb::Sign(args) => sign::run(cli, args, ui),
        Verb::Promote(args) => release::promote(cli, args, ui),
        Verb::Withdraw(args) => release::withdraw(cli, args, ui),
        Verb::Root(args) => root::run(cli, args, ui),
        Verb::Log(args) => log::run(cli, args, ui),
        Verb::Witness(args) => witness::run(args, ui),
        Verb::Cost(args) => cost::run(cli, args, ui),
        Verb::Trail(args) => trail::run(cli, args, ui),
    }
}
