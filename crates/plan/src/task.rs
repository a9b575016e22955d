//! What a task is told, and what it answers: plain data between planner, coordinator and executor.

use job::resolved::{EngineChoice, ExportSpec, MetricsSpec, Objective, Resources, RunSpec};
use serde::{Deserialize, Serialize};
use types::{
    Failure, JobId, LeaseNumber, OutputObject, TaskId, TaskIndex, TaskKind, TaskState, TraceContext,
};

use crate::Certificate;

/// A job cut into runs and tasks; what is created later (score tasks) comes from [`crate::expand`], and the trials of a search
/// from [`crate::search_on`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub runs: Vec<PlannedRun>,
    /// In order of [`TaskIndex`].
    pub tasks: Vec<PlannedTask>,
}

/// A run with its place in the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// From 0, in grid order (the last axis fastest).
    pub index: u32,
    /// Class of the model and what distinguishes it, for people: `Padim mobilenet_v2`.
    pub model: String,
    /// Name of the dataset, such as `texture`.
    pub dataset: String,
    /// Empty if the dataset has none.
    pub category: String,
    pub spec: RunSpec,
    /// What it has in common with other runs; `None`: it is the only one that looks at its images so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint: Option<Joint>,
    /// Of a search: where the trial lies in the space. The run that is fitted once more with the best has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<hpo::Point>,
}

/// A pass over the backbone that several runs of a job share: same images, preprocessing and weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joint {
    /// Layers whose maps some of the runs take, in the network's order.
    pub layers: Vec<String>,
    /// This run's place among them, from 0. Each begins at other images, so that those who work at the same time do not do
    /// the same.
    pub place: u32,
    /// How many they are.
    pub runs: u32,
}

impl Joint {
    /// The first of so many items for this run; it goes on from there, and round.
    pub fn first_of(&self, items: usize) -> usize {
        let place = u64::from(self.place) * items as u64;
        // At least two runs share a pass.
        (place / u64::from(self.runs.max(1))) as usize
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    pub index: TaskIndex,
    pub spec: TaskSpec,
    pub depends_on: Vec<Dependency>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub task: TaskIndex,
    pub rule: DependencyRule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyRule {
    /// The task succeeded.
    Success,
    /// The task reached an end, whichever.
    Settled,
}

/// The unit that one executor does in one go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum TaskSpec {
    /// Lists the dataset of the named runs (they share its configuration) and seals its `samples`.
    List {
        runs: Vec<u32>,
    },
    /// Trains the run's model on the split `train`.
    Fit {
        run: u32,
    },
    /// Scores samples `first .. first + count` of those that are not in `train`, in uri order, and after them, where the run
    /// [needs them](job::resolved::RunSpec::scores_training_images), of those that are.
    Score {
        run: u32,
        chunk: u32,
        first: u64,
        count: u64,
    },
    Evaluate {
        run: u32,
    },
    /// Compacts the tables of all runs.
    Reduce,
    /// Writes a trained package as files for other programs: all that a job of kind export does.
    Export {
        export: ExportSpec,
    },
}

impl TaskSpec {
    pub fn kind(&self) -> TaskKind {
        match self {
            Self::List { .. } => TaskKind::List,
            Self::Fit { .. } => TaskKind::Fit,
            Self::Score { .. } => TaskKind::Score,
            Self::Evaluate { .. } => TaskKind::Evaluate,
            Self::Reduce => TaskKind::Reduce,
            Self::Export { .. } => TaskKind::Export,
        }
    }

