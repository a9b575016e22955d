//! An executor that does nothing: the worker's protocol, and one small object for each task.

use std::path::PathBuf;

use plan::Assignment;
use proto::executor_socket::{self, read_message, write_message};
use proto::v1::{
    ExecutorReady, FromExecutor, RunTask, TaskDone, TaskFailed, ToExecutor, from_executor,
    to_executor,
};
use store::{AttemptWriter, Stores};
use types::FailureClass;

use super::empty;
use super::stamps::{self, Stamp, Stamps};
use crate::{Common, Error};

#[derive(clap::Args)]
pub struct Args {
    /// Append here when each task was begun and ended
    #[arg(long, value_name = "FILE")]
    stamps: PathBuf,
}

/// Until the worker closes its end.
pub async fn run(common: &Common, args: &Args) -> Result<(), Error> {
    let failed = |source| Error::cannot_run_because("cannot talk to the worker", source);
    let mut socket = executor_socket::inherited().map_err(failed)?;
    let stores = Stores::read(common.config())?;
    let mut stamps = Stamps::append(&args.stamps).map_err(|source| Error::Write {
        path: args.stamps.clone(),
        source,
    })?;
    let mut say = socket.try_clone().map_err(failed)?;
    let mut say = |message| {
        let message = FromExecutor {
            message: Some(message),
        };
        write_message(&mut say, &message).map_err(failed)
    };
    say(from_executor::Message::Ready(ExecutorReady {
        engines: Vec::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }))?;
    while let Some(message) = read_message::<ToExecutor>(&mut socket).map_err(failed)? {
        // A task is over before anybody could cancel it.
        let Some(to_executor::Message::Run(run)) = message.message else {
            continue;
        };
        let begun = stamps::now();
        say(match work(&run, &stores, &mut stamps, begun).await {
            Ok(done) => from_executor::Message::Done(done),
            Err(message) => from_executor::Message::Failed(TaskFailed {
                lease: run.lease,
                class: FailureClass::Internal.as_str().to_owned(),
                message,
            }),
        })?;
    }
    Ok(())
}

async fn work(
    run: &RunTask,
    stores: &Stores,
    stamps: &mut Stamps,
    begun: stamps::Micros,
) -> Result<TaskDone, String> {
    let assignment: Assignment =
        serde_json::from_str(&run.assignment_json).map_err(|error| error.to_string())?;
    let store = stores
        .create(&assignment.store)
        .map_err(|error| error.to_string())?;
    let writer = AttemptWriter::new(store, assignment.prefix.clone());
    let outputs = async {
        let content = empty::CONTENT.to_vec().into();
        writer.put(empty::OBJECT, content, None).await?;
        writer.finish().await
    };
    let outputs = outputs.await.map_err(|error| error.to_string())?;
    let done = stamps::now();
    let result = empty::result(&assignment, done.saturating_sub(begun) as f64 / 1e6)?;
    let json = |error: serde_json::Error| error.to_string();
    let answer = TaskDone {
        lease: run.lease,
        result_json: serde_json::to_string(&result).map_err(json)?,
        outputs_json: serde_json::to_string(&outputs).map_err(json)?,
    };
    stamps
        .put(&assignment.task, Stamp { begun, done })
        .map_err(|error| format!("cannot write down when it was done: {error}"))?;
    Ok(answer)
}
