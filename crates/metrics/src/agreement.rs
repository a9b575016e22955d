//! How far two computations of the same scores and anomaly maps agree: one is the reference, the other is compared with it.

use crate::{RawScore, Threshold};

/// The largest difference, relative to the largest value of the reference: max |a - b| / max |a|.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Difference {
    most: f64,
    scale: f64,
}

/// Why no number says how far two computations agree.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Incomparable {
    #[error("there is nothing to compare")]
    Nothing,
    #[error("there are {found} values instead of {expected}")]
    Lengths { expected: usize, found: usize },
    #[error("{value} is no number to compare")]
    NotFinite { value: f32 },
    #[error("values reach {found:e} where all of the reference are 0")]
    NoScale { found: f64 },
}

impl Difference {
    /// Takes more values of both, in the same order.
    pub fn observe(&mut self, reference: &[f32], other: &[f32]) -> Result<(), Incomparable> {
        if reference.len() != other.len() {
            return Err(Incomparable::Lengths {
                expected: reference.len(),
                found: other.len(),
            });
        }
        for (&a, &b) in reference.iter().zip(other) {
            // A maximum passes over what is no number.
            if let Some(value) = [a, b].into_iter().find(|value| !value.is_finite()) {
                return Err(Incomparable::NotFinite { value });
            }
            let (a, b) = (f64::from(a), f64::from(b));
            self.most = self.most.max((a - b).abs());
            self.scale = self.scale.max(a.abs());
        }
        Ok(())
    }

    pub fn value(self) -> Result<f64, Incomparable> {
        if self.most == 0.0 {
            Ok(0.0)
        } else if self.scale == 0.0 {
            Err(Incomparable::NoScale { found: self.most })
        } else {
            Ok(self.most / self.scale)
        }
    }
}

/// Spearman's: the correlation of the ranks, equal values sharing the mean of theirs. `None` without two values on each side
/// that differ, or without as many on one side as on the other.
pub fn rank_correlation(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    // The mean of the ranks, whatever is tied.
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| -> f64 {
        let terms = x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean));
        terms.sum()
    };
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| (product(&a, &b) / scale).clamp(-1.0, 1.0))
}

/// From 1.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        tied.iter().for_each(|&index| ranks[index] = rank);
        before += tied.len();
    }
    ranks
}

/// How far a computation agrees with the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Largest relative difference of image scores.
    pub score: f64,
    /// And of the pixels of anomaly maps; `None` if there are no maps.
    pub map: Option<f64>,
    /// Of the image scores; `None` where they have no order.
    pub rank_correlation: Option<f64>,
    /// Images that are decided otherwise; `None` without a threshold.
    pub flips: Option<u32>,
}

/// Gathers image by image what both have computed.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    reference: Vec<f32>,
    other: Vec<f32>,
    scores: Difference,
    maps: Option<Difference>,
}

/// An image's score, and its anomaly map if there is one.
pub type Image<'a> = (f32, Option<&'a [f32]>);

