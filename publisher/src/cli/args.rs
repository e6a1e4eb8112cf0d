//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use super::change_args::{ApplyArgs, EventArgs, PruneArgs, RollbackArgs};
pub use super::edge_args::{CostArgs, TrailArgs};
pub use super::trust_args::{
    KeysArgs, LogArgs, PassphraseArgs, PromoteArgs, RootArgs, SignArgs, VerifyProofArgs,
    WithdrawArgs, WitnessArgs,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  internal: this program or the machine failed
  2  usage: the command line, the configuration or a key file
  3  input: a record, such as a duplicate key or a missing field
  4  verification: bytes or signatures that do not hold
  5  network: an edge does not answer, or refuses
  6  conflict: someone else published first, or holds the store
  7  absent: the key, version or file asked for does not exist";

/// Verified snapshots of keyed data for light clients: build, sign, publish, sync and read.
#[derive(Debug, Parser)]
#[command(name = "packice", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// The project's configuration
    #[arg(long, global = true, value_name = "FILE", default_value = "packice.toml")]
    pub config: PathBuf,
    /// Print one JSON document instead of text, and no progress
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no progress and no remarks
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make keys, the first trust root and packice.toml
    Init(InitArgs),
    /// Build an unsigned candidate from the inputs
    Build(BuildArgs),
    /// Build from changes instead of inputs: put, delete and patch by key
    Apply(ApplyArgs),
    /// Return to the content of an older version, as a new one with a delta to it
    Rollback(RollbackArgs),
    /// Append a critical event to the log that clients read before anything else
    Event(EventArgs),
    /// Remove builds that later ones and deltas do not need
    Prune(PruneArgs),
    /// Show what a build, an edge or any Packice file holds
    Inspect(InspectArgs),
    /// Compare the records of two builds by their trees
    Diff(DiffArgs),
    /// Upload a build, check it with the real client, sign it and make it current
    Publish(PublishArgs),
    /// Bring the newest version into a local store
    Sync(SyncArgs),
    /// Lead the engine through a recorded life, and tell whether and what it decides
    Replay(ReplayArgs),
    /// Write the newest version to one file that applications bundle for their first run
    Seed(SeedArgs),
    /// Read one key
    Get(GetArgs),
    /// Read a range of keys
    Range(RangeArgs),
    /// Check every record of a store or an edge up to the signed root
    Verify(VerifyArgs),
    /// Measure leaf size, frame size and dictionary on the inputs, and suggest some
    Tune(TuneArgs),
    /// Check a record's proof with nothing but the trust root
    VerifyProof(VerifyProofArgs),
    /// Copy the newest release into a folder that any static host can serve
    Export(ExportArgs),
    /// Remove from the edge what nothing needs any more
    Gc(GcArgs),
    /// Make keys, show them, and give their public part away
    Keys(KeysArgs),
    /// Sign a release request, offline
    Sign(SignArgs),
    /// Let a channel take over the version of another
    Promote(PromoteArgs),
    /// Take a version back: return to older content, or end a channel
    Withdraw(WithdrawArgs),
    /// Make, rotate, sign and publish trust roots
    Root(RootArgs),
    /// Show or audit the release log
    Log(LogArgs),
    /// Cosign the logs of others, as C2SP tlog-witness has it
    Witness(WitnessArgs),
    /// Say what serving the data set costs on Cloudflare, by line
    Cost(CostArgs),
    /// Show who asked the edge to move pointers, and what came of it
    Trail(TrailArgs),
}

/// Options of `init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice init --dataset solana-tokens --edge https://edge.example.org
  packice init --dataset tokens --input tokens.jsonl --key '{chainId}/{address}' --lazy
  packice init --dataset tokens --input tokens.csv --key '{chain}/{address|lower}'
  packice init --dataset heads --input chain.sqlite --table headers --key '{height|u64}' --value raw
  packice init --dataset site --collection files --input public/
  PACKICE_ROOT_KEY=… PACKICE_RELEASE_KEY=… packice init --dataset tokens --non-interactive
