//! AUPIMO: hand-computed values, the definition from all pixels, the reference's numbers, and cases without a value.

use proptest::prelude::*;

use super::*;
use crate::properties::{Map, WIDTH, counted, maps, ties};
use crate::{Asked, Merge, RawScores, Regions, ScoreCounts};

fn bounds(lower: f64, upper: f64) -> FprBounds {
    FprBounds::new(lower, upper).unwrap()
}

fn asked(bounds: FprBounds) -> Asked<'static> {
    Asked {
        fpr_bounds: bounds,
        ..Asked::default()
    }
}

/// A map of one row.
fn map(scores: &[f32], mask: &[u8]) -> (Vec<f32>, Vec<u8>) {
    (scores.to_vec(), mask.to_vec())
}

fn state(maps: &[(Vec<f32>, Vec<u8>)]) -> ScoreCounts {
    let mut counts = ScoreCounts::new();
    for (scores, mask) in maps {
        let regions = Regions::of_mask(mask, mask.len());
        counts.observe_map(RawScores::new(scores).unwrap(), &regions);
    }
    counts
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-12
}

#[test]
fn hand_computed() {
    // Rates are 0.25 at 8, 0.5 at 6, 1 at 1. The defect of the first image is found by halves: before any normal pixel, and
    // between 8 and 6. That of the second lies with the normal pixel of score 6. What is beside defects does not matter.
    let maps = [
        map(&[8.0, 6.0, 1.0, 1.0], &[0; 4]),
        map(&[9.0, 7.0, 99.0, 0.0], &[1, 1, 0, 0]),
        map(&[6.0, 99.0, 0.0, 99.0], &[1, 0, 0, 0]),
    ];
    let (ln2, ln4) = (2.0_f64.ln(), 4.0_f64.ln());
    // From 0.25 to 1, the first is found by half at 0.25 and wholly right there; the second along the line from (0.25, 0) to
    // (0.5, 1), then wholly.
    let line = (0.25 - 0.25 * ln2) / 0.25;
    let (first, second) = (1.0, (line + ln2) / ln4);
    let mut counts = state(&maps);
    let wide = bounds(0.25, 1.0);
    let found = counts.summary(asked(wide)).aupimo.unwrap();
    assert!(near(found, (first + second) / 2.0), "{found}");
    let rates = counts.shared_fpr(wide).unwrap();
    let image = |scores: &[f32]| rates.aupimo(RawScores::new(scores).unwrap()).unwrap();
    assert!(near(image(&[7.0, 9.0]), first));
    assert!(near(image(&[6.0]), second));
    // From 0.125 to 0.25 half of the first is missing, and all of the second.
    let found = counts.summary(asked(bounds(0.125, 0.25))).aupimo.unwrap();
    assert!(near(found, 0.25), "{found}");
}

#[test]
fn a_curve_by_hand() {
    let maps = [
        map(&[8.0, 6.0, 1.0, 1.0], &[0; 4]),
        map(&[9.0, 7.0, 6.0, 0.5], &[1; 4]),
    ];
    let rates = state(&maps).shared_fpr(bounds(0.125, 0.75)).unwrap();
    let curve = rates.pimo(RawScores::new(&maps[1].0).unwrap()).unwrap();
    let points: Vec<_> = curve.iter().map(|p| (p.shared_fpr, p.tpr)).collect();
    let expected = [
        (0.125, 0.25),
        (0.25, 0.25),
        (0.25, 0.5),
        (0.5, 0.75),
        (0.75, 0.75),
    ];
    assert_eq!(points, expected);
    assert_eq!(
        rates.pimo(RawScores::new(&[]).unwrap()),
        Err(Undefined::OneClass)
    );
}

