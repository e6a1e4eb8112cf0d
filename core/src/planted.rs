//! Bugs that are planted on purpose, to see whether the simulator finds what is broken.
//!
//! Without the feature `planted`, which nothing but `cargo xtask sim --bugs` turns on, none can be
//! chosen and each question is a constant "no". In scope: naming them. Where each does its harm is
//! where `is` is asked.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// The frames of a bundle are not compared with their names.
    FrameUnhashed = 1,
    /// Small objects are not compared with theirs.
    ObjectUnhashed,
    /// A version is committed while parts of it are on their way.
    CommitEarly,
    /// A source that failed is asked again at once, and without end.
    RetryAtOnce,
    /// A source that failed is banned as if it had lied.
    FailureIsALie,
    /// A version that is older than the one held is taken.
    OlderTaken,
    /// What failed at one source is asked of no other.
    JobForgotten,
    /// What came of a broken transfer is not thrown away up to the last verified frame.
    StalePrefix,
    /// A record that is not here yet counts as one that does not exist.
    AbsentUnproven,
    /// Rows that a version at hand needs are collected.
    NeededCollected,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::FrameUnhashed,
        Self::ObjectUnhashed,
        Self::CommitEarly,
        Self::RetryAtOnce,
        Self::FailureIsALie,
        Self::OlderTaken,
        Self::JobForgotten,
        Self::StalePrefix,
        Self::AbsentUnproven,
        Self::NeededCollected,
    ];
}

#[cfg(feature = "planted")]
static CHOSEN: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Chooses the bug that the whole process has from now on.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    let number = bug.map_or(0, |bug| bug as u8);
    CHOSEN.store(number, core::sync::atomic::Ordering::Relaxed);
}

/// Whether this bug was chosen.
#[cfg(feature = "planted")]
pub(crate) fn is(bug: Bug) -> bool {
    CHOSEN.load(core::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether this bug was chosen: never, in what anybody uses.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}
