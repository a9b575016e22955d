//! `ctl get dead`: what failed for good and waits for somebody to do something about it.

use proto::v1::{DeadTask, ListDeadRequest};
use serde_json::{Value, json};

use crate::output::{self, Cell, Table, moment, time};
use crate::{Error, client::Client};

#[derive(clap::Args)]
pub struct Args {
    /// Only of this job: its id, a unique prefix of it, or its key; `last` is the newest
    #[arg(value_name = "JOB", add = crate::completion::jobs())]
    job: Option<String>,
}

/// The list, and what is to be said if it is not whole.
pub async fn list(
    client: &mut Client,
    args: &Args,
) -> Result<(Value, Table, Option<String>), Error> {
    let request = ListDeadRequest {
        job: args.job.clone().unwrap_or_default(),
    };
    let reply = client.list_dead(request).await?.into_inner();
    let shown = reply.tasks.len();
    let more = (reply.more > 0).then(|| {
        format!(
            "{} more than these {shown}; `ctl get dead JOB` shows one job's",
            reply.more
        )
    });
    let value = reply.tasks.iter().map(value).collect();
    Ok((value, table(&reply.tasks), more))
}

fn value(task: &DeadTask) -> Value {
    json!({
        "id": task.id, "job": task.job, "job_name": task.job_name, "kind": task.kind, "run": task.run, "state": task.state, "class": task.class,
        "message": task.message, "attempts": task.attempts, "worker": task.worker, "ended": time(task.ended_ms),
    })
}

fn table(tasks: &[DeadTask]) -> Table {
    let now = output::now_ms();
    let mut table = Table::new(&[
        "dead tasks",
        "job",
        "kind",
        ">run",
        "class",
        ">attempts",
        "worker",
        "ended",
        "message",
    ]);
    for task in tasks {
        table.row([
            Cell::from(task.id.clone()),
            task.job_name.clone().into(),
            task.kind.clone().into(),
            task.run
                .map(|run| run.to_string())
                .unwrap_or_default()
                .into(),
            task.class.clone().into(),
            task.attempts.to_string().into(),
            task.worker.clone().into(),
            moment(task.ended_ms, now),
            task.message.clone().into(),
        ]);
    }
    table
}
