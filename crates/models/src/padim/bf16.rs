//! Mahalanobis distances from products of bf16 numbers, which processors with instructions for them add up in f32, two at a time:
//! half of the arithmetic and of the memory of [`super::head`].

// Several rows and registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;
use std::{array, mem, ops::Range};

use super::head::{BATCH, GROUPS, ROWS};
use super::layout::Layout;
use super::side_by_side::{Images, LANES, SideBySide};
use super::statistics::{Gaussians, packed};
use crate::{Scored, Scorer};

/// Two bf16 numbers, the first in the lower half.
type Pair = u32;

/// The same pair of columns of [`ROWS`] rows of a matrix.
type Rows = [Pair; ROWS];

/// PaDiM's scoring head, rounded.
pub(super) struct Head {
    grid: [usize; 2],
    dims: usize,
    /// [positions, dims]
    mean: graph::Tensor,
    /// [positions, blocks (blocks + 1)]: of each block of rows, its pairs of columns up to the diagonal; zeros above it.
    whitening: Vec<Rows>,
    layout: Layout,
}

/// Blocks of rows of a matrix.
fn blocks(dims: usize) -> usize {
    dims.div_ceil(ROWS)
}

/// Pairs of columns of all blocks: two more in each than in the one before.
fn pairs(dims: usize) -> usize {
    blocks(dims) * (blocks(dims) + 1)
}

impl Head {
    /// `None`: this processor has no instructions for it.
    pub(super) fn new(gaussians: &Gaussians, layout: &Layout) -> Option<Self> {
        let is_possible = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("fma");
        is_possible.then(|| {
            let dims = gaussians.dims();
            let mut whitening = Vec::with_capacity(gaussians.positions() * pairs(dims));
            for matrix in gaussians.whitening.data().chunks_exact(packed(dims)) {
                pair_up(matrix, dims, &mut whitening);
            }
            Self {
                grid: gaussians.grid,
                dims,
                mean: gaussians.mean.clone(),
                whitening,
                layout: layout.clone(),
            }
        })
    }
}

/// Adds a packed triangle, block by block of rows.
fn pair_up(matrix: &[f32], dims: usize, to: &mut Vec<Rows>) {
    let row_of = |row: usize| match row < dims {
        true => &matrix[packed(row)..packed(row + 1)],
        false => &[],
    };
    for block in 0..blocks(dims) {
        let rows: [&[f32]; ROWS] = array::from_fn(|row| row_of(ROWS * block + row));
        to.extend((0..2 * (block + 1)).map(|pair| {
            rows.map(|row| {
                let at = |column: usize| row.get(column).map_or(0, |value| rounded(*value));
                Pair::from(at(2 * pair)) | Pair::from(at(2 * pair + 1)) << 16
            })
        }));
    }
}

/// The nearest bf16 number, of two the even one.
pub(super) fn rounded(value: f32) -> u16 {
    const QUIET: u32 = 1 << 22;
    let bits = value.to_bits();
    let rounded = match value.is_nan() {
        true => bits | QUIET,
        false => bits + 0x7fff + (bits >> 16 & 1),
    };
    (rounded >> 16) as u16
}

