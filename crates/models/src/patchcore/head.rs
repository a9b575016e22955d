//! Scoring without an engine: each patch's distance to the nearest row of the memory bank, for many patches at once.
//!
//! An execution of the inference graph's part from features on, held to it by a test.

use std::{ops::Range, sync::OnceLock};

use super::nearest::Nearest;
use super::statistics::Bank;
use crate::{Scored, Scorer};

/// Images that are compared before all threads meet again.
const BATCH: usize = 8;

/// PatchCore's scoring head.
pub struct Head {
    nearest: Nearest,
    /// Rows by which the score is weighted; 1: not at all.
    neighbors: usize,
    /// Of each row those nearest to it, as many; found when an image's worst patch is near that row, and often needed again: comparing
    /// a row with all others costs as much as a tenth of an image's patches.
    supports: Vec<OnceLock<Vec<usize>>>,
    /// Height, width of the grid of patches.
    grid: [usize; 2],
}

impl Head {
    pub(super) fn new(bank: Bank, neighbors: usize, grid: [usize; 2]) -> Self {
        Self {
            neighbors: neighbors.min(bank.count()),
            supports: vec![OnceLock::new(); bank.count()],
            nearest: Nearest::new(bank),
            grid,
        }
    }

    /// 1 - the first of the softmax of distances from a patch to the neighbours of its nearest row.
    fn weight(&self, patch: &[f32]) -> f32 {
        let bank = self.nearest.bank();
        let nearest = self.nearest.row(patch);
        let support = self.supports[nearest]
            .get_or_init(|| self.nearest.first(bank.row(nearest), self.neighbors));
        let distance = |&index: &usize| {
            let squares = bank
                .row(index)
                .iter()
                .zip(patch)
                .map(|(a, b)| (a - b) * (a - b));
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
        let dims = self.nearest.bank().dims();
        let of_all = features.iter().flat_map(|features| {
            features[positions.start * dims..positions.end * dims].chunks_exact(dims)
        });
        let patches: Vec<&[f32]> = of_all.collect();
        let mut found = vec![0.0; patches.len()];
        self.nearest.distances(&patches, &mut found);
        for (distances, found) in distances
            .iter_mut()
            .zip(found.chunks(positions.len().max(1)))
        {
            distances.copy_from_slice(found);
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
        let dims = self.nearest.bank().dims();
        let score = if self.neighbors == 1 || !largest.is_finite() {
            largest
        } else {
            largest * self.weight(&features[position * dims..(position + 1) * dims])
        };
        Scored::MapAndScore(distances, score)
    }
}
