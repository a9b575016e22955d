//! A submitted job: read again, digested and planned before the core hears of it.

use coordinator_core::{Event, Refusal, Reply, Submit, SubmitOutcome};
use job::ResolvedJob;
use proto::v1;
use spans::{Beginning, Kind, Span};
use store::Stores;
use tracing::field::display;
use types::{TraceContext, chain};

use super::{
    read::{id, random_id, request_id},
    status::RequestError,
};
use crate::handle::Handle;

/// Longest job file that is kept; the readers of job files refuse larger ones, too.
const MAX_SOURCE_BYTES: usize = 4 << 20;

/// Longest key: it is a name that people choose.
const MAX_KEY_BYTES: usize = 256;

/// `parent`: the caller's span.
pub async fn submit(
    handle: &Handle,
    request: v1::SubmitRequest,
    parent: Option<TraceContext>,
) -> Result<v1::SubmitReply, RequestError> {
    let (spans, beginning) = (handle.spans(), Beginning::now());
    let context = spans.begin(parent.as_ref(), "submit");
    let result = take(handle, request, context.as_ref()).await;
    if let Some(context) = &context {
        let times = beginning.until_now();
        let span = Span::new("submit", Kind::Server, context, parent.as_ref(), times);
        spans.record(match &result {
            Ok(reply) => span
                .with("nightshift.job", reply.job.as_str())
                .with("nightshift.outcome", reply.outcome().as_str_name()),
            Err(error) => span.failed(chain(error)),
        });
    }
    result
}

async fn take(
    handle: &Handle,
    request: v1::SubmitRequest,
    context: Option<&TraceContext>,
) -> Result<v1::SubmitReply, RequestError> {
    // Reading and planning a large benchmark takes a while: not on the threads that answer heartbeats.
    let (stores, planning) = (handle.stores().clone(), Beginning::now());
    let submit = tokio::task::spawn_blocking(move || prepare(request, &stores))
        .await
        .map_err(|panic| RequestError::WrongReply(panic.to_string()))??;
    if let Some(context) = context {
        let plan = handle.spans().child(context, "plan", 0);
        let span = Span::new(
            "plan",
            Kind::Internal,
            &plan,
            Some(context),
            planning.until_now(),
        );
        let tasks = i64::try_from(submit.plan.tasks.len()).unwrap_or(i64::MAX);
        handle.spans().record(span.with("nightshift.tasks", tasks));
    }
    loop {
        let mut next = submit.clone();
        next.id = id("job", &random_id()?)?;
        next.trace = context.cloned();
        match handle
            .ask(|to| Event::SubmitRequested {
                to,
                submit: Box::new(next),
            })
            .await?
        {
            Reply::Submitted {
                job,
                outcome,
                warnings,
            } => {
                let outcome = match outcome {
                    SubmitOutcome::Created => v1::submit_reply::Outcome::Created,
                    SubmitOutcome::Attached => v1::submit_reply::Outcome::Attached,
                    SubmitOutcome::Retried => v1::submit_reply::Outcome::Retried,
                    SubmitOutcome::Done => v1::submit_reply::Outcome::Done,
                };
                let trace_id = context.map(|context| display(context.trace));
                tracing::info!(job = %job, ?outcome, trace_id, "submitted");
                return Ok(v1::SubmitReply {
                    job: job.into(),
                    outcome: outcome.into(),
                    warnings,
                });
            }
            Reply::Refused(Refusal::JobIdTaken(_)) => {}
            Reply::Refused(refusal) => return Err(refusal.into()),
            other => return Err(RequestError::WrongReply(format!("{other:?}"))),
        }
    }
}

fn prepare(request: v1::SubmitRequest, stores: &Stores) -> Result<Submit, RequestError> {
    let bad = |field, what: String| RequestError::BadField { field, what };
    if request.source_yaml.len() > MAX_SOURCE_BYTES {
        let what = format!(
            "{} bytes; at most {MAX_SOURCE_BYTES} are allowed",
            request.source_yaml.len()
        );
        return Err(bad("source_yaml", what));
    }
    if request.key.len() > MAX_KEY_BYTES || request.key.contains(char::is_control) {
        return Err(bad(
            "key",
            format!("expected at most {MAX_KEY_BYTES} bytes without control characters"),
        ));
    }
    let resolved: ResolvedJob = ResolvedJob::from_json(&request.resolved_json)
        .map_err(|error| bad("resolved_json", chain(&error)))?;
    stores.check(&resolved.output)?;
    let plan = plan::plan(&resolved);
    Ok(Submit {
        request: request_id(&request.request_id)?,
        // Chosen anew for each try.
        id: id("job", "0000")?,
        key: (!request.key.is_empty()).then_some(request.key),
        digest: job::digest(&resolved),
        resolved_json: resolved.to_json(),
        source_yaml: request.source_yaml,
        resolved,
        plan,
        trace: None,
    })
}
