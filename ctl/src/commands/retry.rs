//! `ctl retry`: what failed or was cancelled goes back into the queue.

use job::ResolvedJob;
use proto::v1::{GetJobRequest, RetryRequest};
use serde_json::json;

use super::JobArg;
use crate::cluster::{Cluster, WorkerOptions};
use crate::watch::{Follow, follow};
use crate::{Common, Error, client, places, resume};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    job: JobArg,
    /// Stay until the job has ended, and show its results; brings a worker along if no live one serves the job's pool
    #[arg(long)]
    wait: bool,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let place = places::coordinator(common)?;
    let mut cluster = Cluster::open(&place, common.config()).await?;
    let result = async {
        let job = cluster
            .client
            .get_job(GetJobRequest { job: args.job.job })
            .await?
            .into_inner();
        let tasks = cluster
            .client
            .retry(RetryRequest {
                request_id: client::request_id()?,
                job: job.id.clone(),
            })
            .await?
            .into_inner()
            .tasks;
        if !args.wait {
            return common
                .output
                .print(&json!({"job": job.id, "tasks": tasks}), || {
                    format!("job {}: {tasks} tasks back in the queue", job.id)
                });
        }
        eprintln!("job {}: {tasks} tasks back in the queue", job.id);
        // A job of a newer program may not read here; it says so itself, and the default pool is the likely one.
        let pool = serde_json::from_str::<ResolvedJob>(&job.resolved_json)
            .map(|job| job.resources.pool)
            .unwrap_or_default();
        let worker = WorkerOptions {
            pool: pool.to_string(),
            slots: 1,
        };
        cluster.ensure_worker(&worker).await?;
        let resume = resume::command(common, &["retry", &job.id, "--wait"]);
        let job = follow(
            &mut cluster,
            &Follow {
                place: &place,
                config: common.config(),
                job: job.id,
                worker,
                resume,
            },
        )
        .await?;
        super::results::show_end(common, &mut cluster, &job).await
    }
    .await;
    cluster.close().await;
    result
}
