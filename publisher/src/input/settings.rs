//! The fields of a `[[collection]]` that say where its records come from, and their check.

use std::path::Path;

use super::sqlite::From as Rows;
use super::{CsvFormat, Format, Input, Place, Select};
use crate::failure::{Failure, Result};
use crate::mapping::Mapping;

/// What the configuration says of an input.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Settings {
    /// A path, or `-`.
    pub input: String,
    /// `jsonl`, `csv`, `sqlite` or `directory`; by the name where left out.
    pub format: Option<String>,
    /// The key template.
    pub key: Option<String>,
    /// The value rule.
    pub value: Option<String>,
    /// Whether the value is a text's bytes.
    pub value_text: bool,
    /// Columns that hold JSON.
    pub json: Vec<String>,
    /// The columns of a CSV file that does not begin with their names.
    pub columns: Option<Vec<String>>,
    /// What stands between the cells of a CSV file.
    pub delimiter: Option<String>,
    /// A table of a database.
    pub table: Option<String>,
    /// A SELECT on a database.
    pub query: Option<String>,
}

/// The formats as they are written.
const NAMES: &str = "jsonl, csv, sqlite or directory";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    JsonLines,
    Csv,
    Sqlite,
    Directory,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        match name {
            "jsonl" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            "sqlite" => Some(Self::Sqlite),
            "directory" => Some(Self::Directory),
            _ => None,
        }
    }

    fn of_path(given: &str, path: &Path) -> Option<Self> {
        if given.ends_with('/') || path.is_dir() {
            return Some(Self::Directory);
        }
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            "csv" | "tsv" => Some(Self::Csv),
            "sqlite" | "sqlite3" | "db" => Some(Self::Sqlite),
            _ => None,
        }
    }
}

impl Settings {
    /// Checks an input; relative paths start at `dir`.
    pub fn check(&self, dir: &Path) -> Result<Input> {
        if self.input.is_empty() {
            let message = "field 'input': names nothing";
            return Err(Failure::usage(message).next("name a file, a directory, or \"-\""));
        }
        let path = dir.join(&self.input);
        let is_stdin = self.input == "-";
        let kind = match &self.format {
            Some(name) => Kind::named(name).ok_or_else(|| {
                Failure::usage(format!("field 'format': '{name}' is not {NAMES}"))
            })?,
            None if is_stdin => {
                return Err(Failure::usage("field 'format': missing, and \"-\" does not tell it")
                    .next("write format = \"jsonl\" or format = \"csv\""));
            }
            None => Kind::of_path(&self.input, &path).ok_or_else(|| {
                let message = format!("field 'format': '{}' does not tell it", self.input);
                Failure::usage(message).next(format!("write format = one of {NAMES}"))
            })?,
        };
        if is_stdin && matches!(kind, Kind::Sqlite | Kind::Directory) {
            let message = "field 'input': \"-\" can be jsonl or csv only";
            return Err(Failure::usage(message));
        }
        self.refuse_others(kind)?;
        let format = match kind {
            Kind::JsonLines => Format::JsonLines(self.mapping()?),
            Kind::Csv => Format::Csv(self.csv(&path)?, self.column_mapping()?),
            Kind::Sqlite => Format::Sqlite(self.select()?, self.column_mapping()?),
            Kind::Directory => Format::Directory,
        };
        let place = if is_stdin { Place::Stdin } else { Place::Path(path) };
        Ok(Input { place, format })
    }

    /// A field that the format has no use for is a misunderstanding.
    fn refuse_others(&self, kind: Kind) -> Result<()> {
        let maps = &[Kind::JsonLines, Kind::Csv, Kind::Sqlite][..];
        let columns = &[Kind::Csv, Kind::Sqlite][..];
        let fields = [
            ("key", self.key.is_some(), maps),
            ("value", self.value.is_some(), maps),
            ("value_text", self.value_text, maps),
            ("json", !self.json.is_empty(), columns),
            ("columns", self.columns.is_some(), &[Kind::Csv]),
            ("delimiter", self.delimiter.is_some(), &[Kind::Csv]),
            ("table", self.table.is_some(), &[Kind::Sqlite]),
            ("query", self.query.is_some(), &[Kind::Sqlite]),
        ];
        let stray = fields.iter().find(|(_, given, kinds)| *given && !kinds.contains(&kind));
        let Some((field, _, _)) = stray else { return Ok(()) };
        let what = match kind {
            Kind::JsonLines => "JSON lines have",
            Kind::Csv => "CSV has",
            Kind::Sqlite => "SQLite has",
            Kind::Directory => "a directory, whose keys are its paths, has",
        };
        Err(Failure::usage(format!("field '{field}': {what} no use for it"))
            .next("remove it, or set 'format'"))
    }

