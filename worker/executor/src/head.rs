//! From features to an image's score and anomaly map: the model's own head, whichever engine the features are from.

use std::sync::Arc;

use crate::{
    attempt::Attempt,
    error::TaskError,
    kept::SCORER,
    model::{Chosen, map_finish},
    model_file::ModelFile,
    parallel::{Waits, on_threads},
};

/// The rest of the way after features, which is faster than the whole graph and held to it by a parity test.
pub struct Head {
    scorer: Arc<dyn models::Scorer>,
    /// `None`: the model has no maps.
    map: Option<vision::MapFinish>,
}

/// An image's score, what it has on the model's grid, and its anomaly map if it was needed.
pub struct Finished {
    pub score: f32,
    pub cells: Option<Vec<f32>>,
    pub map: Option<Vec<f32>>,
}

impl Head {
    /// Of what the model has learned, which is read if the task before had no use for it.
    pub fn open(attempt: &Attempt, chosen: &Chosen) -> Result<Self, TaskError> {
        let make = || Ok::<_, TaskError>(Arc::from(chosen.scorer(attempt)?));
        let load = || SCORER.get_or(&chosen.learned_key(), make);
        let scorer = attempt.stages.load("load", load)?;
        Ok(Self {
            scorer,
            map: map_finish(chosen.model.as_ref()),
        })
    }

    /// Of another program's model, which has done most of it already.
    pub fn of_file(file: &ModelFile) -> Self {
        Self {
            scorer: Arc::new(file.scorer()),
            map: file.map(),
        }
    }

    /// Images of which distances cost least.
    pub fn batch(&self) -> usize {
        self.scorer.batch()
    }

    /// Height, width of the model's grid, if it has maps.
    pub fn grid(&self) -> Option<[usize; 2]> {
        self.map.as_ref().map(vision::MapFinish::grid)
    }

    /// The anomaly map of what an image has on the model's grid.
    pub fn map(&self, cells: &[f32]) -> Option<Vec<f32>> {
        self.map.as_ref().map(|finish| finish.apply(cells))
    }

    /// The map is made where it is wanted, or where the score comes from it.
    pub fn image(&self, features: &[f32], distances: Vec<f32>, map_wanted: bool) -> Finished {
        match self.scorer.image(features, distances) {
            models::Scored::Map(cells) => {
                let map = self.map(&cells);
                let pixels = map.iter().flatten().copied();
                Finished {
                    score: pixels.fold(f32::NEG_INFINITY, maximum),
                    cells: Some(cells),
                    map,
                }
            }
            models::Scored::MapAndScore(cells, score) => Finished {
                score,
                map: map_wanted.then(|| self.map(&cells)).flatten(),
                cells: Some(cells),
            },
            models::Scored::Score(score) => Finished {
                score,
                cells: None,
                map: None,
            },
        }
    }

    /// Each image's distances, which are empty if the model does not have that step. Each thread takes a share of the
    /// positions of all images, so that the model's matrices are read once.
    pub fn distances(&self, attempt: &Attempt, features: &[&[f32]]) -> Vec<Vec<f32>> {
        let positions = self.scorer.positions();
        let mut distances = vec![vec![0.0; positions]; features.len()];
        if features.is_empty() || positions == 0 {
            return distances;
        }
        let share = positions.div_ceil(attempt.threads);
        let mut parts: Vec<Vec<&mut [f32]>> =
            (0..positions.div_ceil(share)).map(|_| Vec::new()).collect();
        for image in &mut distances {
            for (part, piece) in parts.iter_mut().zip(image.chunks_mut(share)) {
                part.push(piece);
            }
        }
        let shares: Vec<(usize, &mut Vec<&mut [f32]>)> =
            (0..positions).step_by(share).zip(&mut parts).collect();
        on_threads(shares, Waits(&attempt.stages, "head"), |(first, part)| {
            let range = first..(first + share).min(positions);
            attempt
                .stages
                .time("head", 0, || self.scorer.distances(features, range, part));
        });
        distances
    }
}

/// Unlike `f32::max`, keeps NaN: a broken map has no score.
fn maximum(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}
