//! What goes into a dataset and what comes out of it: objects in, samples out.

use std::fmt;

/// One object below a dataset's roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// In the form of [`Dataset::roots`](crate::Dataset::roots): the root, `/`, and the object's place below it.
    pub path: String,
    pub uri: String,
    /// As the store gives it; empty if it gives none.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
}

/// An image with all that is known of it before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleSeed {
    pub uri: String,
    pub etag: String,
    pub size: u64,
    pub modified_ms: i64,
    pub split: Split,
    pub label: Label,
    /// Such as `crack`; `None` for normal images.
    pub defect_type: Option<String>,
    pub mask_uri: Option<String>,
    /// Seed of the synthetic anomaly that the image gets when it is read; its mask comes of the same seed.
    pub synthetic: Option<u64>,
}

/// A dataset as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Sorted by URI, which is unique.
    pub samples: Vec<SampleSeed>,
    /// Things a user should know: one line each.
    pub warnings: Vec<String>,
}

/// The role of a sample. Which of them chose a threshold is part of every result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// A model learns from it; never scored.
    Train,
    /// Chooses thresholds and normalization bounds; in no metric.
    Validation,
    /// What metrics are computed from.
    Test,
}

impl Split {
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The word used in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|split| split.as_str() == text)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    Normal,
    Anomalous,
}

impl Label {
    /// The word used in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Anomalous => "anomalous",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the samples are for, which decides what must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A model is trained: without normal images the dataset is no use.
    Train,
    /// A trained package is tested.
    Test,
}
