//! The metrics and thresholds that job files may name; sorted by class.

use params::{Default, Entry, Kind, Param};

const NO_THRESHOLDS: Param = Param::ignored(
    "thresholds",
    Kind::Nullable(&Kind::Int {
        min: 2,
        max: i64::MAX,
    }),
    Default::Json("null"),
    "the curve is exact: every score that occurs is a threshold",
);
const IGNORE_INDEX: Param = Param::ignored(
    "ignore_index",
    Kind::Nullable(&Kind::Int {
        min: i64::MIN,
        max: i64::MAX,
    }),
    Default::Json("null"),
    "labels are normal or anomalous; there is none to ignore",
);
const VALIDATE_ARGS: Param = Param::ignored(
    "validate_args",
    Kind::Bool,
    Default::Json("true"),
    "scores are always checked",
);

const AUROC: &[Param] = &[NO_THRESHOLDS, IGNORE_INDEX, VALIDATE_ARGS];

const F1_SCORE: &[Param] = &[
    Param::ignored(
        "threshold",
        Kind::Float {
            min: f64::MIN,
            max: f64::MAX,
        },
        Default::Json("0.5"),
        "the job's threshold decides, as the reference's engine overwrites this one",
    ),
    Param::ignored(
        "multidim_average",
        Kind::Enum(&["global"]),
        Default::Json("\"global\""),
        "all items are counted together",
    ),
    IGNORE_INDEX,
    VALIDATE_ARGS,
];

const F1_ADAPTIVE: &[Param] = &[Param::ignored(
    "default_value",
    Kind::Float {
        min: f64::MIN,
        max: f64::MAX,
    },
    Default::Json("0.5"),
    "there is no threshold before scores have chosen one",
)];

const MANUAL: &[Param] = &[Param::new(
    "default_value",
    Kind::Float {
        min: f32::MIN as f64,
        max: f32::MAX as f64,
    },
    Default::Json("0.5"),
    "raw score at and above which an item is anomalous",
)];

const METRICS: &str = "anomalib.metrics";

const fn known(class: &'static str) -> Entry {
    Entry {
        class,
        module: METRICS,
        params: None,
    }
}

/// All metrics of the reference; those without parameters are known, but not built yet.
pub const REGISTRY: &[Entry] = &[
    known("AUPR"),
    known("AUPRO"),
    Entry {
        class: "AUROC",
        module: METRICS,
        params: Some(AUROC),
    },
    known("AnomalyScoreDistribution"),
    known("BinaryPrecisionRecallCurve"),
    Entry {
        class: "F1Score",
        module: METRICS,
        params: Some(F1_SCORE),
    },
    known("MinMax"),
    known("OptimalF1"),
    known("PIMO"),
    known("PRO"),
    known("sPRO"),
];

/// What `metrics.threshold` may name.
pub const THRESHOLDS: &[Entry] = &[
    Entry {
        class: "F1AdaptiveThreshold",
        module: METRICS,
        params: Some(F1_ADAPTIVE),
    },
    Entry {
        class: "ManualThreshold",
        module: METRICS,
        params: Some(MANUAL),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_what_is_built_has_a_folder() {
        for table in [REGISTRY, THRESHOLDS] {
            assert!(table.windows(2).all(|pair| pair[0].class < pair[1].class));
        }
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let folders: Vec<String> = std::fs::read_dir(source)
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .replace('_', "")
            })
            .collect();
        for entry in REGISTRY
            .iter()
            .chain(THRESHOLDS)
            .filter(|entry| entry.params.is_some())
        {
            assert!(
                folders.contains(&entry.class.to_lowercase()),
                "no folder for {}",
                entry.class
            );
        }
    }

    #[test]
    fn defaults_are_json() {
        for entry in REGISTRY.iter().chain(THRESHOLDS) {
            for param in entry.params.unwrap_or_default() {
                let Default::Json(text) = param.default else {
                    continue;
                };
                serde_json::from_str::<serde_json::Value>(text).unwrap();
            }
        }
    }
}
