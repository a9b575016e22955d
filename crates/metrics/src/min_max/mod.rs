//! MinMax: the range of raw scores, and the normalization that puts the threshold at 0.5.
//!
//! One pair for each kind of score (image scores, maps, boxes): Anomalib 1.0.1 mixes them.

use crate::{RawScore, Threshold};

/// Lowest and highest raw score of a split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinMax {
    pub min: f32,
    pub max: f32,
}

/// clip((score - threshold) / (max - min) + 0.5, 0, 1), in f32 as the reference.
///
/// For people and pictures only; metrics and decisions take raw scores. A range without width (all scores equal, or a
/// damaged one) is the limit of ever narrower ranges: 0 below the threshold, 0.5 at it, 1 above. Never NaN.
pub fn normalize(score: RawScore, threshold: Threshold, range: MinMax) -> f32 {
    let distance = score.value() - threshold.value();
    let width = range.max - range.min;
    if width > 0.0 {
        // Scores of opposite ends of f32 overflow to infinities, which the clip takes; inf / inf does not occur
        // with a finite width, and an infinite width gives 0 for finite distances.
        let scaled = distance / width;
        return (if scaled.is_nan() {
            distance.signum()
        } else {
            scaled
        } + 0.5)
            .clamp(0.0, 1.0);
    }
    match distance.partial_cmp(&0.0) {
        Some(std::cmp::Ordering::Less) => 0.0,
        Some(std::cmp::Ordering::Greater) => 1.0,
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Origin, ScoreCounts, Undefined};
    use proptest::prelude::*;

    fn at(score: f32, threshold: f32, min: f32, max: f32) -> f32 {
        let threshold = Threshold::restore(threshold, Origin::Manual).unwrap();
        normalize(
            RawScore::new(score).unwrap(),
            threshold,
            MinMax { min, max },
        )
    }

    #[test]
    fn hand_computed() {
        assert_eq!(at(3.0, 3.0, 1.0, 5.0), 0.5);
        assert_eq!(at(4.0, 3.0, 1.0, 5.0), 0.75);
        assert_eq!(at(-9.0, 3.0, 1.0, 5.0), 0.0);
        assert_eq!(at(9.0, 3.0, 1.0, 5.0), 1.0);
    }

    #[test]
    fn a_range_without_width_is_a_step() {
        assert_eq!(
            [0.4, 0.5, 0.6].map(|s| at(s, 0.5, 0.5, 0.5)),
            [0.0, 0.5, 1.0]
        );
    }

    #[test]
    fn range_of_counts() {
        let mut counts = ScoreCounts::new();
        assert_eq!(counts.summary(&[]).min_max, Err(Undefined::Empty));
        for score in [0.0807, 0.6329, 0.0559, 0.9860, 0.3595] {
            counts.observe(RawScore::new(score).unwrap(), score > 0.5);
        }
        assert_eq!(
            counts.summary(&[]).min_max,
            Ok(MinMax {
                min: 0.0559,
                max: 0.9860
            })
        );
    }

    proptest! {
        #[test]
        fn never_nan_and_decides_as_raw(
            score in proptest::num::f32::NORMAL, threshold in proptest::num::f32::NORMAL,
            min in proptest::num::f32::ANY, max in proptest::num::f32::ANY,
        ) {
            let value = at(score, threshold, min, max);
            prop_assert!((0.0..=1.0).contains(&value));
            if score >= threshold {
                prop_assert!(value >= 0.5);
            } else {
                prop_assert!(value <= 0.5);
            }
        }
    }
}
