//! Conditional requests (RFC 9110, section 13): entity tags and when they match.
//!
//! Our own tags are all strong. A comparison is weak for `if-none-match` and strong for
//! `if-match` and `if-range`. In scope: parsing and comparing. Out of scope: what follows from it
//! (`respond` for reads, `pointer` for moves).

use crate::headers::RequestHeaders;
use crate::limits::MAX_ENTITY_TAGS;

/// An entity tag of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag {
    /// Whether it is marked `W/`.
    weak: bool,
    /// What stands between the quotes.
    opaque: String,
}

/// The value of `if-match` or `if-none-match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: any current state of the resource.
    Any,
    /// These states.
    Listed(Vec<EntityTag>),
}

impl EntityTags {
    /// Reads a header; `None` where it is not `*` and not a list of quoted tags.
    pub fn parse(header: &str) -> Option<Self> {
        let mut rest = header.trim();
        if rest == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        while !rest.is_empty() {
            let (weak, quoted) = match rest.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
            if tags.len() == MAX_ENTITY_TAGS || !opaque.bytes().all(is_tag_byte) {
                return None;
            }
            tags.push(EntityTag { weak, opaque: opaque.to_owned() });
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(more) => Some(more.trim_start()).filter(|more| !more.is_empty())?,
                None => Some(after).filter(|after| after.is_empty())?,
            };
        }
        (!tags.is_empty()).then_some(Self::Listed(tags))
    }

    /// Whether a current tag is meant, marks of weakness aside.
    pub fn matches_weakly(&self, current: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag.opaque == current),
        }
    }

    /// Whether a current tag is meant, byte for byte.
    pub fn matches_strongly(&self, current: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| !tag.weak && tag.opaque == current),
        }
    }
}

/// What stands in a tag: anything visible but the quote, and no control character.
fn is_tag_byte(byte: u8) -> bool {
    byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80
}

/// Whether a read finds what the client has already: `if-none-match`, weakly. An unreadable
/// header matches nothing, so that the answer is the whole object.
pub fn is_not_modified(headers: &RequestHeaders, current: &str) -> bool {
    let tags = headers.if_none_match.as_deref().and_then(EntityTags::parse);
    tags.is_some_and(|tags| tags.matches_weakly(current))
}

/// Whether a read's `if-match`, if any, holds, strongly.
pub fn is_expected_state(headers: &RequestHeaders, current: &str) -> bool {
    match headers.if_match.as_deref().map(EntityTags::parse) {
        None => true,
        Some(tags) => tags.is_some_and(|tags| tags.matches_strongly(current)),
    }
}

/// Whether `if-range`, if any, lets a range be served: one strong tag that is the current one.
/// Dates never match, since no answer carries `last-modified`.
pub fn allows_range(headers: &RequestHeaders, current: &str) -> bool {
    let Some(header) = headers.if_range.as_deref() else { return true };
    match EntityTags::parse(header) {
        Some(EntityTags::Listed(tags)) => {
            matches!(&tags[..], [only] if !only.weak && only.opaque == current)
        }
        Some(EntityTags::Any) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none_match(value: &str) -> RequestHeaders {
        RequestHeaders { if_none_match: Some(value.into()), ..RequestHeaders::default() }
    }

    #[test]
    fn a_read_is_not_modified_when_any_listed_tag_is_current() {
        for (header, hit) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("*", true),
            (" * ", true),
            ("\"x\", \"abc\"", true),
            ("\"x\",W/\"abc\" ,\"y\"", true),
            ("\"a,b\", \"abc\"", true),
            ("\"x\"", false),
            ("\"ABC\"", false),
            ("abc", false),
            ("\"abc", false),
            ("w/\"abc\"", false),
            ("\"abc\" \"x\"", false),
            ("\"abc\",", false),
            ("\"abc\",,\"x\"", false),
            ("\"abc\", *", false),
            ("", false),
            ("\"\"", false),
        ] {
            assert_eq!(is_not_modified(&none_match(header), "abc"), hit, "{header}");
        }
        assert!(!is_not_modified(&RequestHeaders::default(), "abc"));
    }

    #[test]
    fn an_expected_state_matches_strongly_only() {
        for (header, hit) in
            [("\"abc\"", true), ("*", true), ("W/\"abc\"", false), ("\"x\"", false), ("abc", false)]
        {
            let headers =
                RequestHeaders { if_match: Some(header.into()), ..RequestHeaders::default() };
            assert_eq!(is_expected_state(&headers, "abc"), hit, "{header}");
        }
        assert!(is_expected_state(&RequestHeaders::default(), "abc"));
    }

    #[test]
    fn a_range_is_allowed_for_the_one_current_strong_tag() {
        for (header, allowed) in [
            ("\"abc\"", true),
            ("W/\"abc\"", false),
            ("\"abc\", \"x\"", false),
            ("*", false),
            ("\"x\"", false),
            ("Sat, 21 Nov 2026 05:00:00 GMT", false),
        ] {
            let headers =
                RequestHeaders { if_range: Some(header.into()), ..RequestHeaders::default() };
            assert_eq!(allows_range(&headers, "abc"), allowed, "{header}");
        }
        assert!(allows_range(&RequestHeaders::default(), "abc"));
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let many = vec!["\"x\""; MAX_ENTITY_TAGS + 1].join(", ");
        assert_eq!(EntityTags::parse(&many), None);
        assert!(EntityTags::parse(&vec!["\"x\""; MAX_ENTITY_TAGS].join(",")).is_some());
    }
}
