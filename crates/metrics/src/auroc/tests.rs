//! AUROC: hand-computed values, cases without one; its interval against the definition, and how often that covers the truth.

use proptest::prelude::*;

use super::interval::newcombe;
use super::*;
use crate::Z_95;
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

/// By the definition: the share of the other class that every single item beats, all pairs looked at.
struct Slow {
    auroc: f64,
    variance: f64,
}

impl Slow {
    fn of(normal: &[f32], anomalous: &[f32]) -> Self {
        let wins = |a: f32, n: f32| f64::from(u8::from(a > n)) + 0.5 * f64::from(u8::from(a == n));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let beaten = |&a: &f32| mean(&normal.iter().map(|&n| wins(a, n)).collect::<Vec<_>>());
        let beats = |&n: &f32| mean(&anomalous.iter().map(|&a| wins(a, n)).collect::<Vec<_>>());
        let of_anomalous: Vec<f64> = anomalous.iter().map(beaten).collect();
        let of_normal: Vec<f64> = normal.iter().map(beats).collect();
        let spread = |values: &[f64]| {
            let squares = values.iter().map(|value| (value - mean(values)).powi(2));
            squares.sum::<f64>() / (values.len() as f64 - 1.0) / values.len() as f64
        };
        Self {
            auroc: mean(&of_anomalous),
            variance: spread(&of_anomalous) + spread(&of_normal),
        }
    }

    /// Symmetric about the logit of the area.
    fn on_logit_scale(&self) -> Interval {
        let half = Z_95 * self.variance.sqrt() / self.auroc / (1.0 - self.auroc);
        let end = |sign: f64| {
            let odds = self.auroc / (1.0 - self.auroc) * (sign * half).exp();
            odds / (1.0 + odds)
        };
        Interval {
            low: end(-1.0),
            high: end(1.0),
        }
    }

    /// Symmetric about the area, cut at 0 and 1.
    fn clipped(&self) -> Interval {
        let half = Z_95 * self.variance.sqrt();
        Interval {
            low: (self.auroc - half).max(0.0),
            high: (self.auroc + half).min(1.0),
        }
    }
}

fn labelled(normal: &[f32], anomalous: &[f32]) -> Result<Interval, Undefined> {
    let scores = [normal, anomalous].concat();
    let labels: Vec<bool> = (0..scores.len()).map(|i| i >= normal.len()).collect();
    auroc_interval(RawScores::new(&scores).unwrap(), &labels)
}

fn of_size(normal: u64, anomalous: u64) -> Totals {
    Totals {
        normal,
        anomalous,
        ..Totals::default()
    }
}

#[test]
fn a_variance_by_hand() {
    // Normal 1, 2, 3, 4; anomalous 3, 5, 6: these beat 2.5, 4 and 4 of 4, and the normal ones lose to 3, 3, 2.5 and 2 of 3.
    // The area is 10.5 / 12. Variances of placements: (0.25^2 + 2 * 0.125^2) / 2 = 3/64 of the anomalous, and of 1, 1, 5/6
    // and 2/3, of mean 7/8: (2 * (1/8)^2 + (1/24)^2 + (5/24)^2) / 3 = 11/432. So 3/64/3 + 11/432/4.
    let (normal, anomalous) = ([1.0, 2.0, 3.0, 4.0], [3.0, 5.0, 6.0]);
    let variance: f64 = 1.0 / 64.0 + 11.0 / 1728.0;
    assert!((Slow::of(&normal, &anomalous).variance - variance).abs() < 1e-15);
    let half = 1.959_963_984_540_054 * variance.sqrt() / (7.0 / 64.0);
    let (low, high) = (7.0 * (-half).exp(), 7.0 * half.exp());
    let items = newcombe(0.875, of_size(4, 3));
    let found = labelled(&normal, &anomalous).unwrap();
    let expected = Interval {
        low: items.low.min(low / (1.0 + low)),
        high: items.high.max(high / (1.0 + high)),
    };
    assert!((found.low - expected.low).abs() < 1e-12, "{found:?}");
    assert!((found.high - expected.high).abs() < 1e-12, "{found:?}");
    // That is DeLong's at the lower end.
    assert!(expected.low < items.low, "{expected:?}, {items:?}");
}

#[test]
fn without_a_variance_the_interval_keeps_a_width() {
    let apart: Vec<f32> = (0..20).map(|i| i as f32).collect();
    let above: Vec<f32> = (0..20).map(|i| i as f32 + 50.0).collect();
    let perfect = labelled(&apart, &above).unwrap();
    assert_eq!(perfect, newcombe(1.0, of_size(20, 20)));
    assert!(
        perfect.low > 0.8 && perfect.low < 0.95 && perfect.high == 1.0,
        "{perfect:?}"
    );
    let wrong = labelled(&above, &apart).unwrap();
    assert!((wrong.high - (1.0 - perfect.low)).abs() < 1e-12 && wrong.low == 0.0);
    // All tie; one of a class.
    assert_eq!(
        labelled(&[1.0; 5], &[1.0; 7]),
        Ok(newcombe(0.5, of_size(5, 7)))
    );
    let one = labelled(&[1.0, 2.0, 3.0, 4.0], &[2.5]);
    assert_eq!(one, Ok(newcombe(0.5, of_size(4, 1))));
    assert_eq!(labelled(&[1.0], &[]), Err(Undefined::OneClass));
    assert_eq!(labelled(&[], &[]), Err(Undefined::Empty));
}

