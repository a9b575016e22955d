//! What the core shows, as messages.

use std::collections::HashMap;

use coordinator_core::{
    ActiveAttempt, AttemptView, Core, DeadTask, JobView, Now, Pace, RunView, TaskView, Unpublished,
    Waiting,
};
use proto::v1;
use store::layout;
use types::{JobId, JobState, Labels, TaskId, TaskState};

use super::{
    logs::{Attempt, Subject},
    status::RequestError,
};

/// A job that was looked up in the same breath: missing only if somebody names one that never was.
fn find<'a>(core: &'a Core, job: &JobId) -> Result<JobView<'a>, RequestError> {
    core.job_view(job).ok_or_else(|| no_job(job))
}

fn no_job(job: &JobId) -> RequestError {
    RequestError::NoSuch {
        what: "job",
        text: job.to_string(),
    }
}

pub fn job(core: &Core, now: Now, job: &JobId, whole: bool) -> Result<v1::Job, RequestError> {
    let view = find(core, job)?;
    let resolved = whole.then(|| view.resolved_json.to_owned());
    let waiting = core.job_waiting(job, now);
    let mut message = of_job(view, waiting.as_ref(), core.pace(job, now));
    message.resolved_json = resolved.unwrap_or_default();
    Ok(message)
}

pub fn jobs(core: &Core, now: Now) -> Vec<v1::Job> {
    let waiting = core.waiting_jobs(now);
    core.job_views()
        .map(|view| {
            let (waiting, pace) = (waiting.get(view.id), core.pace(view.id, now));
            of_job(view, waiting, pace)
        })
        .collect()
}

fn of_job(view: JobView<'_>, waiting: Option<&Waiting>, pace: Option<Pace>) -> v1::Job {
    let count = |state| view.tasks.of(state);
    let of_tasks = view.failures.iter();
    let failures = of_tasks.map(|(task, failure)| format!("{task}: {failure}"));
    v1::Job {
        id: view.id.to_string(),
        name: view.name.to_owned(),
        kind: view.kind.as_str().to_owned(),
        state: view.state.to_string(),
        key: view.key.unwrap_or_default().to_owned(),
        digest: view.digest.to_owned(),
        store: view.store.to_owned(),
        priority: view.priority,
        created_ms: view.created_ms,
        finished_ms: view.finished_ms.unwrap_or(0),
        runs: view.runs,
        tasks: Some(v1::TaskCounts {
            blocked: count(TaskState::Blocked),
            ready: count(TaskState::Ready),
            running: count(TaskState::Running),
            succeeded: count(TaskState::Succeeded),
            failed: count(TaskState::Failed),
            dead: count(TaskState::Dead),
            skipped: count(TaskState::Skipped),
            cancelling: count(TaskState::Cancelling),
            cancelled: count(TaskState::Cancelled),
        }),
        failures: view.stopped.into_iter().chain(failures).collect(),
        deadline_ms: view.deadline_ms.unwrap_or(0),
        trace: view
            .trace
            .map(|context| context.trace.to_string())
            .unwrap_or_default(),
        results_generation: view.results_generation,
        resolved_json: String::new(),
        warnings: view.warnings,
        unpublished: view.unpublished.into_iter().map(of_unpublished).collect(),
        outage: view.outage.unwrap_or_default().to_owned(),
        rethreshold_failure: view.rethreshold_failure.unwrap_or_default().to_owned(),
        rethresholds_json: view
            .rethresholds
            .and_then(|thresholds| serde_json::to_string(thresholds).ok())
            .unwrap_or_default(),
        waits_for: word(waiting),
        reason: waiting.map(ToString::to_string).unwrap_or_default(),
        best: view.best.map(|best| v1::BestTrial {
            run: best.run,
            value: best.value,
        }),
        pace: pace.map(of_pace),
    }
}

fn of_pace(pace: Pace) -> v1::Pace {
    v1::Pace {
        done: pace.done,
        total: pace.total.unwrap_or(0),
        images_per_s: pace.images_per_s,
        left_ms: pace.left_ms,
    }
}

fn word(waiting: Option<&Waiting>) -> String {
    waiting.map(Waiting::word).unwrap_or_default().into_owned()
}

