//! Messages on the socket pair to the agent, read and written by a thread that may wait.

use std::io::{self, Read, Write};

use prost::Message;
use proto::executor_socket;

/// The next message; `None` once the other side has closed.
pub fn read_message<M: Message + Default>(source: &mut impl Read) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match source.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut bytes = vec![0; executor_socket::length(length)?];
    source.read_exact(&mut bytes)?;
    M::decode(bytes.as_slice())
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

pub fn write_message(sink: &mut impl Write, message: &impl Message) -> io::Result<()> {
    sink.write_all(&executor_socket::frame(message)?)?;
    sink.flush()
}
