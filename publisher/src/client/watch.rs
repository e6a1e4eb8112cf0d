//! Shows a sync on a progress bar, and keeps the faults of sources for the result.

use indicatif::ProgressBar;
use packice_core::engine::Event;
use packice_core::engine::io::Phase;
use serde_json::{Value, json};

use crate::ui::Ui;

/// Hears a sync's events.
pub struct Watch {
    bar: ProgressBar,
    loud: bool,
    last_said: String,
    /// The faults that were heard, as JSON.
    pub faults: Vec<Value>,
}

impl Watch {
    /// A bar with a label.
    pub fn new(ui: Ui, label: &str) -> Self {
        let bar = ui.bytes_bar(label, 0);
        let loud = !ui.json && !ui.quiet;
        Self { bar, loud, last_said: String::new(), faults: Vec::new() }
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
            Event::Freshness(_)
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
