//! `ctl cancel`: ends a job; what succeeded stays readable.

use proto::v1::{CancelRequest, GetJobRequest};
use serde_json::json;

use super::{JobArg, with_cluster};
use crate::{Common, Error, client};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    job: JobArg,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        // Its id first: `last` may be another one by the time of the answer.
        let request = GetJobRequest {
            job: args.job.job.clone(),
        };
        let job = cluster.client.get_job(request).await?.into_inner().id;
        let request = CancelRequest {
            request_id: client::request_id()?,
            job: job.clone(),
        };
        let state = cluster.client.cancel(request).await?.into_inner().state;
        common
            .output
            .print(&json!({"job": job, "state": state}), || {
                format!("job {job} {state}")
            })
    })
    .await
}
