//! Writing of states.

use std::io::Write;

use super::crc::crc32;
use super::{BLOCK_BYTES, BOTH, MAGIC, NORMALS, ONE_ANOMALOUS, ONE_NORMAL, StateError, VERSION};
use crate::{Step, Totals};

/// The longest entry: three varints of at most ten bytes, and one of at most 19.
const MAX_ENTRY_BYTES: usize = 49;

/// Turns ascending steps into the bytes of a state.
pub struct StateWriter {
    out: Vec<u8>,
    /// Where the open block starts in `out`: its length and checksum, then the payload.
    block: usize,
    crc: u32,
    /// The smallest key that may come next; 0 at the start.
    next_key: u64,
}

impl StateWriter {
    /// Appends to `out`. The totals must be those of the steps that follow: readers check.
    pub fn new(mut out: Vec<u8>, totals: Totals) -> Self {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&totals.normal.to_le_bytes());
        out.extend_from_slice(&totals.anomalous.to_le_bytes());
        out.extend_from_slice(&totals.regions.to_le_bytes());
        let crc = crc32(0, &out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        let block = out.len();
        out.extend_from_slice(&[0; 8]);
        Self {
            out,
            block,
            crc,
            next_key: 0,
        }
    }

    /// # Panics
    /// In builds with overflow checks, if the score is not above the one before.
    #[inline]
    pub fn step(&mut self, step: Step) {
        let key = u64::from(step.score.key());
        let gap = (key - self.next_key) << 2;
        self.next_key = key + 1;
        let one = || step.overlap.area_of_pixel().map(u64::from);
        match (step.normal, step.anomalous) {
            (1, 0) => self.varint(gap | ONE_NORMAL),
            (normal, 0) => {
                self.varint(gap | NORMALS);
                self.varint(normal);
            }
            (0, 1) if let Some(area) = one() => {
                self.varint(gap | ONE_ANOMALOUS);
                self.varint(area);
            }
            (normal, anomalous) => {
                self.varint(gap | BOTH);
                self.varint(normal);
                self.varint(anomalous);
                self.long_varint(step.overlap.units());
            }
        }
        if self.out.len() - self.block - 8 > BLOCK_BYTES - MAX_ENTRY_BYTES {
            self.close_block();
        }
    }

    /// Hands full blocks over to a sink once they are many, so that memory does not hold the whole state.
    pub(crate) fn pass_on(&mut self, sink: &mut impl Write) -> Result<(), StateError> {
        const MANY: usize = 16 * BLOCK_BYTES;
        if self.block < MANY {
            return Ok(());
        }
        sink.write_all(&self.out[..self.block])
            .map_err(StateError::Write)?;
        self.out.drain(..self.block);
        self.block = 0;
        Ok(())
    }

    pub fn finish(mut self) -> Vec<u8> {
        if self.out.len() > self.block + 8 {
            self.close_block();
        }
        self.out[self.block + 4..].copy_from_slice(&self.crc.to_le_bytes());
        self.out
    }

    fn close_block(&mut self) {
        let payload = self.block + 8;
        let length = (self.out.len() - payload) as u32;
        self.crc = crc32(self.crc, &self.out[payload..]);
        self.out[self.block..self.block + 4].copy_from_slice(&length.to_le_bytes());
        self.out[self.block + 4..payload].copy_from_slice(&self.crc.to_le_bytes());
        self.block = self.out.len();
        self.out.extend_from_slice(&[0; 8]);
    }

    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn long_varint(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}
