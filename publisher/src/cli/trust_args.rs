//! The command line of the verbs about keys, trust roots, the log and witnesses.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::keys::KeyRole;
use crate::keys::passphrase::Source;

/// Where a passphrase comes from.
#[derive(Clone, Debug, Args)]
pub struct PassphraseArgs {
    /// The file whose first line is the passphrase [default: the variable PACKICE_PASSPHRASE,
    /// else it is asked for]
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// As the library takes it.
    pub fn source(&self) -> Source {
        Source { file: self.passphrase_file.clone() }
    }
}

/// Options of `keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: KeysVerb,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysVerb {
    /// Make a key in a new file that only you can read
    #[command(after_help = "\
Examples:
  packice keys generate release alice.key            asks for a passphrase
  packice keys generate root root-1.key --passphrase-file secret.txt
  packice keys generate witness w1.key --unencrypted    for a machine that starts alone

The file is documented in docs/spec/key-file.md: Argon2id and XChaCha20-Poly1305. Nobody can
recover a key whose passphrase is lost.")]
    Generate {
        /// What the key is for: it can do nothing else
        role: KeyRole,
        /// The new file; it is never overwritten
        file: PathBuf,
        /// Write the secret without a passphrase
        #[arg(long, conflicts_with = "passphrase_file")]
        unencrypted: bool,
        /// Which passphrase
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// Show what key files hold; with --check also that they open
    #[command(after_help = "\
Examples:
  packice keys show alice.key
  packice keys show *.key --json
  packice keys show alice.key --check         asks for the passphrase")]
    Show {
        /// Key files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Open them: the passphrase, and that the secret belongs to the public key
        #[arg(long)]
        check: bool,
        /// Which passphrase
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// Print the public key, which anyone may know
    #[command(after_help = "\
Examples:
  packice keys export alice.key > alice.pub
  packice keys export seed:keys/release.key")]
    Export {
        /// A key file, or a plain seed as seed:FILE
        file: String,
        /// For witnesses and other implementations: print NAME+id+key, as C2SP signed-note has it
        #[arg(long, value_name = "NAME")]
        vkey: Option<String>,
    },
}

/// Options of `witness`.
#[derive(Debug, Args)]
pub struct WitnessArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: WitnessVerb,
}

/// What to do as a witness.
#[derive(Debug, Subcommand)]
pub enum WitnessVerb {
    /// Listen, check that logs only grow, and cosign
    #[command(after_help = "\
Examples:
  packice witness run --name witness.example/w1 --key w1.key --state /var/lib/witness \\
    --listen 127.0.0.1:7337 --trust-root trust/1.bin
  packice witness run … --log packice/tokens,8f40…,c2aa…

It speaks C2SP tlog-witness: POST /add-checkpoint. What it saw last of each log stands in the
state directory, durable before an answer leaves. Never start a witness again under its old key
without that directory: it could cosign a second history. TLS is a reverse proxy's.")]
    Run(WitnessRunArgs),
}

