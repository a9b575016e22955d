//! Antialiased bilinear resizing in f32, without rounding in between: the filter of Pillow and of torchvision's
//! `Resize(antialias=True)`, read from 8-bit pixels straight into a model's input.

use std::ops::Range;

use crate::{
    image::{Channels, Image},
    simd::{add_weighted, weigh_pixels, weigh_rows},
};

/// One output's sources and their weights.
#[derive(Debug, Clone)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The triangle filter from `from` to `to` samples, for the outputs in `wanted`.
///
/// Output `i` is centred at `(i + 0.5) * from / to`; the triangle is as wide as the larger of both pitches.
fn triangle(from: usize, to: usize, wanted: Range<usize>) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let taps = |index: usize| {
        let centre = (index as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let raw: Vec<f64> = (first..end)
            .map(|at| (1.0 - ((at as f64 + 0.5 - centre) / support).abs()).max(0.0))
            .collect();
        let sum: f64 = raw.iter().sum();
        Taps {
            first,
            weights: raw.iter().map(|weight| (weight / sum) as f32).collect(),
        }
    };
    wanted.map(taps).collect()
}

/// Resizes `image` to `size` (height, width) and writes the window `rows` x `columns` of it, channels first, 0 to 1.
///
/// `out` holds `3 * rows.len() * columns.len()` values.
pub(crate) fn resize(
    image: &Image,
    size: [usize; 2],
    rows: Range<usize>,
    columns: Range<usize>,
    out: &mut [f32],
) {
    let from = [image.height as usize, image.width as usize];
    let mut resizer = Resizer::new(image.channels, from, size, rows, columns);
    let stride = from[1] * image.channels.count();
    for y in 0..resizer.vertical.len() {
        let source = &image.data[resizer.vertical[y].first * stride..];
        resizer.row(y, &source[resizer.seen.start..], stride, out);
    }
}

/// The same of an image whose rows come one after another.
pub(crate) struct RowsResizer {
    resizer: Resizer,
    /// Of the rows that are still needed, the part that some output looks at.
    held: Vec<u8>,
    /// The first row that is held.
    first: usize,
    /// The next row that comes.
    next: usize,
    /// The next row to be written.
    y: usize,
    /// Rows that are held at most.
    most: usize,
}