The new keys are encrypted where PACKICE_PASSPHRASE is set, else plain seeds. For several hands make
keys by `packice keys generate`, and the trust root by `packice root new`.")]
pub struct InitArgs {
    /// The data set's name: 1 to 63 of a-z, 0-9 and '-'
    #[arg(long)]
    pub dataset: Option<String>,
    /// The edge's base URL
    #[arg(long, value_name = "URL")]
    pub edge: Option<String>,
    /// The release log's name in its checkpoints [default: packice/{dataset}]
    #[arg(long)]
    pub origin: Option<String>,
    /// The first collection's name
    #[arg(long, default_value = "records")]
    pub collection: String,
    /// The first collection's records: x.jsonl, x.csv, x.sqlite or a directory
    /// [default: {collection}.jsonl]
    #[arg(long, value_name = "PATH")]
    pub input: Option<PathBuf>,
    /// The table of a SQLite input [default: {collection}]
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// The first collection's key template
    #[arg(long, value_name = "TEMPLATE", default_value = "{key}")]
    pub key: String,
    /// The first collection's value: "*" for the rest of the line, or a field
    #[arg(long, value_name = "FIELD", default_value = "*")]
    pub value: String,
    /// Store a text field's bytes instead of its JSON
    #[arg(long)]
    pub value_text: bool,
    /// Allow reads before the collection is complete; tells the edge which frame a user wants
    #[arg(long)]
    pub lazy: bool,
    /// The first collection's priority; 0 is the bootstrap
    #[arg(long, default_value_t = 1)]
    pub priority: u8,
    /// Never ask; fail where something is missing
    #[arg(long)]
    pub non_interactive: bool,
}

/// Options of `build`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice build
  packice build --after-edge        number the build after what the edge serves (for CI)
  packice build --set-version 7 --memory '256 MiB'
  curl https://example.org/tokens.csv | packice build     with input = \"-\", format = \"csv\"

Inputs in packice.toml, one [[collection]] each:
  input = \"tokens.jsonl\"  key = \"{chain}/{address|lower}\"   one JSON object on each line
  input = \"tokens.csv\"    key = \"{chain}/{address}\"         json = [\"decimals\"]
  input = \"chain.sqlite\"  key = \"{height|u64}\"              table = \"headers\", value = \"raw\"
  input = \"public/\"                                         each file under its path")]
pub struct BuildArgs {
    /// The version to build [default: one after the last one published from here]
    #[arg(
        long = "set-version",
        alias = "version",
        value_name = "N",
        conflicts_with = "after_edge"
    )]
    pub version: Option<u64>,
    /// Ask the edge for the newest version, and build the one after it
    #[arg(long)]
    pub after_edge: bool,
    /// The edge to ask [default: the configured one]
    #[arg(long, value_name = "URL")]
    pub edge: Option<String>,
    /// Cut a base: bundles of its own instead of an overlay on the parent's
    #[arg(long)]
    pub new_base: bool,
    /// Memory for sorting before records go to disk
    #[arg(long, value_name = "SIZE", default_value = "64 MiB")]
    pub memory: String,
    /// Threads that compress [default: one for each core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Options of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice inspect                   the newest build
  packice inspect 3                 the build of version 3
  packice inspect trust/1.bin       any file: trust root, manifest, layout, bootstrap, checkpoint
  packice inspect --edge https://edge.example.org --json
  packice inspect --local           what the local store holds")]
