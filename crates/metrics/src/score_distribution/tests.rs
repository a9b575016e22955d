use proptest::prelude::*;

use super::*;
use crate::{Merge, Origin, ScoreCounts};

fn counts(normal: &[f32], anomalous: &[f32]) -> ScoreCounts {
    let mut counts = ScoreCounts::new();
    for (scores, label) in [(normal, false), (anomalous, true)] {
        for &score in scores {
            counts.observe(RawScore::new(score).unwrap(), label);
        }
    }
    counts
}

fn at(distribution: ScoreDistribution, score: f32, threshold: f32) -> f32 {
    let threshold = Threshold::restore(threshold, Origin::Manual).unwrap();
    distribution.cdf(RawScore::new(score).unwrap(), threshold)
}

#[test]
fn hand_computed() {
    // Logarithms 0, 1, 2, 3.
    let e = std::f32::consts::E;
    let scores = [1.0, e, e * e, e * e * e];
    let found = counts(&scores, &[1e9]).score_distribution().unwrap();
    assert!((found.mean - 1.5).abs() < 1e-6 && (found.std - (5.0_f64 / 3.0).sqrt()).abs() < 1e-6);
    let one = ScoreDistribution {
        mean: 7.0,
        std: 1.0,
    };
    assert_eq!(at(one, 3.0, 3.0), 0.5);
    // One standard deviation to each side.
    assert!((at(one, 3.0 * e, 3.0) - 0.841_344_7).abs() < 1e-6);
    assert!((at(one, 3.0 / e, 3.0) - 0.158_655_25).abs() < 1e-6);
    let three = Threshold::restore(3.0, Origin::Manual).unwrap();
    assert!((one.score_at(1.0, three) - 3.0 * e).abs() < 1e-5);
}

#[test]
fn what_has_no_logarithm_has_a_reason_or_a_limit() {
    let of = |normal: &[f32]| counts(normal, &[2.0, 3.0]).score_distribution();
    assert_eq!(of(&[]), Err(Undefined::NoNormalItem));
    assert_eq!(of(&[1.0]), Err(Undefined::NoNormalItem));
    assert_eq!(of(&[1.0, 0.0, 2.0]), Err(Undefined::NotPositive));
    assert_eq!(of(&[1.0, -1.0]), Err(Undefined::NotPositive));
    let flat = of(&[2.0, 2.0, 2.0]).unwrap();
    assert_eq!(flat.std, 0.0);
    assert_eq!(
        [1.0, 2.0, 3.0].map(|score| at(flat, score, 2.0)),
        [0.0, 0.5, 1.0]
    );
    let wide = ScoreDistribution {
        mean: 0.0,
        std: 1.0,
    };
    assert_eq!([-1.0, 0.0].map(|score| at(wide, score, 2.0)), [0.0, 0.0]);
    assert_eq!(
        [-2.0, -1.0, 0.0, 1.0].map(|score| at(wide, score, -1.0)),
        [0.0, 0.5, 1.0, 1.0]
    );
}

proptest! {
    #[test]
    fn from_0_to_1_with_a_half_at_the_threshold_and_ever_higher(
        mut scores in prop::collection::vec(proptest::num::f32::NORMAL, 2..20),
        threshold in proptest::num::f32::NORMAL,
        mean in -20.0..20.0f64, std in prop_oneof![Just(0.0), 1e-9..50.0f64],
    ) {
        let distribution = ScoreDistribution { mean, std };
        scores.push(threshold);
        scores.sort_by(f32::total_cmp);
        let found: Vec<f32> = scores.iter().map(|&score| at(distribution, score, threshold)).collect();
        prop_assert!(found.iter().all(|value| (0.0..=1.0).contains(value)));
        prop_assert!(found.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", found);
        for (&score, &value) in scores.iter().zip(&found) {
            let is_right = if score >= threshold { value >= 0.5 } else { value <= 0.5 };
            prop_assert!(is_right, "{} at {} is {}", score, threshold, value);
        }
    }

    #[test]
    fn as_by_definition_and_the_same_of_states_read_together(
        scores in prop::collection::vec(1e-3..1e3f32, 2..200), cut in any::<prop::sample::Index>(),
    ) {
        let found = counts(&scores, &[5.0]).score_distribution().unwrap();
        let logarithms: Vec<f64> = scores.iter().map(|&score| f64::from(score).ln()).collect();
        let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
        let squares: f64 = logarithms.iter().map(|one| (one - mean).powi(2)).sum();
        let std = (squares / (logarithms.len() - 1) as f64).sqrt();
        prop_assert!((found.mean - mean).abs() < 1e-9 && (found.std - std).abs() < 1e-9);
        let (one, other) = scores.split_at(cut.index(scores.len()));
        let states = [counts(one, &[5.0]).to_bytes(), counts(other, &[]).to_bytes()];
        let merged = Merge::open(states.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(merged.score_distribution().unwrap(), Ok(found));
    }
}
