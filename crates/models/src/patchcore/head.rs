//! Scoring without an engine: each patch's distance to the nearest row of the memory bank, for many patches at once.
//!
//! An execution of the inference graph's part from features on, held to it by a test. |x - y|² = |x|² - 2 x·y + |y|² makes a
//! matrix product of it, of which only the smallest value of each row is kept. The bank is read panel by panel, each small
//! enough to stay in the cache while all patches are compared with it.

// Several patches and registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use super::graph::squared_length;
use super::statistics::Bank;
use crate::lanes::{Instructions, Lanes};
use crate::{Scored, Scorer};

/// Rows of the bank side by side.
const LANES: usize = 16;

/// Bytes of a panel: half of a second-level cache.
const PANEL: usize = 256 << 10;

/// Images that are compared before all threads meet again.
const BATCH: usize = 8;

type Rows = Lanes<f32, LANES>;

/// PatchCore's scoring head.
pub struct Head {
    dims: usize,
    /// Rows of the bank.
    count: usize,
    /// The bank in groups of rows, [groups, dims]; the last group is filled up with zeros, and another makes their number even.
    groups: Vec<Rows>,
    /// Of each row, its squared length; infinite where there is no row.
    lengths: Vec<Rows>,
    /// Rows by which the score is weighted; 1: not at all.
    neighbors: usize,
    /// Height, width of the grid of patches.
    grid: [usize; 2],
    instructions: Instructions,
}

impl Head {
    pub(super) fn new(bank: Bank, neighbors: usize, grid: [usize; 2]) -> Self {
        let (count, dims) = (bank.count(), bank.dims());
        let groups = count.div_ceil(LANES).next_multiple_of(2);
        let mut head = Self {
            dims,
            count,
            groups: vec![Rows::ZERO; groups * dims],
            lengths: vec![Rows::splat(f32::INFINITY); groups],
            neighbors: neighbors.min(count),
            grid,
            instructions: Instructions::of_this_machine(),
        };
        for index in 0..count {
            let (group, lane, row) = (index / LANES, index % LANES, bank.row(index));
            head.lengths[group].0[lane] = squared_length(row);
            let values = &mut head.groups[group * dims..(group + 1) * dims];
            for (out, &value) in values.iter_mut().zip(row) {
                out.0[lane] = value;
            }
        }
        head
    }

    fn row(&self, index: usize) -> Vec<f32> {
        let first = index / LANES * self.dims;
        let values = &self.groups[first..first + self.dims];
        values.iter().map(|lanes| lanes.0[index % LANES]).collect()
    }

    /// The rows nearest to a vector, the nearest first; among equals those with the lower index.
    fn nearest(&self, vector: &[f32], count: usize) -> Vec<usize> {
        let mut squared = vec![0.0; self.count];
        let task = Task {
            head: self,
            queries: &[vector],
        };
        match self.instructions {
            // SAFETY: the machine has these instructions: that is what `Instructions` says.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => unsafe { all_avx512(task, &mut squared) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { all_avx2(task, &mut squared) },
            _ => all::<false>(task, &mut squared),
        }
        let mut order: Vec<(f32, usize)> = squared.into_iter().zip(0..).collect();
        let by = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if count < order.len() {
            order.select_nth_unstable_by(count - 1, by);
            order.truncate(count);
        }
        order.sort_unstable_by(by);
        order.into_iter().map(|(_, index)| index).collect()
    }

    /// 1 - the first of the softmax of distances from a patch to the neighbours of its nearest row.
    fn weight(&self, patch: &[f32]) -> f32 {
        let nearest = self.nearest(patch, 1);
        let support = self.nearest(&self.row(nearest[0]), self.neighbors);
        let distance = |&index: &usize| {
            let row = self.row(index);
            let squares = row.iter().zip(patch).map(|(a, b)| (a - b) * (a - b));
            squares.sum::<f32>().sqrt()
        };
        let distances: Vec<f32> = support.iter().map(distance).collect();
        let most = distances.iter().copied().fold(f32::MIN, f32::max);
        let shares: Vec<f32> = distances.iter().map(|d| (d - most).exp()).collect();
        1.0 - shares[0] / shares.iter().sum::<f32>()
    }
}