#[test]
fn an_image_counts_as_one_however_large_it_or_its_defect_is() {
    // A normal image of two pixels weighs as much as one of four, and a defect of one pixel as one of three.
    let maps = [
        map(&[5.0, 1.0], &[0; 2]),
        map(&[3.0, 1.0, 1.0, 1.0], &[0; 4]),
        map(&[4.0, 0.0, 0.0, 0.0], &[1, 0, 0, 0]),
        map(&[6.0, 6.0, 6.0, 0.0], &[1, 1, 1, 0]),
    ];
    // The rate is 1/4 from 5 on, 3/8 from 3 on.
    let found = state(&maps).summary(asked(bounds(0.25, 0.375))).aupimo;
    assert_eq!(found, Ok(1.0));
    let found = state(&maps).summary(asked(bounds(0.125, 0.25))).aupimo;
    assert_eq!(found, Ok(0.5));
}

#[test]
fn scores_without_information_have_the_value_of_chance_and_perfect_ones_have_one() {
    let wide = bounds(0.001, 0.5);
    let chance = 0.499 / 500.0_f64.ln();
    let tied = [map(&[2.0; 40], &[0; 40]), map(&[2.0; 40], &[1; 40])];
    let found = state(&tied).summary(asked(wide)).aupimo.unwrap();
    assert!(near(found, chance), "{found}");
    for area in [1, 3, 7, 39] {
        let mask: Vec<u8> = (0..40).map(|i| u8::from(i < area)).collect();
        let scores: Vec<f32> = mask.iter().map(|&m| 3.0 * f32::from(m)).collect();
        let perfect = [map(&[1.0; 40], &[0; 40]), (scores, mask)];
        assert_eq!(state(&perfect).summary(asked(wide)).aupimo, Ok(1.0));
    }
}

#[test]
fn a_short_line_is_as_exact_as_a_long_one() {
    // The sum over many short lines that make up one long line is that of the long one.
    let window = Window::new(FprBounds::STANDARD);
    let (above, at) = (2e-5, 8e-5);
    for pieces in [1, 10, 1_000, 300_000] {
        let point = |piece: i32| above + (at - above) * f64::from(piece) / f64::from(pieces);
        let share = |piece| window.share(point(piece), point(piece + 1));
        let mean = (0..pieces).map(share).sum::<f64>() / f64::from(pieces);
        let whole = window.share(above, at);
        assert!(
            (mean - whole).abs() < 1e-11,
            "{pieces}: {mean}, not {whole}"
        );
    }
}

#[test]
fn degenerate_cases_have_reasons() {
    let normal = || map(&[1.0, 2.0, 3.0, 4.0], &[0; 4]);
    let defective = || map(&[1.0, 2.0, 3.0, 4.0], &[0, 0, 1, 1]);
    let wide = bounds(0.1, 0.5);
    let found = |maps: &[_], bounds| state(maps).summary(asked(bounds)).aupimo;
    let rates = |maps: &[_], bounds| state(maps).shared_fpr(bounds).map(|_| ());
    assert_eq!(found(&[], wide), Err(Undefined::Empty));
    assert_eq!(rates(&[], wide), Err(Undefined::Empty));
    assert_eq!(found(&[normal()], wide), Err(Undefined::OneClass));
    assert_eq!(found(&[defective()], wide), Err(Undefined::NoNormalImage));
    assert_eq!(rates(&[defective()], wide), Err(Undefined::NoNormalImage));
    // One pixel of two images of four is a rate of 1/8.
    let images = [normal(), normal(), defective()];
    assert!(found(&images, bounds(0.01, 0.125)).is_ok());
    assert!(rates(&images, bounds(0.01, 0.125)).is_ok());
    let narrow = bounds(0.01, 0.12);
    assert_eq!(found(&images, narrow), Err(Undefined::TooFewPixels));
    assert_eq!(rates(&images, narrow), Err(Undefined::TooFewPixels));
}

#[test]
fn bounds_are_rates_in_order() {
    for (lower, upper) in [
        (0.0, 0.5),
        (-0.1, 0.5),
        (0.1, 0.1),
        (0.2, 0.1),
        (0.1, 1.1),
        (1e-13, 0.1),
        (f64::NAN, 0.5),
        (0.1, f64::NAN),
    ] {
        assert_eq!(FprBounds::new(lower, upper), None, "{lower}, {upper}");
    }
    for wrong in [&[][..], &[0.1], &[0.1, 0.2, 0.3], &[0.2, 0.1]] {
        assert_eq!(FprBounds::of(wrong), None, "{wrong:?}");
    }
    let standard = FprBounds::default();
    assert_eq!((standard.lower(), standard.upper()), (1e-5, 1e-4));
}

