//! `ctl get`: lists of jobs, tasks, runs, trials, dead tasks, workers and models.

use std::io::IsTerminal;
use std::time::Duration;

use proto::v1::{
    Attempt, Job, ListJobsRequest, ListModelsRequest, ListRunsRequest, ListTasksRequest,
    ListWorkersRequest, Model, Pace, Run, Task, Unpublished, Worker,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{JobArg, dead, with_cluster};
use crate::cluster::Cluster;
use crate::output::{self, Cell, Table, embedded, moment, short_ids, time};
use crate::page::{self, Causes};
use crate::progress::{all, images, left, rate, settled, unpublished};
use crate::watch::Signals;
use crate::{Common, Error, trials};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// Look again every second: on a terminal the list stays up to date, elsewhere it is printed again when it has changed
    #[arg(short, long, global = true)]
    watch: bool,
}

#[derive(clap::Subcommand)]
enum What {
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
    /// Models that jobs of this coordinator have trained
    Models,
}

/// A list, for programs and for people.
struct List {
    value: Value,
    table: Table,
    /// What is said beside it.
    note: Option<String>,
}

/// Between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(1);
/// Cursor to the corner, screen empty.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        if args.watch {
            return watch(common, cluster, &args.what).await;
        }
        let list = list(common, cluster, &args.what).await?;
        if let Some(note) = &list.note {
            eprintln!("{note}");
        }
        common.output.print(&list.value, || list.table)
    })
    .await
}

/// Until the user has seen enough.
async fn watch(common: &Common, cluster: &mut Cluster, what: &What) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let redraws = common.output.is_screen() && std::io::stdout().is_terminal();
    let mut printed = None;
    loop {
        let list = tokio::select! {
            list = list(common, cluster, what) => list?,
            () = signals.any() => return Ok(()),
        };
        if redraws {
            output::line(&format!("{CLEAR}{}", common.output.of_table(&list.table)))?;
        } else if printed.as_ref() != Some(&list.value) {
            common.output.print(&list.value, || list.table)?;
            printed = Some(list.value);
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = signals.any() => return Ok(()),
        }
    }
}

