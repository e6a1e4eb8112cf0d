//! The story of a run in words: what the engine asks for, tells and waits for.

use packice_core::engine::io::{Answer, Output};

use super::{START, World};

impl World<'_> {
    /// Adds an output to the story, where one is told. Waits are told once, work is not.
    pub(super) fn tell_output(&mut self, output: &Output) {
        if !self.explain {
            return;
        }
        let line = self.words(output);
        if let Output::Wait { .. } = output {
            if line == self.waits {
                return;
            }
            self.waits.clone_from(&line);
        }
        if !line.is_empty() {
            self.tell(|| line);
        }
    }

    fn words(&self, output: &Output) -> String {
        let clock = self.now + self.skew;
        match output {
            Output::Work => String::new(),
            Output::Wait { until: None, why } => format!("  waits: {why:?}"),
            Output::Wait { until: Some(until), why } => {
                // A clock that jumped is not told of.
                let until = until.0.saturating_sub(self.skew + START);
                format!("  waits: {why:?}, until {until} ms")
            }
            Output::Fetch { request, source, target, max_bytes, deadline } => {
                let range = target.range.map(|range| format!(", {}+{}", range.start, range.len));
                let path = tidy(&target.path);
                let range = range.unwrap_or_default();
                let within = deadline.0.saturating_sub(clock);
                format!(
                    "#{} asks source-{} for {path}{range}; {max_bytes} bytes, {within} ms",
                    request.0, source.0
                )
            }
            Output::Listen { request, source, target, max_bytes } => {
                let path = &target.path;
                format!("#{} listens to source-{}: {path}; {max_bytes}", request.0, source.0)
            }
            Output::CancelFetch { request } => format!("#{} is given up", request.0),
            Output::Load { request, keys } => {
                let keys: Vec<String> = keys.iter().map(|key| tidy(&key.text())).collect();
                format!("#{} loads {}", request.0, keys.join(", "))
            }
            Output::List { request } => format!("#{} lists the store", request.0),
            Output::Store { request, batch } => {
                let puts = batch.puts.iter();
                let puts = puts.map(|(key, row)| format!("{} ({})", tidy(&key.text()), row.len()));
                let deletes = batch.deletes.iter().map(|key| format!("no {}", tidy(&key.text())));
                let rows: Vec<String> = puts.chain(deletes).collect();
                let how = if batch.durable { "stores durably" } else { "stores" };
                format!("#{} {how} {}", request.0, rows.join(", "))
            }
            Output::Event(event) => tidy(&format!("{event:?}")),
            Output::Answer { read, answer } => {
                let answer = match answer {
                    Ok(Answer::Records { records, next, version, .. }) => {
                        let next = next.as_deref().map(String::from_utf8_lossy);
                        format!("{} records of {version}, next {next:?}", records.len())
                    }
                    Ok(Answer::Proof { value, proof, full, version, .. }) => {
                        let (proof, full) = (proof.len(), full.len());
                        let what = if value.is_some() { "presence" } else { "absence" };
                        format!("{what} in {version} proven by {proof} bytes, in full {full}")
                    }
                    other => tidy(&format!("{other:?}")),
                };
                format!("read {} is answered: {answer}", read.0)
            }
            Output::SyncEnded { result } => format!("the sync ends: {result:?}"),
            Output::RolledBack { version, result } => {
                format!("going back to {version} ends: {result:?}")
            }
        }
    }
}

/// Shortens hashes to eight digits, and writes bytes as text.
pub(super) fn tidy(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        if digits == 64 {
            out.push_str(&rest[..8]);
            rest = &rest[64..];
        } else if let Some((bytes, after)) = byte_list(rest) {
            out.push_str(&bytes);
            rest = after;
        } else {
            let word = digits.max(c.len_utf8());
            out.push_str(&rest[..word]);
            rest = &rest[word..];
        }
    }
    out
}

/// A list of bytes that a text begins with, as text of 32 letters at most, and what follows.
fn byte_list(text: &str) -> Option<(String, &str)> {
    let (list, after) = text.strip_prefix('[')?.split_once(']')?;
    let bytes: Option<Vec<u8>> = list.split(", ").map(|byte| byte.parse().ok()).collect();
    let text = String::from_utf8(bytes?).ok()?;
    if text.chars().any(|c| c.is_control()) {
        return None;
    }
    let short: String = text.chars().take(32).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    Some((format!("\"{short}{more}\""), after))
}
