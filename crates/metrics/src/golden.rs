//! The golden set `metrics`: exact values by definition in f64, thresholds and normalized scores of Anomalib 1.0.1.

use safetensors::SafeTensors;
use serde_json::Value;

use crate::properties::counts;
use crate::{
    MinMax, Origin, RawScore, RawScores, ScoreCounts, SplitRole, Threshold, Undefined, normalize,
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
        counts.observe_map(RawScores::new(&scores).unwrap(), &labels);
        counts
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
