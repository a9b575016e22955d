//! `ctl logs`: what attempts wrote, with the task before each line when there are several.

use std::io::{self, Write};
use std::time::Duration;

use proto::v1::{GetJobRequest, LogChunk, LogsRequest};
use serde_json::json;
use types::TaskId;

use super::with_cluster;
use crate::output::Format;
use crate::{Common, Error, output, resume};

/// After so long without a line it is said why.
const SILENCE: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub struct Args {
    /// Id of a job or task, a unique prefix of a job's, or its key; `last` is the newest job
    #[arg(value_name = "JOB|TASK", add = crate::completion::jobs_and_tasks())]
    id: String,
    /// Go on with what is written from now on, to the job's end
    #[arg(short, long)]
    follow: bool,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    match read(common, &args).await {
        // That of a `ctl run` ends when its job has ended, and may be faster than the log's last words.
        Err(Error::Unreachable { .. }) if args.follow && has_ended(common, &args.id).await? => {
            let all = resume::command(common, &["logs", &args.id]);
            eprintln!("the job has ended, and its coordinator; `{all}` shows the whole log");
            Ok(())
        }
        read => read,
    }
}

async fn has_ended(common: &Common, id: &str) -> Result<bool, Error> {
    let task: Option<TaskId> = id.parse().ok();
    let job = task.map_or_else(|| id.to_owned(), |task| task.job.to_string());
    with_cluster(common, async |cluster| {
        let request = GetJobRequest { job: job.clone() };
        let job = cluster.client.get_job(request).await?.into_inner();
        Ok(job.finished_ms != 0)
    })
    .await
}

async fn read(common: &Common, args: &Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        let waits = resume::command(common, &["describe", &args.id]);
        let interrupted = || Error::Interrupted {
            hint: "the job goes on".to_owned(),
        };
        // Lines of one task alone need no name before them. Nor do those of a key that looks like its id: they say whose they are.
        let named = args.id.parse::<TaskId>().is_err();
        let mut stream = cluster
            .client
            .logs(LogsRequest {
                id: args.id.clone(),
                follow: args.follow,
            })
            .await?
            .into_inner();
        let mut silent = true;
        loop {
            tokio::select! {
                chunk = stream.message() => match chunk? {
                    Some(chunk) => {
                        silent = false;
                        match common.output {
                            Format::Table => write(&chunk, named)?,
                            format @ (Format::Json | Format::Yaml) => write_value(&chunk, format)?,
                            Format::Wide | Format::Csv | Format::Name => return Err(output::no_table()),
                        }
                    }
                    None => return Ok(()),
                },
                () = tokio::time::sleep(SILENCE), if silent => {
                    silent = false;
                    eprintln!("no attempt has written anything yet; `{waits}` says what is waited for");
                }
                _ = tokio::signal::ctrl_c() => return Err(interrupted()),
            }
        }
    })
    .await
}

/// One object a chunk, so that a program can read on while it comes: JSON lines, or items of a YAML list.
fn write_value(chunk: &LogChunk, format: Format) -> Result<(), Error> {
    let text = String::from_utf8_lossy(&chunk.text);
    let object = json!({"task": chunk.task, "lease": chunk.lease, "text": text});
    let item = if format == Format::Yaml { "- " } else { "" };
    output::line(&format!("{item}{object}"))
}

fn write(chunk: &LogChunk, named: bool) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let written = if named {
        chunk
            .text
            .split_inclusive(|byte| *byte == b'\n')
            .try_for_each(|line| write!(out, "{} ", chunk.task).and_then(|()| out.write_all(line)))
    } else {
        out.write_all(&chunk.text)
    };
    written
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Error::OutputClosed,
            _ => Error::cannot_run_because("cannot write to standard output", error),
        })
}
