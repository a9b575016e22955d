//! What the coordinator tells whoever looks at a job's trace: how it was submitted, each attempt, what was published.
//!
//! An attempt may outlive the coordinator that granted it. Its span's context follows from the job's, which is in the
//! database, and the lease, so that the next one ends the same span.

use coordinator_core::{AttemptRow, Change, Core, OutboxRow, Outcome};
use spans::{Beginning, Kind, Span, Spans, from_milliseconds};
use types::{LeaseNumber, TaskId, TraceContext};

/// Of the attempt or the job that the change is about, if somebody traces it.
pub fn of(change: &Change, core: &Core, spans: &Spans) -> Option<TraceContext> {
    match change {
        Change::Attempt(row) => Some(of_attempt(spans, core.trace(&row.job)?, row.lease)),
        Change::JobProgress(row) => core.trace(&row.job).cloned(),
        _ => None,
    }
}

pub fn of_attempt(spans: &Spans, job: &TraceContext, lease: LeaseNumber) -> TraceContext {
    spans.child(job, "attempt", lease.0)
}

/// Records an attempt that is over. One that had been lost and comes back is over twice, with another outcome: the
/// collector hears of the same span again.
pub fn record_attempt(row: &AttemptRow, core: &Core, spans: &Spans) {
    let (true, Some(ended_ms), Some(job)) = (spans.is_on(), row.ended_ms, core.trace(&row.job))
    else {
        return;
    };
    let context = of_attempt(spans, job, row.lease);
    let task = TaskId {
        job: row.job.clone(),
        index: row.task,
    };
    let kind = core.kind(&task).map_or("task", |kind| kind.as_str());
    let times = from_milliseconds(row.granted_ms)..from_milliseconds(ended_ms);
    let span = Span::new(
        format!("attempt {kind}"),
        Kind::Internal,
        &context,
        Some(job),
        times,
    )
    .with("nightshift.job", row.job.as_str())
    .with("nightshift.task", task.to_string())
    .with("nightshift.attempt", i64::from(row.number))
    .with("nightshift.worker", row.worker.as_str())
    .with("nightshift.outcome", row.outcome.as_str());
    spans.record(match row.outcome {
        Outcome::Failed(_) => span.failed(row.message.as_deref().unwrap_or_default()),
        _ => span,
    });
}

/// Records that something has been brought to the store, at whatever try.
pub fn record_publishing(
    row: &OutboxRow,
    job: Option<&TraceContext>,
    tries: u32,
    beginning: Beginning,
    spans: &Spans,
) {
    let Some(job) = job else {
        return;
    };
    let context = spans.child(job, "publish", row.id.0);
    let name = format!("publish {}", row.item.word());
    let span = Span::new(
        name,
        Kind::Internal,
        &context,
        Some(job),
        beginning.until_now(),
    )
    .with("nightshift.job", row.job.as_str())
    .with("nightshift.tries", i64::from(tries));
    spans.record(span);
}
