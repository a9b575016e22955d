//! AUPRO: hand-computed values and cases without one.

use super::FprLimit;
use crate::{Asked, RawScores, Regions, ScoreCounts, Undefined};

fn aupro(scores: &[f32], mask: &[u8], limit: f64) -> Result<f64, Undefined> {
    let mut counts = ScoreCounts::new();
    let regions = Regions::of_mask(mask, mask.len());
    counts.observe_map(RawScores::new(scores).unwrap(), &regions);
    let fpr_limit = FprLimit::new(limit).unwrap();
    let asked = Asked {
        fpr_limit,
        ..Asked::default()
    };
    counts.summary(asked).aupro
}

#[test]
fn a_small_region_weighs_as_much_as_a_large_one() {
    // The region of one pixel is found first, then a normal pixel, then the region of three, then three normal pixels:
    // half of the regions from rate 0 to 1/4, all of them from there on.
    let scores = [9.0, 1.0, 7.0, 7.0, 7.0, 8.0, 1.0, 1.0];
    let mask = [1, 0, 1, 1, 1, 0, 0, 0];
    assert_eq!(aupro(&scores, &mask, 1.0), Ok(0.25 * 0.5 + 0.75));
    assert_eq!(aupro(&scores, &mask, 0.25), Ok(0.5));
    assert_eq!(aupro(&scores, &mask, 0.5), Ok(0.75));
}

#[test]
fn ties_are_one_point_and_the_line_to_it_is_cut_at_the_limit() {
    // All scores equal: one line from (0, 0) to (1, 1).
    for limit in [0.05, 0.3, 1.0] {
        let found = aupro(&[2.0; 4], &[1, 0, 0, 0], limit).unwrap();
        assert!((found - limit / 2.0).abs() < 1e-15, "{found}");
    }
}

#[test]
fn never_above_one() {
    for n in [3, 7, 10, 1001] {
        let scores: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let mask: Vec<u8> = (0..n).map(|i| u8::from(i + 2 > n)).collect();
        for limit in [1e-9, 0.05, 0.3, 1.0 / 3.0, 0.7, 1.0] {
            assert_eq!(aupro(&scores, &mask, limit), Ok(1.0), "{n}, {limit}");
        }
    }
}

#[test]
fn degenerate_cases_have_reasons() {
    assert_eq!(aupro(&[], &[], 0.3), Err(Undefined::Empty));
    assert_eq!(aupro(&[1.0, 2.0], &[0, 0], 0.3), Err(Undefined::OneClass));
    assert_eq!(aupro(&[1.0, 2.0], &[1, 1], 0.3), Err(Undefined::OneClass));
}

#[test]
fn a_limit_is_a_rate_above_nothing() {
    for wrong in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(FprLimit::new(wrong), None);
    }
    assert_eq!(FprLimit::default().rate(), 0.3);
}
