//! `ctl delete`: jobs that have ended are hidden, and what they left goes; their models stay.

use std::time::Duration;

use proto::v1::{DeleteRequest, GetJobRequest};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::with_cluster;
use crate::cluster::Cluster;
use crate::{Common, Error, client, completion};

/// How long it stays to see that what a job left is gone; the coordinator goes on without it.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub struct Args {
    /// Ids of jobs that have ended, unique prefixes of them, or keys; `last` is the newest
    #[arg(value_name = "JOB", required = true, add = completion::jobs())]
    jobs: Vec<String>,
}

struct Deleted {
    job: String,
    /// What it left is gone, too.
    removed: bool,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        // All their ids first: with the first one gone, `last` would be another one.
        let mut ids = Vec::new();
        for job in &args.jobs {
            let job = job.clone();
            let job = cluster.client.get_job(GetJobRequest { job }).await?;
            ids.push(job.into_inner().id);
        }
        ids.sort();
        ids.dedup();
        let mut deleted = Vec::new();
        for job in ids {
            let removed = delete(cluster, &job).await?;
            deleted.push(Deleted { job, removed });
        }
        let value = |one: &Deleted| json!({"job": one.job, "removed": one.removed});
        let value: Value = deleted.iter().map(value).collect();
        common.output.print(&value, || said(&deleted))
    })
    .await
}

/// True as soon as nothing is left; false if that takes longer.
async fn delete(cluster: &mut Cluster, job: &str) -> Result<bool, Error> {
    let request_id = client::request_id()?;
    let deadline = Instant::now() + LIMIT;
    loop {
        let request = DeleteRequest {
            request_id: request_id.clone(),
            job: job.to_owned(),
        };
        if cluster.client.delete(request).await?.into_inner().removed {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(LOOK).await;
    }
}

fn said(deleted: &[Deleted]) -> String {
    let line = |one: &Deleted| match one.removed {
        true => format!("job {} is deleted; models that it trained stay", one.job),
        false => format!(
            "job {} is deleted; what it left goes as soon as the store lets it, models stay",
            one.job
        ),
    };
    deleted.iter().map(line).collect::<Vec<_>>().join("\n")
}
