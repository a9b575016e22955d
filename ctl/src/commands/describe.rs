//! `ctl describe`: everything about a job, with why it waits or failed.

use proto::v1::{GetJobRequest, ListRunsRequest, ListTasksRequest};
use serde_json::{Value, json};

use super::get::{job_value, run_value, task_value};
use super::{JobArg, with_cluster};
use crate::output::embedded;
use crate::rows::Results;
use crate::{Common, Error, page};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    job: JobArg,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        let client = &mut cluster.client;
        let job = client.get_job(GetJobRequest { job: args.job.job }).await?.into_inner();
        let runs = client.list_runs(ListRunsRequest { job: job.id.clone() }).await?.into_inner().runs;
        let tasks = client.list_tasks(ListTasksRequest { job: job.id.clone() }).await?.into_inner().tasks;
        let results = Results::find(client, &cluster.stores, &job.id).await?.map(|results| results.place());
        let value = json!({
            "job": job_value(&job), "resolved": embedded(&job.resolved_json), "runs": runs.iter().map(run_value).collect::<Value>(),
            "tasks": tasks.iter().map(task_value).collect::<Value>(),
            "results": results,
        });
        common.output.print(&value, || page::now(&job, &runs, &tasks, results.as_deref()))
    })
    .await
}