    /// The run that the task belongs to, if it is one run's alone.
    pub fn run(&self) -> Option<u32> {
        match self {
            Self::List { .. } | Self::Reduce | Self::Export { .. } => None,
            Self::Fit { run } | Self::Score { run, .. } | Self::Evaluate { run } => Some(*run),
        }
    }
}

/// Everything an executor needs for one attempt, made by the coordinator when it grants the lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    pub task: TaskId,
    pub lease: LeaseNumber,
    /// 1 for the first.
    pub attempt: u32,
    pub job_name: String,
    /// URI of the job's store.
    pub store: String,
    /// Where the attempt writes, relative to the store's root; see [`types::AttemptPrefix::path`].
    pub prefix: String,
    pub spec: TaskSpec,
    /// The runs that the task is about: one for fit, score and evaluate, those sharing the listing for list, all for reduce,
    /// none for export.
    pub runs: Vec<PlannedRun>,
    pub resources: Resources,
    /// What it computes with: the engine that `resources` names, or in place of `auto` one that the worker offers.
    pub engine: EngineChoice,
    /// What the tasks it depends on left behind, in order of their index; their timings for evaluate and reduce only. Of an
    /// evaluation that is done anew for another threshold the first is what it left before.
    pub inputs: Vec<Input>,
    /// A user set another threshold than the job file's since; `runs` have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rethresholded: bool,
    /// Users call from other machines: of local files only declared ones are reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confined: bool,
    /// Of a list task: what the job that its run names by `skip` has scored, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkippedJob>,
    /// The attempt's span, or what it would be below; none where nobody traces the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

impl Assignment {
    /// The metrics of the task's first run: all that list, fit, score and evaluate need.
    pub fn metrics(&self) -> Option<&MetricsSpec> {
        self.runs.first().map(|run| &run.spec.metrics)
    }
}

/// A job whose images are not scored again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedJob {
    pub job: JobId,
    /// Its rows of images, relative to the store's root: those that it scored, and those that it had not to score itself.
    pub tables: Vec<String>,
    /// What it scored them by.
    pub package: FoundPackage,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub task: TaskId,
    pub spec: TaskSpec,
    pub outcome: InputOutcome,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum InputOutcome {
    Accepted {
        /// Of the accepted attempt, relative to the store's root.
        prefix: String,
        result: Box<TaskResult>,
        outputs: Vec<OutputObject>,
    },
    Failed {
        state: TaskState,
        /// Of the task where the failure began, if this one was skipped.
        failure: Failure,
    },
}

/// The typed result of an accepted attempt. Paths are relative to the attempt's prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    pub detail: ResultDetail,
    /// Every stage that the attempt's pipeline measured.
    pub timings: Vec<StageTiming>,
    /// Things a user should know that did not stop the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What did not have to be computed, of runs that share a pass; of an evaluation: by all tasks of its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
}

/// Features that another run of the job had computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Reused {
    pub images: u64,
    /// All whose features were needed.
    pub of: u64,
    /// What computing them had taken, less what reading them took, in seconds of as many threads as the task had.
    pub saved_s: f64,
}

