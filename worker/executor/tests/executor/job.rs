//! A job run to its end by one executor: the coordinator's part, without leases, clocks or retries.

use std::{collections::BTreeMap, fs, path::Path};

use ::job::{ReadContext, ResolvedJob};
use plan::{
    Assignment, DependencyRule, Input, InputOutcome, Plan, PlannedTask, TaskResult, TaskSpec,
};
use store::Store;
use tables::Row;
use types::{
    AttemptPrefix, Failure, FailureClass, JobId, LeaseNumber, OutputObject, TaskId, TaskIndex,
    TaskState,
};

use crate::process::Executor;

pub struct Job {
    pub resolved: ResolvedJob,
    pub plan: Plan,
    pub tasks: Vec<PlannedTask>,
    pub outcomes: BTreeMap<TaskIndex, InputOutcome>,
    pub store: Store,
    folder: std::path::PathBuf,
}

/// The job that most tests run: PaDiM with random weights on images of 64 x 64.
pub fn yaml(folder: &Path, more: &str) -> String {
    format!(
        "kind: benchmark
name: tiny
model: {{class_path: Padim, init_args: {{backbone: resnet18, layers: [layer1, layer2], n_features: 8, pre_trained: false}}}}
data: {{class_path: MVTec, init_args: {{root: {0}/data, category: tiny, image_size: 64}}}}
metrics: {{image: [AUROC, F1Score], pixel: [AUROC, F1Score]}}
task: segmentation
output: {0}/out
{more}",
        folder.display()
    )
}

impl Job {
    pub fn new(folder: &Path, yaml: &str) -> Self {
        let reading = ::job::read(
            yaml,
            "job.yaml",
            &[],
            &ReadContext {
                current_dir: folder,
                now: job::Timestamp::UNIX_EPOCH,
            },
        )
        .expect("a valid job");
        let resolved = reading.job;
        let store = Store::create(&resolved.output).expect("the output folder");
        let plan = plan::plan(&resolved);
        let tasks = plan.tasks.clone();
        Self {
            resolved,
            plan,
            tasks,
            outcomes: BTreeMap::new(),
            store,
            folder: folder.to_owned(),
        }
    }

    fn id() -> JobId {
        "testjob1".parse().expect("a job id")
    }

    fn prefix(index: TaskIndex) -> AttemptPrefix {
        AttemptPrefix {
            task: TaskId {
                job: Self::id(),
                index,
            },
            lease: LeaseNumber(u64::from(index.0) + 1),
            nonce: 0xabcd,
        }
    }

    /// Runs every task that can run, in order; tasks behind a failure are skipped.
    pub fn run(&mut self, executor: &mut Executor, threads: u32) {
        while self.step(executor, threads).is_some() {}
    }

    /// Runs until the first task of a kind has ended.
    pub fn run_through(&mut self, kind: types::TaskKind, executor: &mut Executor, threads: u32) {
        while let Some(task) = self.step(executor, threads) {
            if task.spec.kind() == kind {
                return;
            }
        }
        panic!("there is no {kind} task");
    }

    /// Runs the next task and says which.
    fn step(&mut self, executor: &mut Executor, threads: u32) -> Option<PlannedTask> {
        let task = self.next()?;
        let failed = task
            .depends_on
            .iter()
            .filter(|dependency| dependency.rule == DependencyRule::Success)
            .find_map(|dependency| match &self.outcomes[&dependency.task] {
                InputOutcome::Failed { failure, .. } => Some(failure.clone()),
                InputOutcome::Accepted { .. } => None,
            });
        let outcome = match failed {
            Some(failure) => InputOutcome::Failed {
                state: TaskState::Skipped,
                failure,
            },
            None => self.attempt(executor, &task, threads),
        };
        if let InputOutcome::Accepted { result, .. } = &outcome {
            let next = TaskIndex(u32::try_from(self.tasks.len()).expect("few tasks"));
            let expansion = plan::expand(&self.plan, task.index, result, next);
            self.tasks.extend(expansion.tasks);
            for (index, dependency) in expansion.added_dependencies {
                self.tasks[index.0 as usize].depends_on.push(dependency);
            }
        }
        self.outcomes.insert(task.index, outcome);
        Some(task)
    }

    /// The first task whose dependencies have ended.
    pub fn next(&self) -> Option<PlannedTask> {
        let ready = |task: &&PlannedTask| {
            !self.outcomes.contains_key(&task.index)
                && task
                    .depends_on
                    .iter()
                    .all(|dependency| self.outcomes.contains_key(&dependency.task))
        };
        self.tasks.iter().find(ready).cloned()
    }

