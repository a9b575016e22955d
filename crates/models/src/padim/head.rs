//! Scoring without an engine: Mahalanobis distances of many images at once.
//!
//! An execution of the inference graph's part from features to distances, held to it by a test. The whitening matrices are
//! large (83 MB for 4,096 positions of 100 dimensions), so that reading them is what scoring costs; here they are half as large
//! as the inverse covariances (triangles), and each is read once for all images of a batch, 16 of which lie side by side in
//! one 512-bit register.

// Several rows and registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use super::layout::{Layout, Part};
use super::statistics::{Gaussians, packed};
use crate::lanes::{Instructions, Lanes};
use crate::{Scored, Scorer};

/// Images side by side.
const LANES: usize = 16;

/// Rows of a matrix that are multiplied at once: each element of a feature vector is loaded once for all.
const ROWS: usize = 4;

/// Registers of images that a matrix row is multiplied with: with four rows, half of the 32 registers are sums. Twice as many as
/// hide latency, since each matrix then comes from memory half as often (0.72 ms an image instead of 0.85).
const GROUPS: usize = 4;

/// Images for which a matrix is read once.
const BATCH: usize = GROUPS * LANES;

/// PaDiM's scoring head.
pub struct Head {
    gaussians: Gaussians,
    layout: Layout,
    instructions: Instructions,
}

type Images = Lanes<f32, LANES>;

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
                _ => distances::<false>(task, maps),
            }
        }
    }

    fn image(&self, _: &[f32], distances: Vec<f32>) -> Scored {
        Scored::Map(distances)
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
    distances::<true>(task, maps);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(task: Task, maps: &mut [&mut [f32]]) {
    distances::<true>(task, maps);
}

#[inline(always)]
fn distances<const FUSED: bool>(task: Task, maps: &mut [&mut [f32]]) {
    match task.features.len().div_ceil(LANES) {
        0 | 1 => groups::<1, FUSED>(task, maps),
        2 => groups::<2, FUSED>(task, maps),
        _ => groups::<GROUPS, FUSED>(task, maps),
    }
}

#[inline(always)]
fn groups<const G: usize, const FUSED: bool>(task: Task, maps: &mut [&mut [f32]]) {
    let dims = task.gaussians.dims();
    let (means, matrices) = (task.gaussians.mean.data(), task.gaussians.whitening.data());
    let mut side_by_side = SideBySide::<G>::new(task.layout);
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

/// The cell of each layer that a position sees, images side by side. Neighbouring positions see the same cells of deeper layers,
/// which are brought side by side once for them.
struct SideBySide<const G: usize> {
    /// Where each layer's cell begins, and its channels. Lanes without an image keep zeros.
    cells: Vec<(Option<usize>, Vec<[Images; G]>)>,
}

impl<const G: usize> SideBySide<G> {
    fn new(layout: &Layout) -> Self {
        let room = |part: &Part| (None, vec![[Images::ZERO; G]; part.channels.len()]);
        Self {
            cells: layout.parts.iter().map(room).collect(),
        }
    }

    /// Fills `centred` with what the position sees less its mean.
    #[inline(always)]
    fn centre(
        &mut self,
        features: &[&[f32]],
        (layout, position): (&Layout, usize),
        mean: &[f32],
        centred: &mut [[Images; G]],
    ) {
        for (part, (held, lanes)) in layout.parts.iter().zip(&mut self.cells) {
            let cell = part.cell(position);
            if *held != Some(cell) {
                *held = Some(cell);
                for (image, features) in features.iter().enumerate() {
                    let (group, lane) = (image / LANES, image % LANES);
                    for (out, &value) in lanes.iter_mut().zip(&features[cell..]) {
                        out[group].0[lane] = value;
                    }
                }
            }
            for (&dim, lanes) in part.dims.iter().zip(&*lanes) {
                let mean = Images::splat(mean[dim]);
                for g in 0..G {
                    centred[dim][g] = lanes[g].minus(mean);
                }
            }
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
