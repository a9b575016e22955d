//! A job with every default written out: what is stored with the results, hashed and planned from.

use std::{fmt, time::Duration};

use models::InputSize;
use serde::{Deserialize, Serialize};
use types::{Devices, JobId, Labels, PoolName};

pub use crate::export::{ExportEngine, ExportSpec};
pub use crate::search::{Objective, SearchSpec};

/// A job file after reading: grids multiplied out, names canonical, relative paths absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolvedJob {
    /// Version of this form; readers accept the previous one.
    pub format: u32,
    pub kind: JobKind,
    pub name: String,
    pub resources: Resources,
    /// URI of the store that holds the job's objects, such as `file:///home/me/results`.
    pub output: String,
    /// Higher goes first.
    pub priority: i32,
    /// The job fails once more tasks than this have failed for good; `null`: as many as there are
    /// for a benchmark or a search, none for other kinds.
    pub max_failed_tasks: Option<u32>,
    /// The job fails if it has not ended so many seconds after its submission (or its last retry); none without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u64>,
    /// None of an export; of a search one: what its trials have in common.
    pub runs: Vec<RunSpec>,
    /// Of a job of kind export, and of no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<ExportSpec>,
    /// Of a job of kind hpo, and of no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    Train,
    Test,
    Predict,
    Benchmark,
    Hpo,
    Export,
}

/// One point of a job: one model configuration on one dataset category with one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The grid coordinates of this run: dotted path to chosen value. Empty without grids.
    pub axes: serde_json::Map<String, serde_json::Value>,
    pub model: ModelSource,
    /// What the model is called on screens and in tables, where that is not what `model` names it by; only of a package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    pub data: ClassSpec,
    pub metrics: MetricsSpec,
    pub normalization: Normalization,
    pub task: VisionTask,
    pub seed: u64,
    /// Scored images on which computations are compared for a parity certificate: the engines, for the trained package's; where a
    /// package computes otherwise than exactly, that with what it would be exactly. 0, which is left out: none is made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parity: u32,
    /// Of the numbers that the network is computed with; only where a package scores.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// Large JPEG files are decoded at a fraction of their size; only where a package scores.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled_decoding: bool,
    /// How many images may turn out as rows with errors before the run counts as failed; only where images are predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_rows: Option<ErrorLimit>,
    /// Images that jobs of the same data, package and engine have scored are not scored again; only where images are predicted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incremental: bool,
    /// Images that this job has scored by the same package and engine are not scored again; only where images are predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<JobId>,
    /// Of which images the anomaly maps are kept; only where images are predicted.
    #[serde(default, skip_serializing_if = "Kept::is_none")]
    pub maps: Kept,
    /// Which images are drawn; as `maps`.
    #[serde(default, skip_serializing_if = "Kept::is_none")]
    pub pictures: Kept,
    /// The split whose images are scored and measured.
    #[serde(default, skip_serializing_if = "MeasuredOn::is_test")]
    pub measured_on: MeasuredOn,
    /// Of a trial that gets less than all: the share of the training images that it learns from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_share: Option<f64>,
    /// Of the run that fits a search's best once more: the split that chose its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_on: Option<MeasuredOn>,
}

/// Of the numbers that a network is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    #[default]
    F32,
    /// 8 bits of an f32's 24, where the processor has instructions for it.
    Bf16,
}

impl Precision {
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// The word used in files and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.as_str() == text)
    }

    fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

/// The images of which something is kept besides their scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    #[default]
    None,
    /// Those that the threshold, which the job has from its package or its file, makes anomalous.
    Anomalous,
    All,
}

impl Kept {
    pub const ALL: [Self; 3] = [Self::None, Self::Anomalous, Self::All];

    /// The word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Anomalous => "anomalous",
            Self::All => "all",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kept| kept.as_str() == text)
    }

    /// Whether an image is among them.
    pub fn has(self, is_anomalous: bool) -> bool {
        match self {
            Self::None => false,
            Self::Anomalous => is_anomalous,
            Self::All => true,
        }
    }

    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// A split that metrics are of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasuredOn {
    /// The images of the split `validation` are scored as well, where they choose a threshold.
    #[default]
    Test,
    /// No image of the split `test` is looked at: the trials of a search.
    Validation,
}

impl MeasuredOn {
    fn is_test(&self) -> bool {
        *self == Self::Test
    }
}

/// A number of rows with errors that is bearable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorLimit {
    Rows(u64),
    /// Of all rows, 0 to 1.
    Share(f64),
}

impl ErrorLimit {
    /// One image in a hundred.
    pub const STANDARD: Self = Self::Share(0.01);

    pub fn allows(self, errors: u64, rows: u64) -> bool {
        match self {
            Self::Rows(limit) => errors <= limit,
            // Counts are far below 2^53.
            Self::Share(share) => errors as f64 <= share * rows as f64,
        }
    }
}

