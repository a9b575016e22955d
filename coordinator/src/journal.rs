//! What the coordinator's log says about attempts, jobs and workers: one line for each change that was committed, with job,
//! task, attempt and worker.

use coordinator_core::{AttemptRow, Change, JobProgressRow, Outcome, Stop, WorkerRow};
use types::TaskId;

pub fn note(change: &Change) {
    match change {
        Change::Attempt(row) => attempt(row),
        Change::JobProgress(row) => job(row),
        Change::Worker(row) => worker(row),
        _ => {}
    }
}

fn attempt(row: &AttemptRow) {
    let task = TaskId {
        job: row.job.clone(),
        index: row.task,
    };
    let span = tracing::info_span!(
        "attempt",
        job = %row.job,
        task = %task,
        attempt = row.number,
        lease = row.lease.0,
        worker = %row.worker,
    );
    let _inside = span.enter();
    let outcome = row.outcome.as_str();
    if row.sweep.is_some() {
        // The sweeper has said what it deleted.
        return;
    }
    // A field named `message` would be the line's own.
    let why = row.message.as_deref();
    match row.outcome {
        Outcome::Running if row.started => tracing::debug!("attempt started"),
        Outcome::Running => tracing::info!("attempt granted"),
        Outcome::Failed(_) if row.verdict.is_some() => {
            tracing::info!(
                outcome,
                "attempt closed: what it may still complete is not accepted"
            );
        }
        Outcome::Failed(_) => tracing::warn!(
            outcome,
            why,
            counted = row.counted,
            delay_ms = row.delay_ms,
            "attempt failed"
        ),
        Outcome::Accepted | Outcome::Superseded | Outcome::Cancelled => {
            tracing::info!(outcome, why, ran_ms = row.ran_ms, "attempt ended");
        }
    }
}

fn job(row: &JobProgressRow) {
    let stop = row.stop.map(|stop| match stop {
        Stop::User => "cancelled by its user",
        Stop::TooManyFailures => "too many failures",
        Stop::Deadline => "its deadline has passed",
    });
    if row.finished_ms.is_some() {
        tracing::info!(job = %row.job, stop, results = row.results_published, "job ended");
    } else if stop.is_some() {
        tracing::info!(job = %row.job, stop, "job stopped");
    }
}

fn worker(row: &WorkerRow) {
    if let Some(quarantine) = &row.quarantine {
        tracing::warn!(worker = %row.worker, reason = quarantine.reason, "worker in quarantine");
    }
}