/// Options of `witness run`.
#[derive(Debug, Args)]
pub struct WitnessRunArgs {
    /// The witness's name, as trust roots have it
    #[arg(long)]
    pub name: String,
    /// Its key file, or a plain seed as seed:FILE
    #[arg(long, value_name = "FILE")]
    pub key: String,
    /// Where it keeps what it saw
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7337")]
    pub listen: String,
    /// A log to watch: its origin and its release keys, one of which must have signed
    #[arg(long = "log", value_name = "ORIGIN,KEY…")]
    pub logs: Vec<String>,
    /// A log to watch: that of a trust root, signed by a threshold of its release keys. Start
    /// again with the next one after a rotation
    #[arg(long = "trust-root", value_name = "FILE")]
    pub trust_roots: Vec<PathBuf>,
    /// Which passphrase
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Options of `sign`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice sign release.json --key alice.key
  packice sign release.json --key alice.key --trust-root 2.bin     away from the project
  packice sign release.json --show                       say what it does, sign nothing

It needs no network. It checks the release against your own trust root and what this key signed
last (kept beside the key, in KEY.signed), says in words what it does, and adds the signature to
the file. Several signers may sign one file, in any order, or copies of it one after the other.")]
pub struct SignArgs {
    /// The release request that `packice publish --prepare` wrote
    pub file: PathBuf,
    /// A release key's file, or a plain seed as seed:FILE; may be given several times
    #[arg(long = "key", value_name = "FILE", required_unless_present = "show")]
    pub keys: Vec<String>,
    /// The trust root that you trust [default: the first one of the project]
    #[arg(long, value_name = "FILE")]
    pub trust_root: Option<PathBuf>,
    /// Sign although this key signed another release for this place in the log, which was never
    /// published
    #[arg(long)]
    pub again: bool,
    /// Only show
    #[arg(long, conflicts_with_all = ["keys", "again"])]
    pub show: bool,
    /// Which passphrase
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// What the verbs that publish without a build take.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The edge [default: the configured one]
    #[arg(long, value_name = "URL")]
    pub edge: Option<String>,
    /// The publish key's file [default: PACKICE_PUBLISH_KEY, or the one that packice.toml names]
    #[arg(long, value_name = "FILE")]
    pub publish_key: Option<String>,
    /// Do all but sign: write a release request, for `packice sign` and `packice publish --finish`
    #[arg(long, value_name = "FILE")]
    pub prepare: Option<PathBuf>,
    /// Which passphrase
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Options of `promote`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice promote --from staging                 the configured channel takes over
  packice promote --from staging --to stable --prepare release.json

The real client restores the version before anything is signed, as in `packice publish`.")]
pub struct PromoteArgs {
    /// The channel whose version it is
    #[arg(long, value_name = "CHANNEL")]
    pub from: String,
    /// The channel that takes it over [default: the configured one]
    #[arg(long, value_name = "CHANNEL")]
    pub to: Option<String>,
    /// Where, and signed how
    #[command(flatten)]
    pub release: ReleaseArgs,
}

/// Options of `withdraw`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice withdraw --to 41                what 41 held comes back, as the next version
  packice withdraw --drop --channel beta  the channel ends; its clients keep what they have

A withdrawn version stays in the log, for all to see, and no client takes it any more: only the
log's last entry counts.")]
pub struct WithdrawArgs {
    /// The channel [default: the configured one]
    #[arg(long)]
    pub channel: Option<String>,
    /// The older version whose content comes back
    #[arg(long, value_name = "VERSION", required_unless_present = "drop")]
    pub to: Option<u64>,
    /// End the channel
    #[arg(long, conflicts_with = "to")]
    pub drop: bool,
    /// Where, and signed how
    #[command(flatten)]
    pub release: ReleaseArgs,
}

/// Options of `log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: LogVerb,
}

/// Where a log is, and whose trust.
#[derive(Debug, Args)]
pub struct LogSourceArgs {
    /// The edge [default: the configured one]
    #[arg(long, value_name = "URL")]
    pub edge: Option<String>,
    /// The trust root that you trust [default: the first one of the project]
    #[arg(long, value_name = "FILE")]
    pub trust_root: Option<PathBuf>,
    /// The channel whose pointer is read [default: the configured one, or stable]
    #[arg(long)]
    pub channel: Option<String>,
}

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub enum LogVerb {
    /// List the releases: index, channels, versions, manifests
    #[command(after_help = "\
Examples:
  packice log show
  packice log show --last 10 --json
  packice log show --edge https://edge.example.org --trust-root root.bin")]
    Show {
        /// Only the newest so many
        #[arg(long, value_name = "N")]
        last: Option<u64>,
        /// Which log
        #[command(flatten)]
        source: LogSourceArgs,
    },
    /// Check the whole log: signatures, every entry and tile, the rules between entries
    #[command(after_help = "\
Examples:
  packice log audit
  packice log audit --save seen.checkpoint                 keep what was seen
  packice log audit --from seen.checkpoint --save seen.checkpoint

Anyone can audit, with nothing but the trust root. It ends with exit code 4 where the log does not
hold, or is not the one that was seen before.")]
    Audit {
        /// A checkpoint that was seen before: the log must go on from it
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Write the checkpoint that was audited
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
        /// Which log
        #[command(flatten)]
        source: LogSourceArgs,
    },
}

/// Options of `root`.
#[derive(Debug, Args)]
pub struct RootArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: RootVerb,
}

