//! The golden sets `metrics` (exact values by definition in f64, thresholds and normalized scores of Anomalib 1.0.1) and
//! `pimo` (curves and AUPIMO of Anomalib 2.7.0).

use safetensors::SafeTensors;
use serde_json::Value;

use crate::properties::counts;
use crate::{
    Asked, FprBounds, FprLimit, MinMax, Origin, RawScore, RawScores, Regions, ScoreCounts,
    ScoreDistribution, SplitRole, Threshold, Undefined, normalize,
};

struct Golden {
    bytes: Vec<u8>,
    values: serde_json::Map<String, Value>,
}

impl Golden {
    fn load() -> Self {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/metrics");
        let meta: Value =
            serde_json::from_slice(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
        let values = meta["values"].as_object().unwrap().clone();
        Self {
            bytes: std::fs::read(folder.join("data.safetensors")).unwrap(),
            values,
        }
    }

    fn raw(&self, name: &str) -> Vec<u8> {
        SafeTensors::deserialize(&self.bytes)
            .unwrap()
            .tensor(name)
            .unwrap()
            .data()
            .to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.raw(name)
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect()
    }

    fn cases(&self, level: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.values
            .iter()
            .filter(move |(name, _)| name.starts_with(level))
    }

    /// Scores and labels of an image or a pixel case.
    fn scores(&self, name: &str) -> (Vec<f32>, Vec<u8>) {
        if name.starts_with("pixel/") {
            return (
                self.floats(&format!("{name}/maps")),
                self.raw(&format!("{name}/masks")),
            );
        }
        let labels = self.raw(&format!("{name}/labels"));
        (
            self.floats(&format!("{name}/scores")),
            labels.as_chunks::<8>().0.iter().map(|b| b[0]).collect(),
        )
    }

    fn counts(&self, name: &str) -> ScoreCounts {
        let (scores, labels) = self.scores(name);
        let mut counts = ScoreCounts::new();
        if name.starts_with("image/") {
            for (&score, &label) in scores.iter().zip(&labels) {
                counts.observe(RawScore::new(score).unwrap(), label != 0);
            }
            return counts;
        }
        let (height, width) = self.map_size(name);
        let pixels = height * width;
        for (scores, mask) in scores.chunks(pixels).zip(labels.chunks(pixels)) {
            let regions = Regions::of_mask(mask, width);
            counts.observe_map(RawScores::new(scores).unwrap(), &regions);
        }
        counts
    }

    /// Height and width of a pixel case's maps.
    fn map_size(&self, name: &str) -> (usize, usize) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let maps = file.tensor(&format!("{name}/maps")).unwrap();
        (maps.shape()[1], maps.shape()[2])
    }
}

#[test]
fn exact_auroc_of_every_case() {
    let golden = Golden::load();
    let mut defined = 0;
    for (name, expected) in golden.cases("image/").chain(golden.cases("pixel/")) {
        let found = golden.counts(name).summary(&[]).auroc;
        match expected["exact_AUROC"].as_f64() {
            Some(expected) => {
                assert!(
                    (found.unwrap() - expected).abs() < 1e-9,
                    "{name}: {found:?}, not {expected}"
                );
                defined += 1;
            }
            None => assert_eq!(found, Err(Undefined::OneClass), "{name}"),
        }
    }
    assert_eq!(defined, 11 + 7);
}

