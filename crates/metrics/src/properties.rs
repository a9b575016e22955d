//! What must hold for all scores, and the generators that tests share.

use proptest::prelude::*;

use crate::regions::tests::flooded;
use crate::{
    Asked, FprBounds, FprLimit, Merge, Origin, RawScore, RawScores, Regions, ScoreCounts, Summary,
    Threshold,
};

pub(crate) fn counts(normal: &[f32], anomalous: &[f32]) -> ScoreCounts {
    let mut counts = ScoreCounts::new();
    counts.observe_normal(RawScores::new(normal).unwrap());
    for &score in anomalous {
        counts.observe(RawScore::new(score).unwrap(), true);
    }
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
                    prop_assert_eq!(mapped.decided, plain.decided);
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
                prop_assert_eq!(at.decided[0], best.decided);
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
        &Regions::of_mask(&[0, 255, 0, 0, 7], 5),
    );
    let expected = self::counts(&[1.0, 3.0, 4.0], &[2.0, 5.0]);
    let classes = |mut counts: ScoreCounts| -> Vec<_> {
        let class = |step: crate::Step| (step.score.value(), step.normal, step.anomalous);
        counts.ordered().map(class).collect()
    };
    assert_eq!(classes(counts.clone()), classes(expected));
    let totals = counts.totals();
    assert_eq!((totals.regions, totals.defective_images), (2, 1));
    assert_eq!((totals.clear_images(), totals.clear_pixels), (0, 0));
}

/// A map of six pixels by some, with its mask.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    pub scores: Vec<f32>,
    pub mask: Vec<u8>,
}

pub(crate) const WIDTH: usize = 6;

/// Few different scores, so that ties are common; masks from empty to full.
pub(crate) fn maps() -> impl Strategy<Value = Vec<Map>> {
    let pixel = |share: f64| {
        let score = prop_oneof![(-3i32..4).prop_map(|i| i as f32), -5f32..5.0];
        (score, prop::bool::weighted(share))
    };
    let share = prop_oneof![Just(0.0), 0.0..0.6, Just(1.0)];
    let map = (share, 1usize..5)
        .prop_flat_map(move |(share, rows)| prop::collection::vec(pixel(share), WIDTH * rows))
        .prop_map(|pixels| {
            let (scores, mask): (_, Vec<bool>) = pixels.into_iter().unzip();
            let mask = mask.into_iter().map(u8::from).collect();
            Map { scores, mask }
        });
    prop::collection::vec(map, 1..5)
}

pub(crate) fn counted(maps: &[Map]) -> ScoreCounts {
    let mut counts = ScoreCounts::new();
    for map in maps {
        let scores = RawScores::new(&map.scores).unwrap();
        counts.observe_map(scores, &Regions::of_mask(&map.mask, WIDTH));
    }
    counts
}

/// By the definitions, with every distinct score as a threshold, each time from all pixels. Slow.
struct Slow<'a>(&'a [Map]);

impl Slow<'_> {
    fn thresholds(&self) -> Vec<f32> {
        let mut scores: Vec<f32> = self.0.iter().flat_map(|map| map.scores.clone()).collect();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        scores.dedup();
        scores
    }

    /// Pixels of a class at or above a score.
    fn at_or_above(&self, score: f32, class: bool) -> f64 {
        let pixels = self
            .0
            .iter()
            .flat_map(|map| map.scores.iter().zip(&map.mask));
        pixels
            .filter(|&(&s, &m)| s >= score && (m != 0) == class)
            .count() as f64
    }

    /// The mean share of a region that is found; NaN without any.
    fn pro(&self, score: f32) -> f64 {
        let mut shares = Vec::new();
        for map in self.0 {
            let labels = flooded(&map.mask, WIDTH);
            for region in 1..=labels.iter().copied().max().unwrap_or(0) {
                let of = || {
                    map.scores
                        .iter()
                        .zip(&labels)
                        .filter(|&(_, &l)| l == region)
                };
                shares
                    .push(of().filter(|&(&s, _)| s >= score).count() as f64 / of().count() as f64);
            }
        }
        shares.iter().sum::<f64>() / shares.len() as f64
    }

    /// From (0, 0) to (1, 1).
    fn aupro(&self, limit: f64) -> f64 {
        let all = self.at_or_above(f32::MIN, false);
        let mut points = vec![(0.0, 0.0)];
        let point = |&t: &f32| (self.at_or_above(t, false) / all, self.pro(t));
        points.extend(self.thresholds().iter().map(point));
        points.push((1.0, 1.0));
        let mut area = 0.0;
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            if x0 < limit && x1 > x0 {
                let end = x1.min(limit);
                let y = y0 + (y1 - y0) * (end - x0) / (x1 - x0);
                area += (end - x0) * (y0 + y) / 2.0;
            }
        }
        area / limit
    }

    /// From recall 0 with precision 1.
    fn aupr(&self) -> f64 {
        let all = self.at_or_above(f32::MIN, true);
        let mut points = vec![(0.0, 1.0)];
        points.extend(self.thresholds().iter().map(|&t| {
            let found = self.at_or_above(t, true);
            (found / all, found / (found + self.at_or_above(t, false)))
        }));
        points
            .windows(2)
            .map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0)
            .sum()
    }
}

