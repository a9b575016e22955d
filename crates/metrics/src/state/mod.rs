//! States as bytes: how they are laid out, written, read, and read many at a time.
//!
//! ```text
//! header   "NSSC", version 2 (u8), three zero bytes, normal (u64), anomalous (u64), regions (u64), crc32 of the 32 bytes
//!          before
//! block    length in bytes 1..=65536 (u32), crc32 of the payload continued from the checksum before (u32), payload
//! ...
//! end      length 0 (u32), the last checksum again (u32)
//! payload  whole entries of ascending score; numbers are LEB128 varints, all others little-endian:
//!            gap * 4 + 0                              one normal item
//!            gap * 4 + 1, area                        one anomalous item
//!            gap * 4 + 2, normal                      several normal items
//!            gap * 4 + 3, normal, anomalous, overlap  anything else
//!          gap: order-preserving u32 key of the score, less the key before, less 1 (the first: the key itself)
//!          area: pixels of the item's region. overlap: sum over the anomalous items of 2^64 / area, each rounded down
//! ```
//!
//! Each block is checked before an entry of it is used; the checksum runs through all blocks, so that a block lost,
//! doubled or moved is noticed, too.

mod crc;
mod merge;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use merge::Merge;
pub use read::StateReader;
pub use write::StateWriter;

const MAGIC: [u8; 4] = *b"NSSC";
const VERSION: u8 = 2;
const HEADER_BYTES: usize = 32;
const BLOCK_BYTES: usize = 65_536;

const ONE_NORMAL: u64 = 0;
const ONE_ANOMALOUS: u64 = 1;
const NORMALS: u64 = 2;
const BOTH: u64 = 3;

/// Why bytes are not a state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot read a metric state")]
    Io(#[source] std::io::Error),
    #[error("cannot write a metric state")]
    Write(#[source] std::io::Error),
    #[error("metric state ends early")]
    Truncated,
    #[error("not a metric state: it starts with {found:02x?} instead of \"NSSC\"")]
    NotAState { found: [u8; 4] },
    #[error(
        "metric state of version {found}, this program reads version {VERSION}; run the task again"
    )]
    Version { found: u8 },
    #[error("metric state is damaged: checksum of block {block} does not match")]
    Checksum { block: u64 },
    #[error("metric state is malformed: {0}")]
    Malformed(&'static str),
    #[error(
        "metric state counts more items than memory or 64 bits hold; read it with a merge instead"
    )]
    TooLarge,
}
