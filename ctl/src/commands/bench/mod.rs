//! `ctl bench`: what this machine can dispatch, measured with coordinators and workers of the command's own.

mod coordinator;
mod dispatch;
mod empty;
mod executor;
mod figures;
mod stamps;
mod stand;

use std::path::PathBuf;

use crate::{Common, Error};

#[derive(clap::Subcommand)]
pub enum Args {
    /// Dispatch empty tasks to workers and their executors: tasks a second, and how long a ready task waits to be begun
    ///
    /// A coordinator and workers are started for it, the programs that stand beside ctl, with a state folder, a store and
    /// a pool of their own. The jobs are ordinary benchmarks, so that every task goes the way of a real one: claimed under
    /// a lease, handed to its worker's executor process, completed, and each of these steps on disk (SQLite with
    /// synchronous FULL) before it is answered. Included is also what an attempt leaves in the store: one small object and
    /// `_outputs.json`, synced to disk; `--store` puts them elsewhere.
    ///
    /// Not included is what executors do beside that: no image is read, no log is stored and no progress is told. Executors
    /// have been started before it is measured, as they stay from task to task.
    ///
    /// tasks/s: of one job, from its submission to the begin of its last task. A wait is counted from the moment when the
    /// task before said that it was done (of a job's first: when the job was sent) to the moment when the executor has the
    /// task; so the step that made it ready is in it. Idle: nothing else is there to do. Loaded: the job has a higher
    /// priority than another one that keeps every executor busy.
    ///
    /// Thousands of small objects are written and, at the end, removed: on some disks that takes longer than the rest.
    Dispatch(dispatch::Args),
    /// Play the workers of a large job: what a coordinator alone can take, how much memory it needs, how fast it is back
    ///
    /// A coordinator is started for it with a state folder of its own. This command claims and completes the job's tasks
    /// itself, without workers, executors or objects in the store; results and claims are as long as real ones. It kills
    /// the coordinator once, when all tasks are ready and some are running, and starts it again.
    Coordinator(coordinator::Args),
    /// Be an executor that does nothing; workers start it
    #[command(hide = true)]
    Executor(executor::Args),
}

/// Where a measurement keeps its state and its results.
#[derive(clap::Args)]
pub struct Folder {
    /// Measure the disk of this folder, in a new folder below it [default: the state folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    match args {
        Args::Dispatch(args) => dispatch::run(common, args).await,
        Args::Coordinator(args) => coordinator::run(common, args).await,
        Args::Executor(args) => executor::run(common, &args).await,
    }
}