impl RowsResizer {
    /// `from`, `size`: height, width.
    pub(crate) fn new(
        channels: Channels,
        from: [usize; 2],
        size: [usize; 2],
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Self {
        let resizer = Resizer::new(channels, from, size, rows, columns);
        let tallest = resizer.vertical.iter().map(|taps| taps.weights.len());
        // So that few are moved: what is needed is at most a quarter.
        let most = 4 * tallest.max().unwrap_or(0);
        Self {
            held: vec![0; most * resizer.seen.len()],
            resizer,
            first: 0,
            next: 0,
            y: 0,
            most,
        }
    }

    /// Takes the next row. Whether [`write`](Self::write) is due before another comes: some rows need no other.
    pub(crate) fn take(&mut self, row: &[u8]) -> bool {
        let at = self.next;
        self.next += 1;
        let Some(taps) = self.resizer.vertical.get(self.y) else {
            return false;
        };
        if at < taps.first {
            return false;
        }
        let (needed, end) = (taps.first, taps.first + taps.weights.len());
        let length = self.resizer.seen.len();
        if at == needed && self.first < at {
            self.first = at;
        } else if at - self.first == self.most {
            self.held.copy_within((needed - self.first) * length.., 0);
            self.first = needed;
        }
        let place = (at - self.first) * length;
        self.held[place..place + length].copy_from_slice(&row[self.resizer.seen.clone()]);
        end == self.next
    }

    /// Writes the rows that need no other.
    pub(crate) fn write(&mut self, out: &mut [f32]) {
        let length = self.resizer.seen.len();
        while let Some(taps) = self.resizer.vertical.get(self.y)
            && taps.first + taps.weights.len() == self.next
        {
            let source = &self.held[(taps.first - self.first) * length..];
            self.resizer.row(self.y, source, length, out);
            self.y += 1;
        }
    }
}

/// Makes rows of the output.
struct Resizer {
    channels: Channels,
    vertical: Vec<Taps>,
    horizontal: Vec<Taps>,
    /// The first source column that some output looks at.
    first: usize,
    /// Values of a source row from that column to the last one.
    seen: Range<usize>,
    pixels: PixelTaps,
    /// One source line, weighed.
    line: Vec<f32>,
    weights: Vec<f32>,
}

impl Resizer {
    fn new(
        channels: Channels,
        [height, width]: [usize; 2],
        size: [usize; 2],
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Self {
        let vertical = triangle(height, size[0], rows);
        let horizontal = triangle(width, size[1], columns);
        let first = horizontal.iter().map(|taps| taps.first).min().unwrap_or(0);
        let end = horizontal
            .iter()
            .map(|taps| taps.first + taps.weights.len())
            .max()
            .unwrap_or(0);
        let seen = first * channels.count()..end * channels.count();
        let pixels = PixelTaps::new(&horizontal, first);
        Self {
            channels,
            line: vec![0.0; seen.len() + pixels.beyond()],
            vertical,
            horizontal,
            first,
            seen,
            pixels,
            weights: Vec::new(),
        }
    }

    /// Writes row `y` of the output from its source rows, whose seen values begin in `source` every `stride` values.
    fn row(&mut self, y: usize, source: &[u8], stride: usize, out: &mut [f32]) {
        let scaled = self.vertical[y].weights.iter().map(|weight| weight / 255.0);
        self.weights.clear();
        self.weights.extend(scaled);
        weigh_rows(
            &mut self.line[..self.seen.len()],
            source,
            stride,
            &self.weights,
        );
        let width = self.horizontal.len();
        let (red, others) = out.split_at_mut(self.vertical.len() * width);
        let (green, blue) = others.split_at_mut(self.vertical.len() * width);
        let planes = [red, green, blue].map(|plane| &mut plane[y * width..(y + 1) * width]);
        match self.channels {
            Channels::Rgb => self.pixels.filter(&self.line, planes),
            Channels::Grey => {
                let [red, others @ ..] = planes;
                filter_grey(&self.line, self.first, &self.horizontal, red);
                for other in others {
                    other.copy_from_slice(red);
                }
            }
        }
    }
}

fn filter_grey(line: &[f32], first: usize, horizontal: &[Taps], out: &mut [f32]) {
    for (value, taps) in out.iter_mut().zip(horizontal) {
        let sources = &line[taps.first - first..];
        *value = taps
            .weights
            .iter()
            .zip(sources)
            .map(|(weight, source)| weight * source)
            .sum();
    }
}

/// Taps of pixels of three values, as [`weigh_pixels`] likes them.
struct PixelTaps {
    /// Where each output's first source begins in a line.
    firsts: Vec<usize>,
    /// As many for each output; those that were missing are 0.
    weights: Vec<[f32; 4]>,
    outputs: Vec<[f32; 4]>,
}

impl PixelTaps {
    /// For lines that begin with pixel `first`.
    fn new(horizontal: &[Taps], first: usize) -> Self {
        let most = horizontal.iter().map(|taps| taps.weights.len()).max();
        let fours = most.unwrap_or(0).div_ceil(4);
        let mut weights = vec![[0.0; 4]; fours * horizontal.len()];
        for (padded, taps) in weights.chunks_exact_mut(fours.max(1)).zip(horizontal) {
            padded.as_flattened_mut()[..taps.weights.len()].copy_from_slice(&taps.weights);
        }
        Self {
            firsts: horizontal
                .iter()
                .map(|taps| 3 * (taps.first - first))
                .collect(),
            weights,
            outputs: vec![[0.0; 4]; horizontal.len()],
        }
    }

    /// Values of a line that are read behind its last pixel, and do not count.
    fn beyond(&self) -> usize {
        12 * self.weights.len() / self.outputs.len().max(1) + 1
    }

