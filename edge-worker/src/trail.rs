//! The trail of a dataset: who asked for which pointer to be moved, and what came of it.
//!
//! Rows are kept by the dataset's pointer object and read by its publishers at `trail`, oldest
//! first. In scope: a row, and the page of rows. A row holds nothing that its reader could not
//! have sent: a key, a channel, the name of the bootstrap, and the edge's own words.

use serde_json::{Value, json};

use crate::problem::ProblemCode;

/// Most rows of one page.
pub const PAGE_ROWS: u64 = 200;
/// Rows that are kept for each dataset; the oldest go.
pub const KEPT_ROWS: u64 = 20_000;

/// What came of a request to move a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It moved.
    Moved,
    /// It moved, by an object that was started again after it broke off.
    Recovered,
    /// Another move came before.
    Lost,
    /// A check failed.
    Refused,
}

impl Outcome {
    /// What a problem comes to; none where nothing was decided about the move.
    pub fn of(problem: ProblemCode) -> Option<Self> {
        if problem == ProblemCode::PreconditionFailed {
            return Some(Self::Lost);
        }
        let refused = [ProblemCode::CheckFailed, ProblemCode::Conflict].contains(&problem);
        refused.then_some(Self::Refused)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Recovered => "recovered",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its number, from 1 on.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The publish key in hex, or `cron`.
    pub who: String,
    /// The channel.
    pub channel: String,
    /// BLAKE3 of the bootstrap.
    pub bootstrap: String,
    /// Where it stands: `{trust root version}.{log size}`; empty where it was not read.
    pub mark: String,
    /// What came of it.
    pub outcome: String,
    /// The code of the check that failed, or empty.
    pub reason: String,
}

/// The page of rows after a number, as JSON.
pub fn page(rows: &[Row], after: u64) -> Value {
    let next = rows.last().map_or(after, |row| row.seq);
    let one = |row: &Row| {
        let mut shown = json!({
            "seq": row.seq,
            "at_ms": row.at_ms,
            "who": row.who,
            "channel": row.channel,
            "bootstrap": row.bootstrap,
            "outcome": row.outcome,
        });
        let (root, size) = row.mark.split_once('.').unwrap_or_default();
        let number = |text: &str| text.parse::<u64>().ok();
        if let (Some(root), Some(size), Some(fields)) =
            (number(root), number(size), shown.as_object_mut())
        {
            fields.insert("trust_root".into(), root.into());
            fields.insert("log_size".into(), size.into());
        }
        if let (false, Some(fields)) = (row.reason.is_empty(), shown.as_object_mut()) {
            fields.insert("reason".into(), row.reason.as_str().into());
        }
        shown
    };
    json!({ "rows": rows.iter().map(one).collect::<Vec<_>>(), "next": next })
}

/// The number that a query `after={n}` names; 0 without one, `None` for anything else.
pub fn after(query: &str) -> Option<u64> {
    match query {
        "" => Some(0),
        _ => query.strip_prefix("after=")?.parse().ok().filter(|after| *after < 1 << 53),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_what_is_known_of_each_row() {
        let row = Row {
            seq: 7,
            at_ms: 5,
            who: "cron".into(),
            channel: "stable".into(),
            bootstrap: "ab".into(),
            mark: "2.31".into(),
            outcome: Outcome::Moved.as_str().into(),
            reason: String::new(),
        };
        let refused = Row { seq: 8, mark: String::new(), reason: "x/y".into(), ..row.clone() };
        let page = page(&[row, refused], 6);
        assert_eq!(page["next"], 8);
        assert_eq!(page["rows"][0]["log_size"], 31);
        assert_eq!(page["rows"][0]["reason"], Value::Null);
        assert_eq!(page["rows"][1]["reason"], "x/y");
        assert_eq!(page["rows"][1]["trust_root"], Value::Null);
        assert_eq!(super::page(&[], 6), json!({ "rows": [], "next": 6 }));
    }

    #[test]
    fn a_query_names_a_row_or_none() {
        assert_eq!(after(""), Some(0));
        assert_eq!(after("after=12"), Some(12));
        for query in
            ["after=", "after=-1", "after=x", "before=1", "after=1&x=2", "after=9007199254740992"]
        {
            assert_eq!(after(query), None, "{query}");
        }
    }
}
