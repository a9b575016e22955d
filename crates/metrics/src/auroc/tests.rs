//! AUROC: hand-computed values, cases without one, and how often its interval covers the truth.

use super::*;
use crate::properties::{counts, uniform};

#[test]
fn hand_computed() {
    // Three of four pairs are in order; with a tie, half a pair.
    assert_eq!(
        counts(&[0.1, 0.4], &[0.35, 0.8]).summary(&[]).auroc,
        Ok(0.75)
    );
    assert_eq!(
        counts(&[0.1, 0.4], &[0.4, 0.8]).summary(&[]).auroc,
        Ok(0.875)
    );
    assert_eq!(counts(&[1.0; 5], &[1.0; 7]).summary(&[]).auroc, Ok(0.5));
}

#[test]
fn degenerate_cases_have_reasons() {
    assert_eq!(counts(&[], &[]).summary(&[]).auroc, Err(Undefined::Empty));
    assert_eq!(
        counts(&[0.1, 0.2], &[]).summary(&[]).auroc,
        Err(Undefined::OneClass)
    );
    assert_eq!(
        counts(&[], &[0.1]).summary(&[]).auroc,
        Err(Undefined::OneClass)
    );
}

#[test]
fn scores_far_above_one_do_not_tie() {
    let shifted = |s: &[f32]| s.iter().map(|v| v * 4.0 + 64.0).collect::<Vec<_>>();
    let (normal, anomalous) = ([0.1, 0.5, 0.2, 0.9], [0.8, 0.4, 1.0]);
    let raw = counts(&normal, &anomalous).summary(&[]).auroc;
    assert_eq!(
        raw,
        counts(&shifted(&normal), &shifted(&anomalous))
            .summary(&[])
            .auroc
    );
}

#[test]
fn interval_contains_the_estimate_and_narrows() {
    let small = interval(
        1.0,
        Totals {
            normal: 20,
            anomalous: 20,
            regions: 20,
        },
    );
    assert!(
        small.low > 0.8 && small.low < 0.95 && small.high == 1.0,
        "{small:?}"
    );
    let mut width = 1.0;
    for n in [10, 100, 1000, 100_000] {
        let found = interval(
            0.9,
            Totals {
                normal: n,
                anomalous: n,
                regions: n,
            },
        );
        assert!(
            found.low < 0.9 && found.high > 0.9 && found.high < 1.0,
            "{found:?}"
        );
        assert!(found.high - found.low < width);
        width = found.high - found.low;
    }
}

#[test]
fn interval_covers_the_truth_about_95_times_in_100() {
    // Two exponentials of rates 1 and 1/r: the true AUROC is r / (1 + r), here 0.9.
    let (truth, trials) = (0.9, 1500);
    let mut covered = 0;
    for trial in 0..trials {
        let exponential = |i: u64| -(1.0 - uniform(trial, i)).ln() as f32;
        let normal: Vec<f32> = (0..30).map(exponential).collect();
        let anomalous: Vec<f32> = (30..70).map(|i| exponential(i) * 9.0).collect();
        let found = counts(&normal, &anomalous)
            .summary(&[])
            .auroc_interval
            .unwrap();
        covered += u32::from(found.low <= truth && truth <= found.high);
    }
    let coverage = f64::from(covered) / trials as f64;
    assert!((0.93..=0.98).contains(&coverage), "{coverage}");
}
