//! Jobs to submit: small plans of every kind, and what their results must be.

use std::collections::BTreeMap;

use coordinator_core::Submit;
use job::{
    Rethreshold,
    resolved::{
        ClassSpec, DeviceChoice, EngineChoice, JobKind, Kept, MetricsSpec, ModelSource,
        Normalization, ResolvedJob, Resources, RunSpec, ThresholdSpec, VisionTask,
    },
};
use plan::{
    Dependency, DependencyRule, Plan, PlannedRun, PlannedTask, ResultDetail, TaskResult, TaskSpec,
};
use types::{JobId, RequestId, TaskIndex};

use crate::{chance::Chance, executor};

/// Samples that a dataset of this number of chunks has.
pub fn samples(chunks: u64) -> u64 {
    if chunks == 0 {
        0
    } else {
        (chunks - 1) * plan::CHUNK + 17
    }
}

pub fn submit(
    id: &str,
    request: &str,
    key: Option<String>,
    kind: JobKind,
    runs: u32,
    chunks: u64,
    priority: i32,
) -> Submit {
    let spec = RunSpec {
        axes: serde_json::Map::new(),
        model: ModelSource::Train(ClassSpec {
            class_path: "Padim".to_owned(),
            init_args: serde_json::Map::new(),
        }),
        data: ClassSpec {
            class_path: "Folder".to_owned(),
            init_args: serde_json::Map::new(),
        },
        metrics: MetricsSpec {
            image: Vec::new(),
            pixel: Vec::new(),
            fpr_limit: 0.3,
            fpr_bounds: [1e-5, 1e-4],
            image_threshold: ThresholdSpec::F1Adaptive,
            pixel_threshold: ThresholdSpec::F1Adaptive,
        },
        normalization: Normalization::MinMax,
        parity: 0,
        max_error_rows: None,
        incremental: false,
        skip: None,
        maps: Kept::None,
        pictures: Kept::None,
        task: VisionTask::Classification,
        // The number of chunks travels to the fake list task as the seed.
        seed: chunks,
    };
    let resolved = ResolvedJob {
        format: 1,
        kind,
        name: "simulated".to_owned(),
        resources: Resources {
            pool: types::PoolName::default(),
            timeout_s: Some(600),
            retries: 2,
            memory_bytes: Some(1 << 30),
            engine: EngineChoice::Auto,
            device: DeviceChoice::Auto,
            labels: types::Labels::default(),
        },
        output: "file:///simulated".to_owned(),
        priority,
        max_failed_tasks: None,
        deadline_s: None,
        runs: vec![spec.clone(); runs as usize],
        export: None,
    };
    let resolved_json = serde_json::to_string(&resolved).expect("a job is plain data");
    Submit {
        request: request.parse::<RequestId>().expect("a name"),
        id: id.parse::<JobId>().expect("an id"),
        digest: format!("{kind:?}-{runs}-{chunks}"),
        key,
        resolved,
        resolved_json,
        source_yaml: String::new(),
        plan: plan_of(runs, &spec),
        trace: None,
    }
}

/// One listing; a fit and an evaluate a run; a reduce.
fn plan_of(runs: u32, spec: &RunSpec) -> Plan {
    let on = |task: u32, rule| Dependency {
        task: TaskIndex(task),
        rule,
    };
    let success = |task| on(task, DependencyRule::Success);
    let mut tasks = vec![PlannedTask {
        index: TaskIndex(0),
        spec: TaskSpec::List {
            runs: (0..runs).collect(),
        },
        depends_on: Vec::new(),
    }];
    for run in 0..runs {
        let fit = TaskIndex(1 + 2 * run);
        tasks.push(PlannedTask {
            index: fit,
            spec: TaskSpec::Fit { run },
            depends_on: vec![success(0)],
        });
        let depends_on = vec![success(0), success(fit.0)];
        tasks.push(PlannedTask {
            index: TaskIndex(fit.0 + 1),
            spec: TaskSpec::Evaluate { run },
            depends_on,
        });
    }
    let depends_on = (0..runs)
        .map(|run| on(2 + 2 * run, DependencyRule::Settled))
        .collect();
    tasks.push(PlannedTask {
        index: TaskIndex(1 + 2 * runs),
        spec: TaskSpec::Reduce,
        depends_on,
    });
    let run = |index| PlannedRun {
        index,
        model: "Padim".to_owned(),
        dataset: "simulated".to_owned(),
        category: String::new(),
        spec: spec.clone(),
        joint: None,
    };
    Plan {
        runs: (0..runs).map(run).collect(),
        tasks,
    }
}

