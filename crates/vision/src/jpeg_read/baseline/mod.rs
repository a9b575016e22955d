//! The commonest JPEG files (baseline, one scan, 8 bits, grey or colour at 4:4:4, 4:2:2 or 4:2:0), faster than by
//! libjpeg-turbo and with its pixels, bit for bit. What is of another kind, or odd in any way, is left to it.

mod colour;
mod frame;
mod huffman;
mod inverse_dct;
#[cfg(test)]
mod tests;

use std::ops::Range;

use frame::{Frame, Sampling, ZIGZAG};
use huffman::{Bits, Content, PADDING};
use inverse_dct::Pair;

use crate::{
    header::Header,
    image::{Channels, Image},
};

/// `None`: libjpeg is to judge.
pub(super) fn decode(bytes: &[u8], header: Header) -> Option<Image> {
    let mut data = Vec::new();
    let channels = decode_rows(bytes, header, |channels| {
        data.reserve_exact(header.width as usize * header.height as usize * channels.count());
        |row: &[u8]| data.extend_from_slice(row)
    })?;
    Some(Image {
        width: header.width,
        height: header.height,
        channels,
        data,
    })
}

/// Gives the image's rows to what `taking` makes, from the first to the last. `None`: libjpeg is to judge; rows may have been given,
/// which mean nothing.
pub(super) fn decode_rows<Take: FnMut(&[u8])>(
    bytes: &[u8],
    header: Header,
    taking: impl FnOnce(Channels) -> Take,
) -> Option<Channels> {
    if !(is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2"))
    {
        return None;
    }
    let frame = Frame::of(bytes)?;
    // What was checked against the limits is what is decoded.
    if [frame.width, frame.height] != [header.width as usize, header.height as usize] {
        return None;
    }
    let channels = match frame.sampling {
        Sampling::Grey => Channels::Grey,
        Sampling::Full | Sampling::Beside | Sampling::Both => Channels::Rgb,
    };
    // SAFETY: the processor has what was asked for above.
    unsafe { rows(&frame, &mut taking(channels))? };
    Some(channels)
}

#[target_feature(enable = "avx2,bmi1,bmi2")]
fn rows(frame: &Frame<'_>, take: &mut dyn FnMut(&[u8])) -> Option<()> {
    let stretches = Stretches::of(frame.scan)?;
    let mut codes = Codes::of(frame, &stretches)?;
    let mut strips = Strips::of(frame, codes.columns);
    for line in 0..codes.lines {
        for column in 0..codes.columns {
            codes.mcu(column, &mut strips.components)?;
        }
        strips.give(line, take);
    }
    codes.is_at_end().then_some(())
}

/// Entropy-coded bytes without those that are stuffed in, between restarts, each with its padding.
struct Stretches {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Stretches {
    /// `None`: what follows a 255 is neither stuffed, nor the next restart, nor the image's end.
    fn of(scan: &[u8]) -> Option<Self> {
        const RESTARTS: u8 = 0xd0;
        const END: u8 = 0xd9;
        let mut bytes = Vec::with_capacity(scan.len() + PADDING);
        let mut ranges = Vec::new();
        let (mut rest, mut start) = (scan, 0);
        loop {
            let at = memchr::memchr(0xff, rest)?;
            bytes.extend_from_slice(&rest[..at]);
            let marker = *rest.get(at + 1)?;
            rest = &rest[at + 2..];
            let restart = RESTARTS + (ranges.len() % 8) as u8;
            if marker == 0 {
                bytes.push(0xff);
            } else if marker == END || marker == restart {
                bytes.extend_from_slice(&[0; PADDING]);
                ranges.push(start..bytes.len());
                start = bytes.len();
                if marker == END {
                    return Some(Self { bytes, ranges });
                }
            } else {
                return None;
            }
        }
    }
}

/// A block of an MCU.
struct Block {
    component: usize,
    /// Its first sample in its component's part of the MCU.
    row: usize,
    column: usize,
}

/// Where the coefficients of one block of a [`Pair`] stand, in the order of files; behind the last, where nothing is looked for.
const PLACES: [u8; 256] = {
    let mut places = [128; 256];
    let mut at = 0;
    while at < 64 {
        places[at] = 16 * (ZIGZAG[at] / 8) + ZIGZAG[at] % 8;
        at += 1;
    }
    places
};

/// Reads MCU after MCU.
struct Codes<'a> {
    frame: &'a Frame<'a>,
    stretches: &'a Stretches,
    /// MCUs beside and above one another.
    columns: usize,
    lines: usize,
    /// An MCU's blocks in the order of the file, two at a time, and what their coefficients are multiplied by.
    pairs: Vec<(Vec<Block>, Pair)>,
    /// How many stretches were begun.
    begun: usize,
    bits: Bits<'a>,
    /// MCUs up to the next restart.
    left: usize,
    means: [i32; 3],
    /// For a pair, and for what has no place.
    room: [i16; 8 + 256],
}

impl<'a> Codes<'a> {
    fn of(frame: &'a Frame<'a>, stretches: &'a Stretches) -> Option<Self> {
        let sampling = frame.sampling;
        let columns = frame.width.div_ceil(8 * sampling.across());
        let lines = frame.height.div_ceil(8 * sampling.down());
        let restarts = match frame.restart {
            0 => 0,
            every => (columns * lines).checked_sub(1)? / every,
        };
        let codes = Self {
            frame,
            stretches,
            columns,
            lines,
            pairs: pairs(frame),
            begun: 0,
            bits: Bits::new(&[]),
            left: 0,
            means: [0; 3],
            room: [0; 8 + 256],
        };
        (stretches.ranges.len() == restarts + 1).then_some(codes)
    }

    fn is_at_end(&self) -> bool {
        self.bits.is_at_end()
    }

    /// Decodes the next MCU, the one in `column`, into its components' strips.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn mcu(&mut self, column: usize, strips: &mut [Strip]) -> Option<()> {
        if self.left == 0 {
            self.restart()?;
        }
        self.left -= 1;
        for (blocks, quanta) in &self.pairs {
            self.room.first_chunk_mut::<128>()?.fill(0);
            let mut content = Content::Flat;
            for (at, block) in blocks.iter().enumerate() {
                let component = &self.frame.components[block.component];
                let found = huffman::block(
                    &mut self.bits,
                    &component.dc,
                    &component.ac,
                    &mut self.means[block.component],
                    &PLACES,
                    self.room[8 * at..].first_chunk_mut()?,
                )?;
                if found == Content::Varied {
                    content = found;
                }
            }
            let samples = inverse_dct::samples(self.room.first_chunk()?, quanta, content)?;
            for (at, block) in blocks.iter().enumerate() {
                let strip = &mut strips[block.component];
                let left = column * strip.mcu_width + block.column;
                let mut to = strip
                    .samples
                    .get_mut((1 + block.row) * strip.width + left..)?;
                for two in &samples {
                    for from in two[16 * at..16 * at + 16].as_chunks::<8>().0 {
                        *to.first_chunk_mut()? = *from;
                        to = to.get_mut(strip.width..).unwrap_or_default();
                    }
                }
            }
        }
        Some(())
    }

    #[cold]
    fn restart(&mut self) -> Option<()> {
        if self.begun > 0 && !self.is_at_end() {
            return None;
        }
        let range = self.stretches.ranges.get(self.begun)?.clone();
        self.bits = Bits::new(&self.stretches.bytes[range]);
        self.begun += 1;
        self.left = match self.frame.restart {
            0 => self.columns * self.lines,
            every => every,
        };
        self.means = [0; 3];
        Some(())
    }
}

