//! F1 at a threshold: hand-computed values, cases without one, and how often its interval covers the truth.

use super::*;
use crate::Origin;
use crate::properties::{counts, uniform};

fn confusion(normal: &[f32], anomalous: &[f32], threshold: f32) -> Confusion {
    let threshold = Threshold::restore(threshold, Origin::Manual).unwrap();
    counts(normal, anomalous).summary(&[threshold]).decided[0].confusion
}

#[test]
fn hand_computed() {
    let found = confusion(&[0.1, 0.5, 0.7], &[0.2, 0.5, 0.9, 0.9], 0.5);
    let expected = Confusion {
        true_positives: 3,
        false_positives: 2,
        false_negatives: 1,
        true_negatives: 1,
    };
    assert_eq!(found, expected);
    assert_eq!(found.f1(), Ok(6.0 / 9.0));
}

#[test]
fn a_threshold_above_or_below_all_scores() {
    let (normal, anomalous) = ([0.1, 0.2], [0.3]);
    assert_eq!(confusion(&normal, &anomalous, 9.0).f1(), Ok(0.0));
    let all = confusion(&normal, &anomalous, -9.0);
    assert_eq!(
        (all.true_positives, all.false_positives, all.true_negatives),
        (1, 2, 0)
    );
}

#[test]
fn degenerate_cases_have_reasons() {
    assert_eq!(confusion(&[], &[], 0.5).f1(), Err(Undefined::Empty));
    assert_eq!(confusion(&[0.7], &[], 0.5).f1(), Err(Undefined::OneClass));
    assert_eq!(confusion(&[0.7], &[], 0.5).f1_interval(), None);
    assert_eq!(confusion(&[], &[0.7, 0.1], 0.5).f1(), Ok(2.0 / 3.0));
}

#[test]
fn interval_covers_the_truth_about_95_times_in_100() {
    // Recall 0.8, false alarms 0.1, a third anomalous: true F1 = 2*.8/3 / (2*.8/3 + .1*2/3 + .2/3).
    let truth = 1.6 / (1.6 + 0.2 + 0.2);
    let (trials, mut covered) = (3000, 0);
    for trial in 0..trials {
        let mut found = Confusion::default();
        for item in 0..60 {
            let (class, decision) = (uniform(trial, 2 * item), uniform(trial, 2 * item + 1));
            match (
                class < 1.0 / 3.0,
                decision < if class < 1.0 / 3.0 { 0.8 } else { 0.1 },
            ) {
                (true, true) => found.true_positives += 1,
                (true, false) => found.false_negatives += 1,
                (false, true) => found.false_positives += 1,
                (false, false) => found.true_negatives += 1,
            }
        }
        let interval = found.f1_interval().unwrap();
        assert!(interval.low <= found.f1().unwrap() && found.f1().unwrap() <= interval.high);
        covered += u32::from(interval.low <= truth && truth <= interval.high);
    }
    let coverage = f64::from(covered) / trials as f64;
    assert!((0.93..=0.98).contains(&coverage), "{coverage}");
}
