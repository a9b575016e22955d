//! Parameters that all image datasets share, with Anomalib's names and defaults.

use params::{Default, Kind, Param};
use serde::Deserialize;

const NO_LOADER: &str = "images are read by the executor's own pipeline, sized by the machine";
const BATCHES: &str = "statistics do not depend on batches; engines choose their own";

/// Only `null` is accepted: another transform would silently give other scores.
const NOTHING: Kind = Kind::Nullable(&Kind::Enum(&[]));

pub(crate) const TRAIN_BATCH_SIZE: Param = Param::ignored(
    "train_batch_size",
    Kind::Int {
        min: 1,
        max: i64::MAX,
    },
    Default::Json("32"),
    BATCHES,
);
pub(crate) const EVAL_BATCH_SIZE: Param = Param::ignored(
    "eval_batch_size",
    Kind::Int {
        min: 1,
        max: i64::MAX,
    },
    Default::Json("32"),
    BATCHES,
);
pub(crate) const NUM_WORKERS: Param = Param::ignored(
    "num_workers",
    Kind::Int {
        min: 0,
        max: i64::MAX,
    },
    Default::Json("8"),
    NO_LOADER,
);
pub(crate) const TRANSFORM: Param = transform("transform");
pub(crate) const TRAIN_TRANSFORM: Param = transform("train_transform");
pub(crate) const EVAL_TRANSFORM: Param = transform("eval_transform");

const fn transform(name: &'static str) -> Param {
    Param::ignored(
        name,
        NOTHING,
        Default::Json("null"),
        "every model brings its own preprocessing; others are not built yet",
    )
}

/// The reader fills it with the run's task, so that it is never missing here.
pub(crate) const TASK: Param = Param::new(
    "task",
    Kind::Choice {
        built: &["classification", "segmentation"],
        not_built: &["detection"],
    },
    Default::Json("\"segmentation\""),
    "Whether masks are needed. Wins over the job's `task`, so that one benchmark can hold datasets with and without masks.",
);
pub(crate) const IMAGE_SIZE: Param = Param::new(
    "image_size",
    Kind::Nullable(&Kind::Size { min: 32, max: 4096 }),
    Default::Json("null"),
    "Size in pixels to which the model's preprocessing resizes; null: the model's own default.",
);
pub(crate) const CENTER_CROP: Param = Param::new(
    "center_crop",
    Kind::Nullable(&Kind::Size { min: 32, max: 4096 }),
    Default::Json("null"),
    "Size in pixels of the middle that every model sees of the resized image, at most all of it; null: each model's own habit (Patchcore sees \
     224/256 of either side, all others the whole image). Not in the reference since 1.0.",
);
pub(crate) const TEST_SPLIT_MODE: Param = Param::new(
    "test_split_mode",
    Kind::Choice {
        built: &["from_dir", "none", "synthetic"],
        not_built: &[],
    },
    Default::Json("\"from_dir\""),
    "`from_dir`: if the test folders hold no normal image, a share of the training images becomes test. `none`: never. `synthetic`: as \
     `from_dir`, but half of the normal test images get a synthetic anomaly, and anomalous images are left out.",
);
pub(crate) const TEST_SPLIT_RATIO: Param = Param::new(
    "test_split_ratio",
    Kind::Float { min: 0.0, max: 1.0 },
    Default::Json("0.2"),
    "Share of the normal training images that becomes test if the test folders hold none.",
);
pub(crate) const VAL_SPLIT_RATIO: Param = Param::new(
    "val_split_ratio",
    Kind::Float { min: 0.0, max: 1.0 },
    Default::Json("0.5"),
    "Share of each label's test images that becomes validation with `from_test`, of the training images with `from_train` and \
     `synthetic`.",
);
pub(crate) const SEED: Param = Param::new(
    "seed",
    Kind::Int {
        min: 0,
        max: i64::MAX,
    },
    Default::Json("0"),
    "Chooses the images of random splits. Ours: 0 instead of null, so that runs that differ in the job's seed share one split.",
);
pub(crate) const NAME: Param = Param::new(
    "name",
    Kind::Nullable(&Kind::Text),
    Default::Json("null"),
    "Ours: the dataset's name in tables; null: the name of its root folder.",
);

/// The shared parameters as a resolved job has them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct ImageDataset {
    pub task: Task,
    pub test_split_mode: TestSplitMode,
    pub val_split_mode: ValSplitMode,
    pub val_split_ratio: f64,
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Task {
    Classification,
    Segmentation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TestSplitMode {
    FromDir,
    None,
    Synthetic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ValSplitMode {
    None,
    SameAsTest,
    FromTest,
    FromTrain,
    FromDir,
    Synthetic,
}
