//! Errors that say whose fault it is: the format's, the trust's, a peer's, the store's, the
//! caller's.
//!
//! Every error has a stable `code` that shells pass on unchanged. Text is for people.

use alloc::string::String;
use core::fmt;

/// What went wrong, by whose fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Bytes that are not what their format says.
    Format(FormatError),
    /// Bytes that are well formed and must not be believed.
    Trust(TrustError),
    /// A delta that does not lead where it says.
    Delta(DeltaError),
    /// The caller asked for something that cannot be.
    Misuse(Misuse),
}

impl Error {
    /// The stable code, such as `trust/below-threshold`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::Delta(error) => error.code(),
            Self::Misuse(error) => error.code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.fmt(f),
            Self::Trust(error) => error.fmt(f),
            Self::Delta(error) => error.fmt(f),
            Self::Misuse(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl From<TrustError> for Error {
    fn from(error: TrustError) -> Self {
        Self::Trust(error)
    }
}

impl From<Misuse> for Error {
    fn from(error: Misuse) -> Self {
        Self::Misuse(error)
    }
}

/// A parse error: the field, and the value where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// The bytes end inside a field.
    Truncated {
        /// The field.
        field: &'static str,
    },
    /// Bytes follow the last field.
    Trailing {
        /// The format.
        field: &'static str,
    },
    /// The first bytes are not those of the format, or of a version of it that is known.
    Magic {
        /// The format that was expected.
        expected: &'static str,
    },
    /// A number is over its bound.
    TooLarge {
        /// The field.
        field: &'static str,
        /// The value found.
        value: u64,
        /// The bound.
        max: u64,
    },
    /// A value that the format does not allow here.
    Invalid {
        /// The field.
        field: &'static str,
        /// The value found.
        value: u64,
    },
    /// The same thing can be written shorter, or in another order: not the canonical form.
    NotCanonical {
        /// The field.
        field: &'static str,
    },
    /// Keys, names or separators that do not ascend.
    Order {
        /// The field.
        field: &'static str,
    },
    /// Text that is not of its alphabet.
    Text {
        /// The field.
        field: &'static str,
    },
    /// A name that is not `[a-z0-9][a-z0-9-]{0,62}`.
    Name {
        /// The name, cut after 80 characters.
        text: String,
    },
    /// A compressed frame that does not decode to what was signed.
    Frame {
        /// What the decoder said.
        reason: &'static str,
    },
}

impl FormatError {
    fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "format/truncated",
            Self::Trailing { .. } => "format/trailing-bytes",
            Self::Magic { .. } => "format/unknown-format",
            Self::TooLarge { .. } => "format/too-large",
            Self::Invalid { .. } => "format/invalid",
            Self::NotCanonical { .. } => "format/not-canonical",
            Self::Order { .. } => "format/order",
            Self::Text { .. } => "format/text",
            Self::Name { .. } => "format/name",
            Self::Frame { .. } => "format/frame",
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { field } => write!(f, "the bytes end inside {field}"),
            Self::Trailing { field } => write!(f, "bytes follow the end of the {field}"),
            Self::Magic { expected } => write!(f, "this is not a {expected} of a known version"),
            Self::TooLarge { field, value, max } => {
                write!(f, "{field} is {value}, the most is {max}")
            }
            Self::Invalid { field, value } => write!(f, "{field} cannot be {value}"),
            Self::NotCanonical { field } => write!(f, "{field} is not in its canonical form"),
            Self::Order { field } => write!(f, "{field} are not in ascending order"),
            Self::Text { field } => write!(f, "{field} is not well-formed text"),
            Self::Name { text } => {
                write!(f, "'{text}' is not a name of 1 to 63 of a-z, 0-9 and '-'")
            }
            Self::Frame { reason } => write!(f, "the frame does not decode: {reason}"),
        }
    }
}

