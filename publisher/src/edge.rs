//! The publisher's HTTP client for an edge: HEAD, GET and PUT with bounded retries.
//!
//! Every request is safe to repeat: objects are created under their hash, and the pointer moves
//! by compare-and-swap. In scope: transport, authentication, readable errors. Out of scope: what
//! to upload (`publish`), and the light client's fetches (`client`), which the engine retries.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use packice_core::httpsig::{self, Request, content_digest};
use packice_core::types::{Name, ObjectKind, WireName, hex};
use serde::Deserialize;
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body};

use crate::config::Config;
use crate::failure::{Failure, Kind, Result};
use crate::keys::passphrase::Source;
use crate::keys::{Key, KeyRole, PUBLISH_KEY_ENV};

const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Problem bodies are short; more is not shown.
const MAX_PROBLEM_LEN: u64 = 16 * 1024;
/// Longest document of [`Edge::get_signed`].
const MAX_DOCUMENT_LEN: u64 = 1024 * 1024;
/// Longest answer to a question.
const MAX_ANSWER_LEN: u64 = 1024 * 1024;

/// An agent with this project's timeouts, which never goes through a proxy for loopback.
pub fn agent(base_url: &str) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("packice/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_read(Some(Duration::from_secs(30)))
        .timeout_per_write(Some(Duration::from_secs(30)))
        .max_idle_connections_per_host(16);
    if is_loopback(base_url) {
        config = config.proxy(None);
    }
    config.build().new_agent()
}

/// Whether a URL is of this machine.
pub fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|prefix| host.starts_with(prefix))
}

/// The key that signs uploads: that of `--publish-key`, else of the environment, else of the file
/// that packice.toml names.
pub fn publish_key(config: &Config, given: Option<&str>, source: &Source) -> Result<Key> {
    if let Some(given) = given {
        return Key::open(given, KeyRole::Publish, source);
    }
    let paths: [&Path; 1] = [&config.publish_key];
    let keys = Key::load_all(PUBLISH_KEY_ENV, &paths, KeyRole::Publish, source)?;
    let mut keys = keys.into_iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(Failure::usage(format!("{PUBLISH_KEY_ENV} holds several keys, one is meant"))),
    }
}

/// One dataset on one edge.
#[derive(Clone)]
pub struct Edge {
    base: String,
    agent: Agent,
    key: Option<Arc<Key>>,
}

/// A body and its entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The body.
    pub bytes: Vec<u8>,
    /// The `ETag`, quotes included.
    pub etag: Option<String>,
}

/// Under which condition a PUT may take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// None: the path names the content.
    Always,
    /// Nothing is there yet.
    Absent,
    /// What is there has this entity tag, quotes included.
    Matches(String),
}

/// What a PUT did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was created or replaced.
    Created,
    /// The same bytes were there.
    Same,
    /// The condition does not hold (any more).
    Refused,
}

#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

impl Edge {
    /// A dataset on an edge.
    pub fn new(url: &str, dataset: &Name, key: Option<Key>) -> Self {
        let base = format!("{}/v1/{dataset}", url.trim_end_matches('/'));
        Self { base, agent: agent(url), key: key.map(Arc::new) }
    }

    /// The path of an object.
    pub fn object_path(kind: ObjectKind, name: &WireName) -> String {
        format!("{}/{name}", kind.as_str())
    }

    /// The absolute URL of a path under the dataset.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Whether a path exists.
    pub fn exists(&self, path: &str) -> Result<bool> {
        let response = self.send("HEAD", path, || self.agent.head(self.url(path)).call())?;
        match response.status().as_u16() {
            200 | 204 => Ok(true),
            404 => Ok(false),
            _ => Err(self.problem("HEAD", path, response)),
        }
    }

