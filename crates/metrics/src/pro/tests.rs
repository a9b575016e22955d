//! PRO: hand-computed values and cases without one.

use crate::{Origin, RawScores, Regions, ScoreCounts, Threshold, Undefined};

fn pro(scores: &[f32], mask: &[u8], threshold: f32) -> Result<f64, Undefined> {
    let mut counts = ScoreCounts::new();
    let regions = Regions::of_mask(mask, mask.len());
    counts.observe_map(RawScores::new(scores).unwrap(), &regions);
    let threshold = Threshold::restore(threshold, Origin::Manual).unwrap();
    counts.summary(&[threshold]).decided[0].pro
}

#[test]
fn hand_computed() {
    let (scores, mask) = ([5.0, 0.0, 1.0, 2.0, 3.0, 4.0], [1, 0, 1, 1, 1, 1]);
    assert_eq!(pro(&scores, &mask, 3.0), Ok((1.0 + 0.5) / 2.0));
    assert_eq!(pro(&scores, &mask, 4.5), Ok(0.5));
    assert_eq!(pro(&scores, &mask, 9.0), Ok(0.0));
    assert_eq!(pro(&scores, &mask, -9.0), Ok(1.0));
}

#[test]
fn degenerate_cases_have_reasons() {
    assert_eq!(pro(&[], &[], 0.5), Err(Undefined::Empty));
    assert_eq!(pro(&[1.0], &[0], 0.5), Err(Undefined::OneClass));
    assert_eq!(pro(&[1.0], &[1], 0.5), Ok(1.0));
}
