//! The command line of the verbs about an edge: what it costs, and what it was asked.

use clap::Args;

use super::args::{ClientArgs, PassphraseArgs};

/// Options of `cost`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice cost                                   counts a cold sync from the configured edge
  packice cost --requests 31 --bytes 30000000    of counts that are known
  packice cost --clients 250000 --miss-percent 2 --json

Each request of a client is paid for, bytes are not. `packice sync --json` and the edge's metrics
tell the counts of what clients really do.")]
pub struct CostArgs {
    /// Requests of one cold sync [default: counted]
    #[arg(long, value_name = "N", requires = "bytes")]
    pub requests: Option<u64>,
    /// Bytes of one cold sync [default: counted]
    #[arg(long, value_name = "N", requires = "requests")]
    pub bytes: Option<u64>,
    /// Terabytes to serve
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub terabytes: f64,
    /// Clients that sync from nothing
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub clients: u64,
    /// Requests in a hundred that no cache answers
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    pub miss_percent: f64,
    /// Processor time of a request, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0.5)]
    pub cpu_ms: f64,
    /// Releases in a month
    #[arg(long, value_name = "N", default_value_t = 720)]
    pub releases: u64,
    /// Uploads of a release
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub uploads: u64,
    /// Copies of the whole set that are kept in each region
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub kept: u64,
    /// Regions
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub regions: u64,
    /// Where a cold sync is counted
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Options of `trail`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  packice trail
  packice trail --after 120 --json")]
pub struct TrailArgs {
    /// Only what came after this row
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub after: u64,
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
