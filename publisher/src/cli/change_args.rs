//! The options of the verbs that make a version from another one.

use std::path::PathBuf;

use clap::Args;

use super::trust_args::ReleaseArgs;

/// Options of `apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice apply changes.jsonl                  then: packice publish
  packice apply changes.jsonl --after-edge     over what the edge serves (for CI)
  tail -f changes.jsonl | packice apply - --follow

One JSON object on each line:
  {\"op\": \"put\", \"key\": \"1/0xabc\", \"value\": {\"symbol\": \"ABC\"}}
  {\"op\": \"put\", \"record\": {\"chain\": 1, \"address\": \"0xabc\", \"symbol\": \"ABC\"}}
  {\"op\": \"patch\", \"key\": \"1/0xabc\", \"value\": {\"symbol\": \"ABD\", \"old\": null}}
  {\"op\": \"delete\", \"key\": \"1/0xabc\"}
with \"collection\" where there are several. A record goes through the collection's 'key' and
'value'; a patch is a JSON merge patch (RFC 7396). Of one key the last operation counts.

The outcome is the version that a build of all records would be. The inputs stay as they are: the
next `packice build` reads them alone.")]
pub struct ApplyArgs {
    /// The operations; `-` for standard input
    pub changes: PathBuf,
    /// Take the version that the edge serves, and not the one published last from here
    #[arg(long)]
    pub after_edge: bool,
    /// Publish batches of a stream as they come, until it ends
    #[arg(long, conflicts_with = "after_edge")]
    pub follow: bool,
    /// With --follow: cut a batch at so many bytes of keys and values
    #[arg(long, value_name = "SIZE", default_value = "1 MiB")]
    pub batch_bytes: String,
    /// With --follow: an operation waits so long for others in a burst
    #[arg(long, value_name = "SPAN", default_value = "2 s")]
    pub batch_least: String,
    /// With --follow: an operation waits so long for others in a quiet stream
    #[arg(long, value_name = "SPAN", default_value = "60 s")]
    pub batch_most: String,
    /// Memory for sorting before operations go to disk
    #[arg(long, value_name = "SIZE", default_value = "64 MiB")]
    pub memory: String,
    /// Threads that compress [default: one for each core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// With --follow: where, and signed how
    #[command(flatten)]
    pub release: ReleaseArgs,
}

/// Options of `rollback`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice rollback --to 41
  packice rollback --to 41 --prepare release.json

What version 41 held comes back as the version after what the edge serves, with the old roots. A
client that follows fetches a delta as small as the change; one that kept version 41 goes back in
one step. It needs the records of version 41: a build that is here, or one the edge still has.
Where neither is, `packice withdraw --to 41` brings the old manifest back, and clients fetch what
differs.")]
pub struct RollbackArgs {
    /// The version whose content comes back
    #[arg(long, value_name = "VERSION")]
    pub to: u64,
    /// Threads that compress [default: one for each core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Where, and signed how
    #[command(flatten)]
    pub release: ReleaseArgs,
}

/// Options of `prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice prune                    keeps what the next builds make deltas from
  packice prune --keep 3 --dry-run
What goes costs the deltas from those versions, unless --after-edge fetches them again. The edge
keeps what it has: that is `packice gc`.")]
pub struct PruneArgs {
    /// Keep so many of the newest builds; left out, the depth of the deltas, and one
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `event`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice event revocation --data '{\"keys\": [\"1/0xabc\"]}'
  packice event schema --data '{\"collection\": \"tokens\", \"version\": 3}'
  packice event parameters --data @limits.json
It needs a collection with `events = true`, whose input the event is appended to; it comes with the
next build, and from then on never changes.")]
pub struct EventArgs {
    /// What happened: schema, revocation, parameters, or a name of your own
    pub kind: String,
    /// What about it, as JSON; @FILE takes a file's
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub data: String,
}