#[test]
fn exact_aupr_of_every_image_case() {
    let golden = Golden::load();
    for (name, expected) in golden.cases("image/") {
        let summary = golden.counts(name).summary(&[]);
        let expected = expected["exact_AUPR_trapezoid"].as_f64().unwrap();
        match summary.aupr {
            Ok(found) => assert!(
                (found - expected).abs() < 1e-9,
                "{name}: {found}, not {expected}"
            ),
            Err(reason) => {
                assert_eq!(
                    (reason, summary.totals.anomalous),
                    (Undefined::OneClass, 0),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn the_references_aupr_is_the_same_curve_with_equal_recalls_in_the_wrong_order() {
    let golden = Golden::load();
    for (name, expected) in golden.cases("image/") {
        let Some(expected) = expected["AUPR_intended"].as_f64() else {
            continue;
        };
        let mut counts = golden.counts(name);
        if counts.totals().anomalous == 0 || name.contains("saturates") {
            continue; // the reference's sigmoid makes ties there
        }
        let (totals, mut below) = (counts.totals(), crate::ordered::Below::default());
        // As the reference: recall descends, then is sorted without exchanging equal ones.
        let mut points: Vec<(f64, f64)> = Vec::new();
        for step in counts.ordered() {
            let found = (totals.anomalous - below.anomalous) as f64;
            let predicted = found + (totals.normal - below.normal) as f64;
            points.push((found / totals.anomalous as f64, found / predicted));
            below.add(step);
        }
        points.push((0.0, 1.0));
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let area = |pair: &[(f64, f64)]| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0;
        let found: f64 = points.windows(2).map(area).sum();
        assert!(
            (found - expected).abs() < 1e-5,
            "{name}: {found}, not {expected}"
        );
    }
}

#[test]
fn exact_aupro_of_every_pixel_case() {
    let golden = Golden::load();
    let mut defined = 0;
    for (name, expected) in golden.cases("pixel/") {
        let mut counts = golden.counts(name);
        for limit in ["0.05", "0.3", "1.0"] {
            let fpr_limit = FprLimit::new(limit.parse().unwrap()).unwrap();
            let asked = Asked {
                fpr_limit,
                ..Asked::default()
            };
            let found = counts.summary(asked).aupro;
            match expected[format!("exact_mvtec_AUPRO_{limit}")].as_f64() {
                Some(expected) => {
                    let found = found.unwrap();
                    assert!(
                        (found - expected).abs() < 1e-12 && found <= 1.0,
                        "{name}, {limit}: {found}, not {expected}"
                    );
                    defined += 1;
                }
                None => assert_eq!(found, Err(Undefined::OneClass), "{name}, {limit}"),
            }
        }
    }
    assert_eq!(defined, 7 * 3);
}

#[test]
fn regions_and_pro_of_every_pixel_case() {
    let golden = Golden::load();
    for (name, expected) in golden.cases("pixel/") {
        let mut counts = golden.counts(name);
        if name.contains("all_defect") {
            assert_eq!(counts.totals().regions, 2); // the reference loses them
            continue;
        }
        assert_eq!(
            counts.totals().regions,
            expected["n_components"].as_u64().unwrap(),
            "{name}"
        );
        for (value, key) in [(0.5, "PRO_threshold_0.5"), (0.3, "PRO_threshold_0.3")] {
            // The reference takes what is above the threshold, not at it.
            let above = f32::from_bits(f32::to_bits(value) + 1);
            let threshold = Threshold::restore(above, Origin::Manual).unwrap();
            let decided = counts.summary(&[threshold]).decided[0];
            match decided.pro {
                Ok(found) => {
                    let expected = expected[key].as_f64().unwrap();
                    assert!(
                        (found - expected).abs() < 1e-5,
                        "{name}: {found}, not {expected}"
                    );
                }
                Err(reason) => {
                    assert_eq!((reason, counts.totals().regions), (Undefined::OneClass, 0))
                }
            }
        }
    }
}

#[test]
fn adaptive_threshold_of_every_case() {
    let golden = Golden::load();
    for (name, expected) in golden.cases("image/").chain(golden.cases("pixel/")) {
        let summary = golden.counts(name).summary(&[]);
        if summary.totals.anomalous == 0 {
            assert_eq!(summary.best_f1, Err(Undefined::OneClass), "{name}");
            continue;
        }
        let best = summary.best_f1.unwrap();
        assert_eq!(
            best.score.value(),
            expected["F1AdaptiveThreshold"].as_f64().unwrap() as f32,
            "{name}"
        );
        if let Some(f1) = expected.get("exact_best_F1") {
            assert!(
                (best.f1 - f1.as_f64().unwrap()).abs() < 1e-9,
                "{name}: {}",
                best.f1
            );
        }
    }
}

#[test]
fn range_and_normalized_scores_of_every_image_case() {
    let golden = Golden::load();
    for (name, expected) in golden.cases("image/") {
        let range = golden.counts(name).summary(&[]).min_max.unwrap();
        let [min, max] = [0, 1].map(|i| expected["MinMax"][i].as_f64().unwrap() as f32);
        assert_eq!((range.min, range.max), (min, max), "{name}");
        if range.min == range.max {
            continue; // the reference divides by zero there
        }
        let value = expected["F1AdaptiveThreshold"].as_f64().unwrap() as f32;
        let threshold = Threshold::restore(value, Origin::ChosenOn(SplitRole::Test)).unwrap();
        let (scores, _) = golden.scores(name);
        for (score, expected) in scores
            .into_iter()
            .zip(golden.floats(&format!("{name}/normalized")))
        {
            let found = normalize(RawScore::new(score).unwrap(), threshold, range);
            assert!(
                (found - expected).abs() < 1e-6,
                "{name}: {score} gives {found}, not {expected}"
            );
        }
    }
}

#[test]
fn distribution_of_normal_scores_and_the_normalization_by_it() {
    let golden = Golden::load();
    let mut counts = ScoreCounts::new();
    for score in golden.floats("distribution/scores") {
        counts.observe(RawScore::new(score).unwrap(), false);
    }
    let found = counts.score_distribution().unwrap();
    let one = |name: &str| f64::from(golden.floats(name)[0]);
    let (mean, std) = (
        one("distribution/image_mean"),
        one("distribution/image_std"),
    );
    assert!(
        (found.mean - mean).abs() < 1e-6 && (found.std - std).abs() < 1e-6,
        "{found:?}, not {mean} and {std}"
    );
    // By the reference's own moments: these are of f32.
    let theirs = ScoreDistribution { mean, std };
    let threshold = Threshold::restore(1.1, Origin::Manual).unwrap();
    let doubles = |name: &str| -> Vec<f64> {
        let bytes = golden.raw(name);
        let numbers = bytes.as_chunks::<8>().0.iter();
        numbers.map(|b| f64::from_le_bytes(*b)).collect()
    };
    let standardized = doubles("distribution/cdf_standardized");
    let normalized = doubles("distribution/cdf_out");
    for ((score, z), expected) in doubles("distribution/cdf_in")
        .into_iter()
        .zip(standardized)
        .zip(normalized)
    {
        let score = RawScore::new(score as f32).unwrap();
        let (found, cdf) = (theirs.standardized(score), theirs.cdf(score, threshold));
        // Of the scores that are rounded to f32 here.
        assert!((found - z).abs() < 1e-6, "{score:?}: {found}, not {z}");
        assert!(
            (f64::from(cdf) - expected).abs() < 1e-6,
            "{score:?}: {cdf}, not {expected}"
        );
    }
}

#[test]
fn normalization_with_a_given_range() {
    let golden = Golden::load();
    let threshold = Threshold::restore(0.8, Origin::Manual).unwrap();
    let range = MinMax { min: 0.1, max: 2.1 };
    let (scores, expected) = (
        golden.floats("normalize/in"),
        golden.floats("normalize/out"),
    );
    for (score, expected) in scores.into_iter().zip(expected) {
        let found = normalize(RawScore::new(score).unwrap(), threshold, range);
        assert!(
            (found - expected).abs() < 1e-6,
            "{score} gives {found}, not {expected}"
        );
    }
}

#[test]
fn range_over_batches() {
    let golden = Golden::load();
    let expected = &golden.values["min_max_over_batches"];
    let (min, max) = (
        expected["min"].as_f64().unwrap() as f32,
        expected["max"].as_f64().unwrap() as f32,
    );
    // Batch k holds seven of the formula's numbers, k + 1 times as large.
    let batch = |k: u8| -> Vec<f32> {
        let number = |i| formula(&format!("mm{k}"), i) as f32 * f32::from(k + 1);
        (0..7).map(number).collect()
    };
    let mut merged = counts(&batch(0), &[]);
    merged.merge(&counts(&[], &batch(1)));
    merged.merge(&counts(&batch(2), &[]));
    assert_eq!(merged.summary(&[]).min_max, Ok(MinMax { min, max }));
}

/// A map of a case of the set `pimo` with its mask, as its script makes them.
fn pimo_map(name: &str, case: &Value, image: u64) -> (Vec<f32>, Vec<u8>) {
    let number = |key: &str| case[key].as_u64().unwrap();
    let (side, normal) = (number("side"), number("normal"));
    let (lowest, width) = (
        case["lowest"].as_f64().unwrap(),
        case["width"].as_f64().unwrap(),
    );
    let pixel = |at: u64| {
        let uniform = formula(&format!("{name}/{image}"), at) as f32;
        let (row, column) = (
            (at / side).wrapping_sub(side / 8),
            (at % side).wrapping_sub(side / 4),
        );
        match image.checked_sub(normal) {
            Some(defect) if row < 5 + 3 * defect && column < 9 + defect => {
                let lowest = (lowest - 0.01 * defect as f64) as f32;
                (lowest + uniform * width as f32, 1)
            }
            _ => (1.0 - (1.0 - uniform).sqrt().sqrt(), 0),
        }
    };
    (0..side * side).map(pixel).unzip()
}

#[test]
fn pimo_curves_are_the_references_and_aupimo_is_near() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(path.join("../../tests/golden/pimo/meta.json")).unwrap();
    let meta: Value = serde_json::from_slice(&file).unwrap();
    // How far the reference is off by its bounds, of which it takes the nearest thresholds, and its lines: more with few
    // normal pixels between the bounds, 8 to 78 of the second case.
    for (name, tolerance) in [("wide", 1.5e-3), ("standard", 3e-3)] {
        let case = &meta["values"][name];
        let (normal, anomalous) = (
            case["normal"].as_u64().unwrap(),
            case["anomalous"].as_u64().unwrap(),
        );
        let side = case["side"].as_u64().unwrap() as usize;
        let maps: Vec<_> = (0..normal + anomalous)
            .map(|image| pimo_map(name, case, image))
            .collect();
        let (mut counts, mut defects) = (ScoreCounts::new(), Vec::new());
        for (scores, mask) in &maps {
            let (scores, regions) = (
                RawScores::new(scores).unwrap(),
                Regions::of_mask(mask, side),
            );
            counts.observe_map(scores, &regions);
            defects.push(regions.of_defect(scores));
        }
        let defects = &defects[normal as usize..];
        let rate = |index: usize| case["fpr_bounds"][index].as_f64().unwrap();
        let fpr_bounds = FprBounds::new(rate(0), rate(1)).unwrap();
        let mean = counts
            .summary(Asked {
                fpr_bounds,
                ..Asked::default()
            })
            .aupimo
            .unwrap();
        let expected = case["mean"].as_f64().unwrap();
        assert!(
            (mean - expected).abs() < tolerance,
            "{name}: {mean}, not {expected}"
        );
        let rates = counts.shared_fpr(fpr_bounds).unwrap();
        for (image, defect) in defects.iter().enumerate() {
            let defect = RawScores::new(defect).unwrap();
            let (value, curve) = (rates.aupimo(defect).unwrap(), rates.pimo(defect).unwrap());
            let expected = case["aupimo"][image].as_f64().unwrap();
            assert!(
                (value - expected).abs() < tolerance,
                "{name} {image}: {value}, not {expected}"
            );
            for point in case["curve"].as_array().unwrap() {
                let (x, y) = (
                    point["shared_fpr"].as_f64().unwrap(),
                    point["tpr"][image].as_f64().unwrap(),
                );
                let is = |ours: &crate::PimoPoint| {
                    (ours.shared_fpr - x).abs() < 1e-12 && (ours.tpr - y).abs() < 1e-12
                };
                assert!(curve.iter().any(is), "{name} {image}: no point ({x}, {y})");
            }
        }
    }
}

/// Number `i` of a name, uniform in [0, 1): how the golden sets make inputs without files.
fn formula(name: &str, i: u64) -> f64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let key = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    let mut z = key.wrapping_add((i + 1).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / f64::from(1 << 24)
}

/// The reference's ends are those of the last pixel; its regions are in order of no kind that matters.
#[test]
fn regions_have_the_boxes_and_scores_of_the_reference() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/boxes_and_masks");
    let golden = Golden {
        bytes: std::fs::read(folder.join("data.safetensors")).unwrap(),
        values: serde_json::Map::new(),
    };
    let (height, width) = (20, 24);
    let (masks, maps) = (golden.floats("masks"), golden.floats("maps"));
    let mut found_any = 0;
    for image in 0..3 {
        let pixels = image * height * width..(image + 1) * height * width;
        let mask: Vec<u8> = masks[pixels.clone()]
            .iter()
            .map(|value| u8::from(*value > 0.0))
            .collect();
        let extents = Regions::of_mask(&mask, width).extents(&maps[pixels], width);
        let mut found: Vec<[f32; 5]> = extents
            .into_iter()
            .map(|one| {
                let ends = [
                    one.columns.start,
                    one.rows.start,
                    one.columns.end - 1,
                    one.rows.end - 1,
                ];
                let [x1, y1, x2, y2] = ends.map(|end| end as f32);
                [x1, y1, x2, y2, one.highest]
            })
            .collect();
        let boxes = golden.floats(&format!("boxes/{image}"));
        let scores = golden.floats(&format!("scores/{image}"));
        let mut expected: Vec<[f32; 5]> = boxes
            .chunks_exact(4)
            .zip(scores)
            .map(|(ends, score)| [ends[0], ends[1], ends[2], ends[3], score])
            .collect();
        found.sort_by(|a, b| a.partial_cmp(b).unwrap());
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert_eq!(found, expected, "image {image}");
        found_any += found.len();
    }
    assert_eq!(found_any, 4);
}