impl Scorer for Head {
    fn positions(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn distances(&self, features: &[&[f32]], positions: Range<usize>, maps: &mut [&mut [f32]]) {
        for (features, maps) in features.chunks(BATCH).zip(maps.chunks_mut(BATCH)) {
            let positions = positions.clone();
            // SAFETY: there is no such head where these instructions are missing.
            unsafe {
                match features.len().div_ceil(LANES) {
                    0 | 1 => groups::<1>(self, features, positions, maps),
                    2 => groups::<2>(self, features, positions, maps),
                    _ => groups::<GROUPS>(self, features, positions, maps),
                }
            }
        }
    }

    fn image(&self, _: &[f32], distances: Vec<f32>) -> Scored {
        Scored::Map(distances)
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16,fma")]
fn groups<const G: usize>(
    head: &Head,
    features: &[&[f32]],
    positions: Range<usize>,
    maps: &mut [&mut [f32]],
) {
    let Head { dims, layout, .. } = head;
    let (means, pairs) = (head.mean.data(), pairs(*dims));
    // SAFETY: this function is compiled for it.
    let mut side_by_side = unsafe { SideBySide::<G, true>::new(layout) };
    let mut centred = vec![[Images::ZERO; G]; ROWS * blocks(*dims)];
    let mut x = vec![[_mm512_setzero_si512(); G]; centred.len() / 2];
    for (out, position) in positions.enumerate() {
        let mean = &means[position * dims..(position + 1) * dims];
        let matrix = &head.whitening[position * pairs..(position + 1) * pairs];
        side_by_side.centre(features, (layout, position), mean, &mut centred);
        for (pair, [first, second]) in x.iter_mut().zip(centred.as_chunks().0) {
            for group in 0..G {
                pair[group] = rounded_pair(&first[group], &second[group]);
            }
        }
        let squares = squared_norm::<G>(matrix, &x);
        for (image, map) in maps.iter_mut().enumerate() {
            // A sum of squares is not below 0; `max(0.0)` would make 0 of NaN, a perfect image.
            map[out] = squares[image / LANES].0[image % LANES].sqrt();
        }
    }
}

/// Each image's two numbers beside each other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn rounded_pair(first: &Images, second: &Images) -> __m512i {
    let beside = {
        let mut places = [0_u16; 2 * LANES];
        for lane in 0..LANES {
            places[2 * lane] = lane as u16;
            places[2 * lane + 1] = (LANES + lane) as u16;
        }
        // SAFETY: any bits are such a register.
        unsafe { mem::transmute::<[u16; 2 * LANES], __m512i>(places) }
    };
    // SAFETY: the arrays have the sixteen numbers that are read.
    let load = |images: &Images| unsafe { _mm512_loadu_ps(images.0.as_ptr()) };
    let behind = _mm512_cvtne2ps_pbh(load(second), load(first));
    // SAFETY: as above.
    let behind = unsafe { mem::transmute::<__m512bh, __m512i>(behind) };
    _mm512_permutexvar_epi16(beside, behind)
}

/// |W x|² of every image.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16,fma")]
fn squared_norm<const G: usize>(matrix: &[Rows], x: &[[__m512i; G]]) -> [Images; G] {
    // SAFETY: any bits are such a register.
    let numbers = |bits: __m512i| unsafe { mem::transmute::<__m512i, __m512bh>(bits) };
    let mut total = [_mm512_setzero_ps(); G];
    let mut rest = matrix;
    let mut columns = 2;
    while columns <= x.len() {
        let (block, tail) = rest.split_at(columns);
        rest = tail;
        let mut sums = [[_mm512_setzero_ps(); G]; ROWS];
        for (rows, x) in block.iter().zip(x) {
            for r in 0..ROWS {
                let pair = numbers(_mm512_set1_epi32(rows[r] as i32));
                for g in 0..G {
                    sums[r][g] = _mm512_dpbf16_ps(sums[r][g], numbers(x[g]), pair);
                }
            }
        }
        for row in sums {
            for g in 0..G {
                total[g] = _mm512_fmadd_ps(row[g], row[g], total[g]);
            }
        }
        columns += 2;
    }
    total.map(|squares| {
        let mut images = Images::ZERO;
        // SAFETY: there is room for sixteen numbers.
        unsafe { _mm512_storeu_ps(images.0.as_mut_ptr(), squares) };
        images
    })
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn numbers_are_rounded_to_the_nearest_and_to_the_even_one() {
        let value = |bits: u32| f32::from_bits(bits);
        for (number, expected) in [
            (0.0, 0),
            (-1.0, 0xbf80),
            (value(0x3f80_8000), 0x3f80),
            (value(0x3f80_8001), 0x3f81),
            (value(0x3f81_8000), 0x3f82),
            (f32::MAX, 0x7f80),
            (f32::NEG_INFINITY, 0xff80),
        ] {
            assert_eq!(rounded(number), expected, "{number}");
        }
        for bits in [0x7fff_ffff, 0x7f80_0001, 0xff80_0001] {
            assert_eq!(rounded(value(bits)) & 0x7fc0, 0x7fc0, "{bits:x}");
        }
    }
}