impl fmt::Display for ErrorLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(limit) => write!(f, "{limit}"),
            Self::Share(share) => write!(f, "{} %", share * 100.0),
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl JobKind {
    /// Whether its model is a trained package.
    pub fn takes_package(self) -> bool {
        match self {
            Self::Test | Self::Predict | Self::Export => true,
            Self::Train | Self::Benchmark | Self::Hpo => false,
        }
    }

    pub const ALL: [Self; 6] = [
        Self::Train,
        Self::Test,
        Self::Predict,
        Self::Benchmark,
        Self::Hpo,
        Self::Export,
    ];

    /// The word used in files and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
            Self::Predict => "predict",
            Self::Benchmark => "benchmark",
            Self::Hpo => "hpo",
            Self::Export => "export",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl VisionTask {
    /// The word used in files and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Segmentation => "segmentation",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Classification, Self::Segmentation]
            .into_iter()
            .find(|task| task.as_str() == text)
    }
}

impl EngineChoice {
    /// What a worker offers has been seen to work there; one with GPUs is kept for them.
    pub const FASTEST_FIRST: &'static [Self] = &[
        Self::TorchCuda,
        Self::Openvino,
        Self::Onnxruntime,
        Self::TorchCpu,
    ];

    /// What may compute with all these models, the fastest first; never empty.
    pub fn wanted<'a>(self, models: impl IntoIterator<Item = &'a ModelSource>) -> &'static [Self] {
        match self {
            // What reads one kind of file is among what reads the next.
            Self::Auto => models
                .into_iter()
                .map(ModelSource::engines)
                .min_by_key(|engines| engines.len())
                .unwrap_or(Self::FASTEST_FIRST),
            Self::Openvino => &[Self::Openvino],
            Self::Onnxruntime => &[Self::Onnxruntime],
            Self::TorchCpu => &[Self::TorchCpu],
            Self::TorchCuda => &[Self::TorchCuda],
        }
    }

    /// In place of `auto` the fastest of those that a worker offers; it stays where there is none.
    pub fn among<'a>(
        self,
        offered: &[String],
        models: impl IntoIterator<Item = &'a ModelSource>,
    ) -> Self {
        let is_offered = |one: &&Self| offered.iter().any(|offered| offered == one.as_str());
        let mut wanted = self.wanted(models).iter();
        wanted.find(is_offered).copied().unwrap_or(self)
    }

    /// The word used in files and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Openvino => "openvino",
            Self::Onnxruntime => "onnxruntime",
            Self::TorchCpu => "torch-cpu",
            Self::TorchCuda => "torch-cuda",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Auto,
            Self::Openvino,
            Self::Onnxruntime,
            Self::TorchCpu,
            Self::TorchCuda,
        ]
        .into_iter()
        .find(|engine| engine.as_str() == text)
    }
}

impl DeviceChoice {
    const ALL: [Self; 3] = [Self::Auto, Self::Cpu, Self::Gpu];

    /// The word used in files and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|device| device.as_str() == text)
    }

    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }

    pub fn is_met_by(self, offered: &Devices) -> bool {
        match self {
            Self::Auto => true,
            Self::Cpu => !offered.are_gpus(),
            Self::Gpu => offered.are_gpus(),
        }
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            pool: PoolName::default(),
            timeout_s: None,
            retries: 2,
            memory_bytes: None,
            engine: EngineChoice::Auto,
            device: DeviceChoice::Auto,
            labels: Labels::default(),
        }
    }
}

impl RunSpec {
    /// Whether the run ends with a comparison of engines.
    pub fn measures_parity(&self) -> bool {
        self.parity > 0 && matches!(self.model, ModelSource::Train(_))
    }

    /// Whether what it has learned from is scored, too: scores are normalized by their distribution there. A package brings along by
    /// what it normalizes.
    pub fn scores_training_images(&self) -> bool {
        self.normalization == Normalization::Cdf && matches!(self.model, ModelSource::Train(_))
    }

    /// Whether its scores are those that its model has been measured with; if not, the run ends with a comparison with those.
    pub fn is_exact(&self) -> bool {
        self.precision == Precision::F32 && !self.scaled_decoding
    }

    /// How it computes otherwise than exactly, as part of a name; empty if it does not.
    pub fn shortcuts(&self) -> String {
        let precision = match self.precision {
            Precision::F32 => "",
            Precision::Bf16 => "-bf16",
        };
        let decoding = if self.scaled_decoding { "-scaled" } else { "" };
        format!("{precision}{decoding}")
    }

    /// The dataset's name and category, as `data` has them; the class name if its parameters are not valid.
    pub fn dataset(&self) -> (String, String) {
        match data::build(&self.data.class_path, &self.data.init_args) {
            Ok(dataset) => (dataset.name().to_owned(), dataset.category().to_owned()),
            Err(_) => (self.data.class_path.clone(), String::new()),
        }
    }

    /// How `data` has images brought to the model's size.
    pub fn input_size(&self) -> InputSize {
        let size = |name| {
            let size = self.data.init_args.get(name)?;
            serde_json::from_value(size.clone()).ok()?
        };
        InputSize {
            resized: size("image_size"),
            crop: size("center_crop"),
        }
    }
}

/// Where a run's model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// Trained by the run.
    Train(ClassSpec),
    /// A trained package: a name in the store's `models/` (with `@VERSION`), or the path or URI of its `package.json`.
    Package(String),
}

