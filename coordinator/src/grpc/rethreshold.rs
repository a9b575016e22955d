//! New thresholds for a job that has ended: what can be seen to be impossible is refused before anything is changed.

use coordinator_core::{Core, Event, Now, Reply};
use proto::v1;
use store::StoreError;
use types::JobId;

use super::{read, settle, status::RequestError};
use crate::handle::Handle;

/// Runs whose scores are looked for; the evaluations of all others say what is missing, and nothing is lost by it.
const LOOKED_FOR: usize = 16;

pub async fn rethreshold(
    handle: &Handle,
    request: v1::RethresholdRequest,
) -> Result<v1::RethresholdReply, RequestError> {
    let v1::RethresholdRequest {
        request_id,
        job,
        runs,
        new_json,
    } = request;
    let request = read::request_id(&request_id)?;
    let new = read::rethreshold(&new_json)?;
    let named = runs.clone();
    let look = move |core: &Core, _: Now| {
        let job = read::job(core, &job)?;
        // What is wrong with it, the event will say: this may be a repetition, to which the answer is the first one.
        let scores = core.first_scores(&job, &named).unwrap_or_default();
        let store = core.job_view(&job).map(|view| view.store.to_owned());
        Ok::<_, RequestError>((job, store.unwrap_or_default(), scores))
    };
    let (job, store, scores) = handle.query(look).await??;
    are_there(handle, &job, &store, &scores).await?;
    let event = move |to| Event::RethresholdRequested {
        to,
        request,
        job,
        runs,
        new,
    };
    match settle(handle.ask(event).await?)? {
        Reply::Rethresholded { tasks, before } => Ok(v1::RethresholdReply { tasks, before }),
        other => Err(RequestError::WrongReply(format!("{other:?}"))),
    }
}

async fn are_there(
    handle: &Handle,
    job: &JobId,
    store: &str,
    scores: &[String],
) -> Result<(), RequestError> {
    if scores.is_empty() {
        return Ok(());
    }
    let store = handle.stores().open(store)?;
    for path in scores.iter().take(LOOKED_FOR) {
        match store.head(path).await {
            Ok(_) => {}
            Err(source @ StoreError::NotFound { .. }) => {
                return Err(RequestError::ScoresGone {
                    job: job.clone(),
                    source: Box::new(source),
                });
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}
