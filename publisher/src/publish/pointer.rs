//! Moves a channel's pointer: the log's tiles, then the bootstrap by compare-and-swap.
//!
//! Tiles beyond the log's current end may be written by anyone who publishes. Two publishers may
//! so spoil each other's tiles before either pointer moved; then the edge refuses both, and each
//! tries again until one has won.

use packice_core::trust::tiles::TileRef;
use packice_core::types::{Name, Version};

use super::head::read_pointer;
use crate::edge::{Condition, Edge, Put, pause};
use crate::failure::{Failure, Kind, Result};

/// How often two publishers may spoil each other's tiles.
const ATTEMPTS: u32 = 4;

/// What is to become current.
pub struct Move<'a> {
    /// The channel.
    pub channel: &'a Name,
    /// The version, for messages.
    pub version: Version,
    /// The entity tag of the pointer when the log was read.
    pub before: Option<&'a str>,
    /// The tiles that the new entry writes.
    pub tiles: &'a [(TileRef, Vec<u8>)],
    /// The bootstrap.
    pub bootstrap: &'a [u8],
}

impl Move<'_> {
    /// Moves the pointer, or says who was first.
    pub fn perform(&self, edge: &Edge) -> Result<()> {
        let mut attempt = 0;
        loop {
            let failure = match self.attempt(edge) {
                Ok(true) => return Ok(()),
                Ok(false) => None,
                Err(failure) => match failure.kind {
                    Kind::Conflict | Kind::Verification => Some(failure),
                    Kind::Internal | Kind::Usage | Kind::Input | Kind::Network | Kind::Absent => {
                        return Err(failure);
                    }
                },
            };
            let now = read_pointer(edge, self.channel)?;
            // An answer that was lost on its way looks like a lost race.
            if now.as_ref().is_some_and(|now| now.bytes == self.bootstrap) {
                return Ok(());
            }
            let moved = now.as_ref().map(|now| now.etag.as_str()) != self.before;
            attempt += 1;
            match failure {
                Some(failure) if !moved && attempt == ATTEMPTS => return Err(ahead(failure)),
                Some(_) if !moved => pause(attempt, None),
                Some(_) | None => return Err(self.lost()),
            }
        }
    }

    fn attempt(&self, edge: &Edge) -> Result<bool> {
        for (tile, bytes) in self.tiles {
            edge.put(&format!("log/{}", tile.path()), bytes, &Condition::Always)?;
        }
        let condition = match self.before {
            Some(etag) => Condition::Matches(etag.to_owned()),
            None => Condition::Absent,
        };
        let path = format!("bootstrap/{}", self.channel);
        Ok(edge.put(&path, self.bootstrap, &condition)? != Put::Refused)
    }

    fn lost(&self) -> Failure {
        let message = format!(
            "someone else moved channel '{}' first; nothing of version {} is visible",
            self.channel, self.version,
        );
        Failure::conflict(message).next("run `packice build --after-edge`, then publish again")
    }
}

/// A log that went on while this channel's pointer stands still went on by another channel.
fn ahead(failure: Failure) -> Failure {
    match failure.kind == Kind::Conflict {
        true => failure.next(
            "another channel's release may be ahead: name it in packice.toml, other_channels = \
             [\"…\"], and run `packice build --after-edge`",
        ),
        false => failure,
    }
}
