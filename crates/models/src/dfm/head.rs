//! Scoring without an engine: an execution of the inference graph from features on, held to it by a test.

use super::params::ScoreType;
use super::statistics::Subspace;
use crate::{Scored, Scorer};

/// DFM's scoring head.
pub struct Head {
    subspace: Subspace,
    score_type: ScoreType,
    /// Height, width of the grid of positions.
    grid: [usize; 2],
}

impl Head {
    pub(super) fn new(subspace: Subspace, score_type: ScoreType, grid: [usize; 2]) -> Self {
        Self {
            subspace,
            score_type,
            grid,
        }
    }
}

impl Scorer for Head {
    fn image(&self, features: &[f32], _: Vec<f32>) -> Scored {
        let components = &self.subspace.components;
        let mut error = components.centre(features);
        let coordinates = components.coordinates(&error);
        match self.score_type {
            ScoreType::Fre => {
                for (direction, coordinate) in components.directions().zip(coordinates) {
                    for (error, value) in error.iter_mut().zip(direction) {
                        *error -= coordinate * value;
                    }
                }
                let [height, width] = self.grid;
                let cells: Vec<f32> = error
                    .chunks_exact(error.len() / (height * width))
                    .map(|cell| cell.iter().map(|error| error * error).sum())
                    .collect();
                let score = cells.iter().sum();
                Scored::MapAndScore(cells, score)
            }
            ScoreType::Nll => {
                let deviations = self.subspace.deviations.data();
                let pairs = coordinates.iter().zip(deviations);
                let squared: f32 = pairs.map(|(y, deviation)| (y / deviation).powi(2)).sum();
                Scored::Score(squared + self.subspace.constant())
            }
        }
    }
}