/// Well-formed bytes that must not be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustError {
    /// Fewer distinct keys of the role signed than its threshold asks.
    BelowThreshold {
        /// Distinct keys of the role whose signatures hold.
        valid: u32,
        /// The role's threshold.
        threshold: u32,
    },
    /// A signature line names a key of the role and does not verify.
    BadSignature,
    /// The checkpoint is of another log.
    WrongOrigin,
    /// The object speaks of another dataset.
    WrongDataset,
    /// The head state has no such channel.
    NoSuchChannel,
    /// A newer checkpoint was seen before.
    Rollback {
        /// The size offered.
        offered: u64,
        /// The size seen before.
        seen: u64,
    },
    /// Same size, other content: the log shows two faces.
    Fork,
    /// The proof that the old log is a prefix of the new one does not hold.
    BadConsistencyProof,
    /// The proof that the head state is the log's last entry does not hold.
    BadInclusionProof,
    /// The chain of trust roots does not lead on from the trusted one.
    BadTrustChain,
    /// The trust root that the head state was made under is newer than any known.
    OutdatedTrustRoot {
        /// The version needed.
        needed: u64,
        /// The newest known.
        known: u64,
    },
    /// Fewer witnesses cosigned than the quorum asks.
    BelowQuorum {
        /// Distinct witnesses whose cosignatures hold.
        valid: u32,
        /// The quorum.
        quorum: u32,
    },
    /// The same checkpoint with older cosignatures than those that stand.
    OlderCosignatures {
        /// The time offered, in seconds since 1970.
        offered: u64,
        /// The time that stands.
        stands: u64,
    },
    /// The bytes of an object do not have the name they were asked under.
    WrongName,
    /// An object is not of the signed length.
    WrongLength,
    /// A manifest's version is below the one that serves reads.
    VersionRollback {
        /// The version offered.
        offered: u64,
        /// The version held.
        held: u64,
    },
    /// A version that was released before, with another manifest.
    VersionReused {
        /// The version.
        version: u64,
    },
    /// The log does not grow by one entry at a time.
    WrongLogSize {
        /// The size offered.
        offered: u64,
        /// The size that the log has.
        stands: u64,
    },
    /// A tile of the log does not hold what the checkpoint proves.
    BadTile,
    /// The manifest does not say what the head state says of it.
    WrongManifest,
    /// Verified wire objects that do not lead to the signed root: the publisher's own fault.
    LayoutMismatch,
    /// A proof does not lead from the record to the signed root.
    BadProof,
    /// What would serve is older than the trust root lets it be.
    Expired,
}

impl TrustError {
    fn code(self) -> &'static str {
        match self {
            Self::BelowThreshold { .. } => "trust/below-threshold",
            Self::BadSignature => "trust/bad-signature",
            Self::WrongOrigin => "trust/wrong-origin",
            Self::WrongDataset => "trust/wrong-dataset",
            Self::NoSuchChannel => "trust/no-such-channel",
            Self::Rollback { .. } => "trust/rollback",
            Self::Fork => "trust/fork",
            Self::BadConsistencyProof => "trust/bad-consistency-proof",
            Self::BadInclusionProof => "trust/bad-inclusion-proof",
            Self::BadTrustChain => "trust/bad-trust-chain",
            Self::OutdatedTrustRoot { .. } => "trust/outdated-trust-root",
            Self::BelowQuorum { .. } => "trust/below-quorum",
            Self::OlderCosignatures { .. } => "trust/older-cosignatures",
            Self::WrongName => "trust/hash-mismatch",
            Self::WrongLength => "trust/length-mismatch",
            Self::VersionRollback { .. } => "trust/version-rollback",
            Self::VersionReused { .. } => "trust/version-reused",
            Self::WrongLogSize { .. } => "trust/wrong-log-size",
            Self::BadTile => "trust/bad-tile",
            Self::WrongManifest => "trust/wrong-manifest",
            Self::LayoutMismatch => "trust/layout-mismatch",
            Self::BadProof => "trust/bad-proof",
            Self::Expired => "trust/expired",
        }
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelowThreshold { valid, threshold } => {
                write!(f, "{valid} of the role's keys signed, {threshold} must")
            }
            Self::BadSignature => f.write_str("a signature does not verify"),
            Self::WrongOrigin => f.write_str("the checkpoint is of another log"),
            Self::WrongDataset => f.write_str("the object belongs to another dataset"),
            Self::NoSuchChannel => f.write_str("the head state has no such channel"),
            Self::Rollback { offered, seen } => {
                write!(f, "the log was seen with {seen} entries and is offered with {offered}")
            }
            Self::Fork => f.write_str("the log has other content than before at the same size"),
            Self::BadConsistencyProof => f.write_str("the log does not extend the one seen before"),
            Self::BadInclusionProof => f.write_str("the head state is not the log's last entry"),
            Self::BadTrustChain => f.write_str("a trust root is not signed by the one before it"),
            Self::OutdatedTrustRoot { needed, known } => {
                write!(f, "trust root {needed} is needed, {known} is the newest known")
            }
            Self::BelowQuorum { valid, quorum } => {
                write!(f, "{valid} witnesses cosigned, {quorum} must")
            }
            Self::OlderCosignatures { offered, stands } => {
                write!(f, "cosignatures of {offered} are offered, of {stands} stand")
            }
            Self::WrongName => f.write_str("the bytes do not have the hash they are named by"),
            Self::WrongLength => f.write_str("the object does not have the signed length"),
            Self::VersionRollback { offered, held } => {
                write!(f, "version {offered} is offered, version {held} is held")
            }
            Self::VersionReused { version } => {
                write!(f, "version {version} was released before with another manifest")
            }
            Self::WrongLogSize { offered, stands } => {
                write!(f, "the log has {stands} entries, one more or as many must be offered, ")?;
                write!(f, "not {offered}")
            }
            Self::BadTile => f.write_str("a tile does not hold what the checkpoint proves"),
            Self::WrongManifest => f.write_str("the manifest is not the one the head names"),
            Self::LayoutMismatch => f.write_str("the layout does not deliver the signed root"),
            Self::BadProof => f.write_str("the proof does not lead to the signed root"),
            Self::Expired => f.write_str(
                "the data is older than its publisher lets it be: sync, and see that the \
                 device's clock is right",
            ),
        }
    }
}

