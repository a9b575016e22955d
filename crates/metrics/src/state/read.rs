//! Reading of one state, block by block.

use std::io::{ErrorKind, Read};

use super::crc::crc32;
use super::{
    BLOCK_BYTES, HEADER_BYTES, MAGIC, ONE_ANOMALOUS, ONE_BESIDE, ONE_CLEAR, StateError, VERSION,
};
use crate::ordered::Below;
use crate::{Overlap, RawScore, Step, Totals};

/// A written state, read in one go from front to back; holds one block (64 KiB) at a time.
pub struct StateReader<R> {
    source: R,
    totals: Totals,
    /// What a pixel of an image without a defect is of it, nearly always.
    unit: Overlap,
    seen: Below,
    block: Vec<u8>,
    position: usize,
    blocks: u64,
    crc: u32,
    /// Above the last one.
    next_key: u32,
    ended: bool,
}

impl<R: Read> StateReader<R> {
    pub fn new(mut source: R) -> Result<Self, StateError> {
        let mut header = [0; HEADER_BYTES + 4];
        // What other files are may be told from less than a whole header.
        let (start, rest) = header.split_at_mut(8);
        fill(&mut source, start)?;
        let found = [start[0], start[1], start[2], start[3]];
        if found != MAGIC {
            return Err(StateError::NotAState { found });
        }
        if start[4] != VERSION {
            return Err(StateError::Version { found: start[4] });
        }
        fill(&mut source, rest)?;
        let crc = crc32(0, &header[..HEADER_BYTES]);
        if u32_at(&header, HEADER_BYTES) != crc {
            return Err(StateError::Checksum { block: 0 });
        }
        let totals = Totals {
            normal: u64_at(&header, 8),
            anomalous: u64_at(&header, 16),
            regions: u64_at(&header, 24),
            defective_images: u64_at(&header, 32),
            clear: Overlap::from_units(
                u128::from(u64_at(&header, 40)) | u128::from(u64_at(&header, 48)) << 64,
            ),
            clear_pixels: u32_at(&header, 56),
        };
        if (totals.clear == Overlap::default()) != (totals.clear_pixels == 0) {
            return Err(StateError::Malformed("images of no size"));
        }
        Ok(Self {
            source,
            totals,
            unit: totals.clear_pixel(),
            seen: Below::default(),
            block: Vec::new(),
            position: 0,
            blocks: 0,
            crc,
            next_key: 0,
            ended: false,
        })
    }

    /// From the header; the steps add up to it, or the last call of `next_step` is an error.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The lowest key that the next score may have.
    #[inline]
    pub(super) fn next_key(&self) -> u32 {
        self.next_key
    }

    /// The next higher score; `None` after the last.
    #[inline(always)]
    pub fn next_step(&mut self) -> Result<Option<Step>, StateError> {
        if self.position == self.block.len() && !self.next_block()? {
            return Ok(None);
        }
        let head = self.varint()?;
        let key = u64::from(self.next_key) + (head >> 2); // below 2^32 + 2^62
        let score = u32::try_from(key).ok().and_then(RawScore::from_key);
        let score = score.ok_or(StateError::Malformed("a score that is not finite"))?;
        self.next_key = key as u32 + 1; // that of a score is below the highest
        let mut step = Step::empty(score);
        match head & 3 {
            ONE_CLEAR => (step.normal, step.clear) = (1, self.unit),
            ONE_BESIDE => step.normal = 1,
            ONE_ANOMALOUS => {
                step.anomalous = 1;
                step.overlap = self.pixel()?;
                step.defect = self.pixel()?;
            }
            _ => self.several(&mut step)?,
        }
        if !self.seen.add_within(step, &self.totals) {
            return Err(StateError::Malformed("more items than its header says"));
        }
        Ok(Some(step))
    }

    #[inline(always)]
    fn several(&mut self, step: &mut Step) -> Result<(), StateError> {
        // Nearly always a few normal items of images of the size in the header.
        if let Some(&[normal @ 2..0x80, units @ 0..0x80]) =
            self.block[self.position..].first_chunk()
            && (normal | units) & 1 == 0
        {
            self.position += 2;
            step.normal = u64::from(normal >> 1);
            step.clear = self.unit.times(u64::from(units >> 1));
            return Ok(());
        }
        self.any_several(step)
    }

