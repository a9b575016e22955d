//! Every way in which an archive, or a file in it, can be unusable.

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The archive cannot be used, or the one file that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{archive}: {length} bytes at {offset} cannot be read")]
    Read {
        archive: String,
        offset: u64,
        length: u64,
        #[source]
        source: Source,
    },
    #[error("{archive} is not a {expected} archive: {reason}")]
    NotAnArchive {
        archive: String,
        expected: &'static str,
        reason: String,
    },
    #[error("{archive} ends too early: {what} reaches to byte {needed} of {size}")]
    Truncated {
        archive: String,
        what: String,
        needed: u64,
        size: u64,
    },
    #[error("{archive} is damaged at byte {offset}: {reason}")]
    Damaged {
        archive: String,
        offset: u64,
        reason: String,
    },
    #[error("{archive}: {what} cannot be read; pack it again as one plain tar or zip file")]
    Unsupported { archive: String, what: String },
    #[error("{archive} has more than {limit} entries; split it")]
    TooManyEntries { archive: String, limit: u64 },
    #[error("{archive}: {entry}: {refusal}")]
    Entry {
        archive: String,
        entry: String,
        refusal: Refusal,
    },
}

impl ArchiveError {
    /// For the column `error_class` of result tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read_error",
            Self::NotAnArchive { .. } => "not_an_archive",
            Self::Truncated { .. } | Self::Damaged { .. } => "archive_error",
            Self::Unsupported { .. } => "unsupported",
            Self::TooManyEntries { .. } => "too_large",
            Self::Entry { refusal, .. } => refusal.word(),
        }
    }
}

/// An entry that is no file to read, or must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its name, as far as it can be shown.
    pub entry: String,
    pub refusal: Refusal,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("its name is not UTF-8")]
    NameNotUtf8,
    #[error("its name is empty")]
    NameEmpty,
    #[error("its name is {bytes} bytes long, more than {limit}")]
    NameTooLong { bytes: usize, limit: usize },
    #[error("its name holds a zero byte")]
    NameWithZero,
    #[error("its name is absolute")]
    NameAbsolute,
    #[error("its name climbs by `..`")]
    NameClimbs,
    #[error("several entries have this name")]
    Duplicate,
    #[error("the archive has no such entry")]
    Missing,
    #[error("it is a link; links are not followed")]
    Link,
    #[error("it is a sparse file; pack it without holes")]
    Sparse,
    #[error("it is no file (type {0:?})")]
    NotAFile(char),
    #[error("it is encrypted")]
    Encrypted,
    #[error("it is compressed by method {0}; only Deflate and none are read")]
    Method(u16),
    #[error("it is {bytes} bytes, more than the {limit} allowed")]
    TooLarge { bytes: u64, limit: u64 },
    #[error(
        "{size} bytes would come from {stored}, more than {ratio} from one; put it beside the archive"
    )]
    Bomb { stored: u64, size: u64, ratio: u64 },
    #[error("it lies upon another entry, or upon the directory")]
    Overlaps,
    #[error("{0}")]
    Damaged(String),
}

impl Refusal {
    pub fn word(&self) -> &'static str {
        match self {
            Self::NameNotUtf8
            | Self::NameEmpty
            | Self::NameTooLong { .. }
            | Self::NameWithZero
            | Self::NameAbsolute
            | Self::NameClimbs
            | Self::Duplicate => "bad_name",
            Self::Missing => "not_found",
            Self::Link | Self::NotAFile(_) => "not_a_file",
            Self::Sparse | Self::Encrypted | Self::Method(_) => "unsupported",
            Self::TooLarge { .. } | Self::Bomb { .. } => "too_large",
            Self::Overlaps | Self::Damaged(_) => "archive_error",
        }
    }
}
