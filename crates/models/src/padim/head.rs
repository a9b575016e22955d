//! Scoring without an engine: Mahalanobis distances of many images at once.
//!
//! An execution of the inference graph's part from features to distances, held to it by a test. The whitening matrices are
//! large (83 MB for 4,096 positions of 100 dimensions), so that reading them is what scoring costs; here they are half as large
//! as the inverse covariances (triangles), and each is read once for all images of a batch, 16 of which lie side by side in
//! one 512-bit register.

// Several rows and registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use super::layout::Layout;
use super::side_by_side::{Images, LANES, SideBySide};
use super::statistics::{Gaussians, packed};
use crate::lanes::Instructions;
use crate::{Scored, Scorer};

/// Rows of a matrix that are multiplied at once: each element of a feature vector is loaded once for all.
pub(super) const ROWS: usize = 4;

/// Registers of images that a matrix row is multiplied with: with four rows, half of the 32 registers are sums. Twice as many as
/// hide latency, since each matrix then comes from memory half as often (0.72 ms an image instead of 0.85).
pub(super) const GROUPS: usize = 4;

/// Images for which a matrix is read once.
pub(super) const BATCH: usize = GROUPS * LANES;

/// PaDiM's scoring head.
pub struct Head {
    gaussians: Gaussians,
    layout: Layout,
    instructions: Instructions,
}

impl Head {
    pub(super) fn new(gaussians: Gaussians, layout: Layout) -> Self {
        Self {
            gaussians,
            layout,
            instructions: Instructions::of_this_machine(),
        }
    }
}

impl Scorer for Head {
    fn positions(&self) -> usize {
        self.gaussians.positions()
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn distances(&self, features: &[&[f32]], positions: Range<usize>, maps: &mut [&mut [f32]]) {
        for (features, maps) in features.chunks(BATCH).zip(maps.chunks_mut(BATCH)) {
            let task = Task {
                gaussians: &self.gaussians,
                layout: &self.layout,
                features,
                positions: positions.clone(),
            };
            match self.instructions {
                // SAFETY: the machine has these instructions: that is what `Instructions` says.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 => unsafe { avx512(task, maps) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => unsafe { avx2(task, maps) },
                _ => distances::<false, false>(task, maps),
            }
        }
    }

    fn image(&self, _: &[f32], distances: Vec<f32>) -> Scored {
        Scored::Map(distances)
    }

    #[cfg(target_arch = "x86_64")]
    fn in_bf16(&self) -> Option<Box<dyn Scorer>> {
        let head = super::bf16::Head::new(&self.gaussians, &self.layout)?;
        Some(Box::new(head))
    }
}

struct Task<'a> {
    gaussians: &'a Gaussians,
    layout: &'a Layout,
    features: &'a [&'a [f32]],
    positions: Range<usize>,
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn avx512(task: Task, maps: &mut [&mut [f32]]) {
    distances::<true, true>(task, maps);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(task: Task, maps: &mut [&mut [f32]]) {
    distances::<true, false>(task, maps);
}

/// `AVX512`: the caller is compiled for it.
#[inline(always)]
fn distances<const FUSED: bool, const AVX512: bool>(task: Task, maps: &mut [&mut [f32]]) {
    match task.features.len().div_ceil(LANES) {
        0 | 1 => groups::<1, FUSED, AVX512>(task, maps),
        2 => groups::<2, FUSED, AVX512>(task, maps),
        _ => groups::<GROUPS, FUSED, AVX512>(task, maps),
    }
}

#[inline(always)]
fn groups<const G: usize, const FUSED: bool, const AVX512: bool>(
    task: Task,
    maps: &mut [&mut [f32]],
) {
    let dims = task.gaussians.dims();
    let (means, matrices) = (task.gaussians.mean.data(), task.gaussians.whitening.data());
    // SAFETY: `avx512` alone asks for it.
    let mut side_by_side = unsafe { SideBySide::<G, AVX512>::new(task.layout) };
    let mut centred = vec![[Images::ZERO; G]; dims];
    for (out, position) in task.positions.enumerate() {
        let mean = &means[position * dims..(position + 1) * dims];
        let matrix = &matrices[position * packed(dims)..(position + 1) * packed(dims)];
        side_by_side.centre(task.features, (task.layout, position), mean, &mut centred);
        let squares = squared_norm::<G, FUSED>(matrix, &centred);
        for (image, map) in maps.iter_mut().enumerate() {
            // A sum of squares is not below 0; `max(0.0)` would make 0 of NaN, a perfect image.
            map[out] = squares[image / LANES].0[image % LANES].sqrt();
        }
    }
}

/// |W x|² of every image, the matrix W packed row after row.
#[inline(always)]
fn squared_norm<const G: usize, const FUSED: bool>(
    matrix: &[f32],
    x: &[[Images; G]],
) -> [Images; G] {
    let mut total = [Images::ZERO; G];
    let mut rest = matrix;
    let mut first = 0;
    while first + ROWS <= x.len() {
        // Row r of the block has first + r + 1 elements; the first `first + 1` of each are multiplied together.
        let common = first + 1;
        let (a, tail) = rest.split_at(common);
        let (b, tail) = tail.split_at(common + 1);
        let (c, tail) = tail.split_at(common + 2);
        let (d, tail) = tail.split_at(common + 3);
        rest = tail;
        let (heads, x_head) = (
            (&a[..common], &b[..common], &c[..common], &d[..common]),
            &x[..common],
        );
        let mut sums = [[Images::ZERO; G]; ROWS];
        for j in 0..common {
            let row = [heads.0[j], heads.1[j], heads.2[j], heads.3[j]];
            for r in 0..ROWS {
                for g in 0..G {
                    sums[r][g] = Images::splat(row[r]).fused::<FUSED>(x_head[j][g], sums[r][g]);
                }
            }
        }
        for (r, row) in [a, b, c, d].iter().enumerate() {
            for (value, x) in row[common..].iter().zip(&x[common..]) {
                for g in 0..G {
                    sums[r][g] = Images::splat(*value).fused::<FUSED>(x[g], sums[r][g]);
                }
            }
            for g in 0..G {
                total[g] = sums[r][g].fused::<FUSED>(sums[r][g], total[g]);
            }
        }
        first += ROWS;
    }
    for row in first..x.len() {
        let (values, tail) = rest.split_at(row + 1);
        rest = tail;
        let mut sum = [Images::ZERO; G];
        for (value, x) in values.iter().zip(x) {
            for g in 0..G {
                sum[g] = Images::splat(*value).fused::<FUSED>(x[g], sum[g]);
            }
        }
        for g in 0..G {
            total[g] = sum[g].fused::<FUSED>(sum[g], total[g]);
        }
    }
    total
}