    fn any_several(&mut self, step: &mut Step) -> Result<(), StateError> {
        let normal = self.wide_varint()?;
        step.normal = u64::try_from(normal >> 1).map_err(|_| TOO_LONG)?;
        let units = self.wide_varint()?;
        let rest = if units & 1 == 1 {
            self.wide_varint()?
        } else {
            0
        };
        let clear = (units >> 1).checked_mul(self.unit.units());
        let clear = clear.and_then(|clear| clear.checked_add(rest));
        step.clear = Overlap::from_units(clear.ok_or(TOO_LONG)?);
        if normal & 1 == 1 {
            step.anomalous = self.varint()?;
        }
        if step.normal == 0 && (step.anomalous == 0 || step.clear != Overlap::default()) {
            return Err(StateError::Malformed("an entry without items"));
        }
        if step.anomalous > 0 {
            step.overlap = Overlap::from_units(self.wide_varint()?);
            step.defect = Overlap::from_units(self.wide_varint()?);
        }
        Ok(())
    }

    /// The share of an anomalous item, of which the pixels of the whole are written.
    #[inline]
    fn pixel(&mut self) -> Result<Overlap, StateError> {
        match u32::try_from(self.varint()?) {
            Ok(area) if area > 0 => Ok(Overlap::of_pixel(area)),
            _ => Err(StateError::Malformed("the size of a defect")),
        }
    }

    /// False at the end of the state.
    fn next_block(&mut self) -> Result<bool, StateError> {
        if self.ended {
            return Ok(false);
        }
        let mut head = [0; 8];
        fill(&mut self.source, &mut head)?;
        let length = u32_at(&head, 0) as usize;
        if length > BLOCK_BYTES {
            return Err(StateError::Malformed("a block above 64 KiB"));
        }
        self.block.resize(length, 0);
        fill(&mut self.source, &mut self.block)?;
        self.position = 0;
        self.blocks += 1;
        self.crc = crc32(self.crc, &self.block);
        if u32_at(&head, 4) != self.crc {
            return Err(StateError::Checksum { block: self.blocks });
        }
        self.ended = length == 0;
        let all = |seen: Below| {
            // Each item's share is rounded down by less than a unit.
            let lost =
                |wholes: u64, seen: Overlap| Overlap::of_wholes(wholes).units() - seen.units();
            let totals = &self.totals;
            (seen.normal, seen.anomalous) == (totals.normal, totals.anomalous)
                && seen.clear == totals.clear
                && lost(totals.regions, seen.overlap) <= u128::from(seen.anomalous)
                && lost(totals.defective_images, seen.defect) <= u128::from(seen.anomalous)
        };
        if self.ended && !all(self.seen) {
            return Err(StateError::Malformed("fewer items than its header says"));
        }
        Ok(!self.ended)
    }

    /// Nearly all numbers are one byte.
    #[inline]
    fn varint(&mut self) -> Result<u64, StateError> {
        match self.block.get(self.position) {
            Some(&byte) if byte < 0x80 => {
                self.position += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, StateError> {
        u64::try_from(self.longest_varint()?).map_err(|_| TOO_LONG)
    }

    #[inline]
    fn wide_varint(&mut self) -> Result<u128, StateError> {
        match self.block.get(self.position) {
            Some(&byte) if byte < 0x80 => {
                self.position += 1;
                Ok(u128::from(byte))
            }
            _ => self.longest_varint(),
        }
    }

    fn longest_varint(&mut self) -> Result<u128, StateError> {
        let mut value = 0u128;
        for shift in (0..128).step_by(7) {
            let Some(&byte) = self.block.get(self.position) else {
                return Err(StateError::Malformed(
                    "an entry cut by the end of its block",
                ));
            };
            self.position += 1;
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(TOO_LONG)
    }
}

const TOO_LONG: StateError = StateError::Malformed("a number of too many bits");

fn fill(source: &mut impl Read, bytes: &mut [u8]) -> Result<(), StateError> {
    source
        .read_exact(bytes)
        .map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => StateError::Truncated,
            _ => StateError::Io(error),
        })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
