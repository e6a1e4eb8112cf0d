//! What can go wrong, by whose fault, and what to do next.
//!
//! The kind decides the exit code, so that a CI job can tell a lost race from a bad input.

use std::fmt;
use std::io;
use std::path::Path;

use packice_core::error::Error as CoreError;
use serde_json::Value;

/// Results of this crate.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours, or the machine's.
    Internal,
    /// The command line or the configuration.
    Usage,
    /// The records that were read.
    Input,
    /// Bytes or signatures that do not hold.
    Verification,
    /// An edge that does not answer, or refuses.
    Network,
    /// Someone else moved first.
    Conflict,
    /// What was asked for is not there.
    Absent,
}

impl Kind {
    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Input => 3,
            Self::Verification => 4,
            Self::Network => 5,
            Self::Conflict => 6,
            Self::Absent => 7,
        }
    }

    /// The kind's name in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Input => "input",
            Self::Verification => "verification",
            Self::Network => "network",
            Self::Conflict => "conflict",
            Self::Absent => "absent",
        }
    }
}

/// A failure: whose fault, what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault it is.
    pub kind: Kind,
    /// A stable code, such as `trust/below-threshold`, where there is one.
    pub code: Option<&'static str>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub next: Option<String>,
    /// More for JSON output: an object, whose fields stand beside the others.
    pub details: Option<Box<Value>>,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, code: None, message: message.into(), next: None, details: None }
    }

    /// Ours, or the machine's.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// The command line's or the configuration's.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The records'.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// Bytes or signatures that do not hold.
    pub fn verification(message: impl Into<String>) -> Self {
        Self::new(Kind::Verification, message)
    }

    /// The edge's or the way's to it.
    pub fn network(message: impl Into<String>) -> Self {
        Self::new(Kind::Network, message)
    }

    /// A lost race.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// What was asked for is not there.
    pub fn absent(message: impl Into<String>) -> Self {
        Self::new(Kind::Absent, message)
    }

    /// Gives it a stable code.
    #[must_use]
    pub fn coded(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn next(mut self, advice: impl Into<String>) -> Self {
        self.next = Some(advice.into());
        self
    }

    /// Adds an object's fields to the JSON output.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// Says in front what was going on.
    #[must_use]
    pub fn within(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(next) = &self.next {
            write!(f, "\n  next: {next}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<CoreError> for Failure {
    fn from(error: CoreError) -> Self {
        let kind = match &error {
            CoreError::Format(_) | CoreError::Trust(_) | CoreError::Delta(_) => Kind::Verification,
            CoreError::Misuse(_) => Kind::Usage,
        };
        Self { code: Some(error.code()), ..Self::new(kind, error.to_string()) }
    }
}

/// Names the file and the deed in an I/O error: `.map_err(on_file("read", path))`.
pub fn on_file<'a>(deed: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Failure + 'a {
    move |error| {
        let message = format!("cannot {deed} {}: {error}", path.display());
        let kind = error.kind();
        let misnamed = [
            io::ErrorKind::NotFound,
            io::ErrorKind::NotADirectory,
            io::ErrorKind::IsADirectory,
            io::ErrorKind::ReadOnlyFilesystem,
        ];
        if kind == io::ErrorKind::PermissionDenied {
            Failure::usage(message).next("let this user read and write there, or name another path")
        } else if misnamed.contains(&kind) {
            Failure::usage(message)
        } else if kind == io::ErrorKind::StorageFull {
            Failure::internal(message).next("free some disk space and run the command again")
        } else {
            Failure::internal(message)
        }
    }
}

/// An I/O error without a file of its own, such as on a temporary one.
pub fn on_temporary(error: io::Error) -> Failure {
    Failure::internal(format!("a temporary file failed: {error}"))
        .next("check the disk space under .packice/")
}
