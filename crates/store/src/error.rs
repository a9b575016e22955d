//! What can go wrong with a store, each naming the object, and the failure class that follows from it.

use std::{error::Error, fmt, fs::FileType, io, os::unix::fs::FileTypeExt};

use types::FailureClass;

type Source = Box<dyn Error + Send + Sync + 'static>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("{uri} does not exist")]
    NotFound { uri: String },
    /// In local folders only.
    #[error("{uri} is {what}, not a file")]
    NotAFile { uri: String, what: NoFile },
    #[error("no permission to {action} {uri}")]
    Denied {
        action: &'static str,
        uri: String,
        #[source]
        source: Source,
    },
    #[error(
        "{uri} has changed since it was listed (expected etag {expected}); a new job lists it again: `ctl run --new`, or another --key"
    )]
    Changed { uri: String, expected: String },
    #[error("{uri} exists already with other content")]
    Conflict { uri: String },
    #[error("no space left to write {uri}")]
    DiskFull {
        uri: String,
        #[source]
        source: Source,
    },
    #[error("{uri} is on a read-only file system")]
    ReadOnly {
        uri: String,
        #[source]
        source: Source,
    },
    #[error("cannot {action} {uri}")]
    Unavailable {
        action: &'static str,
        uri: String,
        #[source]
        source: Source,
    },
    #[error("{uri:?} is not a usable address: {}", printable(reason))]
    InvalidUri { uri: String, reason: String },
    #[error(
        "{}: there is no storage {}://; use a path, file:///absolute/path, s3://, az:// or gs://",
        printable(uri),
        printable(scheme)
    )]
    UnknownScheme { uri: String, scheme: String },
    /// `known` is a sentence about the stores that there are.
    #[error(
        "{} belongs to no configured store ({known}); add it under `stores:` in the file that --config or NIGHTSHIFT_CONFIG names",
        printable(uri)
    )]
    Unconfigured { uri: String, known: String },
    /// `known` is a sentence about the roots that there are.
    #[error(
        "{uri} lies below no folder that jobs may use on this machine ({known}); add one to `roots` under `files:` in the file that --config or NIGHTSHIFT_CONFIG names, for the coordinator and for each worker"
    )]
    Undeclared { uri: String, known: String },
    #[error("the store {store} cannot be used: {reason}")]
    Misconfigured { store: String, reason: String },
    #[error(
        "{uri}: the bucket {bucket} does not exist at {endpoint}; create it, or correct `url` of the store {store}"
    )]
    NoBucket {
        uri: String,
        bucket: String,
        store: String,
        endpoint: String,
    },
    #[error(
        "cannot {action} {uri}: the certificate of {endpoint} is not trusted; name its authority by `ca_certificate` of the store {store}, or a host that it is for by `endpoint`"
    )]
    Certificate {
        action: &'static str,
        uri: String,
        store: String,
        endpoint: String,
        #[source]
        source: Source,
    },
    #[error(
        "cannot {action} {uri}: this machine's clock and that of {endpoint} are too far apart; set the clock (timedatectl)"
    )]
    Clock {
        action: &'static str,
        uri: String,
        endpoint: String,
        #[source]
        source: Source,
    },
    /// `target` is quoted.
    #[error("{uri} is a link to {target}, which is not there; mend the link or remove it")]
    DanglingLink { uri: String, target: String },
    /// `target` is quoted.
    #[error("{uri} is a link to {target}, and so leads round for ever; remove it")]
    LinkLoop { uri: String, target: String },
    /// `name` is quoted and escaped.
    #[error("{folder} holds {name}, a name that no address can hold ({reason}); rename it")]
    UnusableName {
        folder: String,
        name: String,
        reason: &'static str,
    },
    #[error("{uri} comes after the attempt was sealed")]
    Sealed { uri: String },
    #[error("{uri} would take {size} bytes, more than the {limit} allowed")]
    TooLarge { uri: String, size: u64, limit: u64 },
    #[error("cannot read the local file {path}")]
    LocalFile {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// What stands at a local path in the place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoFile {
    Folder,
    Pipe,
    Socket,
    Device,
}

impl NoFile {
    pub(crate) fn of(kind: FileType) -> Option<Self> {
        match kind {
            kind if kind.is_file() => None,
            kind if kind.is_dir() => Some(Self::Folder),
            kind if kind.is_fifo() => Some(Self::Pipe),
            kind if kind.is_socket() => Some(Self::Socket),
            _ => Some(Self::Device),
        }
    }
}

impl fmt::Display for NoFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::Pipe => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

/// An address as somebody has written it, perhaps in a list: what a terminal would obey is escaped.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

