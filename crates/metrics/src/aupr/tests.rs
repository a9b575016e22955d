//! AUPR: hand-computed values and cases without one.

use crate::Undefined;
use crate::properties::counts;

#[test]
fn hand_computed() {
    // Points (recall, precision) from the top: (0, 1), (1/2, 1), (1/2, 1/2), (1, 2/3).
    let found = counts(&[0.5], &[0.1, 0.9]).summary(&[]).aupr.unwrap();
    assert!((found - (0.5 + 0.5 * (0.5 + 2.0 / 3.0) / 2.0)).abs() < 1e-15);
    // One point for all, half of them anomalous.
    assert_eq!(counts(&[2.0; 5], &[2.0; 5]).summary(&[]).aupr, Ok(0.75));
}

#[test]
fn scores_that_separate_the_classes_have_one() {
    let normal: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    for n in [1, 3, 7, 999] {
        let anomalous: Vec<f32> = (0..n).map(|i| 1000.0 + i as f32 / 3.0).collect();
        assert_eq!(counts(&normal, &anomalous).summary(&[]).aupr, Ok(1.0));
    }
    assert_eq!(counts(&[], &[0.3, 0.2]).summary(&[]).aupr, Ok(1.0));
}

#[test]
fn degenerate_cases_have_reasons() {
    assert_eq!(counts(&[], &[]).summary(&[]).aupr, Err(Undefined::Empty));
    assert_eq!(
        counts(&[0.1], &[]).summary(&[]).aupr,
        Err(Undefined::OneClass)
    );
}
