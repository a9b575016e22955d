//! `ctl worker`: what an operator does with a worker.

use proto::v1::ReleaseWorkerRequest;
use serde_json::json;

use super::with_cluster;
use crate::{Common, Error};

#[derive(clap::Subcommand)]
pub enum Args {
    /// End a worker's quarantine: it failed too often in a row, and is well again
    Release {
        /// Name of the worker, as `ctl get workers` shows it
        #[arg(value_name = "WORKER", add = crate::completion::workers())]
        worker: String,
    },
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let Args::Release { worker } = args;
    with_cluster(common, async |cluster| {
        let request = ReleaseWorkerRequest {
            worker: worker.clone(),
        };
        cluster.client.release_worker(request).await?;
        common
            .output
            .print(&json!({"worker": worker, "released": true}), || {
                format!("worker {worker} gets tasks again")
            })
    })
    .await
}