/// What to do with trust roots.
#[derive(Debug, Subcommand)]
pub enum RootVerb {
    /// Draft the first trust root
    #[command(after_help = "\
Examples:
  packice root new --out 1.draft --add-root a.pub --add-root b.pub --add-root c.pub \\
    --root-threshold 2 --add-release r.pub --add-witness witness.example/w1=w1.pub")]
    New {
        /// The draft's file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The log's name [default: packice/{dataset}]
        #[arg(long)]
        origin: Option<String>,
        /// Who may sign what
        #[command(flatten)]
        changes: RootChangeArgs,
    },
    /// Draft the next trust root: what is not named stays
    #[command(after_help = "\
Examples:
  packice root rotate --out 2.draft --remove-release OLD --add-release new.pub
  packice root rotate --out 2.draft … --floor end        after a theft: versions begin anew
  packice root rotate --out 2.draft … --floor 120        what came after release 120 is void
  packice root rotate --out 2.draft --origin packice/tokens-2   another log altogether

A floor at the end lets the log go on, so witnesses go on too. Below the end, witnesses that saw
more refuse what follows; then take another origin.")]
    Rotate {
        /// The draft's file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Another name: another log
        #[arg(long)]
        origin: Option<String>,
        /// A point of the log that is surely honest: `end`, a size, SIZE:BASE64 or `none`
        #[arg(long, value_name = "POINT")]
        floor: Option<String>,
        /// The edge whose log the floor is read from [default: the configured one]
        #[arg(long, value_name = "URL")]
        edge: Option<String>,
        /// Who may sign what
        #[command(flatten)]
        changes: RootChangeArgs,
    },
    /// Say what a trust root or a draft changes, and who signed it
    Show {
        /// A trust root or a draft
        file: PathBuf,
    },
    /// Sign a draft, offline
    #[command(after_help = "\
Examples:
  packice root sign 2.draft --key root-1.key
It says what changes, and adds the signature to the file; several may sign, in any order.")]
    Sign {
        /// The draft
        file: PathBuf,
        /// A root key's file, or a plain seed as seed:FILE; may be given several times
        #[arg(long = "key", value_name = "FILE", required = true)]
        keys: Vec<String>,
        /// Which passphrase
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// Check a signed draft, take it into trust/, and upload it
    #[command(after_help = "\
Examples:
  packice root publish 2.draft
The next release makes clients follow: run `packice publish`, also with the build that stands.")]
    Publish {
        /// The signed draft
        file: PathBuf,
        /// The edge [default: the configured one]
        #[arg(long, value_name = "URL")]
        edge: Option<String>,
        /// The publish key's file [default: PACKICE_PUBLISH_KEY, or the one of packice.toml]
        #[arg(long, value_name = "FILE")]
        publish_key: Option<String>,
        /// Only take it into trust/
        #[arg(long, conflicts_with_all = ["edge", "publish_key"])]
        local: bool,
    },
}

/// What changes in a trust root. Keys are hex, base64, or files of `packice keys`.
#[derive(Debug, Default, Args)]
pub struct RootChangeArgs {
    /// Name a root key
    #[arg(long, value_name = "KEY")]
    pub add_root: Vec<String>,
    /// Name a root key no more
    #[arg(long, value_name = "KEY")]
    pub remove_root: Vec<String>,
    /// How many root keys must sign
    #[arg(long, value_name = "N")]
    pub root_threshold: Option<u32>,
    /// Name a release key
    #[arg(long, value_name = "KEY")]
    pub add_release: Vec<String>,
    /// Name a release key no more
    #[arg(long, value_name = "KEY")]
    pub remove_release: Vec<String>,
    /// How many release keys must sign
    #[arg(long, value_name = "N")]
    pub release_threshold: Option<u32>,
    /// Name a witness
    #[arg(long, value_name = "NAME=KEY")]
    pub add_witness: Vec<String>,
    /// Name a witness no more
    #[arg(long, value_name = "NAME")]
    pub remove_witness: Vec<String>,
    /// How many witnesses must cosign [default: more than half]
    #[arg(long, value_name = "N")]
    pub quorum: Option<u32>,
    /// From this age of the cosignatures on data is stale, such as 36 h; 0 for never
    #[arg(long, value_name = "SPAN")]
    pub stale_after: Option<String>,
    /// From this age on it is expired, such as 7 d; 0 for never
    #[arg(long, value_name = "SPAN")]
    pub expired_after: Option<String>,
}

/// Options of `verify-proof`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice verify-proof so11.proof
  packice verify-proof so11.proof --trust root.bin --collection tokens --key 101/So111…
It needs no edge and no store. A proof of absence that holds ends with exit code 0, too.
Without --collection and --key, compare what it says that it is of with what you asked for.")]
pub struct VerifyProofArgs {
    /// The proof: what `packice get --proof` wrote, or `full` of the npm package's `proof()`
    pub file: PathBuf,
    /// The trust root, binary or base64 [default: the project's]
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// The release channel [default: the configured one, or stable]
    #[arg(long)]
    pub channel: Option<String>,
    /// The collection that it must be of
    #[arg(long)]
    pub collection: Option<String>,
    /// The key that it must be of
    #[arg(long)]
    pub key: Option<String>,
    /// The key is hexadecimal
    #[arg(long, requires = "key")]
    pub hex: bool,
}
