//! The connection to a coordinator: gRPC over the Unix socket of a state folder.

use std::path::Path;

use hyper_util::rt::TokioIo;
use proto::v1::coordinator_client::CoordinatorClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::{Error, places};

pub type Client = CoordinatorClient<Channel>;

/// Largest answer: a listing of a hundred thousand tasks.
const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// Connects; `None` if nobody listens there.
pub async fn connect(state: &Path) -> Result<Option<Client>, Error> {
    let socket = places::socket(state)?;
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
            return Err(Error::Denied(format!(
                "the coordinator's socket {} belongs to somebody else; choose another folder with --state",
                socket.display()
            )));
        }
        Err(error) => return Err(unreachable(&socket, error)),
    }
    let path = socket.clone();
    let channel = Endpoint::from_static("http://coordinator")
        .connect_with_connector(tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await;
    match channel {
        Ok(channel) => Ok(Some(
            CoordinatorClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES),
        )),
        Err(error) => Err(unreachable(&socket, error)),
    }
}

fn unreachable(socket: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unreachable {
        what: format!("cannot reach the coordinator at {}", socket.display()),
        source: Some(Box::new(source)),
    }
}

/// A fresh request id: what is sent twice with it is done once.
pub fn request_id() -> Result<String, Error> {
    let number = getrandom::u64().map_err(|source| {
        Error::cannot_run(format!("the system gives no random numbers: {source}"))
    })?;
    Ok(format!("{number:016x}"))
}