/// By the definition, with every distinct score as a threshold, each time from all pixels. Slow.
struct Slow<'a>(&'a [Map]);

impl Slow<'_> {
    fn images(&self, defective: bool) -> Vec<&Map> {
        let is = |map: &&Map| map.mask.contains(&1) == defective;
        self.0.iter().filter(is).collect()
    }

    /// Mean rate of images without a defect, and share of the image's defect, from no pixel to all.
    fn curve(&self, image: &Map) -> Vec<(f64, f64)> {
        let mut scores: Vec<f32> = self.0.iter().flat_map(|map| map.scores.clone()).collect();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        let normal = self.images(false);
        let mut points = vec![(0.0, 0.0)];
        for threshold in scores {
            let found = |scores: Vec<f32>| {
                let above = scores.iter().filter(|&&score| score >= threshold).count();
                above as f64 / scores.len() as f64
            };
            let rates = normal.iter().map(|map| found(map.scores.clone()));
            let pixels = image.scores.iter().zip(&image.mask);
            let defect = pixels
                .filter(|&(_, &mask)| mask == 1)
                .map(|(&score, _)| score);
            let rate = rates.sum::<f64>() / normal.len() as f64;
            points.push((rate, found(defect.collect())));
        }
        points
    }

    /// By Simpson's rule over the logarithm, on each line.
    fn aupimo(&self, image: &Map, bounds: FprBounds) -> f64 {
        const PIECES: i32 = 400;
        let mut area = 0.0;
        for pair in self.curve(image).windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let (start, end) = (x0.max(bounds.lower()).ln(), x1.min(bounds.upper()).ln());
            if start >= end {
                continue;
            }
            let height = |log: f64| y0 + (y1 - y0) * (log.exp() - x0) / (x1 - x0);
            let step = (end - start) / f64::from(PIECES);
            for piece in 0..PIECES {
                let from = start + step * f64::from(piece);
                let sides = height(from) + height(from + step);
                area += step / 6.0 * (sides + 4.0 * height(from + step / 2.0));
            }
        }
        area / (bounds.upper() / bounds.lower()).ln()
    }
}

fn some_bounds() -> impl Strategy<Value = FprBounds> {
    let upper = prop_oneof![Just(1.0), Just(0.25), 0.02f64..1.0];
    (upper, 0.001f64..0.99).prop_map(|(upper, share)| bounds(upper * share, upper))
}

