//! Moves of a channel's pointer: by compare-and-swap, after everything it points to was checked.
//!
//! In scope: preconditions and what they come to. The check of signatures, growth and consistency
//! is the core's. What an attacker with a stolen token could try here: bring an old head back,
//! fork the log, point to what is not there, or race the publisher. The first two fail the core's
//! check, the third the look into the store, and of two racing moves one loses its swap.

use core::fmt;

use packice_core::trust::append::PointerMove;

use crate::conditional::EntityTags;
use crate::headers::RequestHeaders;
use crate::problem::{Problem, ProblemCode};

/// What a move expects of the pointer before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    if_match: Option<EntityTags>,
    if_none_match: Option<EntityTags>,
}

/// The state of a key that a write replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Nothing.
    Create,
    /// Exactly this.
    Replace {
        /// The entity tag, without quotes.
        etag: String,
    },
}

impl Precondition {
    /// Reads the precondition that a move must have.
    pub fn parse(headers: &RequestHeaders) -> Result<Self, Problem> {
        let read = |name: &str, value: &Option<String>| match value.as_deref() {
            None => Ok(None),
            Some(value) => EntityTags::parse(value).map(Some).ok_or_else(|| {
                let detail = format!("`{name}` is neither `*` nor a list of quoted entity tags");
                Problem::new(ProblemCode::BadRequest, detail)
            }),
        };
        let if_match = read("if-match", &headers.if_match)?;
        let if_none_match = read("if-none-match", &headers.if_none_match)?;
        if if_match.is_none() && if_none_match.is_none() {
            let detail = "send `if-match: \"<etag>\"` with the tag of the pointer that you read, \
                          or `if-none-match: *` for the first release of a channel";
            return Err(Problem::new(ProblemCode::PreconditionRequired, detail));
        }
        Ok(Self { if_match, if_none_match })
    }

    /// Checks the precondition against the pointer as it stands.
    pub fn check(&self, current: Option<&str>) -> Result<Swap, Problem> {
        let matched = match (&self.if_match, current) {
            (None, _) => true,
            (Some(tags), Some(current)) => tags.matches_strongly(current),
            (Some(_), None) => false,
        };
        let unmatched = match (&self.if_none_match, current) {
            (None, _) | (Some(_), None) => true,
            (Some(tags), Some(current)) => !tags.matches_weakly(current),
        };
        match (matched && unmatched, current) {
            (true, None) => Ok(Swap::Create),
            (true, Some(etag)) => Ok(Swap::Replace { etag: etag.to_owned() }),
            (false, _) => Err(lost(current)),
        }
    }
}

/// Where a pointer stands, as the store's metadata tell it.
///
/// Ordered by age: a trust root's new floor may take the log back to a smaller size, so the trust
/// root that the head state was made under comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PointerMark {
    /// The version of the trust root that the head state was made under.
    pub trust_root_version: u64,
    /// The size of the log.
    pub log_size: u64,
}

/// A pointer in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPointer {
    /// Its key.
    pub key: String,
    /// Where it stands.
    pub mark: PointerMark,
}

impl PointerMark {
    /// Where a move leads.
    pub fn of(moved: &PointerMove) -> Self {
        let trust_root_version = moved.head.trust_root_version;
        Self { trust_root_version, log_size: moved.size }
    }

    /// Reads `{trust root version}.{log size}`.
    pub fn parse(text: &str) -> Option<Self> {
        let (trust_root_version, log_size) = text.split_once('.')?;
        let trust_root_version = trust_root_version.parse().ok()?;
        Some(Self { trust_root_version, log_size: log_size.parse().ok()? })
    }
}

impl fmt::Display for PointerMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.trust_root_version, self.log_size)
    }
}

/// The dataset's newest pointer; the first by key among equals.
pub fn newest(pointers: Vec<StoredPointer>) -> Option<StoredPointer> {
    pointers.into_iter().reduce(|newest, other| match other.mark > newest.mark {
        true => other,
        false => newest,
    })
}