impl Scorer for Head {
    fn positions(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn distances(
        &self,
        features: &[&[f32]],
        positions: Range<usize>,
        distances: &mut [&mut [f32]],
    ) {
        for (features, distances) in features.iter().zip(distances) {
            let part = &features[positions.start * self.dims..positions.end * self.dims];
            let queries: Vec<&[f32]> = part.chunks_exact(self.dims).collect();
            let task = Task {
                head: self,
                queries: &queries,
            };
            match self.instructions {
                // SAFETY: the machine has these instructions: that is what `Instructions` says.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 => unsafe { least_avx512(task, distances) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => unsafe { least_avx2(task, distances) },
                _ => least::<4, 1, false>(task, distances),
            }
            for (distance, query) in distances.iter_mut().zip(queries) {
                // `max(0.0)` would make 0 of NaN, a perfect patch.
                let squared = *distance + squared_length(query);
                *distance = if squared < 0.0 { 0.0 } else { squared.sqrt() };
            }
        }
    }

    fn image(&self, features: &[f32], distances: Vec<f32>) -> Scored {
        let mut worst = (0, f32::MIN);
        for (position, &distance) in distances.iter().enumerate() {
            // What is no number is the worst of all, and makes the score none.
            if distance > worst.1 || distance.is_nan() && !worst.1.is_nan() {
                worst = (position, distance);
            }
        }
        let (position, largest) = worst;
        let score = if self.neighbors == 1 || !largest.is_finite() {
            largest
        } else {
            largest * self.weight(&features[position * self.dims..(position + 1) * self.dims])
        };
        Scored::MapAndScore(distances, score)
    }
}

#[derive(Clone, Copy)]
struct Task<'a> {
    head: &'a Head,
    queries: &'a [&'a [f32]],
}

/// With 8 patches and 2 groups, the sums take half of the 32 registers, and each load serves several products.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn least_avx512(task: Task, out: &mut [f32]) {
    least::<8, 2, true>(task, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn least_avx2(task: Task, out: &mut [f32]) {
    least::<4, 1, true>(task, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn all_avx512(task: Task, out: &mut [f32]) {
    all::<true>(task, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn all_avx2(task: Task, out: &mut [f32]) {
    all::<true>(task, out);
}

/// For each query the least of |y|² - 2 x·y over the bank; `Q` queries with `G` groups at once.
#[inline(always)]
fn least<const Q: usize, const G: usize, const FUSED: bool>(task: Task, out: &mut [f32]) {
    let Task { head, queries } = task;
    out.fill(f32::INFINITY);
    let group = head.dims * size_of::<Rows>();
    let panel = (PANEL / group).next_multiple_of(2).max(2);
    for first in (0..head.lengths.len()).step_by(panel) {
        let groups = first..(first + panel).min(head.lengths.len());
        for (queries, out) in queries.chunks(Q).zip(out.chunks_mut(Q)) {
            // Where fewer are left, the last one is computed several times.
            let at = |q: usize| queries[q.min(queries.len() - 1)];
            let least = least_of::<Q, G, FUSED>(head, groups.clone(), std::array::from_fn(at));
            for (out, least) in out.iter_mut().zip(least) {
                *out = out.min(least);
            }
        }
    }
}

#[inline(always)]
fn least_of<const Q: usize, const G: usize, const FUSED: bool>(
    head: &Head,
    groups: Range<usize>,
    queries: [&[f32]; Q],
) -> [f32; Q] {
    let minus_two = Rows::splat(-2.0);
    let mut least = [Rows::splat(f32::INFINITY); Q];
    for first in groups.step_by(G) {
        let products = products::<Q, G, FUSED>(head, first, queries);
        for q in 0..Q {
            for g in 0..G {
                let value = products[q][g].fused::<FUSED>(minus_two, head.lengths[first + g]);
                least[q] = least[q].least(value);
            }
        }
    }
    std::array::from_fn(|q| least[q].0.iter().copied().fold(f32::INFINITY, f32::min))
}

/// x·y of each query with each row of `G` groups.
#[inline(always)]
fn products<const Q: usize, const G: usize, const FUSED: bool>(
    head: &Head,
    first: usize,
    queries: [&[f32]; Q],
) -> [[Rows; G]; Q] {
    let dims = head.dims;
    let rows: [&[Rows]; G] =
        std::array::from_fn(|g| &head.groups[(first + g) * dims..(first + g + 1) * dims]);
    let queries: [&[f32]; Q] = std::array::from_fn(|q| &queries[q][..dims]);
    let mut sums = [[Rows::ZERO; G]; Q];
    for dim in 0..dims {
        for q in 0..Q {
            let value = Rows::splat(queries[q][dim]);
            for g in 0..G {
                sums[q][g] = value.fused::<FUSED>(rows[g][dim], sums[q][g]);
            }
        }
    }
    sums
}

/// |y|² - 2 x·y of the first query with every row of the bank.
#[inline(always)]
fn all<const FUSED: bool>(task: Task, out: &mut [f32]) {
    let minus_two = Rows::splat(-2.0);
    for (group, out) in out.chunks_mut(LANES).enumerate() {
        let [[products]] = products::<1, 1, FUSED>(task.head, group, [task.queries[0]]);
        let values = products.fused::<FUSED>(minus_two, task.head.lengths[group]);
        out.copy_from_slice(&values.0[..out.len()]);
    }
}
