//! An answer as plain data: status, headers, and which body goes with them.
//!
//! In scope: the headers that every answer carries. Out of scope: the bytes of stored objects,
//! which the shell passes through without looking at them.

use crate::problem::{Problem, ProblemCode};
use crate::range::Span;

/// What a page of another origin may read of an answer.
const EXPOSED: &str =
    "etag, content-range, content-length, accept-ranges, age, cache-status, retry-after";
/// How long a store that failed is left alone, in seconds.
const RETRY_AFTER_S: &str = "1";

/// What a page could do with an answer that is text: nothing, and not inside another page.
pub(crate) const POLICY: (&str, &str) =
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'");

/// Which bytes of a stored object an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    Whole,
    /// A span.
    Part(Span),
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// None.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Bytes of the stored object that was asked for, passed through.
    Object(Extent),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

impl Reply {
    /// An answer with the headers that every answer carries, and no body.
    pub fn new(status: u16) -> Self {
        let headers = [
            ("x-content-type-options", "nosniff"),
            // Everything that is served is public and proves itself; PUT stays with whoever has a
            // token, and no browser sends one across origins (see `preflight`).
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", EXPOSED),
            ("cross-origin-resource-policy", "cross-origin"),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).into();
        Self { status, headers, body: Body::Empty }
    }

    /// With a header more.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With bytes of its own as the body; a `HEAD` gets their length alone.
    #[must_use]
    pub fn with_bytes(self, bytes: Vec<u8>, head: bool) -> Self {
        let mut reply = self.with_header("content-length", bytes.len().to_string());
        if !head {
            reply.body = Body::Bytes(bytes);
        }
        reply
    }

    /// The answer to a request that cannot be served.
    pub fn problem(problem: Problem, head: bool) -> Self {
        let mut reply = Self::new(problem.code.status())
            .with_header("content-type", "application/problem+json")
            .with_header(POLICY.0, POLICY.1)
            .with_header("cache-control", "no-store");
        if problem.code == ProblemCode::StoreUnavailable {
            reply = reply.with_header("retry-after", RETRY_AFTER_S);
        }
        let body = problem.to_json().into_bytes();
        reply.headers.extend(problem.headers);
        reply.with_bytes(body, head)
    }

    /// The answer to `OPTIONS`. Pages of other origins may read, with ranges and conditions; they
    /// may not write.
    pub fn preflight(allow: &'static str) -> Self {
        Self::new(204)
            .with_header("allow", allow)
            .with_header("access-control-allow-methods", "GET, HEAD")
            .with_header(
                "access-control-allow-headers",
                "cache-control, if-match, if-none-match, if-range, range",
            )
            .with_header("access-control-max-age", "86400")
    }

    /// The value of a header, where there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(own, _)| *own == name)?;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_readable_across_origins_and_not_sniffed() {
        let missing = Problem::new(ProblemCode::NotFound, "x");
        for reply in [Reply::new(200), Reply::problem(missing, false), Reply::preflight("GET")] {
            assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
            assert!(reply.header("access-control-expose-headers").is_some());
        }
    }

    #[test]
    fn a_problem_is_not_cached_and_keeps_its_own_headers() {
        let problem = Problem::new(ProblemCode::MethodNotAllowed, "x").with_header("allow", "GET");
        let reply = Reply::problem(problem.clone(), false);
        assert_eq!(reply.status, 405);
        assert_eq!(reply.header("allow"), Some("GET"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(reply.body, Body::Bytes(problem.to_json().into_bytes()));
    }

    #[test]
    fn head_gets_the_length_of_a_problem_but_not_its_text() {
        let problem = Problem::new(ProblemCode::NotFound, "x");
        let reply = Reply::problem(problem.clone(), true);
        assert_eq!(reply.body, Body::Empty);
        let length = problem.to_json().len().to_string();
        assert_eq!(reply.header("content-length"), Some(length.as_str()));
    }

    #[test]
    fn a_preflight_lets_other_origins_read_and_not_write() {
        let reply = Reply::preflight("GET, HEAD, PUT, OPTIONS");
        assert_eq!(reply.status, 204);
        assert_eq!(reply.header("access-control-allow-methods"), Some("GET, HEAD"));
        let headers = reply.header("access-control-allow-headers").expect("headers");
        for name in ["range", "if-none-match", "if-range"] {
            assert!(headers.contains(name), "{name}");
        }
        assert!(!headers.contains("authorization"));
    }

    #[test]
    fn a_store_that_fails_is_asked_again_later() {
        let problem = Problem::new(ProblemCode::StoreUnavailable, "x");
        assert_eq!(Reply::problem(problem, false).header("retry-after"), Some("1"));
    }
}