/// A delta that does not lead where it says: the publisher's fault, or one against another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaError {
    /// It counts other old records than there are: it starts from another root.
    Gap,
    /// What it makes does not have the signed root.
    WrongRoot,
}

impl DeltaError {
    fn code(self) -> &'static str {
        match self {
            Self::Gap => "delta/gap",
            Self::WrongRoot => "delta/wrong-root",
        }
    }
}

impl fmt::Display for DeltaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gap => "the delta starts from other records than those that are held",
            Self::WrongRoot => "what the delta makes does not have the signed root",
        })
    }
}

impl From<DeltaError> for Error {
    fn from(error: DeltaError) -> Self {
        Self::Delta(error)
    }
}

/// The caller asked for something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// No collection of that name in the snapshot.
    UnknownCollection,
    /// A key longer than [`crate::limits::MAX_KEY_LEN`].
    KeyTooLong,
    /// A value longer than [`crate::limits::MAX_VALUE_LEN`].
    ValueTooLong,
    /// A record whose key does not come after the one before it.
    KeyOrder,
    /// Tree parameters outside their bounds.
    Parameters {
        /// The parameter.
        field: &'static str,
    },
    /// A frame's dictionary was not installed before the frame was decoded.
    NoDictionary,
    /// No layout page of that number, or one that is not held.
    UnknownPage,
    /// A completion for a request that is not open.
    UnknownRequest,
    /// No snapshot is known yet.
    NoSnapshot,
    /// The object was closed.
    Closed,
    /// The caller took the call back.
    Aborted,
}

impl Misuse {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownCollection => "misuse/unknown-collection",
            Self::KeyTooLong => "misuse/key-too-long",
            Self::ValueTooLong => "misuse/value-too-long",
            Self::KeyOrder => "misuse/key-order",
            Self::Parameters { .. } => "misuse/parameters",
            Self::NoDictionary => "misuse/no-dictionary",
            Self::UnknownPage => "misuse/unknown-page",
            Self::UnknownRequest => "misuse/unknown-request",
            Self::NoSnapshot => "misuse/no-snapshot",
            Self::Closed => "misuse/closed",
            Self::Aborted => "misuse/aborted",
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCollection => f.write_str("the snapshot has no collection of that name"),
            Self::KeyTooLong => f.write_str("the key is longer than 1,024 bytes"),
            Self::ValueTooLong => f.write_str("the value is longer than 1 MiB"),
            Self::KeyOrder => f.write_str("the key does not come after the one before it"),
            Self::Parameters { field } => write!(f, "{field} is outside its bounds"),
            Self::NoDictionary => f.write_str("the frame's dictionary is not installed"),
            Self::UnknownPage => f.write_str("no such layout page is held"),
            Self::UnknownRequest => f.write_str("no such request is open"),
            Self::NoSnapshot => f.write_str("no snapshot is known yet"),
            Self::Closed => f.write_str("the dataset was closed"),
            Self::Aborted => f.write_str("the call was aborted"),
        }
    }
}
