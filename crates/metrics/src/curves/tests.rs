//! Curves: hand-computed points, exact ends, areas that are the metrics, and how far a thinned curve is from the whole.

use proptest::prelude::*;

use super::*;
use crate::properties::{counted, counts, maps, uniform};
use crate::{Asked, FprLimit, Merge, ScoreCounts, Summary};

const DRAWN: Asked<'static> = Asked {
    thresholds: &[],
    fpr_limit: FprLimit::STANDARD,
    fpr_bounds: FprBounds::STANDARD,
    curves: true,
};

fn drawn(counts: &mut ScoreCounts, asked: Asked) -> (Summary, Curves) {
    let summary = counts.summary(asked);
    let curves = summary.curves.clone().unwrap();
    (summary, curves)
}

/// By the trapezoid rule, up to a limit.
fn area(points: &[[f64; 2]]) -> f64 {
    let line = |pair: &[[f64; 2]]| (pair[1][0] - pair[0][0]) * (pair[0][1] + pair[1][1]) / 2.0;
    points.windows(2).map(line).sum()
}

fn assert_near(found: &[[f64; 2]], expected: &[[f64; 2]]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    }
}

#[test]
fn hand_computed() {
    // From the top: anomalous, normal and anomalous tied, two normal, anomalous.
    let mut counts = counts(&[4.0, 3.0, 2.0], &[5.0, 4.0, 1.0]);
    let (_, curves) = drawn(&mut counts, DRAWN);
    let third = 1.0 / 3.0;
    let roc = [
        [0.0, 0.0],
        [0.0, third],
        [third, 2.0 * third],
        [1.0, 2.0 * third],
        [1.0, 1.0],
    ];
    assert_near(&curves.roc.unwrap(), &roc);
    // Each image is a region.
    assert_near(&curves.pro.unwrap(), &roc);
    let precision = [
        [0.0, 1.0],
        [third, 1.0],
        [2.0 * third, 2.0 / 3.0],
        [2.0 * third, 0.4],
        [1.0, 0.5],
    ];
    assert_near(&curves.precision_recall.unwrap(), &precision);
}

#[test]
fn a_pimo_curve_begins_and_ends_at_the_bounds() {
    // One image in four without a defect is above the first defect, and all above the second.
    let mut counts = counts(&[4.0, 3.0, 2.0, 1.0], &[3.5, 0.5]);
    let asked = Asked {
        fpr_bounds: FprBounds::new(0.1, 0.5).unwrap(),
        ..DRAWN
    };
    let (_, curves) = drawn(&mut counts, asked);
    let points = curves.pimo.unwrap();
    assert_near(&points, &[[0.1, 0.0], [0.25, 0.0], [0.25, 0.5], [0.5, 0.5]]);
}

#[test]
fn degenerate_cases_have_reasons() {
    let curves = |normal: &[f32], anomalous: &[f32]| drawn(&mut counts(normal, anomalous), DRAWN).1;
    let empty = curves(&[], &[]);
    for points in [empty.roc, empty.precision_recall, empty.pro, empty.pimo] {
        assert_eq!(points, Err(Undefined::Empty));
    }
    let normal = curves(&[1.0, 2.0], &[]);
    for points in [normal.roc, normal.precision_recall, normal.pro] {
        assert_eq!(points, Err(Undefined::OneClass));
    }
    let anomalous = curves(&[], &[1.0, 2.0]);
    assert_eq!(anomalous.roc, Err(Undefined::OneClass));
    assert_eq!(anomalous.pimo, Err(Undefined::NoNormalImage));
    assert_eq!(
        anomalous.precision_recall.unwrap(),
        [[0.0, 1.0], [1.0, 1.0]]
    );
    assert_eq!(counts(&[1.0], &[2.0]).summary(&[]).curves, None);
}

#[test]
fn a_thinned_curve_looks_like_the_whole() {
    let normal: Vec<f32> = (0..30_000).map(|i| uniform(5, i) as f32).collect();
    let anomalous: Vec<f32> = (0..3_000).map(|i| uniform(6, i).sqrt() as f32).collect();
    let mut counts = counts(&normal, &anomalous);
    let (summary, curves) = drawn(&mut counts, DRAWN);
    let (roc, precision) = (curves.roc.unwrap(), curves.precision_recall.unwrap());
    assert!(roc.len() <= CURVE_POINTS && precision.len() <= CURVE_POINTS);
    assert!((area(&roc) - summary.auroc.unwrap()).abs() < 1e-3);
    assert!((area(&precision) - summary.aupr.unwrap()).abs() < 1e-3);
    // Every score's point lies within a third of a pixel of the drawn line, of 250 pixels.
    for score in normal.iter().step_by(97) {
        let above = |scores: &[f32]| scores.iter().filter(|one| *one >= score).count() as f64;
        let point = [above(&normal) / 30_000.0, above(&anomalous) / 3_000.0];
        let near = roc
            .windows(2)
            .map(|pair| thin::distance(point, pair[0], pair[1]));
        let nearest = near.fold(f64::INFINITY, f64::min);
        assert!(nearest < 0.0015, "{point:?} is {nearest} away");
    }
}

proptest! {
    #[test]
    fn ends_are_exact_and_areas_are_the_metrics(maps in maps()) {
        let asked = Asked { fpr_limit: FprLimit::new(1.0).unwrap(), ..DRAWN };
        let (summary, curves) = drawn(&mut counted(&maps), asked);
        for (points, area_of) in [
            (&curves.roc, summary.auroc),
            (&curves.precision_recall, summary.aupr),
            (&curves.pro, summary.aupro),
        ] {
            prop_assert_eq!(points.is_ok(), area_of.is_ok());
            if let (Ok(points), Ok(area_of)) = (points, area_of) {
                prop_assert!((area(points) - area_of).abs() < 1e-3, "{} of {:?}", area_of, points);
                prop_assert!(points.windows(2).all(|pair| pair[0][0] <= pair[1][0]));
                prop_assert_eq!(points[points.len() - 1][0], 1.0);
                prop_assert_eq!(points[0][0], 0.0);
            }
        }
    }

    #[test]
    fn a_merge_draws_what_the_whole_state_does(maps in maps()) {
        let parts: Vec<Vec<u8>> = maps.iter().map(|map| counted(std::slice::from_ref(map)).to_bytes()).collect();
        let merge = Merge::open(parts.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(merge.summary(DRAWN).unwrap(), counted(&maps).summary(DRAWN));
    }
}
