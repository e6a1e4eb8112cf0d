//! Licences and sources of dependencies against deny.toml: by `cargo deny` where it is
//! installed, else by the subset of its rules that is checked here.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use toml::Value;

use super::Findings;
use super::metadata::Metadata;
use crate::shop::Shop;
use crate::step;

/// Every dependency has an allowed licence, comes from an allowed place, and is not banned.
pub(super) fn check(shop: &Shop, metadata: &Metadata) -> Findings {
    let deny = shop.cargo().args(["deny", "--version"]).output();
    if deny.is_ok_and(|out| out.status.success()) {
        let mut cargo = shop.cargo();
        cargo.args(["deny", "--offline", "--locked", "--workspace", "check"]);
        cargo.args(["--hide-inclusion-graph", "bans", "licenses", "sources"]);
        return Ok(step::run(&mut cargo).err().map(|e| format!("{e:#}")).into_iter().collect());
    }
    built_in(shop, metadata)
}

/// Cargo's default registry: where anyhow, which names no other, comes from.
fn default_registry(metadata: &Metadata) -> Option<&String> {
    let anyhow = metadata.packages.iter().find(|package| package.name == "anyhow")?;
    anyhow.source.as_ref().filter(|source| source.starts_with("registry+"))
}

fn built_in(shop: &Shop, metadata: &Metadata) -> Findings {
    let text = std::fs::read_to_string(shop.path("deny.toml")).context("deny.toml is missing")?;
    let config: toml::Table = text.parse().context("deny.toml is not TOML")?;
    let allowed: BTreeSet<_> = names(config.get("licenses"), "allow").into_iter().collect();
    let banned: BTreeSet<_> = names(config.get("bans"), "deny").into_iter().collect();
    let exceptions = exceptions(&config);
    let mut findings = Vec::new();
    let registry = default_registry(metadata);
    if registry.is_none() {
        findings.push("anyhow, by which the default registry is known, is not there".into());
    }
    for package in &metadata.packages {
        let Some(source) = &package.source else { continue };
        let shown = format!("{} {}", package.name, package.version);
        if Some(source) != registry {
            findings.push(format!("{shown} comes from {source}"));
        }
        if banned.contains(package.name.as_str()) {
            findings.push(format!("{shown} is banned by deny.toml"));
        }
        let fine = |id: &str| {
            allowed.contains(id) || exceptions.iter().any(|(n, l)| *n == package.name && l == id)
        };
        match &package.license {
            None => findings.push(format!("{shown} names no licence")),
            Some(spdx) => match Expression::parse(spdx).map(|e| e.allowed(&fine)) {
                Ok(true) => {}
                Ok(false) => findings.push(format!("{shown}: {spdx} is not allowed")),
                Err(error) => findings.push(format!("{shown}: {error:#}")),
            },
        }
    }
    Ok(findings)
}

/// The strings (or the `name`/`crate` fields of tables) of a list.
fn names(section: Option<&Value>, key: &str) -> Vec<String> {
    let list = section.and_then(|section| section.get(key)).and_then(Value::as_array);
    let name = |item: &Value| {
        let named = item.get("crate").or_else(|| item.get("name"));
        item.as_str().or_else(|| named.and_then(Value::as_str)).map(str::to_owned)
    };
    list.into_iter().flatten().filter_map(name).collect()
}

/// `[[licenses.exceptions]]`: a crate and a licence that it alone may have.
fn exceptions(config: &toml::Table) -> Vec<(String, String)> {
    let list = config.get("licenses").and_then(|l| l.get("exceptions")).and_then(Value::as_array);
    let mut pairs = Vec::new();
    for item in list.into_iter().flatten() {
        let name = item.get("crate").or_else(|| item.get("name")).and_then(Value::as_str);
        for id in names(Some(item), "allow") {
            pairs.push((name.unwrap_or_default().to_owned(), id));
        }
    }
    pairs
}

/// An SPDX licence expression.
enum Expression {
    Id(String),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Expression {
    fn parse(text: &str) -> Result<Self> {
        // `/` is how `OR` was written before SPDX expressions.
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
        let whole = Self::any(&mut words)?;
        anyhow::ensure!(words.is_empty(), "licence {text:?} is not an SPDX expression");
        Ok(whole)
    }

    fn any(words: &mut Vec<&str>) -> Result<Self> {
        let mut parts = vec![Self::all(words)?];
        while words.pop_if(|word| *word == "OR").is_some() {
            parts.push(Self::all(words)?);
        }
        Ok(Self::Any(parts))
    }

    fn all(words: &mut Vec<&str>) -> Result<Self> {
        let mut parts = vec![Self::one(words)?];
        while words.pop_if(|word| *word == "AND").is_some() {
            parts.push(Self::one(words)?);
        }
        Ok(Self::All(parts))
    }

    fn one(words: &mut Vec<&str>) -> Result<Self> {
        let word = words.pop().context("a licence expression ends too early")?;
        if word == "(" {
            let inner = Self::any(words)?;
            words.pop_if(|word| *word == ")").context("a licence expression lacks a `)`")?;
            return Ok(inner);
        }
        let mut id = word.to_owned();
        if words.pop_if(|word| *word == "WITH").is_some() {
            id = format!("{id} WITH {}", words.pop().context("WITH what?")?);
        }
        Ok(Self::Id(id))
    }

    fn allowed(&self, fine: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Id(id) => fine(id),
            Self::All(parts) => parts.iter().all(|part| part.allowed(fine)),
            Self::Any(parts) => parts.iter().any(|part| part.allowed(fine)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Expression;

    #[test]
    fn one_allowed_choice_is_enough_and_all_parts_are_needed() {
        let fine = |id: &str| matches!(id, "MIT" | "Unicode-3.0" | "Apache-2.0");
        let allowed = |text| Expression::parse(text).is_ok_and(|e| e.allowed(&fine));
        assert!(allowed("MIT OR GPL-3.0"));
        assert!(allowed("GPL-3.0/MIT"));
        assert!(allowed("(MIT OR GPL-3.0) AND Unicode-3.0"));
        assert!(!allowed("MIT AND GPL-3.0"));
        assert!(!allowed("Apache-2.0 WITH LLVM-exception"));
        assert!(Expression::parse("(MIT").is_err());
    }
}