/// A job of random kind and size under a random priority.
pub fn draw(chance: &mut Chance, number: u64, key: Option<String>) -> Submit {
    let kind = *chance.pick(&[JobKind::Benchmark, JobKind::Benchmark, JobKind::Train]);
    let runs = if kind == JobKind::Train {
        1
    } else {
        chance.between(1, 3) as u32
    };
    let chunks = chance.between(0, 3);
    let priority = chance.between(0, 2) as i32;
    let max_failed_tasks = *chance.pick(&[None, None, None, Some(0), Some(1), Some(3)]);
    let mut drawn = submit(
        &format!("job{number}"),
        &format!("submit-{number}"),
        key,
        kind,
        runs,
        chunks,
        priority,
    );
    allow_failures(&mut drawn, max_failed_tasks);
    if chance.hits(0.15) {
        must_end_within(&mut drawn, chance.between(20, 400));
    }
    drawn
}

/// Sets how many tasks may fail before the job stops.
pub fn allow_failures(submit: &mut Submit, max_failed_tasks: Option<u32>) {
    submit.resolved.max_failed_tasks = max_failed_tasks;
    submit.resolved_json = serde_json::to_string(&submit.resolved).expect("a job is plain data");
    if let Some(bound) = max_failed_tasks {
        submit.digest.push_str(&format!("-{bound}"));
    }
}

/// Sets the job's deadline.
pub fn must_end_within(submit: &mut Submit, seconds: u64) {
    submit.resolved.deadline_s = Some(seconds);
    submit.resolved_json = serde_json::to_string(&submit.resolved).expect("a job is plain data");
    submit.digest.push_str(&format!("-within-{seconds}"));
}

/// Sets what the job needs of its workers.
pub fn need(
    submit: &mut Submit,
    engine: &str,
    device: DeviceChoice,
    labels: &types::Labels,
    memory_bytes: u64,
) {
    let resources = &mut submit.resolved.resources;
    resources.engine = EngineChoice::parse(engine).expect("an engine");
    resources.device = device;
    resources.labels = labels.clone();
    resources.memory_bytes = Some(memory_bytes);
    let device = device.as_str();
    submit
        .digest
        .push_str(&format!("-{engine}-{device}-{labels}-{memory_bytes}"));
    submit.resolved_json = serde_json::to_string(&submit.resolved).expect("a job is plain data");
}

/// The digest that the job's reduce must have if every task succeeds: the fault-free run with these thresholds from the start,
/// computed at once.
pub fn expected_reduce(plan: &Plan, chunks: u64, thresholds: &BTreeMap<u32, Rethreshold>) -> u64 {
    let list = executor::digest_of(
        &TaskSpec::List {
            runs: (0..plan.runs.len() as u32).collect(),
        },
        None,
        &[],
    );
    let result = TaskResult {
        detail: ResultDetail::List {
            samples: String::new(),
            train: 1,
            scored: samples(chunks),
            packages: Vec::new(),
            licences: Vec::new(),
            scored_before: None,
        },
        timings: Vec::new(),
        warnings: Vec::new(),
        reused: None,
    };
    let expansion = plan::expand(
        plan,
        TaskIndex(0),
        &result,
        TaskIndex(plan.tasks.len() as u32),
    );
    let mut evaluates = Vec::new();
    for run in 0..plan.runs.len() as u32 {
        let fit = executor::digest_of(&TaskSpec::Fit { run }, None, &[list]);
        let of_run = expansion.tasks.iter().filter(|t| t.spec.run() == Some(run));
        let scores = of_run.map(|t| executor::digest_of(&t.spec, None, &[list, fit]));
        // Inputs come in order of their index: list, fit, then the score tasks.
        let inputs: Vec<u64> = [list, fit].into_iter().chain(scores).collect();
        let threshold = thresholds.get(&run).and_then(|new| new.image);
        let spec = TaskSpec::Evaluate { run };
        evaluates.push(executor::digest_of(&spec, threshold, &inputs));
    }
    executor::digest_of(&TaskSpec::Reduce, None, &evaluates)
}

/// A threshold that a user sets, and for which runs of so many: none named is all.
pub fn draw_threshold(chance: &mut Chance, runs: u32) -> (Vec<u32>, Rethreshold) {
    let image = *chance.pick(&[
        ThresholdSpec::Manual { value: 1.5 },
        ThresholdSpec::Manual { value: 2.5 },
        ThresholdSpec::FalsePositiveRate { rate: 0.01 },
        ThresholdSpec::F1Adaptive,
    ]);
    let new = Rethreshold {
        image: Some(image),
        pixel: None,
    };
    // Sometimes one that there is not.
    let named = chance
        .hits(0.4)
        .then(|| chance.between(0, u64::from(runs)) as u32);
    (Vec::from_iter(named), new)
}