pub struct InspectArgs {
    /// A version, a build's directory or a file
    pub what: Option<String>,
    /// Show what an edge serves
    #[arg(long, value_name = "URL", conflicts_with = "what")]
    pub edge: Option<String>,
    /// Show what the local store holds
    #[arg(long, conflicts_with_all = ["what", "edge"])]
    pub local: bool,
    /// Whose trust, and which store
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Options of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice diff 1 2
  packice diff 1 2 --keys --collection tokens
  packice diff old/.packice/builds/4 .packice/builds/5 --json")]
pub struct DiffArgs {
    /// The older version, or its build's directory
    pub a: String,
    /// The newer version, or its build's directory
    pub b: String,
    /// Name each key
    #[arg(long)]
    pub keys: bool,
    /// Only this collection
    #[arg(long)]
    pub collection: Option<String>,
}

/// Options of `publish`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice publish
  packice publish --publish-key ci.key --edge https://edge.example.org
  packice publish --build-version 7 --json
  packice publish --prepare release.json      upload and rehearse here; then, on other machines:
  packice sign release.json --key alice.key
  packice publish --finish release.json       ask the witnesses, move the pointers
  packice publish --stage                     onto the channel 'staging'; then:
  packice verify --from 38 --channel staging  every delta path to it, in clean clients
  packice promote --from staging

It uploads only what the edge lacks, so a publish that broke off goes on where it was. Nothing is
signed before the real client restored the candidate from the edge.")]
pub struct PublishArgs {
    /// The build to publish [default: the newest]
    #[arg(long = "build-version", value_name = "N")]
    pub version: Option<u64>,
    /// The edge [default: the configured one]
    #[arg(long, value_name = "URL")]
    pub edge: Option<String>,
    /// The publish key's file [default: PACKICE_PUBLISH_KEY, or the one that packice.toml names]
    #[arg(long, value_name = "FILE")]
    pub publish_key: Option<String>,
    /// Begin a new log where the edge has none and one was published from here; clients that saw
    /// the old log will refuse it
    #[arg(long)]
    pub new_log: bool,
    /// Put it on a staging channel, which `packice promote` lets the configured one take over
    #[arg(long, value_name = "CHANNEL", num_args = 0..=1, default_missing_value = "staging",
          conflicts_with = "finish")]
    pub stage: Option<String>,
    /// Do all but sign: write a release request to be signed elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "finish")]
    pub prepare: Option<PathBuf>,
    /// Make a signed release request current; needs neither build nor key
    #[arg(long, value_name = "FILE", conflicts_with_all = ["version", "new_log"])]
    pub finish: Option<PathBuf>,
    /// Which passphrase
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// What every verb of the light client takes.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// A base URL to fetch from, none of them trusted; may be given several times, best first
    /// [default: the configured edge]
    #[arg(long = "source", value_name = "URL")]
    pub sources: Vec<String>,
    /// The trust root, binary or base64 [default: the project's]
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// The release channel [default: the configured one, or stable]
    #[arg(long)]
    pub channel: Option<String>,
    /// The local store [default: .packice/store/{dataset}]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

/// Options of `sync`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice sync
  packice sync --trust root.bin --source https://a.example --source https://b.example --store s
  packice sync --seed tokens.seed   fetch only what the file lacks
  packice sync --only tokens:1/..2/ --only archive:")]
