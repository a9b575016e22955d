//! `ctl describe`: everything about a job or a task, with why it waits or failed.

use proto::v1::{GetJobRequest, ListRunsRequest, ListTasksRequest, Task};
use serde_json::{Value, json};
use types::TaskId;

use super::get::{job_value, run_value, task_value};
use super::with_cluster;
use crate::client::Client;
use crate::output::embedded;
use crate::rows::Results;
use crate::{Common, Error, page};

#[derive(clap::Args)]
pub struct Args {
    /// Id of a job or task, or a unique prefix of the job's; `last` is the newest job
    #[arg(value_name = "JOB|TASK")]
    id: String,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        let client = &mut cluster.client;
        if let Ok(task) = args.id.parse() {
            return describe_task(common, client, &task).await;
        }
        let job = client.get_job(GetJobRequest { job: args.id }).await?.into_inner();
        let runs = client.list_runs(ListRunsRequest { job: job.id.clone() }).await?.into_inner().runs;
        let tasks = client.list_tasks(ListTasksRequest { job: job.id.clone() }).await?.into_inner().tasks;
        let results = Results::find(client, &job.id).await?.map(|results| results.place());
        let value = json!({
            "job": job_value(&job), "resolved": embedded(&job.resolved_json), "runs": runs.iter().map(run_value).collect::<Value>(),
            "tasks": tasks.iter().map(task_value).collect::<Value>(),
            "results": results,
        });
        common.output.print(&value, || page::now(&job, &runs, &tasks, results.as_deref()))
    })
    .await
}

async fn describe_task(common: &Common, client: &mut Client, id: &TaskId) -> Result<(), Error> {
    let request = ListTasksRequest {
        job: id.job.to_string(),
    };
    let tasks = client.list_tasks(request).await?.into_inner().tasks;
    // The job may be named by a prefix: all tasks here are of the one that it means.
    let index = |task: &Task| task.id.parse().map(|id: TaskId| id.index).ok();
    let is_wanted = |task: &&Task| index(task) == Some(id.index);
    let Some(task) = tasks.iter().find(is_wanted) else {
        let job = &id.job;
        return Err(Error::NotFound(format!(
            "no task {id:?} in job {job}; `ctl get tasks {job}` lists them",
            id = id.to_string()
        )));
    };
    common.output.print(&task_value(task), || page::task(task))
}
