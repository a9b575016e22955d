//! Jobs that are not to score again what another has scored: what cannot be skipped is refused with its reason.

use proto::v1::{ListJobsRequest, SubmitRequest};
use tonic::{Code, Status};

use crate::sandbox::{Client, Sandbox, read};

/// Submits a job that scores by a package and skips what `other` has scored.
async fn submit(sandbox: &Sandbox, client: &mut Client, other: &str) -> Result<String, Status> {
    let yaml = format!(
        "kind: predict\nname: night\nmodel: {{package: brick}}\ndata: /data/night\nskip: {other}\noutput: {}\n",
        sandbox.store_uri()
    );
    let request = SubmitRequest {
        request_id: format!("skip-{other}"),
        key: String::new(),
        resolved_json: read(&yaml).to_string(),
        source_yaml: yaml,
    };
    Ok(client.submit(request).await?.into_inner().job)
}

#[tokio::test]
async fn a_job_that_cannot_be_skipped_is_refused_with_the_reason() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let unknown = submit(&sandbox, &mut client, "zzzzzzzz").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    for words in [
        "job zzzzzzzz cannot be skipped",
        "it is not known",
        "ctl get jobs",
    ] {
        assert!(unknown.message().contains(words), "{unknown:?}");
    }

    let train = sandbox.submit(&mut client, "train").await;
    let trained = submit(&sandbox, &mut client, &train).await.unwrap_err();
    assert_eq!(trained.code(), Code::FailedPrecondition);
    assert!(trained.message().contains("of kind train"), "{trained:?}");

    let night = submit_alone(&sandbox, &mut client).await;
    let queued = submit(&sandbox, &mut client, &night).await.unwrap_err();
    assert_eq!(queued.code(), Code::FailedPrecondition);
    let words = "it is queued and has no published scores";
    assert!(queued.message().contains(words), "{queued:?}");

    // Nothing of what was refused is known.
    let jobs = client.list_jobs(ListJobsRequest {}).await.unwrap();
    assert_eq!(jobs.into_inner().jobs.len(), 2);
}

/// One that skips nothing.
async fn submit_alone(sandbox: &Sandbox, client: &mut Client) -> String {
    submit(sandbox, client, "null").await.unwrap()
}
