//! From features to an image's score and anomaly map: the model's own head, whichever engine the features are from.

use std::sync::Arc;

use engines::Precision;

use crate::{
    attempt::Attempt,
    error::TaskError,
    kept::{SCORER, SCORER_IN_BF16},
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
    /// Of what the model has learned, which is read if the task before had no use for it; for features of that precision.
    pub fn open(
        attempt: &Attempt,
        chosen: &Chosen,
        precision: Precision,
    ) -> Result<Self, TaskError> {
        let key = chosen.learned_key();
        let make = || {
            SCORER_IN_BF16.forget();
            Ok::<_, TaskError>(Arc::from(chosen.scorer(attempt)?))
        };
        let load = || {
            let exact = SCORER.get_or(&key, make)?;
            let in_bf16 = || Ok::<_, TaskError>(exact.in_bf16().map(Arc::from));
            Ok::<_, TaskError>(match precision {
                Precision::F32 => exact,
                Precision::Bf16 => SCORER_IN_BF16.get_or(&key, in_bf16)?.unwrap_or(exact),
            })
        };
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
                Finished {
                    score: highest(map.as_deref().unwrap_or_default()),
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

/// NaN if one of them is: a broken map has no score. Several at a time, which are compared with each other at last.
fn highest(pixels: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (chunks, rest) = pixels.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, pixel) in lanes.iter_mut().zip(chunk) {
            *lane = maximum(*lane, *pixel);
        }
    }
    let all = lanes.iter().chain(rest).copied();
    all.fold(f32::NEG_INFINITY, maximum)
}

/// Unlike `f32::max`, keeps NaN.
fn maximum(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::highest;

    #[test]
    fn the_highest_pixel_is_found_wherever_it_is_and_a_broken_one_is_not_lost() {
        assert_eq!(highest(&[]), f32::NEG_INFINITY);
        for len in [1, 15, 16, 17, 50] {
            for at in 0..len {
                let mut pixels: Vec<f32> = (0..len).map(|i| -((i * 7 % 11) as f32) - 1.0).collect();
                pixels[at] = -0.5;
                assert_eq!(highest(&pixels), -0.5, "{at} of {len}");
                pixels[at] = f32::NAN;
                assert!(highest(&pixels).is_nan(), "{at} of {len}");
            }
        }
    }
}
