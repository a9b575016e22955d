//! Scoring without an engine: Mahalanobis distances of many images at once.
//!
//! An execution of the inference graph's part from features to distances, held to it by a test. The whitening matrices are
//! large (83 MB for 4,096 positions of 100 dimensions), so that reading them is what scoring costs; here they are half as large
//! as the inverse covariances (triangles), and each is read once for all images of a batch, 16 of which lie side by side in
//! one 512-bit register.

use std::ops::Range;

use super::lanes::{Instructions, Lanes};
use super::statistics::{Gaussians, packed};
use crate::{MapFinish, Scorer};

/// Images side by side.
const LANES: usize = 16;

/// Rows of a matrix that are multiplied at once: each element of a feature vector is loaded once for all.
const ROWS: usize = 8;

/// Images for which a matrix is read once.
const BATCH: usize = 2 * LANES;

/// PaDiM's scoring head.
pub struct Head {
    gaussians: Gaussians,
    finish: MapFinish,
    instructions: Instructions,
}

type Images = Lanes<f32, LANES>;

impl Head {
    pub(super) fn new(gaussians: Gaussians, finish: MapFinish) -> Self {
        Self { gaussians, finish, instructions: Instructions::of_this_machine() }
    }
}

impl Scorer for Head {
    fn grid(&self) -> [usize; 2] {
        self.gaussians.grid
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn score(&self, features: &[&[f32]], positions: Range<usize>, maps: &mut [&mut [f32]]) {
        for (features, maps) in features.chunks(BATCH).zip(maps.chunks_mut(BATCH)) {
            let task = Task { gaussians: &self.gaussians, features, positions: positions.clone() };
            match self.instructions {
                // SAFETY: the machine has these instructions: that is what `Instructions` says.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 => unsafe { avx512(task, maps) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => unsafe { avx2(task, maps) },
                _ => distances::<false>(task, maps),
            }
        }
    }

    fn finish(&self) -> MapFinish {
        self.finish
    }
}

struct Task<'a> {
    gaussians: &'a Gaussians,
    features: &'a [&'a [f32]],
    positions: Range<usize>,
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn avx512(task: Task, maps: &mut [&mut [f32]]) {
    distances::<true>(task, maps);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(task: Task, maps: &mut [&mut [f32]]) {
    distances::<true>(task, maps);
}

#[inline(always)]
fn distances<const FUSED: bool>(task: Task, maps: &mut [&mut [f32]]) {
    let dims = task.gaussians.dims();
    let (means, matrices) = (task.gaussians.mean.data(), task.gaussians.whitening.data());
    // Lanes without an image keep zeros.
    let mut centred = vec![Images::ZERO; dims];
    for (out, position) in task.positions.enumerate() {
        let mean = &means[position * dims..(position + 1) * dims];
        let matrix = &matrices[position * packed(dims)..(position + 1) * packed(dims)];
        for (features, maps) in task.features.chunks(LANES).zip(maps.chunks_mut(LANES)) {
            centre(features, position, mean, &mut centred);
            let squares = squared_norm::<FUSED>(matrix, &centred);
            for (map, square) in maps.iter_mut().zip(squares.0) {
                map[out] = square.max(0.0).sqrt();
            }
        }
    }
}

/// Feature vectors of one position less their mean, images side by side.
#[inline(always)]
fn centre(features: &[&[f32]], position: usize, mean: &[f32], centred: &mut [Images]) {
    let dims = mean.len();
    for (lane, features) in features.iter().enumerate() {
        let features = &features[position * dims..(position + 1) * dims];
        for ((out, &value), &mean) in centred.iter_mut().zip(features).zip(mean) {
            out.0[lane] = value - mean;
        }
    }
}

/// |W x|², the matrix W packed row after row.
#[inline(always)]
fn squared_norm<const FUSED: bool>(matrix: &[f32], x: &[Images]) -> Images {
    let dims = x.len();
    let mut total = Images::ZERO;
    let mut start = 0;
    let mut first = 0;
    while first + ROWS <= dims {
        // Row r has first + r + 1 elements.
        let mut rest = &matrix[start..];
        let rows: [&[f32]; ROWS] = std::array::from_fn(|r| {
            let (row, tail) = rest.split_at(first + r + 1);
            rest = tail;
            row
        });
        let common = first + 1;
        let heads = rows.map(|row| &row[..common]);
        let mut sums = [Images::ZERO; ROWS];
        for (j, x) in x[..common].iter().enumerate() {
            for r in 0..ROWS {
                sums[r] = Images::splat(heads[r][j]).fused::<FUSED>(*x, sums[r]);
            }
        }
        for r in 0..ROWS {
            for (value, x) in rows[r][common..].iter().zip(&x[common..]) {
                sums[r] = Images::splat(*value).fused::<FUSED>(*x, sums[r]);
            }
            total = sums[r].fused::<FUSED>(sums[r], total);
        }
        start += ROWS * common + ROWS * (ROWS - 1) / 2;
        first += ROWS;
    }
    for row in first..dims {
        let mut sum = Images::ZERO;
        for (value, x) in matrix[start..start + row + 1].iter().zip(x) {
            sum = Images::splat(*value).fused::<FUSED>(*x, sum);
        }
        total = sum.fused::<FUSED>(sum, total);
        start += row + 1;
    }
    total
}
