//! `ctl get`: lists of jobs, tasks, runs, trials, dead tasks, workers and models.

use proto::v1::{
    Attempt, Job, ListJobsRequest, ListModelsRequest, ListRunsRequest, ListTasksRequest,
    ListWorkersRequest, Model, Pace, Run, Task, Unpublished, Worker,
};
use serde_json::{Value, json};

use super::{JobArg, dead, with_cluster};
use crate::output::{self, Table, ago, embedded, short_ids, time};
use crate::page::{self, Causes};
use crate::progress::{all, images, left, rate, settled, unpublished};
use crate::{Common, Error, trials};

#[derive(clap::Subcommand)]
pub enum Args {
    /// Jobs, newest first
    Jobs,
    /// Tasks of a job with their attempts
    Tasks(JobArg),
    /// Runs of a job
    Runs(JobArg),
    /// Trials of a search (a job of kind hpo) with their parameters and values
    Trials(JobArg),
    /// Tasks that failed for good: `ctl retry JOB` computes them again
    Dead(dead::Args),
    /// Workers
    Workers,
    /// Trained models
    Models,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        if let Args::Trials(JobArg { job }) = &args {
            return trials::show(common, cluster, job).await;
        }
        let client = &mut cluster.client;
        match args {
            Args::Jobs => {
                let jobs = client
                    .list_jobs(ListJobsRequest {})
                    .await?
                    .into_inner()
                    .jobs;
                common
                    .output
                    .print(&jobs.iter().map(job_value).collect(), || job_table(&jobs))
            }
            Args::Tasks(JobArg { job }) => {
                let tasks = client
                    .list_tasks(ListTasksRequest { job })
                    .await?
                    .into_inner()
                    .tasks;
                common
                    .output
                    .print(&tasks.iter().map(task_value).collect(), || {
                        task_table(&tasks)
                    })
            }
            Args::Runs(JobArg { job }) => {
                let runs = client
                    .list_runs(ListRunsRequest { job })
                    .await?
                    .into_inner()
                    .runs;
                common
                    .output
                    .print(&runs.iter().map(run_value).collect(), || run_table(&runs))
            }
            // Shown above.
            Args::Trials(_) => Ok(()),
            Args::Dead(args) => dead::run(common, client, args).await,
            Args::Workers => {
                let reply = client
                    .list_workers(ListWorkersRequest {})
                    .await?
                    .into_inner();
                if !reply.broker.is_empty() {
                    eprintln!("broker {}", reply.broker);
                }
                let workers = reply.workers;
                common
                    .output
                    .print(&workers.iter().map(worker_value).collect(), || {
                        worker_table(&workers)
                    })
            }
            Args::Models => {
                let models = client
                    .list_models(ListModelsRequest {})
                    .await?
                    .into_inner()
                    .models;
                common
                    .output
                    .print(&models.iter().map(model_value).collect(), || {
                        model_table(&models)
                    })
            }
        }
    })
    .await
}

pub fn job_value(job: &Job) -> Value {
    let counts = job.tasks.unwrap_or_default();
    json!({
        "id": job.id, "name": job.name, "kind": job.kind, "state": job.state, "key": job.key, "digest": job.digest, "store": job.store,
        "priority": job.priority, "created": time(job.created_ms), "finished": time(job.finished_ms), "runs": job.runs,
        "tasks": {
            "blocked": counts.blocked, "ready": counts.ready, "running": counts.running, "succeeded": counts.succeeded,
            "failed": counts.failed, "dead": counts.dead, "skipped": counts.skipped, "cancelling": counts.cancelling, "cancelled": counts.cancelled,
        },
        "deadline": time(job.deadline_ms), "trace": job.trace, "failures": job.failures, "warnings": job.warnings,
        "unpublished": job.unpublished.iter().map(unpublished_value).collect::<Value>(), "outage": job.outage, "waits_for": job.waits_for, "reason": job.reason,
        "results_generation": job.results_generation, "rethreshold_failure": job.rethreshold_failure,
        "rethresholds": serde_json::from_str::<Value>(&job.rethresholds_json).ok(),
        "best": job.best.as_ref().map(|best| json!({"trial": best.run, "value": best.value})), "pace": job.pace.as_ref().map(pace_value),
    })
}

fn pace_value(pace: &Pace) -> Value {
    json!({
        "done": pace.done, "total": (pace.total > 0).then_some(pace.total), "images_per_s": pace.images_per_s,
        "left_s": pace.left_ms.map(|left_ms| left_ms as f64 / 1_000.0),
    })
}

fn unpublished_value(waits: &Unpublished) -> Value {
    json!({
        "what": waits.what, "store": waits.store, "reason": waits.reason, "since": time(waits.since_ms), "tries": waits.tries,
    })
}

fn job_table(jobs: &[Job]) -> String {
    let ids = short_ids(&jobs.iter().map(|job| job.id.clone()).collect::<Vec<_>>());
    let now = output::now_ms();
    let mut columns = vec!["jobs", "name", "kind", "state", ">runs", ">tasks"];
    let with_pace = jobs.iter().any(|job| job.pace.is_some());
    columns.extend(
        with_pace
            .then_some([">images", ">rate", ">left"])
            .into_iter()
            .flatten(),
    );
    columns.extend(["created", "key", "waits for"]);
    let mut table = Table::new(&columns);
    for (job, id) in jobs.iter().zip(ids) {
        let counts = job.tasks.unwrap_or_default();
        let mut row = vec![
            id,
            job.name.clone(),
            job.kind.clone(),
            job.state.clone(),
            job.runs.to_string(),
            format!("{}/{}", settled(&counts), all(&counts)),
        ];
        if with_pace {
            let pace = job.pace.as_ref();
            row.extend([
                pace.map(images).unwrap_or_default(),
                pace.and_then(|pace| rate(pace.images_per_s))
                    .unwrap_or_default(),
                pace.and_then(left).unwrap_or_default(),
            ]);
        }
        row.extend([
            ago(job.created_ms, now),
            job.key.clone(),
            waits_for(job, now),
        ]);
        table.row(row);
    }
    table.render()
}

