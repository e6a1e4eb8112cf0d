//! What a source does to its answers, as `attack.json` says it: the same in the loopback server
//! for the CLI, in memory for the core, and in `tests/harness/attacker.mjs` for the browser.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use super::Files;

/// A rule: which answers, and what happens to them. The first that matches strikes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The first segment of the path, or `*`.
    pub kind: String,
    /// What is done.
    pub action: Action,
    /// The byte that `flip` changes or `cut` ends at; the middle when left out.
    #[serde(default)]
    pub at: Option<usize>,
    /// The status of `status`, or the path of `serve`.
    #[serde(default)]
    pub with: Option<String>,
    /// So many matching requests pass first.
    #[serde(default)]
    pub after: u64,
    #[serde(skip)]
    matched: AtomicU64,
}

impl Clone for Rule {
    fn clone(&self) -> Self {
        let Self { kind, action, at, with, after, .. } = self;
        let (kind, with) = (kind.clone(), with.clone());
        Self { kind, action: *action, at: *at, with, after: *after, matched: AtomicU64::new(0) }
    }
}

/// What is done to an answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// One bit is turned.
    Flip,
    /// The last byte is cut off.
    Truncate,
    /// A byte is added.
    Extend,
    /// Nothing is served, with a 200.
    Empty,
    /// A page of HTML, as a captive portal serves it.
    Html,
    /// Another object of the set; `with` is its path, or a kind whose first object it is.
    Serve,
    /// A status and no body.
    Status,
    /// The connection ends in the middle of the body.
    Cut,
    /// The body never ends.
    Endless,
    /// The headers come, and no body.
    Stall,
    /// The body comes a byte at a time.
    Drip,
    /// Ranges are answered with the whole object.
    IgnoreRange,
    /// The object is elsewhere: a redirect to `with`, a kind whose first object it is.
    Redirect,
    /// A content coding that the client did not ask for, of a body that grows without end.
    GzipBomb,
}

/// Longer than any object may be.
pub const ENDLESS: usize = 9 << 20;

/// What is served in the place of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// A body.
    Body(Vec<u8>),
    /// Something that only a connection can do.
    Wire(Action),
}

impl Rule {
    /// Whether it strikes a path now.
    pub fn strikes(&self, path: &str) -> bool {
        let kind = path.split('/').next().unwrap_or_default();
        (self.kind == "*" || self.kind == kind)
            && self.matched.fetch_add(1, Ordering::Relaxed) >= self.after
    }

    /// The path that `with` stands for.
    pub fn target(&self, files: &Files, path: &str) -> String {
        let with = self.with.as_deref().unwrap_or_default();
        let found = files.keys().find(|other| other.starts_with(with) && *other != path);
        found.unwrap_or_else(|| panic!("nothing to serve like '{with}'")).clone()
    }

    /// What comes of an answer.
    pub fn apply(&self, files: &Files, path: &str, mut body: Vec<u8>) -> Served {
        let middle = body.len() / 2;
        match self.action {
            Action::Flip => {
                if let Some(byte) = body.get_mut(self.at.unwrap_or(middle)) {
                    *byte ^= 1;
                }
            }
            Action::Truncate => {
                body.pop();
            }
            Action::Extend => body.push(0x5a),
            Action::Empty => body.clear(),
            Action::Html => body = b"<!doctype html><title>Sign in</title>".to_vec(),
            Action::Serve => body = files[&self.target(files, path)].clone(),
            Action::Status
            | Action::Cut
            | Action::Endless
            | Action::Stall
            | Action::Drip
            | Action::IgnoreRange
            | Action::Redirect
            | Action::GzipBomb => return Served::Wire(self.action),
        }
        Served::Body(body)
    }
}