fn asked(thresholds: &[Threshold], limit: f64) -> Asked<'_> {
    Asked {
        thresholds,
        fpr_limit: FprLimit::new(limit).unwrap(),
        fpr_bounds: FprBounds::new(limit / 20.0, limit).unwrap(),
        curves: false,
    }
}

fn limits() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.3), Just(1.0), Just(0.05), 0.001f64..1.0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn pixel_metrics_agree_with_their_definitions(maps in maps(), limit in limits(), threshold in -6f32..6.0) {
        let cut = Threshold::restore(threshold, Origin::Manual).unwrap();
        let summary = counted(&maps).summary(asked(&[cut], limit));
        let slow = Slow(&maps);
        let (normal, anomalous) = (slow.at_or_above(f32::MIN, false), slow.at_or_above(f32::MIN, true));
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-12 && (0.0..=1.0).contains(&found);
        match (summary.aupr, summary.decided[0].pro) {
            (Ok(aupr), Ok(pro)) => {
                prop_assert!(near(aupr, slow.aupr()), "AUPR {aupr}, not {}", slow.aupr());
                prop_assert!(near(pro, slow.pro(threshold)), "PRO {pro}, not {}", slow.pro(threshold));
            }
            undefined => {
                prop_assert_eq!(anomalous, 0.0);
                prop_assert_eq!(undefined, (Err(crate::Undefined::OneClass), Err(crate::Undefined::OneClass)));
            }
        }
        match summary.aupro {
            Ok(aupro) => prop_assert!(near(aupro, slow.aupro(limit)), "AUPRO {aupro}, not {}", slow.aupro(limit)),
            Err(reason) => {
                prop_assert!(normal == 0.0 || anomalous == 0.0);
                prop_assert_eq!(reason, crate::Undefined::OneClass);
            }
        }
    }

    #[test]
    fn a_monotone_map_changes_no_pixel_metric(maps in maps(), limit in limits()) {
        let plain = counted(&maps).summary(asked(&[], limit));
        for map in [(|x| x * 0.125 - 70.0) as fn(f32) -> f32, |x| x * x * x, f32::exp] {
            let mut mapped = maps.clone();
            mapped.iter_mut().flat_map(|one| &mut one.scores).for_each(|score| *score = map(*score));
            let ranks = |maps: &[Map]| maps.iter().flat_map(|one| one.scores.clone()).collect::<Vec<_>>();
            // Rounding may make ties where there were none: then it is no monotone map.
            prop_assume!(ties(&ranks(&mapped)) == ties(&ranks(&maps)));
            let mapped = counted(&mapped).summary(asked(&[], limit));
            prop_assert_eq!((mapped.auroc, mapped.aupr, mapped.aupro), (plain.auroc, plain.aupr, plain.aupro));
            prop_assert_eq!(mapped.aupimo, plain.aupimo);
        }
    }

    #[test]
    fn pixel_states_merge_to_the_same_bits_by_stream_and_in_memory(
        maps in maps(),
        limit in limits(),
        thresholds in prop::collection::vec(-4i32..5, 0..4),
        reversed: bool,
    ) {
        let thresholds: Vec<Threshold> =
            thresholds.iter().map(|&t| Threshold::restore(t as f32, Origin::Manual).unwrap()).collect();
        let asked = asked(&thresholds, limit);
        let mut whole = counted(&maps);
        let expected: Summary = whole.summary(asked);
        let mut parts: Vec<ScoreCounts> = maps.iter().map(|map| counted(std::slice::from_ref(map))).collect();
        if reversed {
            parts.reverse();
        }
        let files: Vec<Vec<u8>> = parts.iter_mut().map(ScoreCounts::to_bytes).collect();
        let merge = || Merge::open(files.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(&merge().summary(asked).unwrap(), &expected);
        let mut written = Vec::new();
        merge().write(&mut written).unwrap();
        prop_assert_eq!(written, whole.to_bytes());
        let mut merged = ScoreCounts::new();
        parts.iter().for_each(|part| merged.merge(part));
        prop_assert_eq!(merged.summary(asked), expected);
    }
}

/// How many scores are different.
pub(crate) fn ties(scores: &[f32]) -> usize {
    let mut keys: Vec<u32> = scores
        .iter()
        .map(|&score| crate::score::key(score))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.len()
}