#[test]
fn so_many_items_that_squares_overflow_have_an_interval() {
    let step = |score: f32, normal, anomalous| Step {
        normal,
        anomalous,
        ..Step::empty(crate::RawScore::new(score).unwrap())
    };
    let many = u64::MAX / 4;
    let mut sum = RankSum::new(of_size(2 * many, 2 * many));
    let mut below = Below::default();
    for one in [
        step(0.0, many, 0),
        step(1.0, many, many),
        step(2.0, 0, many),
    ] {
        sum.step(below, one);
        below.add(one);
    }
    let found = sum.finish().unwrap();
    assert_eq!(found.value, 0.875);
    assert_eq!(found.interval, newcombe(0.875, of_size(2 * many, 2 * many)));
}

/// Shares of trials in which each interval covers the truth: ours, and DeLong's clipped.
fn coverage(odds: f64, normal: u64, anomalous: u64) -> (f64, f64) {
    // Two exponentials of which the second is as many times as long: the chance that it is longer.
    let (truth, trials) = (odds / (1.0 + odds), 1500);
    let (mut ours, mut clipped) = (0, 0);
    for trial in 0..trials {
        let exponential = |i: u64| -(1.0 - uniform(trial, i)).ln();
        let low: Vec<f32> = (0..normal).map(|i| exponential(i) as f32).collect();
        let high = normal..normal + anomalous;
        let high: Vec<f32> = high.map(|i| (exponential(i) * odds) as f32).collect();
        let covers = |found: Interval| u64::from(found.low <= truth && truth <= found.high);
        ours += covers(labelled(&low, &high).unwrap());
        clipped += covers(Slow::of(&low, &high).clipped());
    }
    let share = |covered: u64| covered as f64 / trials as f64;
    (share(ours), share(clipped))
}

#[test]
fn the_interval_covers_the_truth_at_least_about_95_times_in_100_which_a_clipped_one_does_not() {
    for (odds, normal, anomalous) in [
        (1.0, 20, 20),
        (9.0, 30, 40),
        (9.0, 100, 20),
        (19.0, 20, 60),
        (19.0, 60, 20),
        (49.0, 60, 60),
        (199.0, 75, 75),
    ] {
        let (ours, clipped) = coverage(odds, normal, anomalous);
        let case = format!("{odds} {normal} {anomalous}: {ours}, {clipped}");
        assert!((0.935..=0.99).contains(&ours), "{case}");
        assert!(clipped < 0.935 && clipped < ours, "{case}");
    }
}

proptest! {
    #[test]
    fn the_interval_is_that_of_the_definition_and_holds_the_area(
        normal in prop::collection::vec(-6i8..6, 1..40),
        anomalous in prop::collection::vec(-3i8..9, 1..40),
    ) {
        let scores = |items: &[i8]| items.iter().map(|&i| f32::from(i)).collect::<Vec<_>>();
        let (normal, anomalous) = (scores(&normal), scores(&anomalous));
        let slow = Slow::of(&normal, &anomalous);
        let found = labelled(&normal, &anomalous).unwrap();
        prop_assert_eq!(counts(&normal, &anomalous).summary(&[]).auroc_interval, Some(found));
        prop_assert!(0.0 <= found.low && found.low <= slow.auroc && slow.auroc <= found.high && found.high <= 1.0);
        prop_assert!(found.low < found.high);
        let overlap = slow.auroc > 0.0 && slow.auroc < 1.0;
        if overlap && normal.len() > 1 && anomalous.len() > 1 && slow.variance > 1e-12 {
            let (scores, items) = (slow.on_logit_scale(), newcombe(slow.auroc, of_size(normal.len() as u64, anomalous.len() as u64)));
            let expected = Interval { low: scores.low.min(items.low), high: scores.high.max(items.high) };
            prop_assert!((found.low - expected.low).abs() < 1e-9 && (found.high - expected.high).abs() < 1e-9);
        }
        // Exchanged classes with negated scores are the same pairs.
        let negated = |items: &[f32]| items.iter().map(|s| -s).collect::<Vec<_>>();
        let exchanged = labelled(&negated(&anomalous), &negated(&normal)).unwrap();
        prop_assert!((exchanged.low - found.low).abs() < 1e-9 && (exchanged.high - found.high).abs() < 1e-9);
    }
}
