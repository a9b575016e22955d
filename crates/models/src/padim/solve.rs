//! The Gaussians of a few positions at once: mean, covariance, Cholesky factor and its inverse, position by lane.
//!
//! Sums and factors are f64; matrices are lower triangles, row after row, padded to a multiple of [`BLOCK`] dimensions, and
//! worked on in square blocks that stay in registers.

use std::ops::Range;

use super::statistics::packed;
use crate::lanes::{Instructions, Lanes};
use crate::{FeatureSource, ModelError};

/// Added to each variance: 0.01, as in the paper and the reference.
const RIDGE: f64 = 0.01;

/// Side of a block of a matrix.
const BLOCK: usize = 4;

/// Images that are centred at once, so that they stay in the cache.
const IMAGES: usize = 64;

/// Positions solved at once at most.
pub(super) const POSITIONS: usize = 8;

/// Features of the training images at neighbouring positions: all of them in memory, or block by block.
pub(super) struct Tile<'a> {
    source: &'a dyn FeatureSource,
    positions: Range<usize>,
    /// Images in memory: all, or a multiple of [`IMAGES`], so that sums are the same however they are read.
    at_once: usize,
    /// [held, positions, dims]
    buffer: &'a mut Vec<f32>,
    /// The images that the buffer has.
    held: Range<usize>,
}

impl<'a> Tile<'a> {
    /// `room`: numbers that the buffer should have at most.
    pub(super) fn new(
        source: &'a dyn FeatureSource,
        positions: Range<usize>,
        room: usize,
        buffer: &'a mut Vec<f32>,
    ) -> Self {
        let images = room / (positions.len() * source.dims());
        let at_once = if images >= source.images() {
            source.images()
        } else {
            (images / IMAGES * IMAGES).max(IMAGES)
        };
        Self {
            source,
            positions,
            at_once,
            buffer,
            held: 0..0,
        }
    }

    /// Blocks of images, in their order.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (images, at_once) = (self.source.images(), self.at_once);
        (0..images)
            .step_by(at_once)
            .map(move |start| start..(start + at_once).min(images))
    }

    /// Has a block in memory.
    fn hold(&mut self, images: Range<usize>) -> Result<(), ModelError> {
        if self.held != images {
            let length = images.len() * self.positions.len() * self.source.dims();
            self.buffer.resize(length, 0.0);
            self.source
                .read(images.clone(), self.positions.clone(), self.buffer)
                .map_err(ModelError::Features)?;
            self.held = images;
        }
        Ok(())
    }

    /// Of an image that is held.
    #[inline(always)]
    fn row(&self, image: usize, position: usize) -> &[f32] {
        let dims = self.source.dims();
        let start = ((image - self.held.start) * self.positions.len() + position) * dims;
        &self.buffer[start..start + dims]
    }
}

/// Bytes that [`solve`] takes beside its tile's buffer and its results.
pub(super) fn memory(dims: usize) -> usize {
    let padded = dims.next_multiple_of(BLOCK);
    (packed(padded) + IMAGES * padded + dims) * size_of::<Lanes<f64, POSITIONS>>()
}