fn pairs(frame: &Frame<'_>) -> Vec<(Vec<Block>, Pair)> {
    let sampling = frame.sampling;
    let (across, down) = (sampling.across(), sampling.down());
    let luma = (0..across * down).map(|at| Block {
        component: 0,
        row: 8 * (at / across),
        column: 8 * (at % across),
    });
    let differences = (1..frame.components.len()).map(|component| Block {
        component,
        row: 0,
        column: 0,
    });
    let mut blocks = luma.chain(differences);
    let mut pairs = Vec::new();
    loop {
        let pair: Vec<Block> = blocks.by_ref().take(2).collect();
        if pair.is_empty() {
            return pairs;
        }
        let mut quanta = [0; 128];
        for (at, block) in pair.iter().enumerate() {
            let own = frame.components[block.component].quanta.as_chunks::<8>().0;
            for (to, from) in quanta[8 * at..].chunks_mut(16).zip(own) {
                to[..8].copy_from_slice(from);
            }
        }
        pairs.push((pair, quanta));
    }
}

/// A component's samples in one row of MCUs, behind the last row of those before.
struct Strip {
    /// In samples, of whole MCUs.
    width: usize,
    mcu_width: usize,
    samples: Vec<u8>,
}

impl Strip {
    fn new(columns: usize, across: usize, down: usize) -> Self {
        let mcu_width = 8 * across;
        let width = columns * mcu_width;
        Self {
            width,
            mcu_width,
            samples: vec![0; (1 + 8 * down) * width],
        }
    }

