//! The errors that a user sees, each with its exit code.

use std::error::Error as _;
use std::path::PathBuf;

/// Exit code of wrong arguments.
pub const USAGE: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The job reached its end, and it was not success. The reasons are printed already.
    #[error(
        "job {job} {state}; `{describe}` says why; where it names no other way, `{retry}` computes only what is missing"
    )]
    JobFailed {
        job: String,
        state: String,
        /// Commands to type.
        describe: String,
        retry: String,
    },
    /// What is wrong is printed already.
    #[error("the results of job {job} are not whole")]
    NotWhole { job: String },
    #[error("not every job of {jobs} has ended within {seconds} s; they go on")]
    NotYet { jobs: String, seconds: f64 },
    #[error("the new threshold came to nothing and the results of job {job} are as before: {why}")]
    AsBefore { job: String, why: String },
    /// Why each of them was not is printed already.
    #[error(
        "not one of {images} of job {job} could be drawn; nothing was written to {}", .folder.display()
    )]
    NotDrawn {
        job: String,
        /// How many.
        images: String,
        folder: PathBuf,
    },
    /// Everything wrong with a job file, one line each.
    #[error("{}", .lines.join("\n"))]
    InvalidFile { lines: Vec<String> },
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{what}")]
    Unreachable {
        what: String,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A store that the coordinator asked does not answer.
    #[error("{0}")]
    NoStore(String),
    #[error("{0}")]
    Denied(String),
    /// Disk full, state locked, a program missing, protocol version.
    #[error("{what}")]
    CannotRun {
        what: String,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot read the results")]
    Results(#[from] tables::TableError),
    #[error(transparent)]
    Config(#[from] store::ConfigError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error("interrupted; {hint}")]
    Interrupted { hint: String },
    /// The reader of standard output went away, as `head` does.
    #[error("standard output closed")]
    OutputClosed,
}

impl Error {
    pub fn cannot_run(what: impl Into<String>) -> Self {
        Self::CannotRun {
            what: what.into(),
            source: None,
        }
    }

    pub fn cannot_run_because(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::CannotRun {
            what: what.into(),
            source: Some(Box::new(source)),
        }
    }

    fn gone(why: &str) -> Self {
        Self::Unreachable {
            what: format!("the coordinator went away: {why}"),
            source: None,
        }
    }

    /// Whether a coordinator in a state folder went away: another one can be started there.
    pub fn may_be_reopened(&self, place: &proto::Place) -> bool {
        matches!(self, Self::Unreachable { .. }) && matches!(place, proto::Place::State(_))
    }

    /// See `docs/cli.md`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::JobFailed { .. }
            | Self::NotWhole { .. }
            | Self::NotYet { .. }
            | Self::AsBefore { .. }
            | Self::NotDrawn { .. } => 1,
            Self::InvalidFile { .. } | Self::Usage(_) | Self::Config(_) => USAGE,
            Self::NotFound(_) => 3,
            Self::Unreachable { .. } | Self::NoStore(_) => 4,
            Self::Denied(_) => 5,
            Self::CannotRun { .. } | Self::Results(_) => 6,
            Self::Read { source, .. } | Self::Write { source, .. } => of_io(source),
            Self::Store(error) => of_store(error),
            Self::Interrupted { .. } => 130,
            Self::OutputClosed => 0,
        }
    }

    /// On standard error, with the chain of causes.
    pub fn print(&self) {
        if let Self::OutputClosed = self {
            return;
        }
        let text = types::chain(self);
        match self {
            Self::InvalidFile { .. } | Self::Config(store::ConfigError::Invalid { .. }) => {
                eprintln!("{text}")
            }
            _ => eprintln!("ctl: {text}"),
        }
    }
}

fn of_io(error: &std::io::Error) -> u8 {
    match error.kind() {
        std::io::ErrorKind::NotFound => 3,
        std::io::ErrorKind::IsADirectory => USAGE,
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => 5,
        _ => 6,
    }
}

fn of_store(error: &store::StoreError) -> u8 {
    match error.word() {
        "not_found" => 3,
        "denied" => 5,
        "unconfigured" | "unknown_scheme" | "invalid_uri" | "not_a_file" => USAGE,
        _ if error.class() == types::FailureClass::Unavailable => 4,
        _ => 6,
    }
}

/// What a coordinator answered, as the user's error.
impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => Self::NotFound(message),
            Code::InvalidArgument
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange => Self::Usage(message),
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied(message),
            Code::Aborted => Self::NoStore(message),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::gone(&message),
            // Its connection broke.
            Code::Unknown if status.source().is_some() => Self::gone(&message),
            Code::Unimplemented => Self::cannot_run(proto::OTHER_PROTOCOL),
            _ => Self::CannotRun {
                what: format!("the coordinator answered: {message}"),
                source: None,
            },
        }
    }
}