/// Fills `mean` [positions, dims] and `whitening` [positions, packed] for every position of the tile.
pub(super) fn solve(tile: Tile, mean: &mut [f32], whitening: &mut [f32]) -> Result<(), ModelError> {
    match Instructions::of_this_machine() {
        // SAFETY: the machine has these instructions: that is what was asked.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => unsafe { avx512(tile, mean, whitening) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => unsafe { avx2(tile, mean, whitening) },
        _ => all_groups::<4, false>(tile, mean, whitening),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn avx512(tile: Tile, mean: &mut [f32], whitening: &mut [f32]) -> Result<(), ModelError> {
    all_groups::<8, true>(tile, mean, whitening)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(tile: Tile, mean: &mut [f32], whitening: &mut [f32]) -> Result<(), ModelError> {
    all_groups::<4, true>(tile, mean, whitening)
}

#[inline(always)]
fn all_groups<const N: usize, const FUSED: bool>(
    mut tile: Tile,
    mean: &mut [f32],
    whitening: &mut [f32],
) -> Result<(), ModelError> {
    let dims = tile.source.dims();
    let size = packed(dims);
    let mut group = Group::<N>::new(dims);
    for (g, (mean, whitening)) in mean
        .chunks_mut(N * dims)
        .zip(whitening.chunks_mut(N * size))
        .enumerate()
    {
        group.covariance::<FUSED>(&mut tile, g * N, mean)?;
        group.cholesky::<FUSED>();
        group.invert::<FUSED>();
        for (lane, out) in whitening.chunks_exact_mut(size).enumerate() {
            for (out, lanes) in out.iter_mut().zip(&group.matrix) {
                *out = lanes.0[lane] as f32;
            }
        }
    }
    Ok(())
}

type Block<const N: usize> = [[Lanes<f64, N>; BLOCK]; BLOCK];

struct Group<const N: usize> {
    dims: usize,
    /// `dims`, rounded up to whole blocks; the padding dimensions are constant.
    padded: usize,
    /// [positions, dims]
    mean: Vec<f64>,
    /// Centred features, [padded / BLOCK, IMAGES, BLOCK]: what is multiplied together lies together.
    centred: Vec<Lanes<f64, N>>,
    /// Covariance, then its factor, then the factor's inverse.
    matrix: Vec<Lanes<f64, N>>,
}

/// Where row `i` of a packed triangle begins.
#[inline(always)]
fn row(i: usize) -> usize {
    i * (i + 1) / 2
}

/// Σ_k left(k) right(k)ᵀ, entry by entry.
#[inline(always)]
fn products<const N: usize, const FUSED: bool>(
    range: std::ops::Range<usize>,
    left: impl Fn(usize) -> [Lanes<f64, N>; BLOCK],
    right: impl Fn(usize) -> [Lanes<f64, N>; BLOCK],
) -> Block<N> {
    let mut sums = [[Lanes::ZERO; BLOCK]; BLOCK];
    for k in range {
        let (a, b) = (left(k), right(k));
        for r in 0..BLOCK {
            for c in 0..BLOCK {
                sums[r][c] = a[r].fused::<FUSED>(b[c], sums[r][c]);
            }
        }
    }
    sums
}

impl<const N: usize> Group<N> {
    fn new(dims: usize) -> Self {
        let padded = dims.next_multiple_of(BLOCK);
        Self {
            dims,
            padded,
            mean: vec![0.0; N * dims],
            centred: vec![Lanes::ZERO; IMAGES * padded],
            matrix: vec![Lanes::ZERO; packed(padded)],
        }
    }

    /// Mean and covariance of the positions from `first`; lanes beyond the tile's last position repeat it.
    #[inline(always)]
    fn covariance<const FUSED: bool>(
        &mut self,
        tile: &mut Tile,
        first: usize,
        mean: &mut [f32],
    ) -> Result<(), ModelError> {
        let (images, dims, padded) = (tile.source.images(), self.dims, self.padded);
        let last = tile.positions.len() - 1;
        let position = |lane: usize| (first + lane).min(last);
        self.mean.fill(0.0);
        for block in tile.blocks() {
            tile.hold(block.clone())?;
            for image in block {
                for (lane, sums) in self.mean.chunks_exact_mut(dims).enumerate() {
                    for (sum, &value) in sums.iter_mut().zip(tile.row(image, position(lane))) {
                        *sum += f64::from(value);
                    }
                }
            }
        }
        for sum in &mut self.mean {
            *sum /= images as f64;
        }
        for (out, &value) in mean.iter_mut().zip(&self.mean) {
            *out = value as f32;
        }
        self.matrix.fill(Lanes::ZERO);
        for block in tile.blocks() {
            tile.hold(block.clone())?;
            for start in block.clone().step_by(IMAGES) {
                let count = IMAGES.min(block.end - start);
                for i in 0..count {
                    for (lane, mean) in self.mean.chunks_exact(dims).enumerate() {
                        let values = tile.row(start + i, position(lane)).chunks(BLOCK);
                        let blocks = self.centred.chunks_exact_mut(IMAGES * BLOCK);
                        for ((block, values), mean) in blocks.zip(values).zip(mean.chunks(BLOCK)) {
                            let out = &mut block[i * BLOCK..(i + 1) * BLOCK];
                            for ((out, &value), &mean) in out.iter_mut().zip(values).zip(mean) {
                                out.0[lane] = f64::from(value) - mean;
                            }
                        }
                    }
                }
                self.add_products::<FUSED>(count);
            }
        }
        let scale = Lanes::splat(1.0 / (images - 1) as f64);
        for entry in &mut self.matrix {
            *entry = entry.times(scale);
        }
        for i in 0..padded {
            for value in &mut self.matrix[row(i) + i].0 {
                *value += RIDGE;
            }
        }
        Ok(())
    }

    /// Adds the products of the first `count` centred images to the matrix.
    #[inline(always)]
    fn add_products<const FUSED: bool>(&mut self, count: usize) {
        let (padded, centred) = (self.padded, &self.centred);
        for i in (0..padded).step_by(BLOCK) {
            for j in (0..=i).step_by(BLOCK) {
                let part = |image: usize, from: usize| {
                    let start = from * IMAGES + image * BLOCK;
                    [
                        centred[start],
                        centred[start + 1],
                        centred[start + 2],
                        centred[start + 3],
                    ]
                };
                let sums =
                    products::<N, FUSED>(0..count, |image| part(image, i), |image| part(image, j));
                for (r, sums) in sums.iter().enumerate() {
                    for (c, sum) in sums.iter().enumerate().take_while(|&(c, _)| j + c <= i + r) {
                        let entry = &mut self.matrix[row(i + r) + j + c];
                        *entry = Lanes::splat(1.0).fused::<false>(*entry, *sum);
                    }
                }
            }
        }
    }

    /// The lower factor K with K Kᵀ = the matrix, in its place.
    #[inline(always)]
    fn cholesky<const FUSED: bool>(&mut self) {
        for i in (0..self.padded).step_by(BLOCK) {
            for j in (0..=i).step_by(BLOCK) {
                let m = &self.matrix;
                let part = |k: usize, from: usize| {
                    [
                        m[row(from) + k],
                        m[row(from + 1) + k],
                        m[row(from + 2) + k],
                        m[row(from + 3) + k],
                    ]
                };
                let sums = products::<N, FUSED>(0..j, |k| part(k, i), |k| part(k, j));
                for (r, sums) in sums.iter().enumerate() {
                    for (c, sum) in sums.iter().enumerate().take_while(|&(c, _)| j + c <= i + r) {
                        let mut rest = self.matrix[row(i + r) + j + c].minus(*sum);
                        for k in j..j + c {
                            rest = rest.minus(
                                self.matrix[row(i + r) + k].times(self.matrix[row(j + c) + k]),
                            );
                        }
                        let diagonal = self.matrix[row(j + c) + j + c];
                        for (lane, rest) in rest.0.iter_mut().enumerate() {
                            *rest = if i + r == j + c {
                                rest.sqrt()
                            } else {
                                *rest / diagonal.0[lane]
                            };
                        }
                        self.matrix[row(i + r) + j + c] = rest;
                    }
                }
            }
        }
    }

    /// The inverse M of the factor K, in its place, row block by row block: rows above are M's already.
    #[inline(always)]
    fn invert<const FUSED: bool>(&mut self) {
        for i in (0..self.padded).step_by(BLOCK) {
            // The block on K's diagonal is still needed when its place in M is filled, at the end of its row.
            let mut corner = [[Lanes::ZERO; BLOCK]; BLOCK];
            for (r, corner) in corner.iter_mut().enumerate() {
                corner[..=r].copy_from_slice(&self.matrix[row(i + r) + i..=row(i + r) + i + r]);
            }
            for j in (0..=i).step_by(BLOCK) {
                let m = &self.matrix;
                let factor = |k: usize| {
                    [
                        m[row(i) + k],
                        m[row(i + 1) + k],
                        m[row(i + 2) + k],
                        m[row(i + 3) + k],
                    ]
                };
                // Columns of M right of its diagonal are zero and not stored.
                let inverse = |k: usize| {
                    std::array::from_fn(|c| {
                        if j + c <= k {
                            m[row(k) + j + c]
                        } else {
                            Lanes::ZERO
                        }
                    })
                };
                let corner_end = (j + BLOCK).min(i);
                let mut sums = products::<N, FUSED>(j..corner_end, factor, inverse);
                let whole = |k: usize| {
                    [
                        m[row(k) + j],
                        m[row(k) + j + 1],
                        m[row(k) + j + 2],
                        m[row(k) + j + 3],
                    ]
                };
                let rest = products::<N, FUSED>(corner_end..i, factor, whole);
                for (sums, rest) in sums.iter_mut().zip(&rest) {
                    for (sum, rest) in sums.iter_mut().zip(rest) {
                        *sum = Lanes::splat(1.0).fused::<false>(*sum, *rest);
                    }
                }
                self.finish_block(i, j, &corner, &sums);
            }
        }
    }

    /// Solves the block's own equations, corner · M = identity - sums.
    #[inline(always)]
    fn finish_block(&mut self, i: usize, j: usize, corner: &Block<N>, sums: &Block<N>) {
        let mut solved = [[Lanes::ZERO; BLOCK]; BLOCK];
        for r in 0..BLOCK {
            for c in (0..BLOCK).take_while(|&c| j + c <= i + r) {
                let one = if i + r == j + c { 1.0 } else { 0.0 };
                let mut rest = Lanes::splat(one).minus(sums[r][c]);
                for k in 0..r {
                    rest = rest.minus(corner[r][k].times(solved[k][c]));
                }
                for (rest, diagonal) in rest.0.iter_mut().zip(corner[r][r].0) {
                    *rest /= diagonal;
                }
                solved[r][c] = rest;
                self.matrix[row(i + r) + j + c] = rest;
            }
        }
    }
}