impl std::ops::AddAssign for Reused {
    fn add_assign(&mut self, other: Self) {
        self.images += other.images;
        self.of += other.of;
        self.saved_s += other.saved_s;
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ResultDetail {
    List {
        /// The sealed samples part.
        samples: String,
        train: u64,
        /// Samples that are scored: those not in `train`.
        scored: u64,
        /// What the packages that its runs name were then; every later task takes these, whatever is published since.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        packages: Vec<FoundPackage>,
        /// What the dataset says of its licence, a line each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        licences: Vec<String>,
        /// Of an incremental job, and of one that skips the images of another: what earlier ones have scored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scored_before: Option<ScoredBefore>,
    },
    Fit {
        /// Statistics of the model (safetensors).
        statistics: String,
        /// The weights that they were learned with; the run's other tasks take no others. `None`: random ones, or no backbone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weights: Option<UsedWeights>,
    },
    Score {
        /// Raw scores part.
        scores: String,
        rows: u64,
        /// Rows that hold an error instead of a score.
        errors: u64,
    },
    Evaluate {
        metrics: Vec<MetricValue>,
        /// The run's `package.json`, if the run trained a model.
        package: Option<String>,
        rows: u64,
        errors: u64,
        /// Rows that are decided to be anomalous; `None`: there was no threshold, or an earlier release counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anomalous: Option<u64>,
        /// Of an incremental job, as its listing has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<String>,
        /// What its listing has merged of the index, relative to the store's root.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        merged: Vec<String>,
        /// Of a run that does not compute exactly.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate: Option<Certificate>,
    },
    Reduce {
        /// Published tables: file name under `results/`, path below the attempt's prefix.
        tables: Vec<PublishedTable>,
        /// The manifest of the job's committed objects.
        manifest: String,
        /// Of an incremental job: the folder of the store's index that gets a copy of its `scores`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<String>,
        /// And copies of these, relative to the store's root: tables of the index that the job has merged.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        merged: Vec<String>,
    },
    Export {
        /// What was written: file name under `results/`, path below the attempt's prefix.
        files: Vec<PublishedTable>,
        manifest: String,
        /// What it was made from.
        package: FoundPackage,
    },
}

impl ResultDetail {
    /// What of the result users find in the store, and the manifest that goes with it.
    pub fn published(&self) -> Option<(&[PublishedTable], &str)> {
        match self {
            Self::Reduce {
                tables, manifest, ..
            } => Some((tables, manifest)),
            Self::Export {
                files, manifest, ..
            } => Some((files, manifest)),
            Self::List { .. } | Self::Fit { .. } | Self::Score { .. } | Self::Evaluate { .. } => {
                None
            }
        }
    }
}

/// Images of a listing that need not be scored again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoredBefore {
    pub images: u64,
    /// Where the store keeps what was scored of this data by this package and engine, of an incremental job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Parts of the listing that hold the rows of several tables there, so that later jobs read fewer of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
}

/// A package that a run names, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPackage {
    /// As the job has it: `NAME`, `NAME@VERSION` or an address.
    pub name: String,
    /// `None` if an address names it.
    pub version: Option<u32>,
    /// Of its `package.json`, or of a model file.
    pub uri: String,
    /// Of a model file: over all of its files.
    pub sha256: String,
    /// Of what its raw scores depend on; `None`: of all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores_sha256: Option<String>,
    /// Of another program's model, which is no package but a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_file: Option<FoundModelFile>,
}

impl FoundPackage {
    /// What images are scored by: packages of which this is equal give the same raw scores.
    pub fn scored_by(&self) -> &str {
        self.scores_sha256.as_deref().unwrap_or(&self.sha256)
    }
}

/// A model file of another program, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundModelFile {
    /// The model, and what lies beside it.
    pub files: Vec<FoundFile>,
    /// Height, width of its anomaly maps, if it has any.
    pub map: Option<[usize; 2]>,
    /// It has a score that is not its map's maximum.
    pub has_score: bool,
    /// It has a threshold inside: scores and maps are from 0 to 1, and anomalous from a half on.
    pub decides: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundFile {
    /// In the model's folder.
    pub name: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// Weights of a backbone, from the weights folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedWeights {
    pub backbone: String,
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedTable {
    pub name: String,
    pub path: String,
}

/// One metric of a run, for people; the `metrics` table holds more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// `image` or `pixel`.
    pub level: String,
    pub metric: String,
    pub value: Option<f64>,
    /// Why there is no value.
    pub reason: Option<String>,
}

impl TaskResult {
    /// What an evaluation measured of a search's objective; `None`: nothing that could be measured.
    pub fn objective(&self, objective: &Objective) -> Option<f64> {
        let ResultDetail::Evaluate { metrics, .. } = &self.detail else {
            return None;
        };
        let of_objective = |found: &&MetricValue| {
            found.level == objective.level && found.metric == objective.metric
        };
        let value = metrics.iter().find(of_objective)?.value;
        value.filter(|value| value.is_finite())
    }
}

/// What one stage of the pipeline took in one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTiming {
    /// `fetch`, `decode`, `preprocess`, `infer`, `reuse`, `solve`, `metrics`, `write`, or `total` for the attempt as a whole.
    pub stage: String,
    /// From the first beginning to the last end.
    pub wall_s: f64,
    /// Sum of what its threads worked, and of what they waited for input or for room; not of `total`.
    #[serde(default)]
    pub busy_s: Option<f64>,
    #[serde(default)]
    pub blocked_s: Option<f64>,
    /// CPU seconds of all threads of the process while the stage ran; only the stage `total` has it.
    pub cpu_s: Option<f64>,
    pub items: u64,
    pub bytes: u64,
    /// Peak resident memory of the process, in bytes; only the stage `total` has it.
    pub peak_memory: Option<u64>,
}