fn of_unpublished(waits: Unpublished<'_>) -> v1::Unpublished {
    v1::Unpublished {
        what: waits.what.to_owned(),
        store: waits.store.to_owned(),
        reason: waits.why.to_owned(),
        since_ms: waits.since_ms,
        tries: waits.tries,
    }
}

pub fn tasks(core: &Core, now: Now, job: &JobId) -> Result<Vec<v1::Task>, RequestError> {
    let tasks = core.task_views(job, now).ok_or_else(|| no_job(job))?;
    tasks.iter().map(|task| of_task(task, now)).collect()
}

fn of_task(task: &TaskView<'_>, now: Now) -> Result<v1::Task, RequestError> {
    let waiting = task.waiting.as_ref().map(ToString::to_string);
    let left_ms = task.waiting.as_ref().and_then(Waiting::left_ms);
    let reason = waiting.or_else(|| task.failure.as_ref().map(ToString::to_string));
    Ok(v1::Task {
        id: task.id.to_string(),
        kind: task.kind.to_string(),
        state: task.state.to_string(),
        run: task.run,
        attempts: task.attempts.iter().map(of_attempt).collect(),
        reason: reason.unwrap_or_default(),
        spec_json: serde_json::to_string(task.spec)
            .map_err(|error| RequestError::WrongReply(error.to_string()))?,
        waits_for: word(task.waiting.as_ref()),
        until_ms: left_ms.map_or(0, |left| now.wall_ms.saturating_add_unsigned(left)),
    })
}

fn of_attempt(attempt: &AttemptView<'_>) -> v1::Attempt {
    let row = attempt.row;
    v1::Attempt {
        lease: row.lease.0,
        worker: row.worker.to_string(),
        outcome: row.outcome.as_str().to_owned(),
        message: row.message.as_deref().unwrap_or_default().to_owned(),
        started_ms: row.granted_ms,
        ended_ms: row.ended_ms.unwrap_or(0),
        prefix: attempt.prefix.clone(),
        counted: row.counted,
        swept_ms: row.sweep.map_or(0, |sweep| sweep.at_ms),
    }
}

pub fn runs(core: &Core, job: &JobId) -> Result<Vec<v1::Run>, RequestError> {
    let runs = core.run_views(job).ok_or_else(|| no_job(job))?;
    let with_warnings = |view: &RunView<'_>| {
        let mut message = of_run(view)?;
        message.warnings = core.run_warnings(job, view.run.index);
        Ok(message)
    };
    runs.iter().map(with_warnings).collect()
}

pub fn ended_runs(core: &Core, job: &JobId) -> Result<Vec<v1::Run>, RequestError> {
    let runs = core.run_views(job).ok_or_else(|| no_job(job))?;
    runs.iter()
        .filter(|run| run.state.is_terminal())
        .map(of_run)
        .collect()
}

fn of_run(view: &RunView<'_>) -> Result<v1::Run, RequestError> {
    let axes = serde_json::to_string(&view.run.spec.axes)
        .map_err(|error| RequestError::WrongReply(error.to_string()))?;
    Ok(v1::Run {
        index: view.run.index,
        model: view.run.model.clone(),
        dataset: view.run.dataset.clone(),
        category: view.run.category.clone(),
        seed: view.run.spec.seed,
        state: view.state.as_str().to_owned(),
        axes_json: axes,
        result_json: view.result_json.unwrap_or_default().to_owned(),
        error: view
            .error
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        warnings: Vec::new(),
    })
}

/// More than anybody reads; the rest is counted.
const MOST_DEAD: usize = 1000;

pub fn dead(core: &Core, job: Option<&JobId>) -> v1::ListDeadReply {
    let mut tasks = core.dead(job);
    let shown = tasks.by_ref().take(MOST_DEAD).map(of_dead).collect();
    v1::ListDeadReply {
        tasks: shown,
        more: tasks.count() as u64,
    }
}

