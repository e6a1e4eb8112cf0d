//! Newtypes for what must not be mixed up: identities and wire names, versions, times, names.
//!
//! In scope: shapes and their text forms. Out of scope: how they are computed (`hash`).

use alloc::string::{String, ToString};
use core::fmt;

use crate::error::{Error, FormatError};
use crate::limits;

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 64 lower-case hexadecimal digits.
            pub fn to_hex(&self) -> String {
                hex(&self.0)
            }

            /// Reads 64 lower-case hexadecimal digits; anything else is `None`.
            pub fn from_hex(text: &str) -> Option<Self> {
                unhex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex()[..16])
            }
        }
    };
}

hash_type!(
    /// The identity of a leaf or node: BLAKE3 of its uncompressed canonical bytes.
    Identity
);
hash_type!(
    /// The wire name of an object: BLAKE3 of the exact bytes that travel.
    WireName
);
hash_type!(
    /// A hash of the release log: SHA-256 with the prefixes of RFC 6962.
    LogHash
);

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Lower-case hexadecimal of any bytes.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(HEX_DIGITS[usize::from(byte >> 4)] as char);
        text.push(HEX_DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0u8; 32];
    for (slot, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *slot = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The number of a snapshot within its dataset; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds: a point on the shell's clock, or a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// This time plus a span, held at the greatest value.
    #[must_use]
    pub fn plus(self, span_ms: u64) -> Self {
        Self(self.0.saturating_add(span_ms))
    }

    /// The span since an earlier time; zero where the clock went back.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A name of a dataset, a channel or a collection: `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks the alphabet and the length.
    pub fn new(text: &str) -> Result<Self, Error> {
        if is_name(text) {
            Ok(Self(text.to_string()))
        } else {
            Err(FormatError::Name { text: text.chars().take(80).collect() }.into())
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a well-formed [`Name`].
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= limits::MAX_NAME_LEN
        && bytes[0] != b'-'
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// What kind of thing a wire name stands for: its place in the URL and in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A manifest.
    Manifest,
    /// A layout directory or a layout page.
    Layout,
    /// A compressed dictionary.
    Dictionary,
    /// A bundle of frames.
    Bundle,
    /// A segment of a delta.
    Delta,
    /// The directory of a layer: an overlay on a base.
    Layer,
    /// A page of a layer.
    LayerPage,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Manifest,
        Self::Layout,
        Self::Dictionary,
        Self::Bundle,
        Self::Delta,
        Self::Layer,
        Self::LayerPage,
    ];

    /// The kind's name in URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Layout => "layout",
            Self::Dictionary => "dictionary",
            Self::Bundle => "bundle",
            Self::Delta => "delta",
            Self::Layer => "layer",
            Self::LayerPage => "layer-page",
        }
    }

    /// The kind of a URL's segment.
    pub fn from_segment(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An object named under a signature: its wire name and its exact length on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// BLAKE3 of the bytes that travel.
    pub name: WireName,
    /// How many bytes travel.
    pub len: u64,
}
