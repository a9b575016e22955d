//! `ctl describe`: everything about a job, with why it waits or failed.

use proto::v1::{GetJobRequest, Job, ListRunsRequest, ListTasksRequest, Run, Task};
use serde_json::{Value, json};

use super::get::{job_value, run_table, run_value, task_value};
use super::{JobArg, with_cluster};
use crate::output::{Table, embedded};
use crate::{Common, Error, yaml};

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
        let value = json!({
            "job": job_value(&job), "resolved": embedded(&job.resolved_json), "runs": runs.iter().map(run_value).collect::<Value>(),
            "tasks": tasks.iter().map(task_value).collect::<Value>(),
        });
        common.output.print(&value, || for_people(&job, &runs, &tasks))
    })
    .await
}

fn for_people(job: &Job, runs: &[Run], tasks: &[Task]) -> String {
    let mut text = yaml::write(&job_value(job));
    text.push('\n');
    text.push_str(&run_table(runs));
    // What is done is in the counts; what waits or went wrong is worth a line.
    let mut table = Table::new(&[
        "open or failed tasks",
        "kind",
        ">run",
        "state",
        ">attempts",
        "reason",
    ]);
    for task in tasks.iter().filter(|task| task.state != "succeeded") {
        let reason = if task.reason.is_empty() {
            task.attempts
                .last()
                .map(|attempt| attempt.message.clone())
                .unwrap_or_default()
        } else {
            task.reason.clone()
        };
        table.row([
            task.id.clone(),
            task.kind.clone(),
            task.run.map(|run| run.to_string()).unwrap_or_default(),
            task.state.clone(),
            task.attempts.len().to_string(),
            reason,
        ]);
    }
    text.push_str(&format!("\n\n{}", table.render()));
    text
}