    fn filter(&mut self, line: &[f32], [red, green, blue]: [&mut [f32]; 3]) {
        weigh_pixels(line, &self.firsts, &self.weights, &mut self.outputs);
        let planes = red.iter_mut().zip(green).zip(blue);
        for ([r, g, b, _], ((red, green), blue)) in self.outputs.iter().zip(planes) {
            [*red, *green, *blue] = [*r, *g, *b];
        }
    }
}

/// A band of a matrix that maps `columns` values to `rows` values: few neighbours each.
#[derive(Debug, Clone)]
pub(crate) struct Band {
    rows: Vec<Taps>,
}

impl Band {
    /// The non-zero part of each dense row.
    pub fn new(dense: &[Vec<f64>]) -> Self {
        let row = |row: &Vec<f64>| {
            let first = row.iter().position(|weight| *weight != 0.0).unwrap_or(0);
            let end = row
                .iter()
                .rposition(|weight| *weight != 0.0)
                .map_or(first, |last| last + 1);
            Taps {
                first,
                weights: row[first..end]
                    .iter()
                    .map(|weight| *weight as f32)
                    .collect(),
            }
        };
        Self {
            rows: dense.iter().map(row).collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Applies the band to each line of `width` values.
    pub fn along_lines(&self, lines: &[f32], width: usize, out: &mut Vec<f32>) {
        out.clear();
        for line in lines.chunks_exact(width) {
            out.extend(self.rows.iter().map(|taps| {
                let sources = &line[taps.first..];
                taps.weights
                    .iter()
                    .zip(sources)
                    .map(|(weight, source)| weight * source)
                    .sum::<f32>()
            }));
        }
    }

    /// Applies the band across the lines of `width` values.
    pub fn across_lines(&self, lines: &[f32], width: usize, out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.rows.len() * width, 0.0);
        for (sums, taps) in out.chunks_exact_mut(width).zip(&self.rows) {
            for (source, weight) in lines[taps.first * width..]
                .chunks_exact(width)
                .zip(&taps.weights)
            {
                add_weighted(sums, source, *weight);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Value by value, in the order in which the sums are defined.
    fn plain(
        image: &Image,
        size: [usize; 2],
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Vec<f32> {
        let (width, height) = (image.width as usize, image.height as usize);
        let vertical = triangle(height, size[0], rows);
        let horizontal = triangle(width, size[1], columns);
        let mut out = Vec::new();
        for channel in 0..3 {
            for down in &vertical {
                let at = |x: usize| {
                    let taps = down.weights.iter().zip(down.first..);
                    taps.fold(0.0, |sum: f32, (weight, y)| {
                        sum + weight / 255.0 * f32::from(image.data[3 * (y * width + x) + channel])
                    })
                };
                for across in &horizontal {
                    let taps = across.weights.iter().zip(across.first..);
                    out.push(taps.fold(0.0, |sum: f32, (weight, x)| sum + weight * at(x)));
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn sums_in_registers_have_the_bits_of_plain_ones(
            width in 1..90_u32, height in 1..40_u32, rows in 1..50_usize, columns in 1..50_usize,
            crop in 0..5_usize, seed: u64,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let data = (0..3 * width * height).map(|_| random.u8(..)).collect();
            let image = Image { width, height, channels: Channels::Rgb, data };
            let (first, last) = (crop.min(rows - 1), columns - crop.min(columns - 1));
            let mut out = vec![f32::NAN; 3 * (rows - first) * last];
            resize(&image, [rows, columns], first..rows, 0..last, &mut out);
            prop_assert_eq!(&out, &plain(&image, [rows, columns], first..rows, 0..last));
            let mut again = vec![f32::NAN; out.len()];
            let from = [height, width].map(|side| side as usize);
            let window = (first..rows, 0..last);
            let mut taking = RowsResizer::new(Channels::Rgb, from, [rows, columns], window.0, window.1);
            for row in image.data.chunks_exact(3 * width as usize) {
                if taking.take(row) {
                    taking.write(&mut again);
                }
            }
            prop_assert_eq!(out, again);
        }
    }
}
