//! The headers of a request that the edge looks at, as plain data.

use crate::limits::MAX_HEADER_LEN;
use crate::problem::{Problem, ProblemCode};

/// The headers of a request that the edge looks at; one that cannot be read counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeaders {
    /// `cache-control`
    pub cache_control: Option<String>,
    /// `content-encoding`
    pub content_encoding: Option<String>,
    /// `content-length`
    pub content_length: Option<String>,
    /// `if-match`
    pub if_match: Option<String>,
    /// `if-none-match`
    pub if_none_match: Option<String>,
    /// `if-range`
    pub if_range: Option<String>,
    /// `range`
    pub range: Option<String>,
    /// `traceparent`
    pub traceparent: Option<String>,
}

impl RequestHeaders {
    /// Collects the headers from whatever holds them.
    pub fn collect(lookup: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            cache_control: lookup("cache-control"),
            content_encoding: lookup("content-encoding"),
            content_length: lookup("content-length"),
            if_match: lookup("if-match"),
            if_none_match: lookup("if-none-match"),
            if_range: lookup("if-range"),
            range: lookup("range"),
            traceparent: lookup("traceparent"),
        }
    }

    /// Refuses a header that is longer than anything that is looked at.
    pub fn check_len(&self) -> Result<(), Problem> {
        for (name, value) in [
            ("cache-control", &self.cache_control),
            ("content-encoding", &self.content_encoding),
            ("content-length", &self.content_length),
            ("if-match", &self.if_match),
            ("if-none-match", &self.if_none_match),
            ("if-range", &self.if_range),
            ("range", &self.range),
        ] {
            check_len(name, value.as_deref())?;
        }
        Ok(())
    }

    /// Whether the client asks for an answer that no cache stands in front of.
    pub fn wants_fresh(&self) -> bool {
        let directives = self.cache_control.as_deref().unwrap_or_default();
        directives.split(',').any(|directive| {
            let directive = directive.trim();
            directive.eq_ignore_ascii_case("no-cache") || directive.eq_ignore_ascii_case("no-store")
        })
    }
}

/// Refuses a header that is too long.
pub fn check_len(name: &str, value: Option<&str>) -> Result<(), Problem> {
    match value {
        Some(value) if value.len() > MAX_HEADER_LEN => {
            let detail = format!("`{name}` is longer than {MAX_HEADER_LEN} bytes");
            Err(Problem::new(ProblemCode::HeaderTooLong, detail))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cache_among_other_directives_asks_for_a_fresh_answer() {
        for (value, fresh) in [
            (None, false),
            (Some("max-age=0"), false),
            (Some("no-cache"), true),
            (Some("max-age=0, No-Store"), true),
            (Some("x-no-cache"), false),
        ] {
            let headers = RequestHeaders::collect(|name| {
                value.filter(|_| name == "cache-control").map(ToOwned::to_owned)
            });
            assert_eq!(headers.wants_fresh(), fresh, "{value:?}");
        }
    }

    #[test]
    fn a_header_has_a_longest_value() {
        let of = |len: usize| RequestHeaders { range: Some("x".repeat(len)), ..Default::default() };
        assert_eq!(of(MAX_HEADER_LEN).check_len(), Ok(()));
        let refused = of(MAX_HEADER_LEN + 1).check_len().expect_err("too long");
        assert_eq!(refused.code, ProblemCode::HeaderTooLong);
    }
}