async fn list(common: &Common, cluster: &mut Cluster, what: &What) -> Result<List, Error> {
    let client = &mut cluster.client;
    let mut note = None;
    let (value, table) = match what {
        What::Jobs => {
            let reply = client.list_jobs(ListJobsRequest {}).await?.into_inner();
            let cut = common.output.is_for_people();
            let value = reply.jobs.iter().map(job_value).collect();
            (value, job_table(&reply.jobs, cut))
        }
        What::Tasks(JobArg { job }) => {
            let job = job.clone();
            let reply = client.list_tasks(ListTasksRequest { job }).await?;
            let tasks = reply.into_inner().tasks;
            (tasks.iter().map(task_value).collect(), task_table(&tasks))
        }
        What::Runs(JobArg { job }) => {
            let job = job.clone();
            let reply = client.list_runs(ListRunsRequest { job }).await?;
            let runs = reply.into_inner().runs;
            (runs.iter().map(run_value).collect(), run_table(&runs))
        }
        What::Trials(JobArg { job }) => {
            let search = trials::find(cluster, job).await?;
            (search.json(), search.table())
        }
        What::Dead(args) => {
            let (value, table, more) = dead::list(client, args).await?;
            note = more;
            (value, table)
        }
        What::Workers => {
            let reply = client
                .list_workers(ListWorkersRequest {})
                .await?
                .into_inner();
            let says = |broker: &String| !broker.is_empty();
            note = Some(reply.broker)
                .filter(says)
                .map(|broker| format!("broker {broker}"));
            let workers = reply.workers;
            let value = workers.iter().map(worker_value).collect();
            (value, worker_table(&workers))
        }
        What::Models => {
            let reply = client.list_models(ListModelsRequest {}).await?;
            let models = reply.into_inner().models;
            (
                models.iter().map(model_value).collect(),
                model_table(&models),
            )
        }
    };
    Ok(List { value, table, note })
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

/// `cut`: ids as short as they can be.
fn job_table(jobs: &[Job], cut: bool) -> Table {
    let ids: Vec<String> = jobs.iter().map(|job| job.id.clone()).collect();
    let ids = if cut { short_ids(&ids) } else { ids };
    let now = output::now_ms();
    let mut columns = vec!["jobs", "name", "kind", "state", ">runs", ">tasks"];
    let with_pace = jobs.iter().any(|job| job.pace.is_some());
    columns.extend(
        with_pace
            .then_some([">images", ">rate", ">left"])
            .into_iter()
            .flatten(),
    );
    columns.extend([
        "created",
        "key",
        "+>priority",
        "+finished",
        "+store",
        "waits for",
    ]);
    let mut table = Table::new(&columns);
    for (job, id) in jobs.iter().zip(ids) {
        let counts = job.tasks.unwrap_or_default();
        let mut row: Vec<Cell> = vec![
            id.into(),
            job.name.clone().into(),
            job.kind.clone().into(),
            job.state.clone().into(),
            job.runs.to_string().into(),
            format!("{}/{}", settled(&counts), all(&counts)).into(),
        ];
        if with_pace {
            let pace = job.pace.as_ref();
            let exact =
                |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            row.extend([
                pace.map(images).unwrap_or_default().into(),
                Cell::from(
                    pace.and_then(|pace| rate(pace.images_per_s))
                        .unwrap_or_default(),
                )
                .exactly(exact(pace.map(|pace| pace.images_per_s))),
                Cell::from(pace.and_then(left).unwrap_or_default()).exactly(exact(
                    pace.and_then(|pace| pace.left_ms)
                        .map(|left_ms| left_ms as f64 / 1_000.0),
                )),
            ]);
        }
        row.extend([
            moment(job.created_ms, now),
            job.key.clone().into(),
            job.priority.to_string().into(),
            moment(job.finished_ms, now),
            job.store.clone().into(),
            waits_for(job, now).into(),
        ]);
        table.row(row);
    }
    table
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

fn task_table(tasks: &[Task]) -> Table {
    let mut table = Table::new(&[
        "tasks",
        "kind",
        ">run",
        "state",
        ">attempts",
        "worker",
        "took",
        "+prefix",
        "reason",
    ]);
    let causes = Causes::of(tasks);
    for task in tasks {
        let last = task.attempts.last();
        let took_ms = last
            .filter(|attempt| attempt.ended_ms > 0)
            .map(|attempt| attempt.ended_ms.saturating_sub(attempt.started_ms));
        let took = took_ms.map(|ms| Cell::from(output::took(ms)).exactly(ms as f64 / 1_000.0));
        let reason = match task.state.as_str() {
            "skipped" => page::needs(task, &causes),
            _ => task.reason.clone(),
        };
        let of_last = |text: fn(&Attempt) -> &String| last.map(text).cloned().unwrap_or_default();
        table.row([
            Cell::from(task.id.clone()),
            task.kind.clone().into(),
            task.run
                .map(|run| run.to_string())
                .unwrap_or_default()
                .into(),
            task.state.clone().into(),
            task.attempts.len().to_string().into(),
            of_last(|attempt| &attempt.worker).into(),
            took.unwrap_or_default(),
            of_last(|attempt| &attempt.prefix).into(),
            reason.into(),
        ]);
    }
    table
}

pub fn run_value(run: &Run) -> Value {
    json!({
        "index": run.index, "model": run.model, "dataset": run.dataset, "category": run.category, "seed": run.seed, "state": run.state,
        "axes": embedded(&run.axes_json), "result": embedded(&run.result_json), "error": run.error,
        "warnings": run.warnings,
    })
}

pub fn run_table(runs: &[Run]) -> Table {
    let mut table = Table::new(&[
        ">runs", "model", "dataset", "category", ">seed", "state", "+axes", "error",
    ]);
    for run in runs {
        table.row([
            run.index.to_string(),
            run.model.clone(),
            run.dataset.clone(),
            run.category.clone(),
            run.seed.to_string(),
            run.state.clone(),
            run.axes_json.clone(),
            run.error.clone(),
        ]);
    }
    table
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

fn last_seen(worker: &Worker, now_ms: i64) -> Cell {
    match worker.last_seen_ms {
        0 => Cell::from("before the coordinator's start".to_owned()).exactly(""),
        seen_ms => moment(seen_ms, now_ms),
    }
}

fn worker_table(workers: &[Worker]) -> Table {
    let now = output::now_ms();
    let mut table = Table::new(&[
        "workers", "pool", "state", ">busy", ">memory", "devices", "engines", "labels", "+version",
        "seen", "tasks", "reason",
    ]);
    for worker in workers {
        table.row([
            Cell::from(worker.name.clone()),
            worker.pool.clone().into(),
            worker.state.clone().into(),
            format!("{}/{}", worker.busy, worker.slots).into(),
            Cell::from(output::size(worker.memory_bytes)).exactly(worker.memory_bytes),
            worker.devices.join(" ").into(),
            worker.engines.join(" ").into(),
            labels(worker).into(),
            worker.version.clone().into(),
            last_seen(worker, now),
            worker.tasks.join(" ").into(),
            worker
                .quarantine
                .as_ref()
                .map(|quarantine| quarantine.reason.clone())
                .unwrap_or_default()
                .into(),
        ]);
    }
    table
}

pub fn model_value(model: &Model) -> Value {
    json!({
        "name": model.name, "version": model.version, "job": model.job, "run": model.run, "package": model.package, "sha256": model.sha256,
        "created": time(model.created_ms),
    })
}

fn model_table(models: &[Model]) -> Table {
    let now = output::now_ms();
    let mut table = Table::new(&[
        "models", ">version", "job", "+>run", "created", "+sha256", "package",
    ]);
    for model in models {
        table.row([
            Cell::from(model.name.clone()),
            model.version.to_string().into(),
            model.job.clone().into(),
            model.run.to_string().into(),
            moment(model.created_ms, now),
            model.sha256.clone().into(),
            model.package.clone().into(),
        ]);
    }
    table.name_rows(
        models
            .iter()
            .map(|model| format!("{}@{}", model.name, model.version)),
    );
    table
}
