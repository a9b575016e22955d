//! `ctl cancel`: ends a job; what succeeded stays readable.

use proto::v1::CancelRequest;
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
        let request = CancelRequest {
            request_id: client::request_id()?,
            job: args.job.job.clone(),
        };
        let state = cluster.client.cancel(request).await?.into_inner().state;
        common
            .output
            .print(&json!({"job": args.job.job, "state": state}), || {
                format!("job {} {state}", args.job.job)
            })
    })
    .await
}
