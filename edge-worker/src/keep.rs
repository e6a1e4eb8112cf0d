//! Retention: what publishers ask of the keeper of a data set (docs/spec/retention.md).
//!
//! In scope: the questions, read from JSON within bounds, and how the keeper's rows are written.
//! Out of scope: the rules, which are `packice_core::keep`'s, and the rows' place
//! (`shell::durable::keeper`). Whoever asks may publish; what that allows is bounded by the rules.

use packice_core::keep::keeper::{Row, Rules};
use packice_core::types::{Millis, ObjectKind, WireName};
use serde_json::{Value, json};

use crate::problem::{Problem, ProblemCode};

/// Longest body of a question.
pub const MAX_BODY_LEN: usize = 256 * 1024;
/// Most objects of a question that costs the store nothing.
pub const MAX_KEYS: usize = 1000;
/// Most objects of one that asks the store about each.
pub const MAX_STORE_KEYS: usize = 100;
/// Most rows or objects of one answer.
pub const PAGE: u32 = 1000;
/// Longest cursor.
const MAX_CURSOR_LEN: usize = 1024;

/// Which question a path asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// What is there?
    List,
    /// Which marks are set?
    Rows,
    /// I rely on these: which of them are there?
    Claim,
    /// Nothing needs these; something needs those.
    Condemn,
    /// Remove what may go.
    Remove,
}

/// An object.
pub type Key = (ObjectKind, WireName);

/// A question with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The objects after a cursor.
    List {
        /// What the answer before ended with.
        cursor: Option<String>,
    },
    /// The rows after a key.
    Rows {
        /// What the answer before ended with.
        after: String,
    },
    /// Objects that the asker relies on.
    Claim {
        /// The objects.
        keys: Vec<Key>,
    },
    /// The end of a mark.
    Condemn {
        /// When the asker began to look.
        seen: Millis,
        /// What nothing needs, and how long it stays by promise.
        unneeded: Vec<(Key, u64)>,
        /// What something needs after all.
        needed: Vec<Key>,
    },
    /// The sweep.
    Remove {
        /// When the asker began to look.
        seen: Millis,
        /// The objects.
        keys: Vec<Key>,
    },
}

impl Asked {
    /// Reads a question's body.
    pub fn parse(question: Question, body: &[u8]) -> Result<Self, Problem> {
        let body: Value = match body {
            b"" => json!({}),
            body => serde_json::from_slice(body).map_err(|_| bad("the body is not JSON"))?,
        };
        let text = |field: &str| body[field].as_str().filter(|text| text.len() <= MAX_CURSOR_LEN);
        let seen = || {
            let seen = body["seen_ms"].as_u64();
            seen.map(Millis).ok_or_else(|| bad("`seen_ms` is when you began to look"))
        };
        Ok(match question {
            Question::List => Self::List { cursor: text("cursor").map(str::to_owned) },
            Question::Rows => Self::Rows { after: text("after").unwrap_or_default().to_owned() },
            Question::Claim => Self::Claim { keys: keys(&body["objects"], MAX_STORE_KEYS)? },
            Question::Condemn => Self::Condemn {
                seen: seen()?,
                unneeded: kept(&body["unneeded"])?,
                needed: keys(&body["needed"], MAX_KEYS)?,
            },
            Question::Remove => {
                Self::Remove { seen: seen()?, keys: keys(&body["objects"], MAX_STORE_KEYS)? }
            }
        })
    }
}

/// An object as `{kind}/{name}`, as it stands in URLs.
pub fn key_text((kind, name): &Key) -> String {
    format!("{}/{name}", kind.as_str())
}

/// The object of such a text.
pub fn parse_key(text: &str) -> Option<Key> {
    let (kind, name) = text.split_once('/')?;
    Some((ObjectKind::from_segment(kind)?, WireName::from_hex(name)?))
}

fn keys(list: &Value, most: usize) -> Result<Vec<Key>, Problem> {
    let list = bounded(list, most)?;
    list.iter().map(|text| text.as_str().and_then(parse_key).ok_or_else(no_object)).collect()
}

fn kept(list: &Value) -> Result<Vec<(Key, u64)>, Problem> {
    let entry = |pair: &Value| {
        let key = parse_key(pair[0].as_str()?)?;
        Some((key, pair[1].as_u64().filter(|keep_ms| *keep_ms <= MAX_KEEP_MS)?))
    };
    bounded(list, MAX_KEYS)?.iter().map(|pair| entry(pair).ok_or_else(no_object)).collect()
}

/// A century: what JSON and the rows hold exactly.
const MAX_KEEP_MS: u64 = 100 * 366 * 86_400_000;