    /// A path's body of at most `max` bytes; `None` where there is none.
    pub fn get(&self, path: &str, max: usize) -> Result<Option<Fetched>> {
        let mut failure = None;
        for attempt in 0..ATTEMPTS {
            // A publisher builds on what the store holds, not on what a cache saw seconds ago.
            let response = self.send("GET", path, || {
                self.agent.get(self.url(path)).header("cache-control", "no-cache").call()
            })?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                _ => return Err(self.problem("GET", path, response)),
            }
            let etag = header(response.headers(), "etag");
            match read_body(response, max as u64 + 1) {
                Ok(bytes) if bytes.len() > max => {
                    let message = format!("GET {}: more than {max} bytes", self.url(path));
                    return Err(Failure::verification(message));
                }
                Ok(bytes) => return Ok(Some(Fetched { bytes, etag })),
                Err(error) => {
                    let message = format!("GET {}: the body broke off: {error}", self.url(path));
                    failure = Some(Failure::network(message));
                    pause(attempt, None);
                }
            }
        }
        Err(failure.unwrap_or_else(|| Failure::network("the edge gives no whole body")))
    }

    /// A document that publishers alone may read.
    pub fn get_signed(&self, path: &str) -> Result<serde_json::Value> {
        let response = self.send("GET", path, || {
            let signed = self.sign(path, &Request { method: "GET", ..Request::default() });
            let signed =
                signed.map_err(|failure| ureq::Error::Other(failure.to_string().into()))?;
            let request = self.agent.get(self.url(path));
            let request = request.header("signature-input", signed.input);
            request.header("signature", signed.signature).call()
        })?;
        match response.status() {
            StatusCode::OK => {
                let broken =
                    |error: String| Failure::network(format!("GET {}: {error}", self.url(path)));
                let bytes = read_body(response, MAX_DOCUMENT_LEN);
                let bytes = bytes.map_err(|error| broken(error.to_string()))?;
                serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))
            }
            _ => Err(self.problem("GET", path, response)),
        }
    }

    /// Uploads a body to a path.
    pub fn put(&self, path: &str, bytes: &[u8], condition: &Condition) -> Result<Put> {
        let digest = content_digest(bytes);
        let (if_match, if_none_match) = match condition {
            Condition::Always => (None, None),
            Condition::Absent => (None, Some("*")),
            Condition::Matches(etag) => (Some(etag.as_str()), None),
        };
        let response = self.send("PUT", path, || {
            let mut request = self
                .agent
                .put(self.url(path))
                .header("content-type", "application/octet-stream")
                .header("content-digest", &digest);
            for (name, value) in [("if-match", if_match), ("if-none-match", if_none_match)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            // Each attempt is signed by itself: a nonce counts once.
            let content_digest = Some(digest.as_str());
            let unsigned = Request {
                method: "PUT",
                content_digest,
                if_match,
                if_none_match,
                ..Request::default()
            };
            let signed = self.sign(path, &unsigned);
            let signed =
                signed.map_err(|failure| ureq::Error::Other(failure.to_string().into()))?;
            request
                .header("signature-input", signed.input)
                .header("signature", signed.signature)
                .send(bytes)
        })?;
        match response.status().as_u16() {
            201 => Ok(Put::Created),
            200 | 204 => Ok(Put::Same),
            412 => Ok(Put::Refused),
            _ => Err(self.problem("PUT", path, response)),
        }
    }

    /// Signs a request of a path under the dataset, as it is now.
    fn sign(&self, path: &str, unsigned: &Request<'_>) -> Result<httpsig::Signed> {
        let Some(key) = &self.key else {
            return Err(Failure::usage("publishing needs a publish key")
                .next(format!("set {PUBLISH_KEY_ENV}, or pass --publish-key FILE")));
        };
        let url = self.url(path);
        let (authority, path, query) = parts(&url);
        let request = Request { authority: &authority, path, query, ..*unsigned };
        let mut nonce = [0u8; 16];
        getrandom::fill(&mut nonce).map_err(|error| {
            Failure::internal(format!("the operating system gave no randomness: {error}"))
        })?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let created_s = now.map_or(0, |now| now.as_secs());
        Ok(httpsig::sign(&request, key.seed(), created_s, &hex(&nonce)))
    }

    /// Asks a question that publishers alone may ask; its answer. Asking twice does no more than
    /// asking once.
    pub fn ask(&self, path: &str, question: &serde_json::Value) -> Result<serde_json::Value> {
        let body = question.to_string();
        let digest = content_digest(body.as_bytes());
        let unsigned =
            Request { method: "POST", content_digest: Some(digest.as_str()), ..Request::default() };
        let response = self.send("POST", path, || {
            let signed = self.sign(path, &unsigned);
            let signed =
                signed.map_err(|failure| ureq::Error::Other(failure.to_string().into()))?;
            self.agent
                .post(self.url(path))
                .header("content-type", "application/json")
                .header("content-digest", &digest)
                .header("signature-input", signed.input)
                .header("signature", signed.signature)
                .send(body.as_bytes())
        })?;
        match response.status() {
            StatusCode::OK => {
                let answer = read_body(response, MAX_ANSWER_LEN).map_err(|error| {
                    Failure::network(format!("POST {}: {error}", self.url(path)))
                })?;
                serde_json::from_slice(&answer).map_err(|error| {
                    Failure::network(format!("POST {}: no JSON: {error}", self.url(path)))
                })
            }
            _ => Err(self.problem("POST", path, response)),
        }
    }

    /// Sends until the edge answers with something that is not a passing trouble.
    fn send(
        &self,
        method: &str,
        path: &str,
        call: impl Fn() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>> {
        for attempt in 0.. {
            let last = attempt + 1 == ATTEMPTS;
            match call() {
                Ok(response) if !last && is_passing(response.status()) => {
                    pause(attempt, retry_after(response.headers()));
                }
                Ok(response) => return Ok(response),
                Err(error) if !last && is_transport(&error) => pause(attempt, None),
                Err(error) => {
                    let message = format!("{method} {}: {error}", self.url(path));
                    let advice = "check that the edge runs and that its URL is right";
                    return Err(Failure::network(message).next(advice));
                }
            }
        }
        Err(Failure::internal("the attempts are bounded"))
    }

    /// The failure that a status stands for, with what the edge says about it.
    fn problem(&self, method: &str, path: &str, response: Response<Body>) -> Failure {
        let status = response.status();
        let said = read_body(response, MAX_PROBLEM_LEN).unwrap_or_default();
        let said = match serde_json::from_slice::<Problem>(&said) {
            Ok(Problem { title, detail }) => {
                detail.or(title).map(|text| format!(": {text}")).unwrap_or_default()
            }
            Err(_) => String::new(),
        };
        let message = format!("{method} {}: the edge answers {status}{said}", self.url(path));
        let (kind, advice) = match status.as_u16() {
            401 => (Kind::Network, "check the publish key, and this machine's clock"),
            403 => (Kind::Network, "the publish key is not one of this dataset's"),
            404 => (Kind::Network, "check the edge's URL: it knows no such route"),
            409 | 412 => (Kind::Conflict, "someone else published; run the command again"),
            413 => (Kind::Input, "the object is larger than the edge accepts"),
            422 => (Kind::Verification, "the edge checked the upload and refuses it"),
            429 | 500..=599 => (Kind::Network, "try again later; what is uploaded stays"),
            _ => (Kind::Network, "check that this is a Packice edge of the same version"),
        };
        Failure::new(kind, message).next(advice)
    }
}

/// Authority, path and query of a URL, as a receiver sees them.
fn parts(url: &str) -> (String, &str, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let usual = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(usual).unwrap_or(&authority).to_owned();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (authority, path, query)
}

/// A header's text.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn read_body(response: Response<Body>, max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    response.into_body().into_reader().take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The seconds of a `Retry-After`; the date form is not used by edges.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    header(headers, "retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

fn is_transport(error: &ureq::Error) -> bool {
    // The list of errors is ureq's and open-ended; those not named here will not pass by waiting.
    matches!(error, ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed)
}

/// Waits before the next attempt: doubling with jitter, or what the edge asks for.
pub fn pause(attempt: u32, asked: Option<Duration>) {
    let mut random = [0u8; 1];
    // Without randomness the pause is only less spread.
    let _ = getrandom::fill(&mut random);
    let doubled = FIRST_PAUSE * 2u32.pow(attempt.min(6));
    let jittered = doubled.mul_f64(0.5 + f64::from(random[0]) / 255.0);
    std::thread::sleep(asked.unwrap_or(jittered).min(LONGEST_PAUSE));
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_url_has_the_parts_that_its_receiver_sees() {
        for (url, authority, path, query) in [
            ("https://Edge.Example/v1/a/b", "edge.example", "/v1/a/b", ""),
            ("https://edge.example:443/v1", "edge.example", "/v1", ""),
            ("http://edge.example:443/v1?x=1", "edge.example:443", "/v1", "x=1"),
            ("http://127.0.0.1:8787/v1", "127.0.0.1:8787", "/v1", ""),
            ("http://[::1]:80/v1", "[::1]", "/v1", ""),
        ] {
            assert_eq!(parts(url), (authority.to_owned(), path, query), "{url}");
        }
    }
}
