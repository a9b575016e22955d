//! What agent and executor agree on beside the messages: each goes as a 32-bit little-endian length and its protobuf over a
//! socket pair, whose one end the executor inherits.

use std::io;

use prost::Message;

/// The environment variable that holds the number of the executor's end.
pub const DESCRIPTOR_VARIABLE: &str = "NIGHTSHIFT_EXECUTOR_FD";

/// No message comes near: the largest carries an assignment with its dependencies' results.
const MAX_MESSAGE_BYTES: u32 = 64 << 20;

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