pub struct SyncArgs {
    /// Decode all that is stored afterwards and compare it with the signed roots; what does not
    /// hold ends with exit code 4
    #[arg(long)]
    pub audit: bool,
    /// A file that `packice seed` wrote, asked first and trusted no more than a source
    #[arg(long, value_name = "FILE")]
    pub seed: Option<PathBuf>,
    /// Say as soon as it is seen that it will take longer than so many seconds, and why
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub within: Option<u64>,
    /// Hold this range of keys alone of a collection, or several; COLLECTION: holds nothing of it.
    /// Collections that are not named are held whole. START and END may be left out
    #[arg(long, value_name = "COLLECTION:START..END")]
    pub only: Vec<String>,
    /// Take the keys of --only as hexadecimal
    #[arg(long, requires = "only")]
    pub hex: bool,
    /// Record every call into the engine and write it here at the end, also of a sync that fails:
    /// packice replay tells the story. What the sources sent is in it; past 1 GiB nothing more is
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Where from, and where to
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice sync --trace life.trace --source https://edge.example.org
  packice replay life.trace              whether this engine decides the same
  packice replay life.trace --explain    each call, what came of it, and how much waited
It reads what open({ trace }) of the npm package recorded just as well. Exit code 4: the outputs are
others than the recorded ones, as where the engine's version is another.")]
pub struct ReplayArgs {
    /// The trace
    pub file: PathBuf,
    /// Tell everything
    #[arg(long)]
    pub explain: bool,
}

/// Options of `seed`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice seed tokens.seed
  packice seed tokens.seed --offline      what the local store holds
It brings the newest version into the local store, verifies every record, writes the file, and
restores that with the real client before it gets its name. In a wallet: open({ seed: url, … }).")]
pub struct SeedArgs {
    /// The file to write
    pub file: PathBuf,
    /// Take what the local store holds, and ask no source
    #[arg(long)]
    pub offline: bool,
    /// Where from, and which store
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Options of `get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice get tokens 101/So11111111111111111111111111111111111111112
  packice get tokens 0x00ff --hex --json
  packice get tokens 101/So11111111111111111111111111111111111111112 --proof so11.proof
The value goes to stdout as it is. A key that is proven absent ends with exit code 7.")]
pub struct GetArgs {
    /// The collection
    pub collection: String,
    /// The key
    pub key: String,
    /// The key is hexadecimal
    #[arg(long)]
    pub hex: bool,
    /// Write a proof of the answer, for `packice verify-proof` and for others
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// Where from, and where to
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Options of `range`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice range tokens --prefix 101/ --limit 20
  packice range tokens --start 101/A --end 101/B
  packice range tokens --raw > values.txt
It prints one JSON object on each line: {\"key\": …, \"value\": …}, both as text, or `key_hex` and
`value_hex` where the bytes are not text.")]
pub struct RangeArgs {
    /// The collection
    pub collection: String,
    /// Only keys that begin with this
    #[arg(long, conflicts_with_all = ["start", "end"])]
    pub prefix: Option<String>,
    /// The first key, inclusive
    #[arg(long)]
    pub start: Option<String>,
    /// The end, exclusive
    #[arg(long)]
    pub end: Option<String>,
    /// At most so many records
    #[arg(long)]
    pub limit: Option<u64>,
    /// The keys given here are hexadecimal
    #[arg(long)]
    pub hex: bool,
    /// Print the values alone, one on each line
    #[arg(long)]
    pub raw: bool,
    /// Where from, and where to
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Options of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice verify                    the local store
  packice verify --repair           the local store, fetching what is damaged
  packice verify --clean            the edge, from a clean profile
  packice verify --clean --trust root.bin --source https://edge.example.org
  packice verify --from 38 --channel staging   every delta path to what is staged")]
pub struct VerifyArgs {
    /// Start from a clean profile and fetch everything
    #[arg(long, conflicts_with = "store")]
    pub clean: bool,
    /// Go every delta path that begins at this version or a later one, in clean clients: each
    /// restores the version that a delta starts from, then follows to the newest
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["clean", "repair", "store"])]
    pub from: Option<u64>,
    /// Fetch what is damaged or missing in the store
    #[arg(long, conflicts_with = "clean")]
    pub repair: bool,
    /// Where from, and where to
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Options of `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice export public
  packice export public --keep 3
  packice export public --trust root.bin --source https://edge.example.org

It verifies the release as a client does, and writes the pointer last: a copy that broke off goes
on, and one that is there gets what is new. Serve the folder as it is, so that its v1/ stands
under the source's URL. Cache what stands under bundle/, layout/, manifest/, dictionary/, delta/
and trust-root/ for good, what stands under bootstrap/, head/ and log/, and checkpoint, for seconds;
allow any origin to GET.
The file _headers says so to Cloudflare Pages and Netlify.")]
pub struct ExportArgs {
    /// The folder
    pub dir: PathBuf,
    /// Keep only the last N releases of the channel
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Where from, and under which trust
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Options of `gc`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice gc --dry-run
  packice gc --json                 from a timer, once a day

It keeps what the policy in the newest release promises: the newest versions, and each older one for
the promised time after it was replaced; what an upload under way relies on stays as well. An object
that nothing needs is noted first, and removed by a later run once its time is over. It is safe at
any time; where a release is under way it says so and changes nothing.")]
pub struct GcArgs {
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// The edge [default: the configured one]
    #[arg(long, value_name = "URL")]
    pub edge: Option<String>,
    /// The publish key's file [default: PACKICE_PUBLISH_KEY, or the one that packice.toml names]
    #[arg(long, value_name = "FILE")]
    pub publish_key: Option<String>,
    /// Which passphrase
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Options of `tune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice tune
  packice tune --collection tokens --sample all
  packice tune --write              change packice.toml by the suggestion
  packice tune --json > tune.json

It builds a sample of each collection at every size with the real builder, and reads it back with
the real client's decoder. `full sync` is everything that a new client fetches; `cold read` is the
dictionary and the frame of one record; `of one file` compares with `zstd -19 --long=27` over all
records. The suggestion is the smallest frame within 2 % of the least full sync, among those whose
cold read stays below 40 KiB where the collection is lazy; then the smallest leaf within 1 %.")]
pub struct TuneArgs {
    /// Only this collection
    #[arg(long)]
    pub collection: Option<String>,
    /// How much of a collection is measured, spread over its keys: a size, or all
    #[arg(long, value_name = "SIZE", default_value = "16 MiB")]
    pub sample: String,
    /// Change packice.toml by the suggestion
    #[arg(long)]
    pub write: bool,
    /// Cut a base: bundles of its own instead of an overlay on the parent's
    #[arg(long)]
    pub new_base: bool,
    /// Memory for sorting before records go to disk
    #[arg(long, value_name = "SIZE", default_value = "64 MiB")]
    pub memory: String,
    /// Threads that compress [default: one for each core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}
