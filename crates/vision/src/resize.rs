//! Antialiased bilinear resizing in f32, without rounding in between: the filter of Pillow and of torchvision's
//! `Resize(antialias=True)`, read from 8-bit pixels straight into a model's input.

use std::ops::Range;

use crate::{
    image::{Channels, Image},
    simd::{add_weighted, add_weighted_bytes},
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
    let (width, height) = (image.width as usize, image.height as usize);
    let count = image.channels.count();
    let vertical = triangle(height, size[0], rows.clone());
    let horizontal = triangle(width, size[1], columns.clone());
    // Only source columns that some output looks at.
    let first = horizontal.iter().map(|taps| taps.first).min().unwrap_or(0);
    let end = horizontal
        .iter()
        .map(|taps| taps.first + taps.weights.len())
        .max()
        .unwrap_or(0);
    let mut line = vec![0.0_f32; (end - first) * count];
    let plane = rows.len() * columns.len();
    for (y, taps) in vertical.iter().enumerate() {
        line.fill(0.0);
        for (offset, weight) in taps.weights.iter().enumerate() {
            let start = ((taps.first + offset) * width + first) * count;
            let source = &image.data[start..start + line.len()];
            add_weighted_bytes(&mut line, source, *weight / 255.0);
        }
        let row = y * columns.len()..(y + 1) * columns.len();
        match image.channels {
            Channels::Grey => {
                filter_grey(&line, first, &horizontal, &mut out[row.clone()]);
            }
            Channels::Rgb => {
                let (red, rest) = out.split_at_mut(plane);
                let (green, blue) = rest.split_at_mut(plane);
                filter_rgb(
                    &line,
                    first,
                    &horizontal,
                    [
                        &mut red[row.clone()],
                        &mut green[row.clone()],
                        &mut blue[row],
                    ],
                );
            }
        }
    }
    if image.channels == Channels::Grey {
        let (grey, others) = out.split_at_mut(plane);
        others
            .chunks_exact_mut(plane)
            .for_each(|other| other.copy_from_slice(grey));
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

fn filter_rgb(
    line: &[f32],
    first: usize,
    horizontal: &[Taps],
    [red, green, blue]: [&mut [f32]; 3],
) {
    for (x, taps) in horizontal.iter().enumerate() {
        let sources = line[3 * (taps.first - first)..].chunks_exact(3);
        let mut sums = [0.0_f32; 3];
        for (weight, source) in taps.weights.iter().zip(sources) {
            for (sum, value) in sums.iter_mut().zip(source) {
                *sum += weight * value;
            }
        }
        [red[x], green[x], blue[x]] = sums;
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
