//! The threshold for a rate: against its definition, with ties and at the ends; how sure it is, against known limits.

use proptest::prelude::*;

use super::{FalsePositiveRate, upper_limit};
use crate::properties::counts;
use crate::{Merge, RawScore, SplitRole, Undefined};

fn rate(rate: f64) -> FalsePositiveRate {
    FalsePositiveRate::new(rate).unwrap()
}

/// How many of the scores a threshold lets through.
fn reached(scores: &[f32], threshold: f32) -> usize {
    scores.iter().filter(|&&score| score >= threshold).count()
}

#[test]
fn at_most_the_share_of_normal_items_reaches_it() {
    let normal: Vec<f32> = (0..10).map(|i| i as f32).collect();
    let at = |r| counts(&normal, &[4.5, 100.0]).at_rate(rate(r)).unwrap();
    for (r, above, highest_below) in [(0.0, 0, 9.0), (0.1, 1, 8.0), (0.19, 1, 8.0), (0.3, 3, 6.0)] {
        let found = at(r);
        assert_eq!(found.at_or_above, above, "{r}");
        assert_eq!(found.score.value(), f32::next_up(highest_below), "{r}");
        assert_eq!(reached(&normal, found.score.value()) as u64, above);
    }
    let threshold = at(0.1).threshold(SplitRole::Validation);
    assert!(threshold.is_independent_of(SplitRole::Test));
    assert!(!threshold.is_independent_of(SplitRole::Validation));
}

#[test]
fn of_items_that_tie_all_or_none_reach_it() {
    let normal = [1.0, 5.0, 5.0, 5.0, 5.0, 7.0, 7.0, 9.0, 9.0, 9.0];
    let found = counts(&normal, &[]).at_rate(rate(0.4)).unwrap();
    // Four may, but the fourth highest ties with the fifth.
    assert_eq!(
        (found.score.value(), found.at_or_above),
        (f32::next_up(7.0), 3)
    );
    assert_eq!(found.allowed, 4);
}

#[test]
fn signs_and_ends() {
    let at = |scores: &[f32]| counts(scores, &[]).at_rate(rate(0.0));
    let value = |scores: &[f32]| at(scores).unwrap().score.value();
    assert_eq!(value(&[-1.0]), f32::next_up(-1.0));
    assert_eq!(value(&[-0.0]), 1e-45);
    assert_eq!(value(&[-1e-45]).to_bits(), 0.0_f32.to_bits());
    assert_eq!(at(&[f32::MAX]), Err(Undefined::NoThreshold));
    assert_eq!(at(&[]), Err(Undefined::NoNormalItem));
    assert_eq!(
        counts(&[], &[1.0]).at_rate(rate(0.5)),
        Err(Undefined::NoNormalItem)
    );
    for wrong in [-0.001, 0.501, f64::NAN, f64::INFINITY] {
        assert_eq!(FalsePositiveRate::new(wrong), None, "{wrong}");
    }
}

#[test]
fn a_rate_needs_so_many_normal_items() {
    for (r, needed) in [(0.001, 1_000), (0.3, 4), (0.5, 2), (1.0 / 3.0, 3)] {
        assert_eq!(rate(r).needs(), Some(needed), "{r}");
        let some = |items: u64| {
            let scores: Vec<f32> = (0..items).map(|i| i as f32).collect();
            counts(&scores, &[]).at_rate(rate(r)).unwrap()
        };
        assert!(some(needed).is_supported());
        assert!(!some(needed - 1).is_supported());
    }
    assert_eq!(rate(0.0).needs(), None);
}

#[test]
fn how_sure_a_rate_is() {
    // One-sided limits of Clopper and Pearson as tables have them.
    for (count, items, limit) in [
        (0, 1, 0.95),
        (0, 40, 0.072_158),
        (0, 3_000, 0.000_998),
        (1, 10, 0.394_163),
        (5, 100, 0.102_253),
        (50, 100, 0.586_378),
    ] {
        let found = upper_limit(count, items);
        assert!((found - limit).abs() < 1e-6, "{count} of {items}: {found}");
    }
    assert_eq!(upper_limit(3, 3), 1.0);
    // Many items: the normal approximation is close.
    let found = upper_limit(1_000, 1_000_000);
    assert!((found - 0.001_053).abs() < 2e-6, "{found}");
    let found = counts(&[1.0; 40], &[]).at_rate(rate(0.001)).unwrap();
    assert!((found.true_rate_at_most() - 0.072_158).abs() < 1e-6);
}

/// Few different values, so that ties are common.
fn scores() -> impl Strategy<Value = Vec<f32>> {
    let score = prop_oneof![
        (-6i32..6).prop_map(|i| i as f32 / 2.0),
        -1e3f32..1e3,
        Just(-0.0f32),
        Just(1e-45f32),
    ];
    prop::collection::vec(score, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_is_the_lowest_that_fulfils_the_definition(normal in scores(), anomalous in scores(), r in 0.0..=0.5f64) {
        let mut counts = counts(&normal, &anomalous);
        let found = counts.at_rate(rate(r)).unwrap();
        let fits = |threshold: f32| reached(&normal, threshold) as f64 / normal.len() as f64 <= r;
        let threshold = found.score.value();
        prop_assert!(fits(threshold));
        // By the next lower number that differs from it.
        let lower = if threshold == 0.0 { -1e-45 } else { threshold.next_down() };
        prop_assert!(!fits(lower), "{threshold} {lower}");
        prop_assert_eq!(found.at_or_above as usize, reached(&normal, threshold));
        prop_assert_eq!(found.normal as usize, normal.len());
        prop_assert!(found.at_or_above <= found.allowed);
        // The same from any number of stored states.
        let parts: Vec<Vec<u8>> = normal.chunks(7).map(|part| crate::properties::counts(part, &[]).to_bytes()).collect();
        let merged = Merge::open(parts.iter().map(Vec::as_slice)).unwrap().at_rate(rate(r)).unwrap();
        prop_assert_eq!(merged, Ok(found));
    }

    #[test]
    fn a_monotone_map_changes_no_decision(items in prop::collection::vec(-1000i16..1000, 1..80), r in 0.0..=0.5f64) {
        let decisions = |map: fn(f32) -> f32| -> Vec<bool> {
            let scores: Vec<f32> = items.iter().map(|&i| map(f32::from(i))).collect();
            let threshold = counts(&scores, &[]).at_rate(rate(r)).unwrap().threshold(SplitRole::Validation);
            scores.iter().map(|&score| threshold.is_anomalous(RawScore::new(score).unwrap())).collect()
        };
        let plain = decisions(|x| x);
        for map in [(|x| x * 0.125 - 70.0) as fn(f32) -> f32, |x| x * x * x, |x| (x / 200.0).exp()] {
            prop_assert_eq!(&decisions(map), &plain);
        }
    }

    #[test]
    fn the_limit_is_above_the_share_and_falls_with_more_items(count in 0u64..30, more in 1u64..200) {
        let items = count + more;
        let limit = upper_limit(count, items);
        prop_assert!(limit > count as f64 / items as f64);
        prop_assert!(upper_limit(count, items + 1) < limit);
        prop_assert!(upper_limit(count + 1, items + 1) > limit);
    }
}
