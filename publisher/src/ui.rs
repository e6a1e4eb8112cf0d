//! What the user sees: results on stdout, progress and remarks on stderr, JSON where asked.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::failure::Failure;

/// How to talk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ui {
    /// One JSON document on stdout, and no progress.
    pub json: bool,
    /// No progress and no remarks.
    pub quiet: bool,
}

impl Ui {
    /// A bar over bytes, with rate and time left.
    pub fn bytes_bar(&self, label: &str, total: u64) -> ProgressBar {
        let template =
            "{prefix:>10} [{bar:28}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta} {msg}";
        self.bar(label, total, template)
    }

    /// A bar over a count, with rate and time left.
    pub fn count_bar(&self, label: &str, total: u64) -> ProgressBar {
        let template = "{prefix:>10} [{bar:28}] {human_pos}/{human_len} {per_sec} ETA {eta} {msg}";
        self.bar(label, total, template)
    }

    /// A line for work of unknown length.
    pub fn spinner(&self, label: &str) -> ProgressBar {
        let bar = self.bar(label, 0, "{prefix:>10} {spinner} {elapsed} {msg}");
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn bar(&self, label: &str, total: u64, template: &str) -> ProgressBar {
        if self.json || self.quiet {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        ProgressBar::new(total).with_style(style).with_prefix(label.to_owned())
    }

    /// A remark for people.
    pub fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            eprintln!("{text}");
        }
    }

    /// The result: text for people, or JSON.
    pub fn result(&self, text: &str, json: &Value) {
        if self.json {
            println!("{json:#}");
        } else if !text.is_empty() {
            println!("{}", text.trim_end());
        }
    }

    /// The end by a failure.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            let mut error = serde_json::json!({
                "kind": failure.kind.as_str(),
                "code": failure.code,
                "message": failure.message,
                "next": failure.next,
            });
            if let Some(Value::Object(details)) = failure.details.as_deref() {
                for (name, value) in details {
                    error[name.as_str()] = value.clone();
                }
            }
            eprintln!("{:#}", serde_json::json!({ "error": error }));
        } else {
            eprintln!("error: {failure}");
        }
    }
}
