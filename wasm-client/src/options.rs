//! What a client was opened with.

use js_sys::{Array, Function};
use packice_core::engine::io::{KeyRange, SourceId, Status};
use packice_core::engine::{EngineConfig, Follow};
use packice_core::trace::{Trace, Traced};
use packice_core::types::{Millis, Name};
use wasm_bindgen::prelude::*;

use crate::platform;
use crate::shape;
use crate::value::{bytes, failure, field, text};

/// A place to fetch from.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its name in events.
    pub(crate) name: String,
    /// Its URL without a trailing slash.
    url: String,
}

/// The options of `js/rpc.ts`, checked.
#[derive(Debug)]
pub(crate) struct Options {
    dataset: Name,
    channel: Name,
    /// In the order of their ids.
    pub(crate) sources: Vec<Source>,
    trust: Vec<u8>,
    /// The database's name.
    pub(crate) database: String,
    /// Reads a range of the seed's file, where there is one.
    pub(crate) seed: Option<Function>,
    /// Whether idle time is spent on the audit.
    audit: bool,
    /// Whether nothing is to be kept on disk.
    pub(crate) memory: bool,
    /// Whether reads are refused while what would serve them is expired.
    refuse_expired: bool,
    /// How many versions to keep that served reads before.
    pub(crate) keep: usize,
    /// What to hold of collections, where it is not all.
    pub(crate) subscribed: Vec<(String, Vec<KeyRange>)>,
    /// How to keep up without being asked.
    pub(crate) follow: Option<Follow>,
    /// The most bytes of a trace; none is recorded where this is 0.
    trace: usize,
}

/// What a full proof is checked against.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) dataset: Name,
    pub(crate) channel: Name,
    /// The signed trust root.
    pub(crate) trust: Vec<u8>,
    /// The time that the proof's age is told at.
    pub(crate) now: Millis,
}

impl Check {
    /// Reads the options object.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn from_js(options: &JsValue) -> Result<Self, JsValue> {
        Ok(Self {
            dataset: name(options, "dataset")?,
            channel: name(options, "channel")?,
            trust: bytes(options, "trust")?,
            now: Millis(field(options, "now").as_f64().unwrap_or_default() as u64),
        })
    }
}

fn name(options: &JsValue, field: &str) -> Result<Name, JsValue> {
    let text = text(options, field)?;
    Name::new(&text).map_err(|e| failure(e.code(), &e.to_string()))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn follow(options: &JsValue) -> Option<Follow> {
    let poll_ms = field(options, "pollMs").as_f64().unwrap_or_default() as u64;
    (poll_ms > 0).then(|| Follow { live: field(options, "live").is_truthy(), poll_ms })
}

fn subscribed(options: &JsValue) -> Result<Vec<(String, Vec<KeyRange>)>, JsValue> {
    let range = |range: JsValue| {
        let end = (!field(&range, "end").is_undefined()).then(|| bytes(&range, "end"));
        Ok(KeyRange { start: bytes(&range, "start")?, end: end.transpose()? })
    };
    let part = |part: JsValue| {
        let ranges = Array::from(&field(&part, "ranges"));
        let ranges = ranges.iter().map(range).collect::<Result<_, JsValue>>()?;
        Ok((text(&part, "collection")?, ranges))
    };
    Array::from(&field(options, "subscribe")).iter().map(part).collect()
}

impl Options {
    /// Reads the options object.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn from_js(options: &JsValue) -> Result<Self, JsValue> {
        let sources = Array::from(&field(options, "sources"))
            .iter()
            .map(|source| Ok(Source { name: text(&source, "name")?, url: text(&source, "url")? }))
            .collect::<Result<_, JsValue>>()?;
        Ok(Self {
            dataset: name(options, "dataset")?,
            channel: name(options, "channel")?,
            sources,
            trust: bytes(options, "trust")?,
            database: text(options, "database")?,
            seed: field(options, "readSeed").dyn_into().ok(),
            audit: field(options, "audit").is_truthy(),
            memory: field(options, "memory").is_truthy(),
            refuse_expired: field(options, "refuseExpired").is_truthy(),
            keep: field(options, "keep").as_f64().unwrap_or_default() as usize,
            subscribed: subscribed(options)?,
            follow: follow(options),
            trace: field(options, "trace").as_f64().unwrap_or_default() as usize,
        })
    }

    /// A new engine for these options; one that leads follows what comes, where that is wanted.
    /// `before` is the one whose place it takes.
    pub(crate) fn engine(
        &self,
        leads: bool,
        before: Option<&mut Traced>,
    ) -> Result<Traced, JsValue> {
        let Some(seed) = platform::random_seed() else {
            return Err(failure("internal/no-random", "there is no crypto.getRandomValues here"));
        };
        let config = EngineConfig {
            dataset: self.dataset.clone(),
            channel: self.channel.clone(),
            trust: self.trust.clone(),
        };
        let trace = match before {
            Some(before) => before.take_trace(),
            None => (self.trace > 0).then(|| Trace::new(self.trace)),
        };
        let engine = Traced::new(config, seed, trace);
        let mut engine = engine.map_err(|e| failure(e.code(), &e.to_string()))?;
        engine.refuse_expired(self.refuse_expired);
        if !self.audit {
            engine.leave_audit();
        }
        if let Some(follow) = self.follow.filter(|_| leads) {
            engine.follow(follow);
        }
        Ok(engine)
    }

    /// The seed's reader, where a source is the seed: it comes after all others.
    pub(crate) fn seed(&self, source: SourceId) -> Option<&Function> {
        let at = usize::try_from(source.0).ok()?;
        self.seed.as_ref().filter(|_| at == self.sources.len())
    }

    /// The URL of a path at a source.
    pub(crate) fn url(&self, source: SourceId, path: &str) -> String {
        let base = usize::try_from(source.0).ok().and_then(|at| self.sources.get(at));
        let mut url = base.map_or_else(String::new, |source| source.url.clone());
        url.push_str("/v1/");
        url.push_str(self.dataset.as_str());
        url.push('/');
        url.push_str(path);
        url
    }

    /// The engine's status with what only the shell knows.
    pub(crate) fn status(&self, status: &Status) -> JsValue {
        let urls = self.sources.iter().map(|source| source.url.as_str());
        let urls = urls.chain(self.seed.iter().map(|_| ""));
        shape::status(status, self.dataset.as_str(), self.channel.as_str(), urls)
    }
}
