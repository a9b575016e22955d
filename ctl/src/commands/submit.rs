//! `ctl submit`: a job into the queue, waiting for its end or not.

use serde_json::json;

use super::run::{Submitted, submit};
use crate::cluster::{Cluster, WorkerOptions};
use crate::job_file::{JobFile, print_warnings};
use crate::watch::{Follow, Signals, follow};
use crate::{Common, Error, places, resume};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: JobFile,
    /// Do this once: the same key and the same job give the same job; `{today}` and `{yesterday:%Y-%m-%d}` in it are days
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key: Option<String>,
    /// Stay until the job has ended, and show its results
    #[arg(long)]
    wait: bool,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let read = args.file.read()?;
    print_warnings(&read.reading);
    read.check_output()?;
    let place = places::coordinator(common)?;
    // Jobs of another machine's coordinator mean files where its workers are.
    if let proto::Place::State(_) = place {
        read.check_input()?;
    }
    let mut cluster = Cluster::open(&place, common.config()).await?;
    let result = async {
        let worker = WorkerOptions { pool: read.reading.job.resources.pool.to_string(), slots: 1 };
        if args.wait {
            cluster.ensure_worker(&worker).await?;
        }
        let Submitted { job, done } = submit(&mut cluster, &read, args.key.as_deref()).await?;
        if !args.wait {
            if cluster.is_private() && !done {
                eprintln!("no coordinator is running: the job begins with the next `ctl run` on this state folder");
            }
            return common.output.print(&json!({ "job": job }), || job.clone());
        }
        let resume = resume::command(common, &["retry", &job, "--wait"]);
        let job = follow(&mut cluster, &Follow { place: &place, job, worker, resume, anew: None }, &mut Signals::listen()?).await?;
        super::results::show_end(common, &mut cluster, &job).await
    }
    .await;
    cluster.close().await;
    result
}
