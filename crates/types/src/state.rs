//! States that users see, and what an attempt leaves behind.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word used in files, on the wire and on screens.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// A job's state, derived from its tasks and from what the user asked for.
    JobState {
        /// Nothing of it has been granted yet.
        Queued = "queued",
        Running = "running",
        /// Cancelled by the user, with attempts still winding down.
        Cancelling = "cancelling",
        Succeeded = "succeeded",
        /// At least one task failed for good.
        Failed = "failed",
        Cancelled = "cancelled",
    }
);

impl JobState {
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

words!(
    /// A task's state.
    TaskState {
        /// Waits for other tasks.
        Blocked = "blocked",
        /// Waits for a worker (or for the end of its backoff).
        Ready = "ready",
        Running = "running",
        Succeeded = "succeeded",
        /// Failed in a way that another try would not mend.
        Failed = "failed",
        /// Tried as often as allowed.
        Dead = "dead",
        /// A task it depends on failed.
        Skipped = "skipped",
        Cancelling = "cancelling",
        Cancelled = "cancelled",
    }
);

impl TaskState {
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Dead | Self::Skipped | Self::Cancelled
        )
    }
}

words!(
    /// What a task does.
    TaskKind {
        /// Lists a dataset and seals its `samples`.
        List = "list",
        /// Trains: features to statistics (or weights).
        Fit = "fit",
        /// Scores one chunk of images.
        Score = "score",
        /// Thresholds, normalization bounds, metrics and the package of a run.
        Evaluate = "evaluate",
        /// Compacts the tables of a whole job.
        Reduce = "reduce",
        /// Writes a trained package as files that other programs read.
        Export = "export",
    }
);

/// One object that an attempt wrote, as it stands in `_outputs.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputObject {
    /// Relative to the attempt's prefix.
    pub path: String,
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Rows, where the object is a Parquet part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}
