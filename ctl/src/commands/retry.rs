//! `ctl retry`: what failed or was cancelled goes back into the queue.

use job::ResolvedJob;
use proto::Place;
use proto::v1::{GetJobRequest, Job, RetryRequest};
use serde_json::json;

use super::JobArg;
use crate::cluster::{Cluster, WorkerOptions};
use crate::output::counted;
use crate::watch::{Follow, Signals, follow};
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
        let request_id = client::request_id()?;
        let (job, tasks) = cluster
            .insist(async |cluster| {
                let request = GetJobRequest {
                    job: args.job.job.clone(),
                };
                let job = cluster.client.get_job(request).await?.into_inner();
                let request = RetryRequest {
                    request_id: request_id.clone(),
                    job: job.id.clone(),
                };
                let tasks = cluster.client.retry(request).await?.into_inner().tasks;
                Ok((job, tasks))
            })
            .await?;
        if !args.wait {
            return common
                .output
                .print(&json!({"job": job.id, "tasks": tasks}), || {
                    said(&job, tasks)
                });
        }
        eprintln!("{}", said(&job, tasks));
        let words = ["retry", job.id.as_str(), "--wait"];
        let job = follow_again(common, &mut cluster, &place, &job, &words).await?;
        super::results::show_end(common, &mut cluster, &job).await
    }
    .await;
    cluster.close().await;
    result
}

/// Follows a job to its end; brings a worker along if no live one serves its pool. `words`: what goes on with it after an
/// interruption.
pub(super) async fn follow_again(
    common: &Common,
    cluster: &mut Cluster,
    place: &Place,
    job: &Job,
    words: &[&str],
) -> Result<Job, Error> {
    // A job of a newer program may not read here; it says so itself, and the default pool is the likely one.
    let pool = serde_json::from_str::<ResolvedJob>(&job.resolved_json)
        .map(|job| job.resources.pool)
        .unwrap_or_default();
    let worker = WorkerOptions {
        pool: pool.to_string(),
        slots: 1,
    };
    let to_follow = Follow {
        place,
        job: job.id.clone(),
        worker,
        resume: resume::command(common, words),
        anew: None,
    };
    follow(cluster, &to_follow, &mut Signals::listen()?).await
}

/// What became of the request; why nothing did.
fn said(job: &Job, tasks: u32) -> String {
    let id = &job.id;
    match (tasks, job.state.as_str()) {
        (0, "succeeded") => format!("job {id}: nothing to do, it has succeeded"),
        (0, "queued" | "running") => format!(
            "job {id}: nothing done, it is {}; what fails goes back into the queue once the job has ended",
            job.state
        ),
        (tasks, _) => format!(
            "job {id}: {} back in the queue",
            counted(tasks.into(), "task")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_that_does_nothing_says_why() {
        let text = |state: &str, tasks| {
            let job = Job {
                id: "abcd".to_owned(),
                state: state.to_owned(),
                ..Job::default()
            };
            said(&job, tasks)
        };
        assert_eq!(text("failed", 3), "job abcd: 3 tasks back in the queue");
        assert!(text("running", 0).contains("once the job has ended"));
        assert!(text("succeeded", 0).contains("has succeeded"));
    }
}
