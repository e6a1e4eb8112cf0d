//! Reads a collection back, record by record, and builds its tree again.
//!
//! The engine checks every frame up to the signed root as it reads. This checks the engine: the
//! records that came out, and only they, give that root again.

use packice_core::engine::io::{Answer, RangeQuery, Records};
use packice_core::format::manifest::Params;
use packice_core::tree::build::TreeBuilder;
use packice_core::types::Identity;

use super::host::Host;
use crate::failure::{Failure, Result};

/// Records of one page, and where the next begins.
pub struct Page {
    /// Keys and values.
    pub records: Records,
    /// Where the next page starts.
    pub next: Option<Vec<u8>>,
    /// The root that all pages are read from.
    pub root: Identity,
}

/// Reads a page, or says why there is none.
pub fn read_page(host: &mut Host, range: RangeQuery) -> Result<Page> {
    match host.range(range)? {
        Answer::Records { records, next, root, .. } => Ok(Page { records, next, root }),
        Answer::Unknown(reason) => Err(super::unknown(reason)),
        Answer::Present { .. } | Answer::Absent { .. } | Answer::Proof { .. } => {
            Err(Failure::internal("the engine answers another question"))
        }
    }
}

/// What a collection must be.
pub struct Expected<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its tree is cut.
    pub params: Params,
    /// Its root.
    pub root: Identity,
    /// Its records.
    pub records: u64,
}

/// Reads all of a collection and compares; `progress` hears the records so far.
pub fn audit(host: &mut Host, expected: &Expected<'_>, progress: &dyn Fn(u64)) -> Result<()> {
    let mut builder = TreeBuilder::new(expected.params)?;
    let mut start = Vec::new();
    let mut at = None;
    loop {
        let query = RangeQuery {
            collection: expected.name.to_owned(),
            start,
            end: None,
            limit: usize::MAX,
            at,
        };
        let page = read_page(host, query)?;
        for (key, value) in page.records.iter() {
            builder.push(key, value)?;
        }
        progress(builder.records());
        at = Some(page.root);
        match page.next {
            Some(next) => start = next,
            None => break,
        }
    }
    let (_, tree) = builder.finish()?;
    let (root, records) = (tree.info.root, tree.info.records);
    if root != expected.root || records != expected.records {
        return Err(Failure::verification(format!(
            "collection '{}': {records} records with root {root} were read back, {} with root {} \
             are signed",
            expected.name, expected.records, expected.root,
        )));
    }
    Ok(())
}
