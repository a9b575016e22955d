//! Completion of ids and names: from the coordinator that the command being typed would ask, if it runs.
//!
//! The shell calls `ctl` with [`VARIABLE`] set and the words so far; what the script of `ctl completions` does.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use proto::v1::{Job, ListJobsRequest, ListModelsRequest, ListTasksRequest, ListWorkersRequest};

use crate::client::{self, Client};
use crate::{Cli, Common, Error, places};

/// Set by the scripts that shells read.
pub const VARIABLE: &str = "CTL_COMPLETE";
/// Somebody waits at a prompt.
const LIMIT: Duration = Duration::from_secs(1);
/// More than that nobody reads.
const MOST: usize = 200;

/// Answers the shell and ends the program, if it is one that asks.
pub fn complete() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .complete();
}

/// Of `JOB`.
pub fn jobs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| asked(async |client| of_jobs(client).await))
}

/// Of `JOB|TASK`: tasks where a job's id is typed already.
pub fn jobs_and_tasks() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = typed.to_string_lossy().into_owned();
        let mut found = asked(async |client| match typed.split_once('-') {
            Some((job, _)) => of_tasks(client, job).await,
            None => of_jobs(client).await,
        });
        found.retain(|candidate| candidate.get_value().to_string_lossy().starts_with(&typed));
        found
    })
}

/// Of `MODEL`.
pub fn models() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        asked(async |client| {
            let reply = client.list_models(ListModelsRequest {}).await?;
            let models = reply.into_inner().models.into_iter().rev();
            let candidate = |model: proto::v1::Model| {
                let name = format!("{}@{}", model.name, model.version);
                CompletionCandidate::new(name).help(Some(format!("of job {}", model.job).into()))
            };
            Ok(models.map(candidate).collect())
        })
    })
}

/// Of `WORKER`: those that can be released.
pub fn workers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        asked(async |client| {
            let reply = client.list_workers(ListWorkersRequest {}).await?;
            let workers = reply.into_inner().workers.into_iter();
            let quarantined = workers.filter(|worker| worker.quarantine.is_some());
            Ok(quarantined
                .map(|worker| CompletionCandidate::new(worker.name))
                .collect())
        })
    })
}

async fn of_jobs(client: &mut Client) -> Result<Vec<CompletionCandidate>, Error> {
    let jobs = client
        .list_jobs(ListJobsRequest {})
        .await?
        .into_inner()
        .jobs;
    let candidate = |job: Job| {
        let help = format!("{} {}, {}", job.kind, job.name, job.state);
        CompletionCandidate::new(job.id).help(Some(help.into()))
    };
    Ok(jobs.into_iter().map(candidate).collect())
}

async fn of_tasks(client: &mut Client, job: &str) -> Result<Vec<CompletionCandidate>, Error> {
    let job = job.to_owned();
    let reply = client.list_tasks(ListTasksRequest { job }).await?;
    let candidate = |task: proto::v1::Task| {
        let help = format!("{}, {}", task.kind, task.state);
        CompletionCandidate::new(task.id).help(Some(help.into()))
    };
    Ok(reply
        .into_inner()
        .tasks
        .into_iter()
        .map(candidate)
        .collect())
}

/// What a coordinator says; nothing where none runs, or where it does not answer soon: a prompt is no place for errors.
fn asked(
    look: impl AsyncFnOnce(&mut Client) -> Result<Vec<CompletionCandidate>, Error>,
) -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (Ok(runtime), Some(common)) = (runtime, typed(std::env::args_os())) else {
        return Vec::new();
    };
    let answer = async {
        let place = places::coordinator(&common)?;
        match client::connect(&place).await? {
            Some(mut client) => look(&mut client).await,
            None => Ok(Vec::new()),
        }
    };
    let answer = runtime.block_on(async { tokio::time::timeout(LIMIT, answer).await });
    let mut found = answer.ok().and_then(Result::ok).unwrap_or_default();
    found.truncate(MOST);
    found
}

/// The options so far of the command that is being typed: it stands after `--`.
fn typed(arguments: impl Iterator<Item = OsString>) -> Option<Common> {
    let words = arguments.skip_while(|word| word != "--").skip(1);
    let matches = Cli::command()
        .ignore_errors(true)
        .try_get_matches_from(words)
        .ok()?;
    Common::from_arg_matches(&matches).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coordinator_is_the_one_that_is_being_typed() {
        let words = "ctl -- ctl describe --coordinator https://there:7070 ab";
        let common = typed(words.split(' ').map(OsString::from)).unwrap();
        assert_eq!(
            common.reach.coordinator.as_deref(),
            Some("https://there:7070")
        );
        let words = "ctl -- ctl cancel --state /some/where";
        let common = typed(words.split(' ').map(OsString::from)).unwrap();
        assert_eq!(
            common.reach.state.as_deref(),
            Some(std::path::Path::new("/some/where"))
        );
    }
}
