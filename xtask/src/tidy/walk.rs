//! The walk through the code in docs/ARCHITECTURE.md: each "`file.rs` · `function`" must be there.

use anyhow::Context;

use super::Findings;
use super::metadata::Metadata;
use crate::shop::Shop;

const PAGE: &str = "docs/ARCHITECTURE.md";

/// Fewer steps than this mean that the page's form changed and the check looks at nothing.
const LEAST_STEPS: usize = 20;

/// Every function that the page names is in the file that it names.
pub(super) fn steps(shop: &Shop, _: &Metadata) -> Findings {
    let page = std::fs::read_to_string(shop.root.join(PAGE)).context(PAGE)?;
    let steps = places(&page);
    let mut findings = Vec::new();
    if steps.len() < LEAST_STEPS {
        findings.push(format!("{PAGE} names {} places, not {LEAST_STEPS} or more", steps.len()));
    }
    for (file, symbol) in steps {
        let function = symbol.rsplit("::").next().unwrap_or(&symbol);
        match std::fs::read_to_string(shop.root.join(&file)) {
            Ok(code) if has_function(&code, function) => {}
            Ok(_) => findings.push(format!("{PAGE}: {file} has no function {function}")),
            Err(_) => findings.push(format!("{PAGE}: there is no {file}")),
        }
    }
    Ok(findings)
}

/// The pairs of a file and a function, in the page's order. Lines may break between the two.
fn places(page: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = page.split_whitespace().collect();
    let code = |word: &str| {
        let (text, _) = word.strip_prefix('`')?.split_once('`')?;
        Some(text.to_owned())
    };
    words
        .windows(3)
        .filter(|window| window[1] == "·")
        .filter_map(|window| Some((code(window[0])?, code(window[2])?)))
        .collect()
}

fn has_function(code: &str, name: &str) -> bool {
    let opening = format!("fn {name}");
    code.match_indices(&opening).any(|(at, _)| {
        let next = code[at + opening.len()..].chars().next();
        matches!(next, Some('(' | '<'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_across_a_line_break() {
        let page = "by `a/b.rs` ·\n `Thing::go`; then `c.rs` · `stop`. And `d.rs`, `other`.";
        let pair = |file: &str, symbol: &str| (file.to_owned(), symbol.to_owned());
        assert_eq!(places(page), [pair("a/b.rs", "Thing::go"), pair("c.rs", "stop")]);
    }

    #[test]
    fn a_function_is_found_by_its_whole_name() {
        assert!(has_function("pub fn go(&self)", "go") && has_function("fn go<T>()", "go"));
        assert!(!has_function("fn going()", "go"));
    }
}
