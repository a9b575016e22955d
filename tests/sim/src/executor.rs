//! The fake executor: a task's output is a digest of its spec and of its inputs' outputs.

use job::resolved::{ModelSource, ThresholdSpec};
use plan::{
    Assignment, FoundPackage, Input, InputOutcome, PlannedRun, PublishedTable, ResultDetail,
    TaskResult, TaskSpec,
};
use types::OutputObject;

use crate::{
    chance::{digest, mix},
    workload,
};

/// What a task writes, given what its inputs wrote, and what decides, of an evaluation.
pub fn digest_of(spec: &TaskSpec, threshold: Option<ThresholdSpec>, inputs: &[u64]) -> u64 {
    let own = match spec {
        TaskSpec::List { runs } => digest(runs.iter().map(|r| u64::from(*r) + 1)),
        TaskSpec::Fit { run } => mix(100 + u64::from(*run)),
        TaskSpec::Score {
            run, first, count, ..
        } => digest([200 + u64::from(*run), *first, *count]),
        TaskSpec::Evaluate { run } => digest([300 + u64::from(*run), decided_by(threshold)]),
        TaskSpec::Reduce => 400,
        TaskSpec::Export { .. } => 500,
    };
    digest(std::iter::once(own).chain(inputs.iter().copied()))
}

fn decided_by(threshold: Option<ThresholdSpec>) -> u64 {
    match threshold {
        None | Some(ThresholdSpec::F1Adaptive | ThresholdSpec::Package) => 0,
        Some(ThresholdSpec::Manual { value }) => digest([1, value.to_bits()]),
        Some(ThresholdSpec::FalsePositiveRate { rate }) => digest([2, rate.to_bits()]),
    }
}

/// What a listing finds of the package that its run names.
fn package(run: &PlannedRun) -> Option<FoundPackage> {
    let ModelSource::Package(name) = &run.spec.model else {
        return None;
    };
    Some(FoundPackage {
        name: name.clone(),
        version: Some(1),
        uri: format!("file:///simulated/{name}/package.json"),
        sha256: format!("{:016x}", digest(name.bytes().map(u64::from))),
        scores_sha256: None,
        model_file: None,
    })
}

/// The result and the objects of an attempt that does its work.
pub fn work(assignment: &Assignment) -> (TaskResult, Vec<OutputObject>, u64) {
    let inputs: Vec<u64> = assignment
        .inputs
        .iter()
        // What an evaluation left before it is done anew says nothing new.
        .filter(|input| !is_earlier(assignment, input))
        .map(|input| match &input.outcome {
            InputOutcome::Accepted { outputs, .. } => outputs
                .first()
                .and_then(|o| u64::from_str_radix(&o.sha256, 16).ok())
                .unwrap_or(0),
            InputOutcome::Failed { .. } => 1,
        })
        .collect();
    let run = assignment.runs.first();
    let threshold = run.map(|run| run.spec.metrics.image_threshold);
    let digest = digest_of(&assignment.spec, threshold, &inputs);
    let path = "part.parquet".to_owned();
    let chunks = assignment.runs.first().map_or(0, |run| run.spec.seed);
    let detail = match &assignment.spec {
        TaskSpec::List { .. } => ResultDetail::List {
            samples: path.clone(),
            train: 1,
            scored: workload::samples(chunks),
            packages: run.into_iter().filter_map(package).collect(),
            licences: Vec::new(),
            scored_before: None,
        },
        TaskSpec::Fit { .. } => ResultDetail::Fit {
            statistics: path.clone(),
            weights: None,
        },
        TaskSpec::Score { count, .. } => ResultDetail::Score {
            scores: path.clone(),
            rows: *count,
            errors: 0,
        },
        TaskSpec::Evaluate { .. } => ResultDetail::Evaluate {
            metrics: run
                .map(|run| workload::objective(&run.spec))
                .into_iter()
                .collect(),
            package: Some(path.clone()),
            rows: 0,
            errors: 0,
            anomalous: None,
            index: None,
            merged: Vec::new(),
            certificate: None,
        },
        TaskSpec::Export { export } => ResultDetail::Export {
            files: vec![PublishedTable {
                name: "model.onnx".to_owned(),
                path: path.clone(),
            }],
            manifest: path.clone(),
            package: FoundPackage {
                name: export.package.clone(),
                version: None,
                uri: String::new(),
                sha256: String::new(),
                scores_sha256: None,
                model_file: None,
            },
        },
        TaskSpec::Reduce => ResultDetail::Reduce {
            tables: vec![PublishedTable {
                name: "scores.parquet".to_owned(),
                path: path.clone(),
            }],
            manifest: path.clone(),
            index: None,
            merged: Vec::new(),
        },
    };
    let outputs = vec![OutputObject {
        path,
        size: 1,
        sha256: format!("{digest:016x}"),
        rows: None,
    }];
    (
        TaskResult {
            detail,
            timings: Vec::new(),
            warnings: Vec::new(),
            reused: None,
        },
        outputs,
        digest,
    )
}

/// Whether the input is what the task itself left before.
pub fn is_earlier(assignment: &Assignment, input: &Input) -> bool {
    input.task == assignment.task
}
