//! Writing of states.

use std::io::Write;

use super::crc::crc32;
use super::{
    BLOCK_BYTES, MAGIC, ONE_ANOMALOUS, ONE_BESIDE, ONE_CLEAR, SEVERAL, StateError, VERSION,
};
use crate::{Overlap, Step, Totals};

/// The longest entry: seven varints of at most 19 bytes.
const MAX_ENTRY_BYTES: usize = 133;

/// Turns ascending steps into the bytes of a state.
pub struct StateWriter {
    out: Vec<u8>,
    /// Where the open block starts in `out`: its length and checksum, then the payload.
    block: usize,
    crc: u32,
    /// What a pixel of an image without a defect is of it, nearly always.
    unit: Overlap,
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
        out.extend_from_slice(&totals.defective_images.to_le_bytes());
        out.extend_from_slice(&totals.clear.units().to_le_bytes());
        out.extend_from_slice(&totals.clear_pixels.to_le_bytes());
        let crc = crc32(0, &out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        let block = out.len();
        out.extend_from_slice(&[0; 8]);
        Self {
            out,
            block,
            crc,
            unit: totals.clear_pixel(),
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
        let of_pixel = || Some((step.overlap.area_of_pixel()?, step.defect.area_of_pixel()?));
        match (step.normal, step.anomalous) {
            (1, 0) if step.clear == Overlap::default() => self.varint(gap | ONE_BESIDE),
            (1, 0) if step.clear == self.unit => self.varint(gap | ONE_CLEAR),
            (0, 1) if let Some((area, defect)) = of_pixel() => {
                self.varint(gap | ONE_ANOMALOUS);
                self.varint(area.into());
                self.varint(defect.into());
            }
            _ => self.several(gap, step),
        }
        self.end_entry();
    }

    /// A step of normal items only: so many of images without a defect, all of the size in the header, and so many of others.
    #[inline]
    pub(crate) fn normals(&mut self, key: u32, clear: u64, beside: u64) {
        let gap = (u64::from(key) - self.next_key) << 2;
        self.next_key = u64::from(key) + 1;
        match (clear, beside) {
            (0, 1) => self.varint(gap | ONE_BESIDE),
            (1, 0) => self.varint(gap | ONE_CLEAR),
            _ => {
                self.varint(gap | SEVERAL);
                self.varint((clear + beside) << 1);
                self.varint(clear << 1);
            }
        }
        self.end_entry();
    }

    #[inline]
    fn end_entry(&mut self) {
        if self.out.len() - self.block - 8 > BLOCK_BYTES - MAX_ENTRY_BYTES {
            self.close_block();
        }
    }

    fn several(&mut self, gap: u64, step: Step) {
        let has = |part: bool| u128::from(part);
        self.varint(gap | SEVERAL);
        self.long_varint(u128::from(step.normal) << 1 | has(step.anomalous > 0));
        let (units, rest) = self.in_units(step);
        self.long_varint(units << 1 | has(rest > 0));
        if rest > 0 {
            self.long_varint(rest);
        }
        if step.anomalous > 0 {
            self.varint(step.anomalous);
            self.long_varint(step.overlap.units());
            self.long_varint(step.defect.units());
        }
    }

    /// How often a step's share of clear images has the unit, and what is left.
    fn in_units(&self, step: Step) -> (u128, u128) {
        let (clear, unit) = (step.clear.units(), self.unit.units());
        if clear == 0 || unit == 0 {
            (0, clear)
        } else if clear == self.unit.times(step.normal).units() {
            (u128::from(step.normal), 0) // mostly, and cheaper than a division
        } else {
            (clear / unit, clear % unit)
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

    #[inline]
    fn long_varint(&mut self, value: u128) {
        match u64::try_from(value) {
            Ok(value) => self.varint(value),
            Err(_) => self.longest_varint(value),
        }
    }

    fn longest_varint(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}
