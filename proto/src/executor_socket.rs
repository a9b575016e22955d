//! What agent and executor agree on beside the messages: each goes as a 32-bit little-endian length and its protobuf over a
//! socket pair, whose one end the executor inherits.

use std::{
    env,
    io::{self, Read, Write},
    os::{fd::FromRawFd, unix::net::UnixStream},
};

use prost::Message;

/// The environment variable that holds the number of the executor's end.
pub const DESCRIPTOR_VARIABLE: &str = "NIGHTSHIFT_EXECUTOR_FD";

/// No message comes near: the largest carries an assignment with its dependencies' results.
const MAX_MESSAGE_BYTES: u32 = 64 << 20;

/// The executor's end, which it owns from here on and hands to nobody it starts.
///
/// To be called once: a second stream of the same descriptor would close it under the first.
pub fn inherited() -> io::Result<UnixStream> {
    let number = env::var(DESCRIPTOR_VARIABLE).map_err(|_| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("{DESCRIPTOR_VARIABLE} is not set: executors are started by `worker`"),
        )
    })?;
    let wrong = |why: &dyn std::fmt::Display| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{DESCRIPTOR_VARIABLE}={number:?}: {why}"),
        )
    };
    let descriptor: i32 = number.parse().map_err(|error| wrong(&error))?;
    // SAFETY: asks about a number; a descriptor that is not open is an error.
    if descriptor < 3 || unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(wrong(&io::Error::last_os_error()));
    }
    // SAFETY: the agent opened it for this process, which owns it from here on.
    Ok(unsafe { UnixStream::from_raw_fd(descriptor) })
}

/// The next message, read by a thread that may wait; `None` once the other side has closed.
pub fn read_message<M: Message + Default>(source: &mut impl Read) -> io::Result<Option<M>> {
    let mut bytes = [0; 4];
    match source.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut body = vec![0; length(bytes)?];
    source.read_exact(&mut body)?;
    M::decode(body.as_slice())
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Sends a message; waits until the other side has room for it.
pub fn write_message(sink: &mut impl Write, message: &impl Message) -> io::Result<()> {
    sink.write_all(&frame(message)?)?;
    sink.flush()
}

/// The bytes of a message with its length before it.
pub fn frame(message: &impl Message) -> io::Result<Vec<u8>> {
    let length = u32::try_from(message.encoded_len())
        .ok()
        .filter(|length| *length <= MAX_MESSAGE_BYTES)
        .ok_or_else(|| too_long(message.encoded_len()))?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(message.encode_to_vec());
    Ok(bytes)
}

/// The length that these bytes announce; one above the limit means that the stream is out of step.
pub fn length(bytes: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(bytes) as usize;
    if length > MAX_MESSAGE_BYTES as usize {
        return Err(too_long(length));
    }
    Ok(length)
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "a message of {length} bytes between worker and executor; at most {MAX_MESSAGE_BYTES} are allowed"
        ),
    )
}
