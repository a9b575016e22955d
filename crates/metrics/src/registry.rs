//! The metrics and thresholds that job files may name; sorted by class.

use params::{Default, Entry, Kind, Param};

use crate::{FalsePositiveRate, FprBounds};

/// How many thresholds a curve has in the reference, by the parameter's name there.
const fn thresholds(name: &'static str) -> Param {
    Param::ignored(
        name,
        Kind::Nullable(&Kind::Int {
            min: 2,
            max: i64::MAX,
        }),
        Default::Json("null"),
        "the curve is exact: every score that occurs is a threshold",
    )
}
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

const ALL_IN_ONE_STATE: &str = "states of all parts are merged in any case";

// What every metric of the reference takes of torchmetrics, and its command line prints.
const COMPUTE_ON_CPU: Param = Param::ignored(
    "compute_on_cpu",
    Kind::Bool,
    Default::Json("false"),
    "metrics are always computed on the CPU",
);
const DIST_SYNC_ON_STEP: Param = Param::ignored(
    "dist_sync_on_step",
    Kind::Bool,
    Default::Json("false"),
    ALL_IN_ONE_STATE,
);
const PROCESS_GROUP: Param = Param::ignored(
    "process_group",
    Kind::Nullable(&Kind::Enum(&[])),
    Default::Json("null"),
    ALL_IN_ONE_STATE,
);
const DIST_SYNC_FN: Param = Param::ignored(
    "dist_sync_fn",
    Kind::Nullable(&Kind::Enum(&[])),
    Default::Json("null"),
    ALL_IN_ONE_STATE,
);
const SYNC_ON_COMPUTE: Param = Param::ignored(
    "sync_on_compute",
    Kind::Bool,
    Default::Json("true"),
    ALL_IN_ONE_STATE,
);
const COMPUTE_WITH_CACHE: Param = Param::ignored(
    "compute_with_cache",
    Kind::Bool,
    Default::Json("true"),
    "a metric is computed once",
);

/// A metric's own parameters, and those that each metric of torchmetrics takes.
macro_rules! of_torchmetrics {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            COMPUTE_ON_CPU,
            DIST_SYNC_ON_STEP,
            PROCESS_GROUP,
            DIST_SYNC_FN,
            SYNC_ON_COMPUTE,
            COMPUTE_WITH_CACHE,
        ]
    };
}

const CURVE: &[Param] = of_torchmetrics![thresholds("thresholds"), IGNORE_INDEX, VALIDATE_ARGS,];

const AUPRO: &[Param] = of_torchmetrics![
    Param::new(
        "fpr_limit",
        Kind::Float {
            min: 1e-6,
            max: 1.0,
        },
        Default::Json("0.3"),
        "false-positive rate of pixels at which the area ends",
    ),
    thresholds("num_thresholds"),
];

const AUPIMO: &[Param] = &[
    Param::new(
        "fpr_bounds",
        Kind::List(&Kind::Float {
            min: FprBounds::LEAST,
            max: 1.0,
        }),
        Default::Json("[0.00001, 0.0001]"),
        "lower and upper false-positive rate of images without a defect, between which the area lies; the default is the paper's",
    ),
    thresholds("num_thresholds"),
    Param::ignored(
        "return_average",
        Kind::Bool,
        Default::Json("true"),
        "a result is the mean over images with a defect",
    ),
    Param::ignored(
        "force",
        Kind::Bool,
        Default::Json("false"),
        "the curve is exact: any number of thresholds between the bounds will do",
    ),
];

const PRO: &[Param] = &[DECIDING_THRESHOLD];

const DECIDING_THRESHOLD: Param = Param::ignored(
    "threshold",
    Kind::Float {
        min: f64::MIN,
        max: f64::MAX,
    },
    Default::Json("0.5"),
    "the job's threshold decides, as the reference's engine overwrites this one",
);

const F1_SCORE: &[Param] = of_torchmetrics![
    DECIDING_THRESHOLD,
    Param::ignored(
        "multidim_average",
        Kind::Enum(&["global"]),
        Default::Json("\"global\""),
        "all items are counted together",
    ),
    IGNORE_INDEX,
    VALIDATE_ARGS,
];

const F1_ADAPTIVE: &[Param] = of_torchmetrics![
    Param::ignored(
        "default_value",
        Kind::Float {
            min: f64::MIN,
            max: f64::MAX,
        },
        Default::Json("0.5"),
        "there is no threshold before scores have chosen one",
    ),
    thresholds("thresholds"),
    IGNORE_INDEX,
    VALIDATE_ARGS,
];

const FALSE_POSITIVE_RATE: &[Param] = &[Param::new(
    "rate",
    Kind::Float {
        min: 0.0,
        max: FalsePositiveRate::HIGHEST,
    },
    Default::Json("0.01"),
    "share of the normal items of the validation split that may be taken for anomalous",
)];

const MANUAL: &[Param] = of_torchmetrics![Param::new(
    "default_value",
    Kind::Float {
        min: f32::MIN as f64,
        max: f32::MAX as f64,
    },
    Default::Json("0.5"),
    "raw score at and above which an item is anomalous",
)];

/// Metrics of masks, which images do not have.
pub const OF_PIXELS_ONLY: &[&str] = &["AUPIMO", "AUPRO", "PRO"];

const METRICS: &str = "anomalib.metrics";

const fn known(class: &'static str) -> Entry {
    Entry {
        class,
        module: METRICS,
        params: None,
    }
}

const fn built(class: &'static str, params: &'static [Param]) -> Entry {
    Entry {
        class,
        module: METRICS,
        params: Some(params),
    }
}

/// All metrics of the reference, and AUPIMO of its later versions; those without parameters are known, but not built yet
/// (PIMO is a curve, not a number: [`crate::SharedFpr::pimo`]).
pub const REGISTRY: &[Entry] = &[
    built("AUPIMO", AUPIMO),
    built("AUPR", CURVE),
    built("AUPRO", AUPRO),
    built("AUROC", CURVE),
    known("AnomalyScoreDistribution"),
    known("BinaryPrecisionRecallCurve"),
    built("F1Score", F1_SCORE),
    known("MinMax"),
    known("OptimalF1"),
    known("PIMO"),
    built("PRO", PRO),
    known("sPRO"),
];

/// What `metrics.threshold` may name.
pub const THRESHOLDS: &[Entry] = &[
    built("F1AdaptiveThreshold", F1_ADAPTIVE),
    built("FalsePositiveRate", FALSE_POSITIVE_RATE),
    built("ManualThreshold", MANUAL),
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
    fn what_is_of_pixels_only_is_there() {
        for name in OF_PIXELS_ONLY {
            assert!(REGISTRY.iter().any(|entry| entry.class == *name), "{name}");
        }
    }

    #[test]
    fn the_limit_of_the_registry_is_the_standard_one() {
        let limit = AUPRO.iter().find(|param| param.name == "fpr_limit");
        let Some(Default::Json(text)) = limit.map(|limit| limit.default) else {
            panic!("AUPRO has a limit");
        };
        assert_eq!(text.parse(), Ok(crate::FprLimit::STANDARD.rate()));
    }

    #[test]
    fn the_bounds_of_the_registry_are_the_standard_ones() {
        let bounds = AUPIMO.iter().find(|param| param.name == "fpr_bounds");
        let Some(Default::Json(text)) = bounds.map(|bounds| bounds.default) else {
            panic!("AUPIMO has bounds");
        };
        let rates: Vec<f64> = serde_json::from_str(text).unwrap();
        assert_eq!(FprBounds::of(&rates), Some(FprBounds::STANDARD));
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
