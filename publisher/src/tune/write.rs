//! Changes packice.toml by a suggestion, and leaves everything else in it as it is.

use toml_edit::{DocumentMut, Item, value};

use super::Tuning;
use crate::failure::{Failure, Result};

/// The configuration's text with the suggestions in their collections.
pub fn rewrite(text: &str, tunings: &[Tuning]) -> Result<String> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| Failure::usage(error.to_string()))?;
    let no_collections = || Failure::internal("the configuration has no [[collection]]");
    let tables = document
        .get_mut("collection")
        .and_then(Item::as_array_of_tables_mut)
        .ok_or_else(no_collections)?;
    for tuning in tunings {
        let table = tables
            .iter_mut()
            .find(|table| table.get("name").and_then(Item::as_str) == Some(&tuning.name))
            .ok_or_else(no_collections)?;
        for (field, text) in tuning.fields() {
            table[field] = value(text);
        }
    }
    Ok(document.to_string())
}

impl Tuning {
    /// The suggestion as fields of a `[[collection]]`.
    pub fn fields(&self) -> [(&'static str, String); 3] {
        let row = &self.rows[self.suggested];
        let size = |bytes: u32| format!("{} KiB", bytes >> 10);
        let dictionary = match row.dictionary_bytes.div_ceil(1024) {
            0 => "none".to_owned(),
            kib => format!("{kib} KiB"),
        };
        [
            ("leaf_target", size(row.leaf_target)),
            ("frame_target", size(row.frame_target)),
            ("dictionary", dictionary),
        ]
    }
}