    /// Row 0 is the one before.
    fn row(&self, at: usize) -> &[u8] {
        &self.samples[at * self.width..(at + 1) * self.width]
    }

    fn keep_last_row(&mut self) {
        let last = self.samples.len() - self.width;
        self.samples.copy_within(last.., 0);
    }
}

struct Strips {
    size: [usize; 2],
    sampling: Sampling,
    components: Vec<Strip>,
    /// Of each colour difference: what is doubled, and as many as luma's.
    sums: Vec<u16>,
    doubled: [Vec<u8>; 2],
    pixels: Vec<u8>,
}

impl Strips {
    fn of(frame: &Frame<'_>, columns: usize) -> Self {
        let (across, down) = (frame.sampling.across(), frame.sampling.down());
        let count = frame.components.len();
        let mut components = vec![Strip::new(columns, across, down)];
        components.extend((1..count).map(|_| Strip::new(columns, 1, 1)));
        let halves = frame.width.div_ceil(2);
        Self {
            size: [frame.height, frame.width],
            sampling: frame.sampling,
            components,
            sums: vec![0; 1 + halves + 1],
            doubled: [(); 2].map(|()| vec![0; 2 * halves]),
            pixels: vec![0; count * frame.width],
        }
    }

    /// Gives the pixels of rows that have all their neighbours, once row `line` of MCUs is there.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn give(&mut self, line: usize, take: &mut dyn FnMut(&[u8])) {
        let [height, width] = self.size;
        let rows = 8 * self.sampling.down();
        let here = (height - line * rows).min(rows);
        let is_last = height <= (line + 1) * rows;
        if self.sampling == Sampling::Grey {
            (1..=here).for_each(|row| take(&self.components[0].row(row)[..width]));
            return;
        }
        if self.sampling != Sampling::Both {
            for row in 1..=here {
                self.give_row(row, row, row, take);
            }
            return;
        }
        // The last row waits for its neighbour below; so did the one before.
        let first = if line == 0 { 1 } else { 0 };
        let end = if is_last { here + 1 } else { here };
        let lowest = if is_last { here.div_ceil(2) } else { here / 2 };
        for row in first..end {
            let near = row.div_ceil(2);
            let far = if row % 2 == 1 { near - 1 } else { near + 1 };
            // There is none above the image, nor below.
            let far = if line == 0 { far.max(1) } else { far }.min(lowest);
            self.give_row(row, near, far, take);
        }
        self.components.iter_mut().for_each(Strip::keep_last_row);
    }

    /// Luma's row, and those of the differences that are nearest and next to it.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn give_row(&mut self, row: usize, near: usize, far: usize, take: &mut dyn FnMut(&[u8])) {
        let [luma, differences @ ..] = &self.components[..] else {
            return;
        };
        for (doubled, strip) in self.doubled.iter_mut().zip(differences) {
            let halves = doubled.len() / 2;
            let sums = &mut self.sums[1..=halves];
            match self.sampling {
                Sampling::Grey | Sampling::Full => continue,
                Sampling::Beside => {
                    for (sum, sample) in sums.iter_mut().zip(strip.row(near)) {
                        *sum = u16::from(*sample);
                    }
                }
                Sampling::Both => {
                    let samples = strip.row(near).iter().zip(strip.row(far));
                    for (sum, (near, far)) in sums.iter_mut().zip(samples) {
                        *sum = u16::from(*near)
                            .wrapping_mul(3)
                            .wrapping_add(u16::from(*far));
                    }
                }
            }
            self.sums[0] = self.sums[1];
            self.sums[halves + 1] = self.sums[halves];
            match self.sampling {
                Sampling::Both => colour::double::<4>(&self.sums, doubled),
                _ => colour::double::<2>(&self.sums, doubled),
            }
        }
        let differences = match (self.sampling, differences) {
            (Sampling::Full, [blue, red]) => [blue.row(near), red.row(near)],
            _ => [&self.doubled[0][..], &self.doubled[1]],
        };
        let [blue, red] = differences;
        colour::to_rgb([luma.row(row), blue, red], &mut self.pixels);
        take(&self.pixels);
    }
}
