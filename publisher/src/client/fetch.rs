//! Where the light client fetches from: HTTP sources, and an overlay in front of one.
//!
//! A source is not trusted: bodies are cut at the caller's cap and handed on as they come, and
//! the engine checks them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use packice_core::engine::io::{ByteRange, FetchFailure, Target};
use packice_core::types::Name;
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode};

use crate::edge;

/// How much of a body is handed on at once.
const CHUNK_LEN: usize = 64 * 1024;

/// Hands bytes on; false says that nobody wants more.
pub type Sink<'a> = dyn FnMut(Vec<u8>) -> bool + 'a;

/// A place to fetch from.
pub trait Source: Send + Sync {
    /// The name in events and errors.
    fn name(&self) -> &str;

    /// Fetches a target of at most `max_bytes` and hands it on in order.
    fn fetch(
        &self,
        target: &Target,
        max_bytes: u64,
        timeout: Duration,
        sink: &mut Sink<'_>,
    ) -> Result<(), FetchFailure>;
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn name(&self) -> &str {
        S::name(self)
    }

    fn fetch(
        &self,
        target: &Target,
        max_bytes: u64,
        timeout: Duration,
        sink: &mut Sink<'_>,
    ) -> Result<(), FetchFailure> {
        S::fetch(self, target, max_bytes, timeout, sink)
    }
}

/// A dataset on an edge or a mirror.
pub struct HttpSource {
    name: String,
    base: String,
    agent: Agent,
}

impl HttpSource {
    /// A dataset under a base URL; the source is named by the URL.
    pub fn new(url: &str, dataset: &Name) -> Self {
        let url = url.trim_end_matches('/');
        Self { name: url.to_owned(), base: format!("{url}/v1/{dataset}"), agent: edge::agent(url) }
    }
}

impl Source for HttpSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn fetch(
        &self,
        target: &Target,
        max_bytes: u64,
        timeout: Duration,
        sink: &mut Sink<'_>,
    ) -> Result<(), FetchFailure> {
        let mut request = self.agent.get(format!("{}/{}", self.base, target.path));
        if let Some(range) = target.range {
            let last = range.start + range.len - 1;
            request = request.header("range", format!("bytes={}-{last}", range.start));
        }
        let request = request.config().timeout_global(Some(timeout)).build();
        let response = request.call().map_err(|error| failure_of(&error))?;
        check_status(response.status(), response.headers(), target.range)?;
        let mut body = response.into_body().into_reader();
        let mut left = max_bytes;
        loop {
            let mut chunk = vec![0u8; CHUNK_LEN];
            let len = body.read(&mut chunk).map_err(|error| failure_of_io(&error))?;
            if len == 0 {
                return Ok(());
            }
            left = left.checked_sub(len as u64).ok_or(FetchFailure::TooLong)?;
            chunk.truncate(len);
            if !sink(chunk) {
                return Err(FetchFailure::Cancelled);
            }
        }
    }
}

fn check_status(
    status: StatusCode,
    headers: &HeaderMap,
    range: Option<ByteRange>,
) -> Result<(), FetchFailure> {
    match (status, range) {
        (StatusCode::OK, None) => Ok(()),
        (StatusCode::OK, Some(_)) => Err(FetchFailure::WrongRange),
        (StatusCode::PARTIAL_CONTENT, Some(range)) => {
            let expected = format!("bytes {}-{}/", range.start, range.start + range.len - 1);
            let given = headers.get("content-range").and_then(|value| value.to_str().ok());
            match given {
                Some(given) if given.starts_with(&expected) => Ok(()),
                Some(_) | None => Err(FetchFailure::WrongRange),
            }
        }
        (status, _) => {
            let after = edge::retry_after(headers).map(|span| span.as_millis());
            Err(FetchFailure::Status {
                status: status.as_u16(),
                retry_after_ms: after.and_then(|ms| u64::try_from(ms).ok()),
            })
        }
    }
}

fn failure_of(error: &ureq::Error) -> FetchFailure {
    if let ureq::Error::Io(error) = error {
        return failure_of_io(error);
    }
    match matches!(error, ureq::Error::Timeout(_)) {
        true => FetchFailure::Timeout,
        false => FetchFailure::Network,
    }
}

fn failure_of_io(error: &std::io::Error) -> FetchFailure {
    // While a body is read, the HTTP library's own errors come wrapped.
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    let late = matches!(inner, Some(ureq::Error::Timeout(_)));
    match late || error.kind() == std::io::ErrorKind::TimedOut {
        true => FetchFailure::Timeout,
        false => FetchFailure::Network,
    }
}

/// A directory of objects, `{kind}/{name}`.
pub struct DirSource {
    name: String,
    dir: PathBuf,
}

impl DirSource {
    /// The objects of a directory.
    pub fn new(dir: &Path) -> Self {
        Self { name: dir.display().to_string(), dir: dir.to_path_buf() }
    }
}

impl Source for DirSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn fetch(
        &self,
        target: &Target,
        max_bytes: u64,
        _timeout: Duration,
        sink: &mut Sink<'_>,
    ) -> Result<(), FetchFailure> {
        let missing = FetchFailure::Status { status: 404, retry_after_ms: None };
        let bytes = std::fs::read(self.dir.join(&target.path)).map_err(|_| missing)?;
        let bytes = match target.range {
            None => bytes,
            Some(ByteRange { start, len }) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX);
                let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
                bytes.get(start..end).ok_or(FetchFailure::WrongRange)?.to_vec()
            }
        };
        if bytes.len() as u64 > max_bytes {
            return Err(FetchFailure::TooLong);
        }
        match sink(bytes) {
            true => Ok(()),
            false => Err(FetchFailure::Cancelled),
        }
    }
}

/// Objects in memory in front of another source: what a candidate's mutable paths will say.
pub struct Overlay<S> {
    /// Bodies by path under the dataset.
    pub bodies: BTreeMap<String, Vec<u8>>,
    /// Path prefixes that never reach the other source, whether or not they have a body.
    pub hidden: Vec<String>,
    /// Answers everything else.
    pub under: S,
}

impl<S: Source> Source for Overlay<S> {
    fn name(&self) -> &str {
        self.under.name()
    }

    fn fetch(
        &self,
        target: &Target,
        max_bytes: u64,
        timeout: Duration,
        sink: &mut Sink<'_>,
    ) -> Result<(), FetchFailure> {
        let Some(body) = self.bodies.get(&target.path) else {
            if self.hidden.iter().any(|prefix| target.path.starts_with(prefix)) {
                return Err(FetchFailure::Status { status: 404, retry_after_ms: None });
            }
            return self.under.fetch(target, max_bytes, timeout, sink);
        };
        if target.range.is_some() {
            return Err(FetchFailure::WrongRange);
        }
        if body.len() as u64 > max_bytes {
            return Err(FetchFailure::TooLong);
        }
        match sink(body.clone()) {
            true => Ok(()),
            false => Err(FetchFailure::Cancelled),
        }
    }
}