    fn mapping(&self) -> Result<Mapping> {
        let key = self.key.as_deref().ok_or_else(|| {
            Failure::usage("field 'key': missing").next("write one such as \"{chainId}/{address}\"")
        })?;
        Mapping::new(key, self.value.as_deref().unwrap_or("*"), self.value_text)
    }

    /// A mapping of columns: only those that hold JSON have fields inside.
    fn column_mapping(&self) -> Result<Mapping> {
        let mapping = self.mapping()?;
        for path in mapping.paths() {
            let column = &path[0];
            if path.len() > 1 && !self.json.contains(column) {
                let path = path.join(".");
                let message = format!("field 'json': '{path}' looks into column '{column}'");
                return Err(Failure::usage(message).next(format!("write json = [\"{column}\"]")));
            }
        }
        Ok(mapping)
    }

    fn csv(&self, path: &Path) -> Result<CsvFormat> {
        let is_tsv = path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("tsv"));
        let delimiter = match self.delimiter.as_deref().map(str::as_bytes) {
            None if is_tsv => b'\t',
            None => b',',
            Some([byte]) if byte.is_ascii() && !b"\"\r\n".contains(byte) => *byte,
            Some(_) => {
                let message = "field 'delimiter': not one ASCII character";
                return Err(Failure::usage(message).next("write one such as \";\" or \"\\t\""));
            }
        };
        Ok(CsvFormat { delimiter, columns: self.columns.clone(), json: self.json.clone() })
    }

    fn select(&self) -> Result<Select> {
        let from = match (&self.table, &self.query) {
            (Some(table), None) => Rows::Table(table.clone()),
            (None, Some(query)) => Rows::Query(query.clone()),
            (None, None) => {
                return Err(Failure::usage("field 'table': missing")
                    .next("name a table, or write a SELECT as 'query'"));
            }
            (Some(_), Some(_)) => {
                return Err(Failure::usage("field 'query': there is a 'table' too")
                    .next("keep one of them"));
            }
        };
        Ok(Select { from, json: self.json.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).expect("settings")
    }

    fn refused(text: &str) -> String {
        settings(text).check(Path::new("p")).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_format_is_told_by_the_name_or_by_itself() {
        let format = |text: &str| {
            let key = "key = \"{k}\"";
            let text = if text.contains('/') { text.to_owned() } else { format!("{text}\n{key}") };
            match settings(&text).check(Path::new("p")).expect("good").format {
                Format::JsonLines(_) => "jsonl".to_owned(),
                Format::Csv(csv, _) => format!("csv {:?}", char::from(csv.delimiter)),
                Format::Sqlite(select, _) => format!("{:?}", select.from),
                Format::Directory => "directory".to_owned(),
            }
        };
        assert_eq!(format("input = \"a.jsonl\""), "jsonl");
        assert_eq!(format("input = \"a.NDJSON\""), "jsonl");
        assert_eq!(format("input = \"a.csv\""), "csv ','");
        assert_eq!(format("input = \"a.tsv\""), "csv '\\t'");
        assert_eq!(format("input = \"a.csv\"\ndelimiter = \";\""), "csv ';'");
        assert_eq!(format("input = \"a.db\"\ntable = \"t\""), "Table(\"t\")");
        assert_eq!(format("input = \"a.sqlite\"\nquery = \"SELECT 1\""), "Query(\"SELECT 1\")");
        assert_eq!(format("input = \"files/\""), "directory");
        assert_eq!(format("input = \"-\"\nformat = \"csv\""), "csv ','");
        assert_eq!(format("input = \"a.txt\"\nformat = \"jsonl\""), "jsonl");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_field() {
        for (text, expected) in [
            ("input = \"\"", "field 'input'"),
            ("input = \"a.txt\"\nkey = \"{k}\"", "field 'format': 'a.txt' does not tell it"),
            ("input = \"-\"\nkey = \"{k}\"", "field 'format'"),
            ("input = \"-\"\nformat = \"sqlite\"", "field 'input'"),
            ("input = \"a\"\nformat = \"xml\"", "'xml' is not jsonl, csv, sqlite or directory"),
            ("input = \"a.csv\"", "field 'key': missing"),
            ("input = \"a.csv\"\nkey = \"{k}\"\ntable = \"t\"", "field 'table': CSV has no use"),
            ("input = \"a.jsonl\"\nkey = \"{k}\"\njson = [\"a\"]", "field 'json'"),
            ("input = \"a/\"\nkey = \"{k}\"", "field 'key': a directory"),
            ("input = \"a.csv\"\nkey = \"{k}\"\ndelimiter = \"ab\"", "field 'delimiter'"),
            ("input = \"a.csv\"\nkey = \"{a.b}\"", "field 'json': 'a.b' looks into column 'a'"),
            ("input = \"a.db\"\nkey = \"{k}\"", "field 'table': missing"),
            ("input = \"a.db\"\nkey = \"{k}\"\ntable = \"t\"\nquery = \"q\"", "field 'query'"),
        ] {
            let said = refused(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
