//! An attempt's log: its segments in the store, in order, and those that are still to come.

use std::{collections::BTreeMap, time::Duration};

use coordinator_core::{Core, Now};
use proto::v1;
use store::{StoreError, Stores};
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use types::{JobId, LeaseNumber, TaskId};

use super::{read, status::RequestError, view};
use crate::handle::Handle;

/// Between two looks into the store while following.
const PAUSE: Duration = Duration::from_secs(1);

/// One attempt whose log is asked for.
pub struct Attempt {
    pub task: TaskId,
    pub lease: LeaseNumber,
    /// Of the attempt, relative to the store's root.
    pub prefix: String,
    pub ended: bool,
}

/// What is asked for, as it stands now.
pub struct Subject {
    pub store: String,
    /// In order of lease.
    pub attempts: Vec<Attempt>,
    /// No further attempt will come.
    pub ended: bool,
}

/// `text` names a task, or a job with all its tasks.
pub async fn logs(
    handle: Handle,
    text: &str,
    follow: bool,
) -> Result<ReceiverStream<Result<v1::LogChunk, Status>>, RequestError> {
    let text = text.to_owned();
    let (job, task) = handle
        .query(move |core, now| named(core, now, &text))
        .await??;
    let (sender, receiver) = channel(4);
    tokio::spawn(async move {
        if let Err(error) = send(&handle, &job, task.as_ref(), follow, &sender).await {
            let _ = sender.send(Err(error.into())).await;
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// A task's id has its job's before the last dash, which may be shortened like any job's. A job's key may have dashes, too.
fn named(core: &Core, now: Now, text: &str) -> Result<(JobId, Option<TaskId>), RequestError> {
    let (job, index) = match (read::job(core, text), text.rsplit_once('-')) {
        (Err(_), Some(parts)) => parts,
        (job, _) => return Ok((job?, None)),
    };
    let job = read::job(core, job)?;
    let task: TaskId = read::id("id", &format!("{job}-{index}"))?;
    if !view::has_task(core, now, &task) {
        return Err(RequestError::NoSuch {
            what: "task",
            text: text.to_owned(),
        });
    }
    Ok((job, Some(task)))
}

async fn send(
    handle: &Handle,
    job: &JobId,
    task: Option<&TaskId>,
    follow: bool,
    sender: &Sender<Result<v1::LogChunk, Status>>,
) -> Result<(), RequestError> {
    // The last segment sent of each attempt that may have more.
    let mut sent: BTreeMap<LeaseNumber, String> = BTreeMap::new();
    let mut done = LeaseNumber(0);
    loop {
        let (of, only) = (job.clone(), task.cloned());
        let subject = handle
            .query(move |core, now| view::logged(core, now, &of, only.as_ref()))
            .await??;
        let mut all_before_ended = true;
        for attempt in &subject.attempts {
            if attempt.lease <= done {
                continue;
            }
            let last = sent.entry(attempt.lease).or_default();
            for (name, text) in
                newer(handle.stores(), &subject.store, &attempt.prefix, last).await?
            {
                let chunk = v1::LogChunk {
                    task: attempt.task.to_string(),
                    lease: attempt.lease.0,
                    text,
                };
                if sender.send(Ok(chunk)).await.is_err() {
                    return Ok(());
                }
                *last = name;
            }
            // Looked at after it had ended: nothing more comes of it.
            all_before_ended &= attempt.ended;
            if all_before_ended {
                done = attempt.lease;
                sent.remove(&attempt.lease);
            }
        }
        if !follow || subject.ended {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = sender.closed() => return Ok(()),
        }
    }
}

/// The segments after `last`: path and content.
async fn newer(
    stores: &Stores,
    store: &str,
    prefix: &str,
    last: &str,
) -> Result<Vec<(String, Vec<u8>)>, RequestError> {
    let store = match stores.open(store) {
        Ok(store) => store,
        // Nothing was ever written there.
        Err(StoreError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut segments = Vec::new();
    for object in store.list(&format!("{prefix}/log")).await? {
        if object.path.as_str() > last {
            match store.get(&object.path, None).await {
                Ok(text) => segments.push((object.path, text.to_vec())),
                // Swept since it was listed.
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(segments)
}
