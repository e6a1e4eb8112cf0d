//! `packice sign`.

use serde_json::json;

use super::args::{Cli, SignArgs};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::keys::{Key, KeyRole};
use crate::publish::desk::sign_request;
use crate::publish::request::ReleaseRequest;
use crate::publish::signer::{check_record, examine, record_path, write_record};
use crate::trust_store::{self, LoadedTrustRoot, path_of};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &SignArgs, ui: Ui) -> Result<()> {
    let mut request = ReleaseRequest::read(&args.file)?;
    let own = own_trust_root(cli, args)?;
    let examined = examine(&request, &own)?;
    if args.show {
        ui.result(&examined.words(), &examined.json());
        return Ok(());
    }
    ui.note(&examined.words());
    for given in &args.keys {
        let record = record_path(given);
        if !args.again {
            check_record(&record, &examined)?;
        }
        let key = Key::open(given, KeyRole::Release, &args.passphrase.source())?;
        if !examined.root.release.keys.contains(&key.public()) {
            let message =
                format!("trust root {} does not name the key of {given}", examined.root.version);
            return Err(Failure::usage(message).coded("key/not-named"));
        }
        // First what it signed, then the signature.
        write_record(&record, &request)?;
        sign_request(&mut request, &[key])?;
    }
    request.write(&args.file)?;
    let examined = examine(&request, &own)?;
    let next = match examined.is_complete() {
        true => format!("next: packice publish --finish {}", args.file.display()),
        false => "more signers are needed".to_owned(),
    };
    let signed = examined.signed.len();
    let threshold = examined.root.release.threshold;
    let mut json = examined.json();
    json["file"] = json!(args.file.display().to_string());
    ui.result(&format!("signed: {signed} of {threshold} signatures\n{next}"), &json);
    Ok(())
}

fn own_trust_root(cli: &Cli, args: &SignArgs) -> Result<LoadedTrustRoot> {
    if let Some(path) = &args.trust_root {
        return trust_store::read(path);
    }
    let config = Config::load(&cli.config).map_err(|failure| {
        failure.next("away from the project, name the trust root that you trust by --trust-root")
    })?;
    trust_store::read(&path_of(&config.trust_dir, 1))
}