fn of_dead(task: DeadTask<'_>) -> v1::DeadTask {
    v1::DeadTask {
        job: task.id.job.to_string(),
        id: task.id.to_string(),
        job_name: task.job_name.to_owned(),
        kind: task.kind.to_string(),
        run: task.run,
        state: task.state.to_string(),
        class: task.failure.class.to_string(),
        message: task.failure.message,
        attempts: u32::try_from(task.attempts).unwrap_or(u32::MAX),
        worker: task.worker.map(ToString::to_string).unwrap_or_default(),
        ended_ms: task.ended_ms,
    }
}

pub fn workers(core: &Core) -> Vec<v1::Worker> {
    core.worker_views()
        .map(|view| v1::Worker {
            name: view.row.worker.to_string(),
            pool: view.row.pool.to_string(),
            slots: view.row.slots,
            busy: u32::try_from(view.tasks.len()).unwrap_or(u32::MAX),
            state: view.state.as_str().to_owned(),
            version: view.row.version.clone(),
            engines: view.row.engines.clone(),
            devices: view.row.devices.clone().into(),
            labels: of_labels(&view.row.labels),
            memory_bytes: view.row.memory_bytes,
            last_seen_ms: view.last_seen_ms.unwrap_or(0),
            tasks: view.tasks.iter().map(ToString::to_string).collect(),
            quarantine: view
                .row
                .quarantine
                .as_ref()
                .map(|quarantine| v1::Quarantine {
                    since_ms: quarantine.since_ms,
                    reason: quarantine.reason.clone(),
                }),
        })
        .collect()
}

fn of_labels(labels: &Labels) -> HashMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    labels.iter().map(owned).collect()
}

pub fn models(core: &Core) -> Vec<v1::Model> {
    core.models()
        .map(|row| v1::Model {
            name: row.name.clone(),
            version: row.version,
            job: row.job.to_string(),
            run: row.run,
            package: row.package.clone(),
            sha256: row.sha256.clone(),
            created_ms: row.created_ms,
        })
        .collect()
}

pub fn active(core: &Core, job: &JobId) -> Vec<v1::ActiveAttempt> {
    core.active(job).into_iter().map(of_active).collect()
}

fn of_active(active: ActiveAttempt<'_>) -> v1::ActiveAttempt {
    v1::ActiveAttempt {
        task: active.task.to_string(),
        kind: active.kind.to_string(),
        run: active.run,
        worker: active.worker.to_string(),
        progress: active.progress.map(|progress| v1::Progress {
            stage: progress.stage.clone(),
            done: progress.done,
            total: progress.total,
            rate: progress.rate,
        }),
    }
}

pub fn results(core: &Core, job: &JobId) -> Result<v1::ResultsReply, RequestError> {
    let view = find(core, job)?;
    let generation = view.results_generation;
    if generation == 0 {
        return Err(RequestError::NoResults {
            job: job.clone(),
            state: view.state.as_str(),
        });
    }
    Ok(v1::ResultsReply {
        job: job.to_string(),
        store: view.store.to_owned(),
        path: layout::results(job, generation),
        generation,
        // What the store holds there: filled in by whoever may read it.
        tables: Vec::new(),
    })
}

pub fn has_task(core: &Core, now: Now, task: &TaskId) -> bool {
    core.task_view(task, now).is_some()
}

/// The attempts whose logs make up the job's, or the one task's.
pub fn logged(
    core: &Core,
    now: Now,
    job: &JobId,
    only: Option<&TaskId>,
) -> Result<Subject, RequestError> {
    let view = find(core, job)?;
    let tasks = match only {
        Some(task) => core.task_view(task, now).into_iter().collect(),
        None => core.task_views(job, now).unwrap_or_default(),
    };
    let ended = match only {
        Some(_) => tasks.iter().all(|task| task.state.is_terminal()),
        None => JobState::is_terminal(view.state),
    };
    let mut attempts: Vec<Attempt> = tasks
        .iter()
        .flat_map(|task| {
            task.attempts.iter().map(|attempt| Attempt {
                task: task.id.clone(),
                lease: attempt.row.lease,
                prefix: attempt.prefix.clone(),
                ended: attempt.row.ended_ms.is_some(),
            })
        })
        .collect();
    attempts.sort_unstable_by_key(|attempt| attempt.lease);
    Ok(Subject {
        store: view.store.to_owned(),
        attempts,
        ended,
    })
}
