//! Why a task failed, as a type that is decided where the failure arises and travels to the user's screen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The class decides what happens next; see `next_retry` in the coordinator's core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The spec or the data is wrong.
    InvalidInput,
    /// Storage, network or another dependency did not answer.
    Unavailable,
    /// The lease expired.
    Lost,
    /// The executor died by a signal or an exit it did not announce.
    Crashed,
    /// No counter of the pipeline moved for too long.
    Stalled,
    /// The memory limit was reached or an allocation failed.
    OutOfMemory,
    /// The scratch space is full.
    DiskFull,
    /// The task's own time limit passed.
    TimedOut,
    /// Handed back by a draining worker.
    Released,
    /// Granted, but never begun.
    NeverStarted,
    /// A bug: a panic, with its place.
    Internal,
}

impl FailureClass {
    pub const ALL: [Self; 11] = [
        Self::InvalidInput,
        Self::Unavailable,
        Self::Lost,
        Self::Crashed,
        Self::Stalled,
        Self::OutOfMemory,
        Self::DiskFull,
        Self::TimedOut,
        Self::Released,
        Self::NeverStarted,
        Self::Internal,
    ];

    /// The word used in files, on the wire and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unavailable => "unavailable",
            Self::Lost => "lost",
            Self::Crashed => "crashed",
            Self::Stalled => "stalled",
            Self::OutOfMemory => "out_of_memory",
            Self::DiskFull => "disk_full",
            Self::TimedOut => "timed_out",
            Self::Released => "released",
            Self::NeverStarted => "never_started",
            Self::Internal => "internal",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed attempt, as its executor or agent reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub class: FailureClass,
    /// What failed, where, and what to do about it: one line, the chain of causes joined by `: `.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}