impl Comparison {
    pub fn observe(
        &mut self,
        (score, map): Image<'_>,
        (other_score, other_map): Image<'_>,
    ) -> Result<(), Incomparable> {
        self.scores.observe(&[score], &[other_score])?;
        self.reference.push(score);
        self.other.push(other_score);
        if map.is_some() || other_map.is_some() {
            let maps = self.maps.get_or_insert_default();
            maps.observe(map.unwrap_or_default(), other_map.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Flips are counted at the threshold.
    pub fn finish(&self, threshold: Option<Threshold>) -> Result<Agreement, Incomparable> {
        if self.reference.is_empty() {
            return Err(Incomparable::Nothing);
        }
        let flips = |threshold: Threshold| {
            // All are finite: what is not was not taken.
            let decided = |score: &f32| RawScore::new(*score).map(|s| threshold.is_anomalous(s));
            let pairs = self.reference.iter().zip(&self.other);
            pairs.filter(|(a, b)| decided(a) != decided(b)).count() as u32
        };
        Ok(Agreement {
            score: self.scores.value()?,
            map: self.maps.map(Difference::value).transpose()?,
            rank_correlation: rank_correlation(&self.reference, &self.other),
            flips: threshold.map(flips),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual_threshold::manual_threshold;

    fn compared(pairs: &[(f32, f32)]) -> Comparison {
        let mut comparison = Comparison::default();
        for (a, b) in pairs {
            comparison.observe((*a, None), (*b, None)).expect("scores");
        }
        comparison
    }

    #[test]
    fn differences_are_relative_to_the_largest_value_of_the_reference() {
        let mut difference = Difference::default();
        difference.observe(&[1.0, -4.0], &[1.5, -4.0]).expect("two");
        assert_eq!(difference.value(), Ok(0.125));
        // However many values come in, and in how many pieces.
        difference.observe(&[8.0, 0.0], &[8.0, 0.0]).expect("two");
        assert_eq!(difference.value(), Ok(0.0625));
        let mut zeros = Difference::default();
        zeros.observe(&[0.0, 0.0], &[0.0, -0.0]).expect("two");
        assert_eq!(zeros.value(), Ok(0.0));
        zeros.observe(&[0.0], &[0.5]).expect("one");
        assert_eq!(zeros.value(), Err(Incomparable::NoScale { found: 0.5 }));
    }

    #[test]
    fn ranks_of_equal_values_are_the_mean_of_theirs() {
        assert_eq!(ranks(&[5.0, 1.0, 5.0, 0.0, 5.0]), [4.0, 2.0, 4.0, 1.0, 4.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
    }

    #[test]
    fn rank_correlation_sees_the_order_alone() {
        let up = [1.0, 2.0, 3.0, 10.0];
        assert_eq!(rank_correlation(&up, &[-1.0, 0.0, 0.5, 0.6]), Some(1.0));
        assert_eq!(rank_correlation(&up, &[4.0, 3.0, 2.0, 1.0]), Some(-1.0));
        // By hand, from the squares of the ranks' differences: 1 - 6 * 2 / (4 * 15).
        assert_eq!(rank_correlation(&up, &[2.0, 1.0, 3.0, 4.0]), Some(0.8));
        // By hand, with ties: ranks 1.5 1.5 3 4 against 1 2 3.5 3.5, sums of squares 4.5 and 4.5, of products 4.
        let tied = rank_correlation(&[1.0, 1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 3.0]);
        assert!(
            (tied.expect("an order") - 4.0 / 4.5).abs() < 1e-15,
            "{tied:?}"
        );
        for flat in [&[][..], &[1.0], &[2.0, 2.0]] {
            assert_eq!(rank_correlation(flat, flat), None);
        }
        assert_eq!(rank_correlation(&[1.0, 2.0], &[1.0]), None);
    }

    #[test]
    fn a_decision_flips_where_only_one_side_reaches_the_threshold() {
        let pairs = [(1.0, 1.1), (2.0, 1.9), (2.0, 2.0), (1.9, 2.0), (3.0, 4.0)];
        let threshold = manual_threshold(2.0).expect("finite");
        let agreement = compared(&pairs).finish(Some(threshold)).expect("finite");
        assert_eq!(agreement.flips, Some(2));
        assert_eq!(agreement.score, 1.0 / 3.0);
        assert_eq!(compared(&pairs).finish(None).expect("finite").flips, None);
    }

    #[test]
    fn what_is_planted_is_seen() {
        let map = vec![0.5_f32; 4096];
        let scores = [1.0, 2.0, 3.0_f32];
        let with = |image: usize, pixel: usize, by: f32| {
            let mut comparison = Comparison::default();
            for (index, score) in scores.into_iter().enumerate() {
                let mut other = map.clone();
                if index == image {
                    other[pixel] += by;
                }
                comparison.observe((score, Some(&map)), (score, Some(&other)))?;
            }
            comparison.finish(None)
        };
        let same = with(0, 0, 0.0).expect("finite");
        assert_eq!((same.score, same.map), (0.0, Some(0.0)));
        // One pixel of one image, wherever it is.
        for (image, pixel) in [(0, 0), (1, 2048), (2, 4095)] {
            let seen = with(image, pixel, 0.001).expect("finite");
            assert!((seen.map.expect("maps") - 0.002).abs() < 1e-6, "{seen:?}");
            assert_eq!(seen.score, 0.0);
            for broken in [f32::NAN, f32::INFINITY] {
                let seen = with(image, pixel, broken);
                assert!(
                    matches!(seen, Err(Incomparable::NotFinite { .. })),
                    "{seen:?}"
                );
            }
        }
        // A score alone.
        let seen = compared(&[(1.0, 1.0), (2.0, 2.004)])
            .finish(None)
            .expect("finite");
        assert!((seen.score - 0.002).abs() < 1e-6, "{seen:?}");
        let seen = Comparison::default().observe((2.0, None), (f32::NAN, None));
        assert!(
            matches!(seen, Err(Incomparable::NotFinite { .. })),
            "{seen:?}"
        );
        // A map that is missing, or of another size.
        for other in [None, Some(&map[..4095])] {
            let seen = Comparison::default().observe((1.0, Some(&map)), (1.0, other));
            assert!(
                matches!(seen, Err(Incomparable::Lengths { .. })),
                "{seen:?}"
            );
        }
        let nothing = Comparison::default().finish(None);
        assert_eq!(nothing, Err(Incomparable::Nothing));
    }
}
