//! How one tree's list of frames becomes another's.
//!
//! The frames of a tree, in key order, give its root ([`super::upper`]); so a patch of the list
//! is all that is needed to know a newer version's root and the identity of each of its frames.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::error::{Error, FormatError};
use crate::format::layer::{Patch, Run};
use crate::format::node::Child;

impl Patch {
    /// The patch from one list of frames to another, both in key order.
    pub fn between<'a>(
        old: impl IntoIterator<Item = &'a Child>,
        new: impl IntoIterator<Item = &'a Child>,
    ) -> Self {
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        let (mut runs, mut open, mut kept) = (Vec::new(), Run::default(), 0u64);
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(was), Some(is)) if was == is => {
                    if open.drop > 0 || !open.new.is_empty() {
                        runs.push(core::mem::take(&mut open));
                    }
                    kept += 1;
                    (_, _) = (old.next(), new.next());
                    continue;
                }
                (Some(was), Some(is)) => was.separator.cmp(&is.separator),
            };
            if open.drop == 0 && open.new.is_empty() {
                open.keep = core::mem::take(&mut kept);
            }
            if order != Ordering::Greater {
                open.drop += u64::from(old.next().is_some());
            }
            if order != Ordering::Less {
                open.new.extend(new.next().cloned());
            }
        }
        if open.drop > 0 || !open.new.is_empty() {
            runs.push(open);
        }
        Self { runs }
    }

    /// The new list.
    ///
    /// # Errors
    ///
    /// A fault of the format where the runs reach past the end, or the list is out of order.
    pub fn apply(&self, old: Vec<Child>) -> Result<Vec<Child>, Error> {
        let mut frames: Vec<Child> = Vec::new();
        let mut rest = old.into_iter();
        let past = |count: u64| -> Error {
            FormatError::Invalid { field: "frames of a patch", value: count }.into()
        };
        for run in &self.runs {
            for _ in 0..run.keep {
                frames.push(rest.next().ok_or(past(run.keep))?);
            }
            for _ in 0..run.drop {
                rest.next().ok_or(past(run.drop))?;
            }
            frames.extend(run.new.iter().cloned());
        }
        frames.extend(rest);
        if !frames.is_sorted_by(|before, after| before.separator < after.separator) {
            return Err(FormatError::Order { field: "frames of a patch" }.into());
        }
        Ok(frames)
    }
}
