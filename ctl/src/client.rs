//! The connection to a coordinator.

use proto::{Place, ReachError};
use tokio::net::UnixStream;

pub use proto::Client;

use crate::{Error, places};

/// Connects; `None` if nobody listens in the state folder.
pub async fn connect(place: &Place) -> Result<Option<Client>, Error> {
    if let Place::State(folder) = place {
        let socket = places::socket(folder)?;
        // Asked first with a plain connection: its error says which of the cases it is.
        match UnixStream::connect(&socket).await {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let hidden = socket
                    .symlink_metadata()
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
                let what = match hidden {
                    true => format!("the state folder {} may not be entered", folder.display()),
                    false => format!(
                        "the coordinator's socket {} belongs to somebody else",
                        socket.display()
                    ),
                };
                return Err(Error::Denied(format!(
                    "{what}; choose another folder with --state"
                )));
            }
            Err(error) => {
                return Err(Error::Unreachable {
                    what: format!("cannot reach the coordinator at {place}"),
                    source: Some(Box::new(error)),
                });
            }
        }
    }
    match (place, proto::connect(place).await) {
        // It has gone since it was asked.
        (Place::State(_), Err(ReachError::Connect { .. })) => Ok(None),
        (_, connected) => Ok(Some(connected?)),
    }
}

impl From<ReachError> for Error {
    fn from(error: ReachError) -> Self {
        let what = error.to_string();
        match error {
            ReachError::Connect { source, .. }
            | ReachError::NoTls { source, .. }
            | ReachError::Certificate { source, .. } => Self::Unreachable {
                what,
                source: Some(Box::new(source)),
            },
            ReachError::NeedsTls { .. } => Self::Unreachable { what, source: None },
            ReachError::Read { path, source, .. } => Self::Read { path, source },
            ReachError::NoHome => Self::cannot_run(what),
            ReachError::BadUrl { .. }
            | ReachError::BadToken { .. }
            | ReachError::NoCertificate { .. }
            | ReachError::Tls { .. } => Self::Usage(what),
        }
    }
}

/// A fresh request id: what is sent twice with it is done once.
pub fn request_id() -> Result<String, Error> {
    let number = getrandom::u64().map_err(|source| {
        Error::cannot_run(format!("the system gives no random numbers: {source}"))
    })?;
    Ok(format!("{number:016x}"))
}
