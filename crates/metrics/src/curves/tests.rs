//! Curves: hand-computed points, exact ends, no more points than wanted, and how far a thinned curve is from the whole.

use proptest::prelude::*;

use super::*;
use crate::properties::{counted, counts, maps, uniform};

fn pairs(points: Result<Vec<Point>, Undefined>) -> Vec<(f64, f64)> {
    points
        .unwrap()
        .iter()
        .map(|point| (point.x, point.y))
        .collect()
}

/// Area below straight lines.
fn area(points: &[Point]) -> f64 {
    let line = |pair: &[Point]| (pair[1].x - pair[0].x) * (pair[0].y + pair[1].y) / 2.0;
    points.windows(2).map(line).sum()
}

#[test]
fn hand_computed() {
    // From the top: anomalous, normal and anomalous tied, two normal, anomalous.
    let mut counts = counts(&[4.0, 3.0, 2.0], &[5.0, 4.0, 1.0]);
    let third = 1.0 / 3.0;
    let roc = [
        (0.0, 0.0),
        (0.0, third),
        (third, 2.0 * third),
        (1.0, 2.0 * third),
        (1.0, 1.0),
    ];
    assert_eq!(pairs(counts.roc_points(10)), roc);
    let precision = [
        (0.0, 1.0),
        (third, 1.0),
        (2.0 * third, 2.0 / 3.0),
        (2.0 * third, 0.4),
        (1.0, 0.5),
    ];
    assert_eq!(pairs(counts.pr_points(10)), precision);
}

#[test]
fn degenerate_cases_have_reasons() {
    let curves = |normal: &[f32], anomalous: &[f32]| counts(normal, anomalous).curves(9);
    let empty = curves(&[], &[]);
    assert_eq!(empty.roc, Err(Undefined::Empty));
    assert_eq!(empty.precision_recall, Err(Undefined::Empty));
    let normal = curves(&[1.0, 2.0], &[]);
    assert_eq!(normal.roc, Err(Undefined::OneClass));
    assert_eq!(normal.precision_recall, Err(Undefined::OneClass));
    assert_eq!(normal.pro, Err(Undefined::OneClass));
    let anomalous = curves(&[], &[1.0, 2.0]);
    assert_eq!(anomalous.roc, Err(Undefined::OneClass));
    assert_eq!(pairs(anomalous.precision_recall), [(0.0, 1.0), (1.0, 1.0)]);
}

#[test]
fn a_thinned_curve_looks_like_the_whole() {
    let normal: Vec<f32> = (0..30_000).map(|i| uniform(5, i) as f32).collect();
    let anomalous: Vec<f32> = (0..3_000).map(|i| uniform(6, i).sqrt() as f32).collect();
    let mut counts = counts(&normal, &anomalous);
    let whole = counts.curves(usize::MAX);
    let exact = whole.roc.clone().unwrap();
    assert!(exact.len() > 3_000);
    assert!((area(&exact) - counts.summary(&[]).auroc.unwrap()).abs() < 1e-12);
    for most in [50, 200, 1_000] {
        let thin = counts.curves(most);
        for (thin, whole) in [
            (thin.roc, &whole.roc),
            (thin.precision_recall, &whole.precision_recall),
        ] {
            let (thin, whole) = (thin.unwrap(), whole.as_ref().unwrap());
            assert!(
                thin.len() <= most && thin.len() > most / 5,
                "{} of {most}",
                thin.len()
            );
            let off = (area(&thin) - area(whole)).abs();
            assert!(off < 1.0 / most as f64, "{off} with {most}");
        }
    }
}

proptest! {
    #[test]
    fn ends_are_exact_points_are_the_curves_and_no_more_than_wanted(maps in maps(), most in 0usize..40) {
        let mut state = counted(&maps);
        let (whole, thin) = (state.curves(usize::MAX), state.curves(most));
        let summary = state.summary(&[]);
        if let (Ok(auroc), Ok(roc)) = (summary.auroc, &whole.roc) {
            prop_assert!((area(roc) - auroc).abs() < 1e-12);
        }
        if let (Ok(aupr), Ok(precision)) = (summary.aupr, &whole.precision_recall) {
            prop_assert!((area(precision) - aupr).abs() < 1e-12);
        }
        let limit = crate::FprLimit::new(1.0).unwrap();
        let asked = crate::Asked { fpr_limit: limit, ..Default::default() };
        if let (Ok(aupro), Ok(pro)) = (state.summary(asked).aupro, &whole.pro) {
            prop_assert!((area(pro) - aupro).abs() < 1e-12);
        }
        for (thin, whole) in [(thin.roc, whole.roc), (thin.precision_recall, whole.precision_recall), (thin.pro, whole.pro)] {
            let (Ok(thin), Ok(whole)) = (&thin, &whole) else {
                prop_assert_eq!(thin, whole);
                continue;
            };
            prop_assert!(thin.len() <= most.max(2));
            prop_assert_eq!((thin.first(), thin.last()), (whole.first(), whole.last()));
            prop_assert!(thin.iter().all(|point| whole.contains(point)));
            prop_assert!(whole.len() > most.max(2) || thin == whole);
            prop_assert!(thin.windows(2).all(|pair| pair[0].x <= pair[1].x));
        }
    }

    #[test]
    fn a_merge_draws_what_the_whole_state_does(maps in maps(), most in 2usize..40) {
        let parts: Vec<Vec<u8>> = maps.iter().map(|map| counted(std::slice::from_ref(map)).to_bytes()).collect();
        let merge = Merge::open(parts.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(merge.curves(most).unwrap(), counted(&maps).curves(most));
    }
}
