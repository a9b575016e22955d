//! What the coordinator's log says about attempts, jobs and workers: one line for each change that was committed, with job,
//! task, attempt and worker.

use coordinator_core::{AttemptRow, Change, JobProgressRow, Outcome, Stop, WorkerRow};
use tracing::field::display;
use types::{TaskId, TraceContext};

/// `context`: of the attempt or the job, if somebody traces it.
pub fn note(change: &Change, context: Option<&TraceContext>) {
    match change {
        Change::Attempt(row) => attempt(row, context),
        Change::JobProgress(row) => job(row, context),
        Change::Worker(row) => worker(row),
        Change::JobForgotten(job) => tracing::info!(%job, "job forgotten"),
        _ => {}
    }
}

fn attempt(row: &AttemptRow, context: Option<&TraceContext>) {
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
        trace_id = context.map(|context| display(context.trace)),
        span_id = context.map(|context| display(context.span)),
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

fn job(row: &JobProgressRow, context: Option<&TraceContext>) {
    let trace_id = context.map(|context| display(context.trace));
    let stop = row.stop.map(|stop| match stop {
        Stop::User => "cancelled by its user",
        Stop::TooManyFailures => "too many failures",
        Stop::Deadline => "its deadline has passed",
    });
    if row.finished_ms.is_some() {
        tracing::info!(job = %row.job, trace_id, stop, results = row.results_published, "job ended");
    } else if stop.is_some() {
        tracing::info!(job = %row.job, trace_id, stop, "job stopped");
    }
}

fn worker(row: &WorkerRow) {
    if let Some(quarantine) = &row.quarantine {
        tracing::warn!(worker = %row.worker, reason = quarantine.reason, "worker in quarantine");
    }
}