fn of_defect(map: &Map) -> Vec<f32> {
    Regions::of_mask(&map.mask, WIDTH).of_defect(RawScores::new(&map.scores).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn agrees_with_its_definition_of_the_run_and_of_every_image(maps in maps(), bounds in some_bounds()) {
        let slow = Slow(&maps);
        let (normal, defective) = (slow.images(false), slow.images(true));
        let mut counts = counted(&maps);
        let found = counts.summary(asked(bounds)).aupimo;
        let rates = counts.shared_fpr(bounds);
        let coarse = |normal: &[&Map]| {
            let smallest = normal.iter().map(|map| map.scores.len()).min().unwrap_or(1);
            1.0 / (smallest * normal.len()) as f64 > bounds.upper()
        };
        if normal.is_empty() {
            prop_assert_eq!(found, Err(Undefined::NoNormalImage));
            return Ok(());
        }
        if coarse(&normal) {
            prop_assert_eq!(found, Err(Undefined::TooFewPixels));
            return Ok(());
        }
        if defective.is_empty() {
            prop_assert_eq!(found, Err(Undefined::OneClass));
            return Ok(());
        }
        let (found, rates) = (found.unwrap(), rates.unwrap());
        let mut mean = 0.0;
        for image in &defective {
            let defect = of_defect(image);
            let value = rates.aupimo(RawScores::new(&defect).unwrap()).unwrap();
            let expected = slow.aupimo(image, bounds);
            prop_assert!((0.0..=1.0).contains(&value) && (value - expected).abs() < 1e-9, "{value}, not {expected}");
            mean += value / defective.len() as f64;
        }
        prop_assert!((0.0..=1.0).contains(&found) && near(found, mean), "{found}, not {mean}");
    }

    #[test]
    fn a_curve_is_the_definitions_between_the_bounds(maps in maps(), bounds in some_bounds()) {
        let slow = Slow(&maps);
        let Ok(rates) = counted(&maps).shared_fpr(bounds) else {
            return Ok(());
        };
        for image in slow.images(true) {
            let curve = rates.pimo(RawScores::new(&of_defect(image)).unwrap()).unwrap();
            prop_assert_eq!(curve[0].shared_fpr, bounds.lower());
            prop_assert_eq!(curve[curve.len() - 1].shared_fpr, bounds.upper());
            let ascends = |pair: &[PimoPoint]| pair[0].shared_fpr <= pair[1].shared_fpr && pair[0].tpr <= pair[1].tpr;
            prop_assert!(curve.windows(2).all(ascends));
            // The area below the points, by the logarithm, is the number.
            let (mut area, window) = (0.0, Window::new(bounds));
            for pair in curve.windows(2) {
                let (from, to) = (pair[0].shared_fpr, pair[1].shared_fpr);
                if from < to {
                    let rising = rising(from, to, from, to);
                    area += pair[0].tpr * (to / from).ln() + (pair[1].tpr - pair[0].tpr) * rising;
                }
            }
            let found = rates.aupimo(RawScores::new(&of_defect(image)).unwrap()).unwrap();
            prop_assert!((area / window.length - found).abs() < 1e-9, "{}, not {found}", area / window.length);
            // Every point of the definition strictly between the bounds is one of it.
            for (rate, tpr) in slow.curve(image) {
                let inside = bounds.lower() * 1.000_001 < rate && rate < bounds.upper() / 1.000_001;
                let is = |point: &PimoPoint| near(point.shared_fpr, rate) && near(point.tpr, tpr);
                prop_assert!(!inside || curve.iter().any(is), "({rate}, {tpr}) of {curve:?}");
            }
        }
    }

    #[test]
    fn a_monotone_map_and_pixels_beside_defects_change_nothing(maps in maps(), bounds in some_bounds(), beside in -9f32..9.0) {
        let plain = counted(&maps).summary(asked(bounds)).aupimo;
        let mut changed = maps.clone();
        for map in changed.iter_mut().filter(|map| map.mask.contains(&1)) {
            let pixels = map.scores.iter_mut().zip(&map.mask);
            pixels.filter(|(_, mask)| **mask == 0).for_each(|(score, _)| *score = beside);
        }
        prop_assert_eq!(counted(&changed).summary(asked(bounds)).aupimo, plain);
        let mut mapped = maps.clone();
        mapped.iter_mut().flat_map(|map| &mut map.scores).for_each(|score| *score = score.exp());
        let scores = |maps: &[Map]| maps.iter().flat_map(|map| map.scores.clone()).collect::<Vec<_>>();
        // Rounding may make ties where there were none: then it is no monotone map.
        prop_assume!(ties(&scores(&mapped)) == ties(&scores(&maps)));
        prop_assert_eq!(counted(&mapped).summary(asked(bounds)).aupimo, plain);
    }

    #[test]
    fn rates_of_a_merge_are_those_of_the_whole(maps in maps(), bounds in some_bounds()) {
        let parts: Vec<Vec<u8>> = maps.iter().map(|map| counted(std::slice::from_ref(map)).to_bytes()).collect();
        let merged = Merge::open(parts.iter().map(Vec::as_slice)).unwrap().shared_fpr(bounds).unwrap();
        let whole = counted(&maps).shared_fpr(bounds);
        for map in maps.iter().filter(|map| map.mask.contains(&1)) {
            let defect = of_defect(map);
            let value = |rates: &Result<SharedFpr, Undefined>| {
                rates.as_ref().map(|rates| rates.aupimo(RawScores::new(&defect).unwrap())).map_err(|reason| *reason)
            };
            prop_assert_eq!(value(&merged), value(&whole));
        }
    }
}