/// The refusal of a move that another one came before.
pub fn lost(current: Option<&str>) -> Problem {
    let stands = current.map_or_else(|| "is not there".into(), |etag| format!("is \"{etag}\""));
    let detail = format!(
        "the pointer {stands}: read it with `cache-control: no-cache`, build on what it says, \
         and try again"
    );
    Problem::new(ProblemCode::PreconditionFailed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn precondition(
        if_match: Option<&str>,
        if_none_match: Option<&str>,
    ) -> Result<Precondition, Problem> {
        Precondition::parse(&RequestHeaders {
            if_match: if_match.map(ToOwned::to_owned),
            if_none_match: if_none_match.map(ToOwned::to_owned),
            ..RequestHeaders::default()
        })
    }

    fn pointer(key: &str, mark: &str) -> StoredPointer {
        StoredPointer { key: key.into(), mark: PointerMark::parse(mark).expect("a mark") }
    }

    #[test]
    fn the_newest_pointer_stands_under_the_newest_trust_root_then_furthest_in_the_log() {
        let newest_of = |pointers: &[(&str, &str)]| {
            let pointers = pointers.iter().map(|(key, mark)| pointer(key, mark)).collect();
            newest(pointers).map(|newest| newest.key)
        };
        assert_eq!(newest_of(&[]), None);
        assert_eq!(newest_of(&[("a", "1.9"), ("b", "1.10")]).as_deref(), Some("b"));
        assert_eq!(newest_of(&[("a", "1.9"), ("b", "1.9")]).as_deref(), Some("a"));
        assert_eq!(newest_of(&[("a", "1.90"), ("b", "2.3")]).as_deref(), Some("b"));
    }

    #[test]
    fn a_mark_reads_back_what_it_writes() {
        for text in ["1.0", "3.18446744073709551615"] {
            assert_eq!(
                PointerMark::parse(text).map(|mark| mark.to_string()).as_deref(),
                Some(text)
            );
        }
        for text in ["", "1", "1.", ".1", "1.x", "1.2.3"] {
            assert_eq!(PointerMark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_move_needs_a_precondition_that_can_be_read() {
        let code = |if_match, if_none_match| {
            precondition(if_match, if_none_match).map_err(|problem| problem.code).err()
        };
        assert_eq!(code(None, None), Some(ProblemCode::PreconditionRequired));
        assert_eq!(code(Some("abc"), None), Some(ProblemCode::BadRequest));
        assert_eq!(code(None, Some("abc")), Some(ProblemCode::BadRequest));
        assert_eq!(code(Some("\"abc\""), None), None);
        assert_eq!(code(None, Some("*")), None);
    }

    #[test]
    fn a_move_replaces_exactly_the_state_that_it_expects() {
        let replaces_a = Swap::Replace { etag: "a".into() };
        for (if_match, if_none_match, current, swap) in [
            (Some("\"a\""), None, Some("a"), Some(&replaces_a)),
            (Some("\"b\", \"a\""), None, Some("a"), Some(&replaces_a)),
            (Some("*"), None, Some("a"), Some(&replaces_a)),
            (Some("\"b\""), None, Some("a"), None),
            (Some("W/\"a\""), None, Some("a"), None),
            (Some("\"a\""), None, None, None),
            (Some("*"), None, None, None),
            (None, Some("*"), None, Some(&Swap::Create)),
            (None, Some("*"), Some("a"), None),
            (None, Some("\"b\""), Some("a"), Some(&replaces_a)),
            (Some("*"), Some("*"), Some("a"), None),
            (Some("*"), Some("*"), None, None),
        ] {
            let checked = precondition(if_match, if_none_match).expect("readable").check(current);
            match swap {
                Some(swap) => assert_eq!(checked.as_ref(), Ok(swap)),
                None => {
                    let code = checked.expect_err("another state").code;
                    assert_eq!(code, ProblemCode::PreconditionFailed);
                }
            }
        }
    }
}
