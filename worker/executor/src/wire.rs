//! Messages on the socket pair to the agent: a 32-bit little-endian length, then protobuf.

use std::io::{self, Read, Write};

use prost::Message;

/// The environment variable that holds the number of the inherited socket.
pub const FD_VARIABLE: &str = "NIGHTSHIFT_EXECUTOR_FD";

/// No message comes near: the largest carries an assignment with its dependencies' results.
const MAX_MESSAGE_BYTES: u32 = 64 << 20;

/// The next message; `None` once the other side has closed.
pub fn read_message<M: Message + Default>(source: &mut impl Read) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match source.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes"),
        ));
    }
    let mut bytes = vec![0; length as usize];
    source.read_exact(&mut bytes)?;
    M::decode(bytes.as_slice())
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

pub fn write_message(sink: &mut impl Write, message: &impl Message) -> io::Result<()> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length <= MAX_MESSAGE_BYTES)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a message of {} bytes", bytes.len()),
            )
        })?;
    sink.write_all(&length.to_le_bytes())?;
    sink.write_all(&bytes)?;
    sink.flush()
}
