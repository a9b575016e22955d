//! Every error that a caller can see, and the gRPC status it becomes.

use coordinator_core::{CannotSkip, FindJobError, Refusal};
use store::StoreError;
use tonic::{Code, Status};
use types::{FailureClass, JobId, chain};

use crate::handle::Ended;

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("{field}: {what}")]
    BadField { field: &'static str, what: String },
    #[error("no {what} {text:?}; `ctl get jobs` lists the jobs there are")]
    NoSuch { what: &'static str, text: String },
    #[error(transparent)]
    FindJob(#[from] FindJobError),
    #[error("no model has the package {0}; `ctl get models` lists those there are")]
    NoPackage(String),
    #[error("there is no job yet")]
    NoJobs,
    #[error("job {job} has no results yet: it is {state}")]
    NoResults { job: JobId, state: &'static str },
    #[error("the scores that job {job} would be decided anew from are not in its store any more")]
    ScoresGone {
        job: JobId,
        #[source]
        source: Box<StoreError>,
    },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Ended(#[from] Ended),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
    /// A bug: the core answered something else than was asked.
    #[error("the coordinator gave an answer that does not fit the question: {0}")]
    WrongReply(String),
}

impl RequestError {
    fn code(&self) -> Code {
        match self {
            Self::BadField { .. } | Self::FindJob(FindJobError::Ambiguous { .. }) => {
                Code::InvalidArgument
            }
            Self::NoSuch { .. }
            | Self::NoPackage(_)
            | Self::ScoresGone { .. }
            | Self::NoJobs
            | Self::FindJob(FindJobError::NotFound(_)) => Code::NotFound,
            Self::NoResults { .. } => Code::FailedPrecondition,
            Self::Refused(refusal) => refused(refusal),
            Self::Ended(_) => Code::Unavailable,
            Self::Store(error) => match error.class() {
                FailureClass::InvalidInput => match error {
                    StoreError::NotFound { .. } => Code::NotFound,
                    StoreError::Denied { .. } | StoreError::ReadOnly { .. } => {
                        Code::PermissionDenied
                    }
                    _ => Code::InvalidArgument,
                },
                FailureClass::DiskFull => Code::ResourceExhausted,
                // Not `Unavailable`: that is the coordinator itself.
                FailureClass::Unavailable => Code::Aborted,
                _ => Code::Internal,
            },
            Self::Random(_) | Self::WrongReply(_) => Code::Internal,
        }
    }
}

fn refused(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::UnknownJob(_)
        | Refusal::CannotSkip {
            why: CannotSkip::Unknown,
            ..
        }
        | Refusal::UnknownRun { .. }
        | Refusal::UnknownWorker(_)
        | Refusal::UnknownLease(_) => Code::NotFound,
        Refusal::JobIdTaken(_) | Refusal::KeyTaken { .. } => Code::AlreadyExists,
        // Not `PermissionDenied`: that is said of tokens alone, so that an agent knows what to do about it.
        Refusal::StaleIncarnation { .. }
        | Refusal::NotYourLease { .. }
        | Refusal::JobOpen { .. }
        | Refusal::NotOver { .. }
        | Refusal::Search(_)
        | Refusal::NoLabels(_)
        | Refusal::NoScores { .. }
        | Refusal::NotDecided { .. }
        | Refusal::Export(_)
        | Refusal::JobCancelled(_)
        | Refusal::CannotSkip { .. }
        | Refusal::RunWithoutScores { .. } => Code::FailedPrecondition,
        Refusal::RequestReused(_)
        | Refusal::BrokenPlan { .. }
        | Refusal::ForeignOutput { .. }
        | Refusal::WrongResult { .. } => Code::InvalidArgument,
    }
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        let code = error.code();
        if code == Code::Internal {
            tracing::error!(error = chain(&error), "request failed");
        }
        Status::new(code, chain(&error))
    }
}
