//! What the light client's verbs share: trust root, sources, store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use packice_core::engine::io::{Status, Timings};
use packice_core::plan::histogram::Histogram;
use packice_core::trust::freshness::Freshness;
use packice_core::types::Name;
use serde_json::{Value, json};

use super::args::{Cli, ClientArgs};
use crate::client::fetch::{HttpSource, Source};
use crate::client::host::Host;
use crate::client::store::FileStore;
use crate::config::{Config, edge_url};
use crate::failure::{Failure, Result};
use crate::project::Project;
use crate::text::from_hex;
use crate::trust_store::{self, LoadedTrustRoot};

/// Where from, under which trust, and where to.
pub(super) struct Session {
    /// The embedded trust root.
    pub trust: LoadedTrustRoot,
    /// The channel.
    pub channel: Name,
    /// Base URLs.
    pub sources: Vec<String>,
    /// The store's directory.
    pub store: PathBuf,
}

impl Session {
    /// Options first, then the project's configuration where there is one.
    pub(super) fn new(cli: &Cli, args: &ClientArgs) -> Result<Self> {
        let config = match cli.config.exists() {
            true => Some(Config::load(&cli.config)?),
            false => None,
        };
        let config = config.as_ref();
        let trust = match (&args.trust, config) {
            (Some(path), _) => trust_store::read(path)?,
            (None, Some(config)) => trust_store::read(&trust_store::path_of(&config.trust_dir, 1))?,
            (None, None) => {
                let message = "no trust root, and no packice.toml here";
                return Err(Failure::usage(message).next("pass --trust FILE"));
            }
        };
        let channel = match (&args.channel, config) {
            (Some(name), _) => {
                Name::new(name).map_err(|error| Failure::usage(format!("--channel: {error}")))?
            }
            (None, Some(config)) => config.channel.clone(),
            (None, None) => Name::new("stable")?,
        };
        let sources = match args.sources.is_empty() {
            false => args.sources.iter().map(|url| edge_url(url)).collect::<Result<_>>()?,
            true => config.and_then(|config| config.edge_url.clone()).into_iter().collect(),
        };
        let project = Project::new(config.map_or(".packice".into(), Config::work_dir));
        let usual = || project.store_dir(trust.root.dataset.as_str());
        let store = args.store.clone().unwrap_or_else(usual);
        Ok(Self { trust, channel, sources, store })
    }

    /// The client on its own store.
    pub(super) fn host(&self) -> Result<Host> {
        self.host_on(&self.store, &self.sources)
    }

    /// The client on some store, with some sources.
    pub(super) fn host_on(&self, store: &Path, sources: &[String]) -> Result<Host> {
        let dataset = &self.trust.root.dataset;
        let sources = sources
            .iter()
            .map(|url| Arc::new(HttpSource::new(url, dataset)) as Arc<dyn Source>)
            .collect();
        let store = FileStore::open(store)?;
        let (trust, channel) = (self.trust.bytes.clone(), self.channel.clone());
        Host::new(dataset.clone(), channel, trust, store, sources)
    }

    /// At least one source, or what to do.
    pub(super) fn need_sources(&self) -> Result<()> {
        match self.sources.is_empty() {
            false => Ok(()),
            true => Err(Failure::usage("no source").next("pass --source URL")),
        }
    }
}

/// A key as the command line gives it.
pub(super) fn key_bytes(text: &str, is_hex: bool) -> Result<Vec<u8>> {
    if !is_hex {
        return Ok(text.as_bytes().to_vec());
    }
    from_hex(text).ok_or_else(|| Failure::usage(format!("'{text}' is not hexadecimal")))
}

/// The rows that a client found damaged so far.
pub(super) fn damaged_json(host: &Host) -> Value {
    host.damaged().iter().map(|key| Value::String(key.text())).collect()
}

/// The collections of a client's status.
pub(super) fn collections_json(status: &Status) -> Value {
    let collections = status.collections.iter().map(|collection| {
        json!({
            "name": collection.name,
            "priority": collection.priority,
            "lazy": collection.lazy,
            "records": collection.records,
            "root": collection.root.to_hex(),
            "plain_bytes": collection.plain_bytes,
            "wire_bytes": collection.wire_bytes,
            "bundles": collection.bundles,
            "bundles_stored": collection.bundles_stored,
            "frames_stored": collection.frames_stored,
            "complete": collection.complete,
        })
    });
    Value::Array(collections.collect())
}

/// How long things took: powers of two that half of them, and all but one of a hundred, lie below.
pub(super) fn timings_json(timings: &Timings) -> Value {
    let Timings { answers, transfers, transactions, reads } = timings;
    let spans = |histogram: &Histogram| {
        json!({
            "count": histogram.count(),
            "sum_ms": histogram.sum_ms(),
            "half_below_ms": histogram.below_ms(50),
            "p99_below_ms": histogram.below_ms(99),
            "buckets": histogram.buckets(),
        })
    };
    json!({
        "answers": spans(answers),
        "transfers": spans(transfers),
        "transactions": spans(transactions),
        "reads": spans(reads),
    })
}

/// How old what serves is.
pub(super) fn freshness_json(freshness: &Freshness) -> Value {
    json!({
        "level": freshness.level.as_str(),
        "at_ms": freshness.at.map(|at| at.0),
        "age_ms": freshness.age_ms,
    })
}