fn bounded(list: &Value, most: usize) -> Result<&[Value], Problem> {
    match list {
        Value::Null => Ok(&[]),
        Value::Array(list) if list.len() <= most => Ok(list),
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            Err(bad(&format!("a list of at most {most} objects is taken at once")))
        }
    }
}

fn no_object() -> Problem {
    bad("an object is written `{kind}/{name}`, with the kind and the name of its URL")
}

fn bad(detail: &str) -> Problem {
    Problem::new(ProblemCode::BadRequest, detail)
}

/// The refusal of a collection that may not have seen every release.
pub fn overtaken() -> Problem {
    let detail = "a release was begun since you began to look, or shortly before: begin again";
    Problem::new(ProblemCode::Conflict, detail)
}

/// The refusal to rely on what is being removed.
pub fn leaving() -> Problem {
    let detail = "the object is being removed: send it again after that";
    Problem::new(ProblemCode::StoreUnavailable, detail)
}

/// The rules, with times in seconds as the deployment says them: `{grace}/{move}/{leave}`. A grace
/// that does not outlast the others four times, or anything else that makes no sense, changes
/// nothing.
pub fn rules(text: &str) -> Rules {
    /// A year.
    const MAX_S: u64 = 366 * 86_400;
    let times: Vec<u64> = text.split('/').filter_map(|part| part.trim().parse().ok()).collect();
    match times.as_slice() {
        [grace, moves, leave]
            if *grace <= MAX_S && *moves > 0 && *leave > 0 && *grace / 4 >= *moves.max(leave) =>
        {
            Rules { grace_ms: grace * 1000, move_ms: moves * 1000, leave_ms: leave * 1000 }
        }
        _ => Rules::default(),
    }
}

/// A row for who asks.
pub fn shown(object: &str, row: &Row) -> Value {
    match row {
        Row::Condemned { since, keep_ms } => {
            json!({ "object": object, "since_ms": since.0, "keep_ms": keep_ms })
        }
        Row::Leaving { since } => json!({ "object": object, "leaving_ms": since.0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(digit: &str) -> String {
        format!("bundle/{}", digit.repeat(64))
    }

    fn ask(question: Question, body: &Value) -> Result<Asked, u16> {
        let asked = Asked::parse(question, body.to_string().as_bytes());
        asked.map_err(|problem| problem.code.status())
    }

    #[test]
    fn a_question_is_read_and_its_bounds_are_held() {
        let key = (ObjectKind::Bundle, WireName([0x11; 32]));
        assert_eq!(parse_key(&name("1")), Some(key));
        assert_eq!(key_text(&key), name("1"));
        let claim = ask(Question::Claim, &json!({ "objects": [name("1")] }));
        assert_eq!(claim, Ok(Asked::Claim { keys: vec![key] }));
        let many = vec![name("1"); MAX_STORE_KEYS + 1];
        assert_eq!(ask(Question::Claim, &json!({ "objects": many })), Err(400));
        let condemn = json!({ "seen_ms": 5, "unneeded": [[name("1"), 7]], "needed": [name("1")] });
        let condemned =
            Asked::Condemn { seen: Millis(5), unneeded: vec![(key, 7)], needed: vec![key] };
        assert_eq!(ask(Question::Condemn, &condemn), Ok(condemned));
        assert_eq!(Asked::parse(Question::List, b""), Ok(Asked::List { cursor: None }));
    }

    #[test]
    fn what_is_no_question_is_refused() {
        for body in [
            json!({ "objects": ["bundle/xyz"] }),
            json!({ "objects": [name("1").to_uppercase()] }),
            json!({ "objects": ["../1"] }),
            json!({ "objects": 7 }),
            json!({ "objects": [[name("1")]] }),
        ] {
            assert_eq!(ask(Question::Claim, &body), Err(400), "{body}");
        }
        assert_eq!(ask(Question::Remove, &json!({ "objects": [] })), Err(400), "no time");
        let unbounded = json!({ "seen_ms": 1, "unneeded": [[name("1"), u64::MAX]] });
        assert_eq!(ask(Question::Condemn, &unbounded), Err(400));
        assert!(Asked::parse(Question::List, b"{").is_err());
    }

    #[test]
    fn the_rules_are_three_times_of_which_the_grace_is_the_longest() {
        let short = Rules { grace_ms: 4000, move_ms: 1000, leave_ms: 1000 };
        assert_eq!(rules("4/1/1"), short);
        for text in ["", "3/1/1", "100/0/1", "100/1/26", "86400", "1/2/3/4", "-4/1/1"] {
            assert_eq!(rules(text), Rules::default(), "{text:?}");
        }
    }
}
