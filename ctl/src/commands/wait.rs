//! `ctl wait`: until jobs have ended.

use std::time::Duration;

use proto::v1::{GetJobRequest, Job};
use serde_json::{Value, json};
use types::JobState;

use super::retry::follow_again;
use crate::cluster::Cluster;
use crate::output::{self, Cell, Table};
use crate::{Common, Error, completion, places, resume};

#[derive(clap::Args)]
pub struct Args {
    /// Ids of jobs, unique prefixes of them, or keys; `last` is the newest
    #[arg(value_name = "JOB", required = true, add = completion::jobs())]
    jobs: Vec<String>,
    /// Give up after this time, such as 90s, 30m or 8h; the jobs go on
    #[arg(long, value_name = "TIME", value_parser = settings::time)]
    timeout: Option<Duration>,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let place = places::coordinator(common)?;
    let mut cluster = Cluster::open(&place, common.config()).await?;
    let wait = async {
        // Their ids first: `last` may be another one later.
        let mut jobs = Vec::new();
        for job in args.jobs.clone() {
            let request = GetJobRequest { job };
            let job = cluster.insist(async |cluster| {
                Ok(cluster.client.get_job(request.clone()).await?.into_inner())
            });
            jobs.push(job.await?);
        }
        for job in &mut jobs {
            // It also goes on with a job that a second interrupt has cancelled.
            let words = ["retry", job.id.as_str(), "--wait"];
            *job = follow_again(common, &mut cluster, &place, job, &words).await?;
        }
        Ok(jobs)
    };
    let ended = match args.timeout {
        Some(limit) => tokio::time::timeout(limit, wait).await,
        None => Ok(wait.await),
    };
    let ended = ended.unwrap_or_else(|_| {
        Err(Error::NotYet {
            jobs: args.jobs.join(" "),
            seconds: args.timeout.unwrap_or_default().as_secs_f64(),
        })
    });
    cluster.close().await;
    let jobs = ended?;
    let value = |job: &Job| json!({"job": job.id, "state": job.state});
    common
        .output
        .print(&jobs.iter().map(value).collect::<Value>(), || table(&jobs))?;
    let succeeded = |job: &&Job| job.state == JobState::Succeeded.as_str();
    match jobs.iter().find(|job| !succeeded(job)) {
        Some(job) => Err(Error::JobFailed {
            job: job.id.clone(),
            state: job.state.clone(),
            describe: resume::command(common, &["describe", &job.id]),
            retry: resume::command(common, &["retry", &job.id]),
        }),
        None => Ok(()),
    }
}

fn table(jobs: &[Job]) -> Table {
    let mut table = Table::new(&["jobs", "name", "state", "took"]);
    for job in jobs {
        let took_ms = job.finished_ms.saturating_sub(job.created_ms);
        table.row([
            Cell::from(job.id.clone()),
            job.name.clone().into(),
            job.state.clone().into(),
            Cell::from(output::took(took_ms)).exactly(took_ms as f64 / 1_000.0),
        ]);
    }
    table
}
