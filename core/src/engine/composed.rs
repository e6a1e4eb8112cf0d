//! The audit of frames that layers lie over: do they come to what the signed root says?
//!
//! A publisher can sign a root, and an overlay that leads elsewhere: each page then has its signed
//! name, and a sync is content. Once all bundles of a collection were audited, its frames under
//! layers are put together one after the other, in idle time. How far it came is kept by the name
//! of the layer on top.

use crate::tree::view::Spot;
use crate::types::WireName;

use super::Engine;
use super::audit::Task;
use super::frames::{Lack, Part, Which, quietly};
use super::io::Event;
use super::scope::meets;
use super::snapshot::Shelf;

/// Frames that one piece of idle time begins with.
const FRAMES_A_TURN: u32 = 16;

/// The name that the mark of a shelf's layers is kept by.
pub(super) fn layers_name(shelf: &Shelf) -> Option<WireName> {
    shelf.view.layers().last().map(|layer| layer.object.name)
}

/// The first frame under layers from a number on, and what it is.
fn next_frame(shelf: &Shelf, from: u64) -> Option<(u64, Option<Spot>)> {
    let Some(frames) = shelf.view.frames() else { return Some((from, None)) };
    let from = usize::try_from(from).ok()?;
    (from..frames.len()).find_map(|number| {
        let spot = shelf.view.spot(&frames, number)?;
        let needed = meets(&shelf.scope, &spot.child.separator, spot.upper.as_deref());
        (spot.base.is_none() && needed).then_some((number as u64, Some(spot)))
    })
}

impl Engine {
    /// The first shelf whose frames under layers were not all audited, and how far it is.
    pub(super) fn next_composed(&self) -> Option<(usize, u64)> {
        let committed = self.committed.as_ref()?;
        committed.shelves.iter().enumerate().find_map(|(at, shelf)| {
            let from = self.audit.progress(&layers_name(shelf)?);
            let open = !self.audit.is_stuck(at);
            (open && next_frame(shelf, from).is_some()).then_some((at, from))
        })
    }

    /// Puts together the next frames under layers, as far as their parts are here.
    pub(super) fn step_composed(&mut self) {
        while let Task::Composed { at, left } = self.audit.task {
            if self.sync.is_some() || !self.reads.is_empty() {
                return self.audit.rest();
            }
            let part = Part { which: Which::Serving, at };
            let Some(shelf) = self.committed.as_ref().and_then(|c| c.shelves.get(at)) else {
                return self.audit.rest();
            };
            let Some(name) = layers_name(shelf) else { return self.audit.rest() };
            let from = self.audit.progress(&name);
            let Some((number, spot)) = next_frame(shelf, from) else {
                return self.composed_audited(&name, u64::MAX);
            };
            let got = match spot {
                None => self.bring(part, quietly()).map(|()| false),
                Some(spot) => self.frame(part, &spot, quietly()).map(|_| true),
            };
            match got {
                Ok(false) => {}
                // What does not come to its entry was told by name when it was put together.
                Ok(true) | Err(Lack::Failed(_)) if left > 1 => {
                    self.audit.advance(name, number + 1);
                    self.audit.task = Task::Composed { at, left: left - 1 };
                }
                Ok(true) | Err(Lack::Failed(_)) => {
                    return self.composed_audited(&name, number + 1);
                }
                Err(Lack::Waits) => return,
                Err(Lack::Unknown(_)) => {
                    self.audit.rest();
                    return self.audit.stick(at);
                }
            }
        }
    }

    fn composed_audited(&mut self, name: &WireName, progress: u64) {
        self.audit.rest();
        self.audit.advance(*name, progress);
        self.save_audit();
        let status = self.audit_status();
        self.event(Event::Audit(status));
    }

    /// Begins with the next frames under layers; whether there are any.
    pub(super) fn audit_composed(&mut self) -> bool {
        let Some((at, _)) = self.next_composed() else { return false };
        self.audit.task = Task::Composed { at, left: FRAMES_A_TURN };
        self.step_composed();
        true
    }
}
