//! A job followed by somebody: a snapshot now, one after each change (not too many), the last at its end.

use std::{collections::BTreeSet, time::Duration};

use coordinator_core::{Core, Now};
use proto::v1;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use types::{JobId, JobState};

use super::{status::RequestError, view};
use crate::handle::{Ended, Handle};

/// Between two snapshots: five a second are as many as a person reads.
const PAUSE: Duration = Duration::from_millis(200);

pub fn watch(handle: Handle, job: JobId) -> ReceiverStream<Result<v1::JobSnapshot, Status>> {
    let (sender, receiver) = channel(1);
    tokio::spawn(async move {
        // An error of `send`: the caller has gone.
        if let Err(error) = follow(&handle, &job, &sender).await {
            let _ = sender.send(Err(error.into())).await;
        }
    });
    ReceiverStream::new(receiver)
}

async fn follow(
    handle: &Handle,
    job: &JobId,
    sender: &Sender<Result<v1::JobSnapshot, Status>>,
) -> Result<(), RequestError> {
    let mut told = BTreeSet::new();
    // Before the first look, so that no change falls between look and wait.
    let mut changed = handle.changes().subscribe(job);
    loop {
        changed.mark_unchanged();
        let of = job.clone();
        let mut snapshot = handle
            .query(move |core, now| take(core, now, &of))
            .await??;
        let ended: BTreeSet<u32> = snapshot.ended_runs.iter().map(|run| run.index).collect();
        snapshot.ended_runs.retain(|run| !told.contains(&run.index));
        // A run that is tried again is told again when it ends.
        told = ended;
        let state = snapshot
            .job
            .as_ref()
            .and_then(|job| JobState::parse(&job.state));
        if sender.send(Ok(snapshot)).await.is_err() || state.is_none_or(JobState::is_terminal) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            change = changed.changed() => change.map_err(|_| Ended)?,
            () = sender.closed() => return Ok(()),
        }
    }
}

/// Everything that is to be seen of the job now, with all runs that have ended.
fn take(core: &Core, now: Now, job: &JobId) -> Result<v1::JobSnapshot, RequestError> {
    Ok(v1::JobSnapshot {
        job: Some(view::job(core, now, job, false)?),
        active: view::active(core, job),
        ended_runs: view::ended_runs(core, job)?,
    })
}