fn waits_for(job: &Job, now: i64) -> String {
    match (job.unpublished.first(), job.outage.as_str()) {
        (Some(waits), _) => unpublished(waits, now),
        (None, "") => job.reason.clone(),
        (None, outage) => outage.to_owned(),
    }
}

fn attempt_value(attempt: &Attempt) -> Value {
    json!({
        "lease": attempt.lease, "worker": attempt.worker, "outcome": attempt.outcome, "message": attempt.message, "started": time(attempt.started_ms),
        "ended": time(attempt.ended_ms), "prefix": attempt.prefix, "counted": attempt.counted,
        "swept": time(attempt.swept_ms),
    })
}

pub fn task_value(task: &Task) -> Value {
    json!({
        "id": task.id, "kind": task.kind, "state": task.state, "run": task.run, "reason": task.reason, "waits_for": task.waits_for,
        "until": time(task.until_ms), "spec": embedded(&task.spec_json),
        "attempts": task.attempts.iter().map(attempt_value).collect::<Value>(),
    })
}

fn task_table(tasks: &[Task]) -> String {
    let mut table = Table::new(&[
        "tasks",
        "kind",
        ">run",
        "state",
        ">attempts",
        "worker",
        "took",
        "reason",
    ]);
    let causes = Causes::of(tasks);
    for task in tasks {
        let last = task.attempts.last();
        let took = last
            .filter(|attempt| attempt.ended_ms > 0)
            .map(|attempt| output::took(attempt.ended_ms.saturating_sub(attempt.started_ms)));
        table.row([
            task.id.clone(),
            task.kind.clone(),
            task.run.map(|run| run.to_string()).unwrap_or_default(),
            task.state.clone(),
            task.attempts.len().to_string(),
            last.map(|attempt| attempt.worker.clone())
                .unwrap_or_default(),
            took.unwrap_or_default(),
            match task.state.as_str() {
                "skipped" => page::needs(task, &causes),
                _ => task.reason.clone(),
            },
        ]);
    }
    table.render()
}

pub fn run_value(run: &Run) -> Value {
    json!({
        "index": run.index, "model": run.model, "dataset": run.dataset, "category": run.category, "seed": run.seed, "state": run.state,
        "axes": embedded(&run.axes_json), "result": embedded(&run.result_json), "error": run.error,
    })
}

pub fn run_table(runs: &[Run]) -> String {
    let mut table = Table::new(&[
        ">runs", "model", "dataset", "category", ">seed", "state", "error",
    ]);
    for run in runs {
        table.row([
            run.index.to_string(),
            run.model.clone(),
            run.dataset.clone(),
            run.category.clone(),
            run.seed.to_string(),
            run.state.clone(),
            run.error.clone(),
        ]);
    }
    table.render()
}

fn worker_value(worker: &Worker) -> Value {
    json!({
        "name": worker.name, "pool": worker.pool, "slots": worker.slots, "busy": worker.busy, "state": worker.state, "version": worker.version,
        "engines": worker.engines, "devices": worker.devices, "labels": worker.labels, "memory_bytes": worker.memory_bytes, "last_seen": time(worker.last_seen_ms), "tasks": worker.tasks,
        "quarantine": worker.quarantine.as_ref().map(|quarantine| json!({"since": time(quarantine.since_ms), "reason": quarantine.reason})),
    })
}

fn labels(worker: &Worker) -> String {
    let mut labels: Vec<String> = worker
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    labels.sort();
    labels.join(" ")
}

fn worker_table(workers: &[Worker]) -> String {
    let now = output::now_ms();
    let mut table = Table::new(&[
        "workers", "pool", "state", ">busy", ">memory", "devices", "engines", "labels", "seen",
        "tasks", "reason",
    ]);
    for worker in workers {
        table.row([
            worker.name.clone(),
            worker.pool.clone(),
            worker.state.clone(),
            format!("{}/{}", worker.busy, worker.slots),
            output::size(worker.memory_bytes),
            worker.devices.join(" "),
            worker.engines.join(" "),
            labels(worker),
            ago(worker.last_seen_ms, now),
            worker.tasks.join(" "),
            worker
                .quarantine
                .as_ref()
                .map(|quarantine| quarantine.reason.clone())
                .unwrap_or_default(),
        ]);
    }
    table.render()
}

pub fn model_value(model: &Model) -> Value {
    json!({
        "name": model.name, "version": model.version, "job": model.job, "run": model.run, "package": model.package, "sha256": model.sha256,
        "created": time(model.created_ms),
    })
}

fn model_table(models: &[Model]) -> String {
    let now = output::now_ms();
    let mut table = Table::new(&["models", ">version", "job", "created", "package"]);
    for model in models {
        table.row([
            model.name.clone(),
            model.version.to_string(),
            model.job.clone(),
            ago(model.created_ms, now),
            model.package.clone(),
        ]);
    }
    table.render()
}
