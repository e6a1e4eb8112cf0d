//! A push (docs/spec/live.md): what an edge says to whoever listens, when a pointer has moved.
//!
//! It carries no trust: a bootstrap in it is verified like one that was fetched, objects are found
//! by their own hash, and what nobody wants is dropped. An attacker who runs an edge can spend a
//! listener's time on one message of bounded length, and is then listened to no more.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{Error, FormatError};
use crate::limits::{MAX_BOOTSTRAP_LEN, MAX_CHECKPOINT_LEN, MAX_PUSH_LEN, MAX_PUSH_OBJECTS};

const MAGIC: &[u8; 4] = b"PKL1";
const CHECKPOINT: u8 = 0;
const RELEASE: u8 = 1;

/// What an edge says to whoever listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// The newest checkpoint: what a listener is greeted with, and what new cosignatures come in.
    Checkpoint(Vec<u8>),
    /// A release.
    Release {
        /// The channel's bootstrap.
        bootstrap: Vec<u8>,
        /// Wire objects that a client which follows wants next, each to be found by its hash.
        objects: Vec<Vec<u8>>,
    },
}

impl Push {
    /// Parses a whole push.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "push", MAX_PUSH_LEN)?;
        let push = match r.byte("push kind")? {
            CHECKPOINT => Self::Checkpoint(r.bytes("checkpoint", MAX_CHECKPOINT_LEN)?.to_vec()),
            RELEASE => {
                let bootstrap = r.bytes("bootstrap", MAX_BOOTSTRAP_LEN)?.to_vec();
                let mut objects = Vec::new();
                for _ in 0..r.count("objects", MAX_PUSH_OBJECTS)? {
                    objects.push(r.bytes("object", MAX_PUSH_LEN)?.to_vec());
                }
                Self::Release { bootstrap, objects }
            }
            other => {
                let value = other.into();
                return Err(FormatError::Invalid { field: "push kind", value }.into());
            }
        };
        r.finish("push")?;
        Ok(push)
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        match self {
            Self::Checkpoint(note) => {
                w.byte(CHECKPOINT);
                w.bytes(note);
            }
            Self::Release { bootstrap, objects } => {
                w.byte(RELEASE);
                w.bytes(bootstrap);
                w.count(objects.len());
                for object in objects {
                    w.bytes(object);
                }
            }
        }
        w.finish()
    }
}
