//! Frames on the wire (docs/spec/frame-and-bundle.md): one zstd frame each, decoded to exactly
//! the signed length.
//!
//! In scope: decoding, with or without a trained dictionary, and decoding dictionaries
//! themselves. Out of scope: checking wire names, which comes before, and checking the content,
//! which comes after (`tree::verify`); encoding, which the publisher does with the C library.
//!
//! An attacker who gets past the wire name (only the publisher can) could send a frame that
//! expands without end, asks for a great window, or hides a second frame: output is bounded by
//! the signed length and one block, the window by the signed length, and one frame must fill the
//! input. zstd's own checksums are not relied on.
//!
//! Source: RFC 8878.

use alloc::vec::Vec;

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, Dictionary, FrameDecoder};

use crate::codec::at_most;
use crate::error::{Error, FormatError, Misuse};
use crate::limits::{MAX_DICTIONARY_LEN, MAX_FRAME_PLAIN_LEN, MAX_FRAME_WIRE_LEN};
use crate::types::WireName;

/// How many dictionaries a decoder holds; the oldest makes room.
pub const DICTIONARY_SLOTS: usize = 8;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The window of a frame may be rounded up to this even where the content is shorter.
const MIN_WINDOW: u64 = 1024;

/// Decodes frames, one at a time, reusing its tables and buffers.
pub struct Decoder {
    inner: FrameDecoder,
    /// The dictionaries held; the place in this list is the id that `inner` knows it by.
    slots: Vec<WireName>,
    next_slot: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decoder").field("dictionaries", &self.slots).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder without dictionaries.
    pub fn new() -> Self {
        Self { inner: FrameDecoder::new(), slots: Vec::new(), next_slot: 0 }
    }

    /// Whether a dictionary is installed.
    pub fn has_dictionary(&self, name: &WireName) -> bool {
        self.slots.contains(name)
    }

    /// Decodes a dictionary object and installs it under its wire name, which the caller has
    /// checked.
    pub fn install_dictionary(
        &mut self,
        name: WireName,
        wire: &[u8],
        plain_len: u32,
    ) -> Result<(), Error> {
        if self.has_dictionary(&name) {
            return Ok(());
        }
        at_most("dictionary length", plain_len.into(), MAX_DICTIONARY_LEN as u64)?;
        let plain = self.decode(wire, plain_len.into(), None)?;
        let Ok(mut dictionary) = Dictionary::decode_dict(&plain) else {
            return Err(frame_error("this is not a zstd dictionary"));
        };
        let slot = self.next_slot;
        self.next_slot = (slot + 1) % DICTIONARY_SLOTS;
        // Ids inside dictionaries and frames are the publisher's: two dictionaries may share
        // one. Ours are the slots, from 1 on.
        dictionary.id = slot_id(slot);
        if self.inner.add_dict(dictionary).is_err() {
            return Err(frame_error("the dictionary was refused"));
        }
        match self.slots.get_mut(slot) {
            Some(old) => *old = name,
            None => self.slots.push(name),
        }
        Ok(())
    }

    /// Decodes a whole frame to exactly so many bytes.
    pub fn decode(
        &mut self,
        wire: &[u8],
        plain_len: u64,
        dictionary: Option<&WireName>,
    ) -> Result<Vec<u8>, Error> {
        at_most("frame wire length", wire.len() as u64, MAX_FRAME_WIRE_LEN as u64)?;
        at_most("frame plain length", plain_len, MAX_FRAME_PLAIN_LEN as u64)?;
        let slot = match dictionary {
            None => None,
            Some(name) => match self.slots.iter().position(|held| held == name) {
                Some(slot) => Some(slot),
                None => return Err(Misuse::NoDictionary.into()),
            },
        };
        let mut rest = wire;
        self.begin(&mut rest, plain_len, slot)?;
        // The bound above makes the sum and the conversion exact; one byte over shows an excess.
        let most = usize::try_from(plain_len).unwrap_or(MAX_FRAME_PLAIN_LEN) + 1;
        let finished = self
            .inner
            .decode_blocks(&mut rest, BlockDecodingStrategy::UptoBytes(most))
            .map_err(|_| frame_error("a block is damaged or ends early"))?;
        if !finished {
            return Err(frame_error("it is longer than signed"));
        }
        if !rest.is_empty() {
            return Err(FormatError::Trailing { field: "frame" }.into());
        }
        match self.inner.collect() {
            Some(plain) if plain.len() as u64 == plain_len => Ok(plain),
            Some(_) | None => Err(frame_error("it is not of the signed length")),
        }
    }

    /// Reads the frame's header and sets the dictionary.
    fn begin(
        &mut self,
        rest: &mut &[u8],
        plain_len: u64,
        slot: Option<usize>,
    ) -> Result<(), Error> {
        let descriptor = match rest.strip_prefix(&ZSTD_MAGIC) {
            Some(after) => after.first().copied(),
            None => return Err(frame_error("it does not begin as a zstd frame")),
        };
        let Some(descriptor) = descriptor else {
            return Err(FormatError::Truncated { field: "frame header" }.into());
        };
        // The reserved bit must be zero, and a dictionary must be the signed one or none.
        if descriptor & 0b1000 != 0 {
            return Err(frame_error("its header is of no known form"));
        }
        if slot.is_none() && descriptor & 0b11 != 0 {
            return Err(frame_error("it names a dictionary and none is signed"));
        }
        self.inner.set_max_window_size(plain_len.next_power_of_two().max(MIN_WINDOW));
        match self.inner.reset(&mut *rest) {
            // The frame names its dictionary by an id of the publisher's, which means nothing
            // here; the header was read, and the signed dictionary is set below.
            Ok(()) | Err(FrameDecoderError::DictNotProvided { .. }) => {}
            Err(FrameDecoderError::WindowSizeTooBig { .. }) => {
                return Err(frame_error("its window is greater than its signed length needs"));
            }
            Err(_) => return Err(frame_error("its header is damaged")),
        }
        match slot {
            Some(slot) => self
                .inner
                .force_dict(slot_id(slot))
                .map_err(|_| frame_error("its dictionary is not held")),
            None => Ok(()),
        }
    }
}

fn slot_id(slot: usize) -> u32 {
    // There are few slots.
    u32::try_from(slot).unwrap_or(0) + 1
}

fn frame_error(reason: &'static str) -> Error {
    FormatError::Frame { reason }.into()
}