impl ModelSource {
    /// Whether it is a file of another program.
    pub fn is_file(&self) -> bool {
        match self {
            Self::Train(_) => false,
            Self::Package(name) => is_model_file(name),
        }
    }

    /// What can compute with it.
    fn engines(&self) -> &'static [EngineChoice] {
        match self {
            Self::Package(name) if name.ends_with(OPENVINO_FILE) => &[EngineChoice::Openvino],
            Self::Package(name) if name.ends_with(ONNX_FILE) => {
                &[EngineChoice::Openvino, EngineChoice::Onnxruntime]
            }
            Self::Package(_) | Self::Train(_) => EngineChoice::FASTEST_FIRST,
        }
    }
}

/// How the names of OpenVINO's model files end.
pub const OPENVINO_FILE: &str = ".xml";
/// How those of ONNX files do.
pub const ONNX_FILE: &str = ".onnx";

/// Whether the name of a package is that of a model file.
pub fn is_model_file(name: &str) -> bool {
    [OPENVINO_FILE, ONNX_FILE]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// A class of a closed set, with every parameter written out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSpec {
    /// Canonical class name, such as `Padim` or `MVTec`.
    pub class_path: String,
    pub init_args: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSpec {
    /// Canonical names of image metrics.
    pub image: Vec<String>,
    /// Canonical names of pixel metrics; empty for the task `classification`.
    pub pixel: Vec<String>,
    /// The false-positive rate at which AUPRO's area ends. Left out where it is the standard one.
    #[serde(default = "standard_limit", skip_serializing_if = "is_standard_limit")]
    pub fpr_limit: f64,
    /// The false-positive rates between which AUPIMO's area lies. Left out where they are the standard ones.
    #[serde(
        default = "standard_bounds",
        skip_serializing_if = "are_standard_bounds"
    )]
    pub fpr_bounds: [f64; 2],
    pub image_threshold: ThresholdSpec,
    pub pixel_threshold: ThresholdSpec,
}

fn standard_limit() -> f64 {
    metrics::FprLimit::STANDARD.rate()
}

fn is_standard_limit(limit: &f64) -> bool {
    *limit == standard_limit()
}

fn standard_bounds() -> [f64; 2] {
    let bounds = metrics::FprBounds::STANDARD;
    [bounds.lower(), bounds.upper()]
}

fn are_standard_bounds(bounds: &[f64; 2]) -> bool {
    *bounds == standard_bounds()
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum ThresholdSpec {
    /// The score with the highest F1 on the validation split.
    F1Adaptive,
    /// The lowest score that at most this share of the normal items of the validation split reaches.
    FalsePositiveRate { rate: f64 },
    /// A constant given by the user.
    Manual { value: f64 },
    /// The one that the trained package brings along; only where the model is a package.
    Package,
}

impl ThresholdSpec {
    /// Whether it is there before any image is scored.
    pub fn is_given(self) -> bool {
        match self {
            Self::Manual { .. } | Self::Package => true,
            Self::F1Adaptive | Self::FalsePositiveRate { .. } => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// By the lowest and the highest score of the split that chooses the threshold.
    MinMax,
    /// By the distribution of the scores of the training images, as Anomalib 0.x.
    Cdf,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisionTask {
    Classification,
    Segmentation,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    pub pool: PoolName,
    /// A task's own time limit, in seconds; none without.
    pub timeout_s: Option<u64>,
    /// Counted `crashed` attempts after the first.
    pub retries: u32,
    /// Memory limit of a task, in bytes; none without.
    pub memory_bytes: Option<u64>,
    pub engine: EngineChoice,
    /// What the workers that do the job's tasks compute on. Left out where any will do.
    #[serde(default, skip_serializing_if = "DeviceChoice::is_auto")]
    pub device: DeviceChoice,
    /// Only workers with all of these do the job's tasks.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

impl Resources {
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_s.map(Duration::from_secs)
    }

    /// Why no worker could ever do this, whatever it has.
    pub fn contradiction(&self) -> Option<String> {
        match (self.engine, self.device) {
            (EngineChoice::Auto, _) | (_, DeviceChoice::Auto) => None,
            (EngineChoice::TorchCuda, DeviceChoice::Gpu) => None,
            (EngineChoice::TorchCuda, DeviceChoice::Cpu) => Some(
                "the engine torch-cuda computes on GPUs only; leave one of the two out".to_owned(),
            ),
            (_, DeviceChoice::Cpu) => None,
            (
                engine @ (EngineChoice::Openvino
                | EngineChoice::Onnxruntime
                | EngineChoice::TorchCpu),
                DeviceChoice::Gpu,
            ) => Some(format!(
                "the engine {} computes on the processor only; leave one of the two out",
                engine.as_str()
            )),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    /// What the worker has, see [`EngineChoice::among`].
    Auto,
    Openvino,
    Onnxruntime,
    TorchCpu,
    TorchCuda,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// Whatever the worker has.
    #[default]
    Auto,
    Cpu,
    Gpu,
}
