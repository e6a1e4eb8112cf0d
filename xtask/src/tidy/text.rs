//! Reading Rust sources as text, well enough for the checks: without comments, strings' content
//! and the test modules at the end of files.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::stamp::files_under;

/// The code of a file with comments and string contents blanked out. Line numbers stay.
pub(crate) fn code(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let bytes = source.as_bytes();
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(len) = raw_string(rest, at.checked_sub(1).map(|i| bytes[i])) {
            len
        } else if rest.starts_with('"') {
            string(rest)
        } else if let Some(len) = char_literal(rest) {
            len
        } else {
            let len = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..len]);
            at += len;
            continue;
        };
        out.extend(rest[..len].chars().filter(|c| *c == '\n'));
        out.push(' ');
        at += len;
    }
    out
}

/// The code without its test module: everything before `#[cfg(test)]` on an inline `mod`.
fn without_tests(code: &str) -> &str {
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let rest = code[from + found + "#[cfg(test)]".len()..].trim_start();
        let head = rest.lines().next().unwrap_or_default();
        if head.contains("mod ") && head.trim_end().ends_with('{') {
            return &code[..from + found];
        }
        from += found + 1;
    }
    code
}

/// The modules that a file declares for tests alone: `#[cfg(test)] mod oracle;`.
fn test_modules(code: &str) -> Vec<&str> {
    let heads = code.split("#[cfg(test)]").skip(1).filter_map(|rest| {
        let (head, _) = rest.split_once(';')?;
        let (_, name) = head.rsplit_once("mod ")?;
        Some(name.trim()).filter(|name| ident(name) == *name)
    });
    heads.collect()
}

/// A source file with its path below `src`, and its code without tests.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) code: String,
}

/// The code of a crate as it ships: every file below `src` that is not for tests alone.
pub(crate) fn shipped(src: &Path) -> Result<Vec<Source>> {
    let (mut sources, mut tests) = (Vec::new(), Vec::new());
    for file in files_under(src)? {
        if file.extension().is_none_or(|suffix| suffix != "rs") {
            continue;
        }
        let path = file.strip_prefix(src)?.to_path_buf();
        let code = code(&std::fs::read_to_string(&file)?);
        // `a/mod.rs` and `a.rs` declare `a/b.rs`; `lib.rs` declares `b.rs`.
        let stem = path.file_stem().is_some_and(|stem| stem == "mod" || stem == "lib");
        let dir = if stem { path.with_file_name("") } else { path.with_extension("") };
        tests.extend(test_modules(&code).into_iter().map(|name| dir.join(name)));
        sources.push(Source { path, code: without_tests(&code).to_owned() });
    }
    let tested = |path: &Path| {
        let bare = path.with_extension("");
        tests.iter().any(|test| bare == *test || path.starts_with(test))
    };
    sources.retain(|source| !tested(&source.path));
    Ok(sources)
}

/// Length of a plain string literal that starts here.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a raw string literal (`r"…"`, `r#"…"#`) that starts here.
fn raw_string(rest: &str, before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|b| b == b'_' || b.is_ascii_alphanumeric() && b != b'b') {
        return None;
    }
    let hashes = rest.strip_prefix('r')?.bytes().take_while(|b| *b == b'#').count();
    let body = rest[1 + hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close)?;
    Some(2 + hashes + end + close.len())
}

/// Length of a character literal that starts here; lifetimes are none.
fn char_literal(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let mut chars = body.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        return body[2..].find('\'').map(|end| end + 4);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(at + 2)
}

/// Every identifier that follows `crate::` in the code, with the offset of that, groups opened:
/// `crate::{a::X, b}` names `a` and `b`.
pub(crate) fn crate_paths(code: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c == '_' || c == '$' || c.is_alphanumeric()) {
            continue;
        }
        let rest = code[at + "crate::".len()..].trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            names.extend(group_heads(group).into_iter().map(|head| (at, head)));
        } else {
            names.push((at, ident(rest)));
        }
    }
    names
}

/// The first identifier of each item in a `{…}` group.
fn group_heads(group: &str) -> Vec<&str> {
    let (mut heads, mut depth, mut start) = (Vec::new(), 1, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                heads.push(ident(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
        if depth == 0 {
            heads.push(ident(group[start..at].trim_start()));
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// The identifier at the start.
fn ident(text: &str) -> &str {
    let end = text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len());
    &text[..end]
}

/// True when `word` occurs with no identifier character around it.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c == '_' || c.is_alphanumeric());
    text.match_indices(word).any(|(at, _)| {
        !part(text[..at].chars().next_back()) && !part(text[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let source = "use a; // std::time\nlet x = \"std::io \\\" y\"; /* rand:: */ let c = '\"';\n\
                      let r = r#\"async fn\"#; fn f<'a>(x: &'a str) {}";
        let code = code(source);
        assert!(!code.contains("std::") && !code.contains("rand") && !code.contains("async"));
        assert!(code.contains("fn f<'a>(x: &'a str) {}"));
        assert_eq!(code.lines().count(), source.lines().count());
    }

    #[test]
    fn groups_are_opened() {
        let code =
            "use crate::{\n    codec::{A, B},\n    error::E,\n};\nlet x = crate::hash::leaf(1);";
        let names: Vec<_> = crate_paths(code).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["codec", "error", "hash"]);
    }

    #[test]
    fn the_test_module_is_cut_off() {
        assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n}"), "fn a() {}\n");
        let oracle = "#[cfg(test)]\nmod oracle;\nfn a() {}";
        assert_eq!(without_tests(oracle), oracle);
        assert_eq!(test_modules(oracle), ["oracle"]);
        assert!(test_modules("#[cfg(test)]\nmod tests { use a; }").is_empty());
    }
}