impl StoreError {
    /// Whether another try may help, and which.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::NotFound { .. }
            | Self::NotAFile { .. }
            | Self::Denied { .. }
            | Self::Changed { .. }
            | Self::Conflict { .. }
            | Self::ReadOnly { .. }
            | Self::InvalidUri { .. }
            | Self::DanglingLink { .. }
            | Self::LinkLoop { .. }
            | Self::UnusableName { .. }
            | Self::UnknownScheme { .. }
            | Self::Unconfigured { .. }
            | Self::Undeclared { .. }
            | Self::Misconfigured { .. }
            | Self::NoBucket { .. }
            | Self::Certificate { .. } => FailureClass::InvalidInput,
            Self::DiskFull { .. } => FailureClass::DiskFull,
            // Another machine's clock may be right.
            Self::Unavailable { .. } | Self::Clock { .. } => FailureClass::Unavailable,
            Self::LocalFile { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureClass::DiskFull,
                _ => FailureClass::Internal,
            },
            Self::Sealed { .. } | Self::TooLarge { .. } => FailureClass::Internal,
        }
    }

    /// The word for this error in the column `error_class` of a scores table.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::NoBucket { .. } | Self::DanglingLink { .. } => {
                "not_found"
            }
            Self::NotAFile { .. } => "not_a_file",
            Self::Denied { .. } => "denied",
            Self::Changed { .. } => "changed",
            Self::Conflict { .. } => "conflict",
            Self::DiskFull { .. } => "disk_full",
            Self::ReadOnly { .. } => "read_only",
            Self::Unavailable { .. } => "unavailable",
            Self::InvalidUri { .. } | Self::LinkLoop { .. } | Self::UnusableName { .. } => {
                "invalid_uri"
            }
            Self::UnknownScheme { .. } => "unknown_scheme",
            Self::Unconfigured { .. } | Self::Undeclared { .. } | Self::Misconfigured { .. } => {
                "unconfigured"
            }
            Self::Certificate { .. } => "certificate",
            Self::Clock { .. } => "clock",
            Self::Sealed { .. } | Self::TooLarge { .. } | Self::LocalFile { .. } => "internal",
        }
    }

    /// Every word of [`Self::word`].
    pub const WORDS: [&'static str; 14] = [
        "not_found",
        "not_a_file",
        "denied",
        "changed",
        "conflict",
        "disk_full",
        "read_only",
        "unavailable",
        "invalid_uri",
        "unknown_scheme",
        "unconfigured",
        "certificate",
        "clock",
        "internal",
    ];

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(crate) fn from_object_store(
        action: &'static str,
        uri: String,
        expected: Option<&str>,
        error: object_store::Error,
    ) -> Self {
        use object_store::Error as E;
        match error {
            E::Precondition { .. } => Self::Changed {
                uri,
                expected: expected.unwrap_or_default().to_owned(),
            },
            // A permission error on the way to an object is not "not found" for a person.
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Denied {
                action,
                uri,
                source: error.into(),
            },
            E::InvalidPath { source } => Self::InvalidUri {
                uri,
                reason: source.to_string(),
            },
            E::NotFound { .. } => Self::NotFound { uri },
            other => Self::from_cause(action, uri, other.into()),
        }
    }

    pub(crate) fn from_io(action: &'static str, uri: String, error: io::Error) -> Self {
        Self::from_cause(action, uri, error.into())
    }

    /// Looks for the operating system's word in the chain of causes: object_store wraps it without a kind of its own.
    fn from_cause(action: &'static str, uri: String, source: Source) -> Self {
        let system = io_error(source.as_ref());
        let kind = system.as_ref().map(io::Error::kind);
        let source = system.map_or(source, Source::from);
        match kind {
            Some(io::ErrorKind::PermissionDenied) => Self::Denied {
                action,
                uri,
                source,
            },
            Some(
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge,
            ) => Self::DiskFull { uri, source },
            Some(io::ErrorKind::ReadOnlyFilesystem) => Self::ReadOnly { uri, source },
            Some(
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory,
            ) => Self::NotFound { uri },
            Some(io::ErrorKind::InvalidFilename) => Self::InvalidUri {
                uri,
                reason: source.to_string(),
            },
            _ => Self::Unavailable {
                action,
                uri,
                source,
            },
        }
    }
}

/// The system's error among the causes, in the words of the one above it, which names the place if it is another; the
/// client's inner steps above that say nothing to a person.
fn io_error(error: &(dyn Error + 'static)) -> Option<io::Error> {
    let (mut above, mut next) = (String::new(), Some(error));
    while let Some(error) = next {
        let text = error.to_string();
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let text = if above.ends_with(&text) { above } else { text };
            return Some(io::Error::new(io.kind(), text));
        }
        above = text;
        next = error.source();
    }
    None
}
