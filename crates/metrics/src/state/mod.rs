//! States as bytes: how they are laid out, written, read, and read many at a time.
//!
//! ```text
//! header   "NSSC", version 2 (u8), three zero bytes, normal (u64), anomalous (u64), regions (u64), images with a defect
//!          (u64), clear of all items (u128), pixels of the smallest image without a defect (u32, 0 without any), crc32 of
//!          the 60 bytes before
//! block    length in bytes 1..=65536 (u32), crc32 of the payload continued from the checksum before (u32), payload
//! ...
//! end      length 0 (u32), the last checksum again (u32)
//! payload  whole entries of ascending score; numbers are LEB128 varints, all others little-endian:
//!            gap * 4 + 0                one pixel of an image without a defect, of the size in the header
//!            gap * 4 + 1                one normal pixel of an image with a defect
//!            gap * 4 + 2, area, defect  one anomalous pixel
//!            gap * 4 + 3, normal * 2 + a, clear / unit * 2 + c, if c: clear % unit, if a: anomalous, overlap, defects
//!                                       anything else; a and c: 1 if what depends on them is there and not 0, else 0
//!          gap: order-preserving u32 key of the score, less the key before, less 1 (the first: the key itself)
//!          area, defect: pixels of the item's region, and of all regions of its image
//!          overlap, defects: sums over the anomalous items of 2^64 / area and of 2^64 / defect, each rounded down
//!          clear: sum over the normal items of images without a defect of 2^64 / (pixels of the image), each rounded down
//!          unit: 2^64 / (pixels in the header), rounded down; without such an image clear is 0, and so are both numbers
//! ```
//!
//! Each block is checked before an entry of it is used; the checksum runs through all blocks, so that a block lost,
//! doubled or moved is noticed, too.

mod crc;
mod entries;
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
const HEADER_BYTES: usize = 60;
const BLOCK_BYTES: usize = 65_536;

const ONE_CLEAR: u64 = 0;
const ONE_BESIDE: u64 = 1;
const ONE_ANOMALOUS: u64 = 2;
const SEVERAL: u64 = 3;

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
