//! What must hold for all scores, and the generators that tests share.

use proptest::prelude::*;

use crate::{Merge, Origin, RawScore, RawScores, ScoreCounts, Threshold};

pub(crate) fn counts(normal: &[f32], anomalous: &[f32]) -> ScoreCounts {
    let mut counts = ScoreCounts::new();
    counts.observe_normal(RawScores::new(normal).unwrap());
    counts.observe_map(
        RawScores::new(anomalous).unwrap(),
        &vec![1; anomalous.len()],
    );
    counts
}

/// Counter-based (splitmix64), in [0, 1).
pub(crate) fn uniform(stream: u64, index: u64) -> f64 {
    let mut x = (stream << 32 | index)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Few different values, so that ties are common; some far apart, some negative.
fn item() -> impl Strategy<Value = (f32, bool)> {
    let score = prop_oneof![
        (-8i32..8).prop_map(|i| i as f32 / 4.0),
        -1e3f32..1e3,
        Just(-0.0f32),
        Just(0.0f32),
        proptest::num::f32::NORMAL,
    ];
    (score, any::<bool>())
}

fn observed(items: &[(f32, bool)]) -> ScoreCounts {
    let mut counts = ScoreCounts::new();
    for &(score, anomalous) in items {
        counts.observe(RawScore::new(score).unwrap(), anomalous);
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn merging_in_any_order_is_observing_all(
        parts in prop::collection::vec(prop::collection::vec(item(), 0..40), 1..6),
        rotate in 0usize..6,
    ) {
        let mut all = observed(&parts.concat());
        let mut order: Vec<_> = parts.iter().collect();
        order.rotate_left(rotate % parts.len());
        let mut merged = ScoreCounts::new();
        for part in order {
            merged.merge(&observed(part));
        }
        prop_assert_eq!(&merged, &all);
        prop_assert_eq!(merged.to_bytes(), all.to_bytes());

        let files: Vec<Vec<u8>> = parts.iter().map(|part| observed(part).to_bytes()).collect();
        let threshold = Threshold::restore(0.25, Origin::Manual).unwrap();
        let streamed = Merge::open(files.iter().map(Vec::as_slice)).unwrap().summary(&[threshold]).unwrap();
        prop_assert_eq!(streamed, all.summary(&[threshold]));
        prop_assert_eq!(ScoreCounts::from_many(files.iter().map(Vec::as_slice)).unwrap(), all);
    }

    #[test]
    fn order_of_items_does_not_matter(items in prop::collection::vec(item(), 0..80), rotate in 0usize..80) {
        let mut other = items.clone();
        other.rotate_left(rotate.min(items.len()));
        other.reverse();
        prop_assert_eq!(observed(&items).summary(&[]), observed(&other).summary(&[]));
    }

    #[test]
    fn a_monotone_map_changes_no_rank_metric(items in prop::collection::vec((-1000i16..1000, any::<bool>()), 1..80)) {
        let scores = |map: fn(f32) -> f32| {
            let items: Vec<_> = items.iter().map(|&(i, a)| (map(f32::from(i)), a)).collect();
            observed(&items).summary(&[])
        };
        let plain = scores(|x| x);
        for map in [(|x| x * 0.125 - 70.0) as fn(f32) -> f32, |x| x * x * x, |x| (x / 200.0).exp()] {
            let mapped = scores(map);
            prop_assert_eq!(mapped.auroc, plain.auroc);
            prop_assert_eq!(mapped.auroc_interval, plain.auroc_interval);
            match (mapped.best_f1, plain.best_f1) {
                (Ok(mapped), Ok(plain)) => {
                    prop_assert_eq!(mapped.confusion, plain.confusion);
                    prop_assert_eq!(mapped.score.value(), map(plain.score.value()));
                }
                (mapped, plain) => prop_assert_eq!(mapped, plain),
            }
        }
    }

    #[test]
    fn auroc_of_exchanged_labels_and_of_negated_scores_is_the_rest_to_one(items in prop::collection::vec(item(), 2..80)) {
        let exchanged: Vec<_> = items.iter().map(|&(s, a)| (s, !a)).collect();
        let negated: Vec<_> = items.iter().map(|&(s, a)| (-s, a)).collect();
        if let Ok(plain) = observed(&items).summary(&[]).auroc {
            prop_assert!((0.0..=1.0).contains(&plain));
            for other in [exchanged, negated] {
                let other = observed(&other).summary(&[]).auroc.unwrap();
                prop_assert!((plain + other - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn agrees_with_counting_pairs_and_trying_every_threshold(items in prop::collection::vec(item(), 1..60)) {
        let summary = observed(&items).summary(&[]);
        let of = |class: bool| items.iter().filter(move |i| i.1 == class).map(|i| i.0);
        if let Ok(auroc) = summary.auroc {
            let won: f64 = of(true).flat_map(|a| of(false).map(move |n| if a > n { 1.0 } else if a == n { 0.5 } else { 0.0 })).sum();
            prop_assert!((auroc - won / (of(true).count() * of(false).count()) as f64).abs() < 1e-12);
        }
        let f1 = |t: f32| {
            let tp = of(true).filter(|&s| s >= t).count() as f64;
            2.0 * tp / (tp + of(false).filter(|&s| s >= t).count() as f64 + of(true).count() as f64)
        };
        match summary.best_f1 {
            Ok(best) => {
                prop_assert_eq!(best.f1, f1(best.score.value()));
                prop_assert!(items.iter().all(|i| f1(i.0) <= best.f1 && (f1(i.0) < best.f1 || i.0 >= best.score.value())));
                let threshold = best.threshold(crate::SplitRole::Test);
                let at = observed(&items).summary(&[threshold]);
                prop_assert_eq!(at.confusions[0], best.confusion);
                prop_assert_eq!(summary.at(&[threshold]), Some(at));
            }
            Err(_) => prop_assert_eq!(of(true).count(), 0),
        }
    }
}

#[test]
fn a_map_is_counted_by_its_mask() {
    let mut counts = ScoreCounts::new();
    counts.observe_map(
        RawScores::new(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap(),
        &[0, 255, 1, 0, 7],
    );
    let mut expected = self::counts(&[1.0, 4.0], &[2.0, 3.0, 5.0]);
    assert_eq!(counts, expected);
    assert_eq!(counts.to_bytes(), expected.to_bytes());
}
