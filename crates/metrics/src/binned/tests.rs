use proptest::prelude::*;

use super::*;
use crate::properties::uniform;
use crate::{Asked, ScoreCounts};

/// Both forms of maps with their masks, of rows of 16 pixels.
fn both(maps: &[(Vec<f32>, Vec<u8>)]) -> (ScoreCounts, BinnedCounts) {
    let (mut exact, mut binned) = (ScoreCounts::new(), BinnedCounts::default());
    for (map, mask) in maps {
        let (scores, regions) = (RawScores::new(map).unwrap(), Regions::of_mask(mask, 16));
        exact.observe_map(scores, &regions);
        binned.observe_map(scores, &regions);
    }
    (exact, binned)
}

fn limits(limit: f64) -> (Asked<'static>, FprLimit) {
    let fpr_limit = FprLimit::new(limit).unwrap();
    let asked = Asked {
        fpr_limit,
        ..Asked::default()
    };
    (asked, fpr_limit)
}

#[test]
fn without_a_class_there_is_a_reason() {
    let (_, binned) = both(&[(vec![0.5; 16], vec![0; 16])]);
    let found = binned.finish(FprLimit::STANDARD);
    assert_eq!(found.auroc, Err(Undefined::OneClass));
    assert_eq!(found.aupr, Err(Undefined::OneClass));
    assert_eq!(found.aupro, Err(Undefined::OneClass));
    let nothing = BinnedCounts::default().finish(FprLimit::STANDARD);
    assert_eq!(nothing.auroc, Err(Undefined::Empty));
}

#[test]
fn scores_of_real_maps_are_known_to_a_thousandth() {
    let map = |index: u64| {
        let mask: Vec<u8> = (0..256)
            .map(|at| u8::from(at % 97 < 7 && index.is_multiple_of(2)))
            .collect();
        let scores = mask.iter().zip(0..).map(|(&defect, at)| {
            let noise = uniform(index, at) as f32;
            0.2 + 0.5 * noise + 0.3 * f32::from(defect) * uniform(index + 1000, at) as f32
        });
        (scores.collect(), mask.clone())
    };
    let maps: Vec<_> = (0..400).map(map).collect();
    let (mut exact, binned) = both(&maps);
    let (asked, limit) = limits(0.3);
    let (exact, binned) = (exact.summary(asked), binned.finish(limit));
    for (exact, found) in [
        (exact.auroc, binned.auroc),
        (exact.aupr, binned.aupr),
        (exact.aupro, binned.aupro),
    ] {
        let (exact, found) = (exact.unwrap(), found.unwrap());
        assert!((found.value - exact).abs() < 1e-4, "{found:?}, {exact}");
        assert!(found.error() < 5e-3 && found.error() > 0.0, "{found:?}");
    }
}

proptest! {
    #[test]
    fn the_exact_number_is_between_the_ends_and_merging_is_observing_all(
        seed in 0..1_000_000u64, maps in 1..6usize, spread in prop_oneof![Just(1e-6f32), Just(1e-3), Just(1.0), Just(1e6)],
        limit in 0.01..1.0f64, defects in 0..20u64,
    ) {
        let map = |index: usize| {
            let random = |at: u64| uniform(seed * 8 + index as u64, at);
            let mask: Vec<u8> = (0..96).map(|at| u8::from((random(at) * 20.0) < defects as f64)).collect();
            // Around one, around zero, and many ties.
            let score = |(&defect, at): (&u8, u64)| {
                let noise = random(at + 500) as f32 + 0.3 * f32::from(defect);
                match index % 3 {
                    0 => 1.0 + spread * noise,
                    1 => spread * (noise - 0.5),
                    _ => (8.0 * noise).round() * spread,
                }
            };
            let scores = mask.iter().zip(0..).map(score).collect();
            (scores, mask)
        };
        let maps: Vec<_> = (0..maps).map(map).collect();
        let (mut exact, binned) = both(&maps);
        let (asked, limit) = limits(limit);
        let (exact, found) = (exact.summary(asked), binned.finish(limit));
        for (exact, found) in [
            (exact.auroc, found.auroc), (exact.aupr, found.aupr), (exact.aupro, found.aupro),
        ] {
            prop_assert_eq!(exact.err(), found.err());
            if let (Ok(exact), Ok(found)) = (exact, found) {
                prop_assert!(found.low - 1e-12 <= exact && exact <= found.high + 1e-12, "{:?}, {}", found, exact);
                prop_assert!(found.low <= found.value && found.value <= found.high);
            }
        }
        let (first, rest) = maps.split_at(maps.len() / 2);
        let (mut one, other) = (both(first).1, both(rest).1);
        one.merge(&other);
        prop_assert_eq!(one.finish(limit), found);
    }
}