    pub fn assignment(&self, task: &PlannedTask) -> Assignment {
        let runs = match &task.spec {
            TaskSpec::List { runs } => runs
                .iter()
                .map(|run| self.plan.runs[*run as usize].clone())
                .collect(),
            TaskSpec::Reduce => self.plan.runs.clone(),
            TaskSpec::Export { .. } => Vec::new(),
            other => vec![self.plan.runs[other.run().expect("of one run") as usize].clone()],
        };
        let mut dependencies: Vec<_> = task
            .depends_on
            .iter()
            .map(|dependency| dependency.task)
            .collect();
        dependencies.sort();
        let inputs = dependencies.into_iter().map(|index| Input {
            task: TaskId {
                job: Self::id(),
                index,
            },
            spec: self.tasks[index.0 as usize].spec.clone(),
            outcome: self.outcomes[&index].clone(),
        });
        let prefix = Self::prefix(task.index);
        Assignment {
            task: prefix.task.clone(),
            lease: prefix.lease,
            attempt: 1,
            job_name: self.resolved.name.clone(),
            store: self.resolved.output.clone(),
            prefix: prefix.path(),
            spec: task.spec.clone(),
            runs,
            resources: self.resolved.resources.clone(),
            engine: self.resolved.resources.engine,
            inputs: inputs.collect(),
            rethresholded: false,
            confined: false,
            skipped: None,
            trace: None,
        }
    }

    fn attempt(&self, executor: &mut Executor, task: &PlannedTask, threads: u32) -> InputOutcome {
        let scratch = self.folder.join("scratch");
        fs::create_dir_all(&scratch).expect("scratch");
        executor.begin(&self.assignment(task), &scratch, threads);
        let outcome = executor.outcome();
        if outcome.is_err() {
            // As the agent does; what a failed attempt leaves is not the executor's to tidy.
            for left in fs::read_dir(&scratch).expect("scratch") {
                fs::remove_file(left.expect("an entry").path()).expect("a file");
            }
        }
        match outcome {
            Ok(done) => {
                assert_eq!(
                    fs::read_dir(&scratch).expect("scratch").count(),
                    0,
                    "scratch is left empty"
                );
                let outputs: Vec<OutputObject> =
                    serde_json::from_str(&done.outputs_json).expect("outputs");
                InputOutcome::Accepted {
                    prefix: Self::prefix(task.index).path(),
                    result: serde_json::from_str(&done.result_json).expect("a result"),
                    outputs,
                }
            }
            Err(failed) => InputOutcome::Failed {
                state: TaskState::Failed,
                failure: Failure {
                    class: FailureClass::parse(&failed.class).expect("a class"),
                    message: failed.message,
                },
            },
        }
    }

    /// The result of the first task of a kind, and the path of one of its objects.
    pub fn accepted(&self, kind: types::TaskKind) -> (&TaskResult, &str) {
        let task = self
            .tasks
            .iter()
            .find(|task| task.spec.kind() == kind)
            .expect("such a task");
        match &self.outcomes[&task.index] {
            InputOutcome::Accepted { result, prefix, .. } => (result, prefix),
            InputOutcome::Failed { failure, .. } => panic!("the {kind} task failed: {failure}"),
        }
    }

    /// Says of an object that the first task of a kind has left that it holds so many bytes of this digest.
    pub fn replaced(&mut self, kind: types::TaskKind, name: &str, size: u64, sha256: String) {
        let task = self.tasks.iter().find(|task| task.spec.kind() == kind);
        let index = task.expect("such a task").index;
        let Some(InputOutcome::Accepted { outputs, .. }) = self.outcomes.get_mut(&index) else {
            panic!("the {kind} task was not accepted")
        };
        let object = outputs.iter_mut().find(|object| object.path == name);
        let object = object.expect("such an object");
        (object.size, object.sha256) = (size, sha256);
    }

    pub fn failure(&self, kind: types::TaskKind) -> &Failure {
        let task = self
            .tasks
            .iter()
            .find(|task| task.spec.kind() == kind)
            .expect("such a task");
        match &self.outcomes[&task.index] {
            InputOutcome::Failed { failure, .. } => failure,
            InputOutcome::Accepted { .. } => panic!("the {kind} task succeeded"),
        }
    }

    pub fn table<R: Row>(&self, kind: types::TaskKind, name: &str) -> Vec<R> {
        let path = format!("{}/{name}", self.accepted(kind).1);
        let file = fs::read(self.store.local_path(&path).expect("a local store")).expect(&path);
        tables::read_bytes(file.into()).expect(&path)
    }
}
