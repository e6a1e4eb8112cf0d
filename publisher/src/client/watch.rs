//! Shows a sync on a progress bar, and keeps the faults of sources for the result.

use std::time::Duration;

use indicatif::ProgressBar;
use packice_core::engine::Event;
use packice_core::engine::io::{Cause, Condition, Phase};
use serde_json::{Value, json};

use crate::text::show_span;
use crate::ui::Ui;

/// Hears a sync's events.
pub struct Watch {
    bar: ProgressBar,
    loud: bool,
    last_said: String,
    /// The faults that were heard, as JSON.
    pub faults: Vec<Value>,
    /// What stood in the way, as JSON.
    pub conditions: Vec<Value>,
}

impl Watch {
    /// A bar with a label.
    pub fn new(ui: Ui, label: &str) -> Self {
        let bar = ui.bytes_bar(label, 0);
        let loud = !ui.json && !ui.quiet;
        Self { bar, loud, last_said: String::new(), faults: Vec::new(), conditions: Vec::new() }
    }

    /// Takes an event in.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Phase { phase, .. } => self.bar.set_message(phase_name(*phase)),
            Event::Progress(progress) => {
                self.bar.set_length(progress.bytes_total);
                self.bar.set_position(progress.bytes_done);
            }
            Event::Fault { source, code, object, detail } => {
                let fault =
                    json!({ "source": source, "code": code, "object": object, "detail": detail });
                self.faults.push(fault);
                self.say(&format!("fault: {source}: {object}: {detail} ({code})"));
            }
            Event::Damaged { key } => {
                self.say(&format!(
                    "the local store's row {key:?} is damaged and counts as missing"
                ));
            }
            Event::LayoutMismatch(mismatch) => self.say(&super::belies(mismatch)),
            // A command tells it at its end, where it counts.
            Event::Audit(audit) => {
                self.bar.set_length(audit.bundles_total);
                self.bar.set_position(audit.bundles_done);
            }
            Event::DeltaRefused { collection, from, code, .. } => self.say(&format!(
                "{collection}: the delta from version {from} does not lead to the signed root \
                 ({code}): fetching the base instead"
            )),
            Event::Condition { condition, holds: true, cause, eta_ms } => {
                self.say(&in_the_way(*condition, *cause, *eta_ms));
                self.conditions.push(json!({
                    "name": condition.as_str(),
                    "because": cause.as_str(),
                    "eta_ms": eta_ms,
                }));
            }
            Event::Condition { holds: false, .. }
            | Event::Milestone { .. }
            | Event::Freshness(_)
            | Event::Live { .. }
            | Event::Bundle { .. }
            | Event::Road { .. }
            | Event::Changed(_)
            | Event::Status(_) => {}
        }
    }

    /// Says something once, however often it happens in a row.
    fn say(&mut self, text: &str) {
        if self.loud && self.last_said != text {
            self.bar.suspend(|| eprintln!("{text}"));
            self.last_said = text.to_owned();
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// What stands in a sync's way, and what would help.
fn in_the_way(condition: Condition, cause: Cause, eta_ms: Option<u64>) -> String {
    let what = match condition {
        Condition::Late => match eta_ms {
            Some(ms) => format!("late: {} are left", show_span(Duration::from_millis(ms))),
            None => "late: the deadline has passed".to_owned(),
        },
        Condition::StoreSlow => "the store is slower than the network".to_owned(),
        Condition::Behind => "releases come faster than they are brought".to_owned(),
    };
    let help = match cause {
        Cause::Network => "a faster line or one more --source would help",
        Cause::Store => "a faster disk for --store would help",
        Cause::Sources => "no source answers now: one more --source would help",
        Cause::Releases => "the sync hurries",
    };
    format!("{what}; {help}")
}

/// A phase's name.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Trust => "trust",
        Phase::Bootstrap => "bootstrap",
        Phase::Collections => "collections",
        Phase::Commit => "commit",
        Phase::Complete => "complete",
        Phase::Failed => "failed",
    }
}
