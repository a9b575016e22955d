//! The adaptive threshold: the specification's example, ties, and cases without one.

use crate::properties::counts;
use crate::{SplitRole, Undefined};

#[test]
fn the_specification_example() {
    let best = counts(&[2.3, 1.6, 2.6], &[7.9, 3.3])
        .summary(&[])
        .best_f1
        .unwrap();
    assert_eq!((best.score.value(), best.f1), (3.3, 1.0));
    let threshold = best.threshold(SplitRole::Validation);
    assert!(threshold.is_independent_of(SplitRole::Test));
}

#[test]
fn the_lowest_of_equally_good_thresholds() {
    // At 1: TP 2, FP 2, F1 4/6. At 3: TP 1, FP 0, F1 2/3: the same.
    let best = counts(&[2.0, 2.5], &[1.0, 3.0])
        .summary(&[])
        .best_f1
        .unwrap();
    assert_eq!((best.score.value(), best.f1), (1.0, 2.0 / 3.0));
}

#[test]
fn one_class() {
    assert_eq!(
        counts(&[0.3, 0.4], &[]).summary(&[]).best_f1,
        Err(Undefined::OneClass)
    );
    assert_eq!(counts(&[], &[]).summary(&[]).best_f1, Err(Undefined::Empty));
    let best = counts(&[], &[0.4, 0.3]).summary(&[]).best_f1.unwrap();
    assert_eq!((best.score.value(), best.f1), (0.3, 1.0));
}
