//! Where a passphrase comes from: a file, the environment, or a person at a terminal.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::{Failure, Result, on_file};

/// The environment's variable of the passphrase.
pub const PASSPHRASE_ENV: &str = "PACKICE_PASSPHRASE";
/// Shorter ones are refused for new keys.
const MIN_LEN: usize = 12;

/// Where to take a passphrase from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file whose first line it is; else the environment, else the terminal.
    pub file: Option<PathBuf>,
}

/// A passphrase; wiped when it is dropped.
pub type Passphrase = Zeroizing<String>;

impl Source {
    /// Whether one can be had without asking.
    pub fn is_set(&self) -> bool {
        self.file.is_some() || std::env::var_os(PASSPHRASE_ENV).is_some()
    }

    /// The passphrase of an existing key.
    pub fn open(&self, what: &Path) -> Result<Passphrase> {
        match self.given()? {
            Some(given) => Ok(given),
            None => ask(&format!("Passphrase of {}: ", what.display())),
        }
    }

    /// A passphrase for a new key: asked for twice, and not too short.
    pub fn choose(&self, what: &Path) -> Result<Passphrase> {
        let chosen = match self.given()? {
            Some(given) => given,
            None => {
                let first = ask(&format!("New passphrase for {}: ", what.display()))?;
                let again = ask("The same again: ")?;
                if *first != *again {
                    return Err(Failure::usage("the two passphrases differ").next("try again"));
                }
                first
            }
        };
        if chosen.chars().count() < MIN_LEN {
            let message = format!("a passphrase has at least {MIN_LEN} characters");
            return Err(Failure::usage(message).coded("key/weak-passphrase"));
        }
        Ok(chosen)
    }

    fn given(&self) -> Result<Option<Passphrase>> {
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path).map_err(on_file("read", path))?;
            let text = Zeroizing::new(text);
            let line = text.lines().next().unwrap_or_default();
            if line.is_empty() {
                return Err(Failure::usage(format!("{} is empty", path.display())));
            }
            return Ok(Some(Zeroizing::new(line.to_owned())));
        }
        match std::env::var(PASSPHRASE_ENV) {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Failure::usage(format!("{PASSPHRASE_ENV} is not text")))
            }
        }
    }
}

fn ask(question: &str) -> Result<Passphrase> {
    let none = |_| {
        Failure::usage("the key is encrypted and nobody is there to ask")
            .coded("key/no-passphrase")
            .next(format!("set {PASSPHRASE_ENV}, or pass --passphrase-file FILE"))
    };
    let terminal = console::Term::stderr();
    if !std::io::stdin().is_terminal() {
        return Err(none(std::io::Error::other("no terminal")));
    }
    write!(&terminal, "{question}").map_err(none)?;
    terminal.read_secure_line().map(Zeroizing::new).map_err(none)
}
