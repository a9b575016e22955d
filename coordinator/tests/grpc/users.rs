//! What users may rely on: requests done once, keys, lists, following, results, logs.

use std::{fs, path::Path, time::Duration};

use proto::v1::{self, submit_reply::Outcome};
use tonic::Code;

use crate::sandbox::{Client, Sandbox, Worker, job_when, resolved};

#[tokio::test]
async fn the_same_request_is_one_job() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let first = sandbox.submit(&mut client, "request-1").await;
    assert_eq!(first.len(), 8);
    assert_eq!(sandbox.submit(&mut client, "request-1").await, first);
    assert_ne!(sandbox.submit(&mut client, "request-2").await, first);
    assert_eq!(
        client
            .list_jobs(v1::ListJobsRequest {})
            .await
            .unwrap()
            .into_inner()
            .jobs
            .len(),
        2
    );
}

/// While a worker claims and completes as fast as it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_description_is_of_one_moment() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "request-1").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let store = sandbox.store.path().to_owned();
    let working = tokio::spawn(async move { worker.work_through(&store).await });
    let mut succeeded = 0;
    while !working.is_finished() {
        let request = v1::GetJobRequest { job: job.clone() };
        let described = client.describe_job(request).await.unwrap().into_inner();
        let counts = described.job.unwrap().tasks.unwrap();
        let of_state = |state: &str| {
            let tasks = described.tasks.iter();
            tasks.filter(|task| task.state == state).count() as u64
        };
        assert_eq!(
            [counts.ready, counts.running, counts.succeeded],
            ["ready", "running", "succeeded"].map(of_state)
        );
        succeeded = succeeded.max(counts.succeeded);
    }
    working.await.unwrap();
    assert!(succeeded > 0, "never seen at work");
}

async fn submit_nightly(
    sandbox: &Sandbox,
    client: &mut Client,
    request: &str,
) -> (Outcome, String) {
    let reply = client
        .submit(sandbox.submission(request, "nightly"))
        .await
        .unwrap()
        .into_inner();
    (reply.outcome(), reply.job)
}

#[tokio::test]
async fn a_key_names_one_job_however_often_it_is_submitted() {
    let mut sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let (created, job) = submit_nightly(&sandbox, &mut client, "a").await;
    assert_eq!(created, Outcome::Created);
    assert_eq!(
        submit_nightly(&sandbox, &mut client, "b").await,
        (Outcome::Attached, job.clone())
    );

    sandbox.kill();
    sandbox.start_again().await;
    let mut client = sandbox.client().await;
    assert_eq!(
        submit_nightly(&sandbox, &mut client, "c").await,
        (Outcome::Attached, job.clone())
    );

    let mut other = sandbox.submission("d", "nightly");
    other.resolved_json = resolved(&sandbox.store_uri(), 1).to_string();
    let refused = client.submit(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(
        refused.message().contains("nightly") && refused.message().contains(&job),
        "{refused:?}"
    );

    client
        .cancel(v1::CancelRequest {
            request_id: "stop".to_owned(),
            job: job.clone(),
        })
        .await
        .unwrap();
    job_when(&mut client, &job, |job| job.state == "cancelled").await;
    assert_eq!(
        submit_nightly(&sandbox, &mut client, "e").await,
        (Outcome::Retried, job.clone())
    );

    Worker::register(&sandbox, "box", 1)
        .await
        .work_through(sandbox.store.path())
        .await;
    job_when(&mut client, &job, |job| job.state == "succeeded").await;
    assert_eq!(
        submit_nightly(&sandbox, &mut client, "f").await,
        (Outcome::Done, job)
    );
}

#[tokio::test]
async fn a_job_is_found_by_a_beginning_of_its_id_its_key_or_as_the_last() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let get = async |client: &mut Client, text: &str| {
        client
            .get_job(v1::GetJobRequest {
                job: text.to_owned(),
            })
            .await
            .map(|reply| reply.into_inner().id)
    };
    assert_eq!(
        get(&mut client, "last").await.unwrap_err().code(),
        Code::NotFound
    );
    let first = sandbox.submit(&mut client, "a").await;
    assert_eq!(get(&mut client, &first[..4]).await.unwrap(), first);
    let second = sandbox.submit(&mut client, "b").await;
    assert_eq!(get(&mut client, "last").await.unwrap(), second);
    let night = client.submit(sandbox.submission("c", "night-29"));
    let night = night.await.unwrap().into_inner().job;
    assert_eq!(get(&mut client, "night-29").await.unwrap(), night);
    // All of a key, not its beginning.
    assert!(get(&mut client, "night").await.is_err());
    let missing = get(&mut client, "no-such-job").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(missing.message().contains("no-such-job"), "{missing:?}");
    assert_eq!(
        get(&mut client, "").await.unwrap_err().code(),
        Code::InvalidArgument
    );
    // By their 37th id at the latest two begin alike.
    for number in 0..36 {
        sandbox.submit(&mut client, &format!("more-{number}")).await;
    }
    let jobs = client
        .list_jobs(v1::ListJobsRequest {})
        .await
        .unwrap()
        .into_inner()
        .jobs;
    let shared = jobs
        .iter()
        .find(|a| jobs.iter().any(|b| a.id != b.id && a.id[..1] == b.id[..1]))
        .unwrap();
    assert_eq!(
        get(&mut client, &shared.id[..1]).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn what_is_not_a_resolved_job_is_refused_with_its_place() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    for (json, word) in [
        ("", "JSON"),
        ("{}", "format"),
        ("{\"format\": 1, \"knd\": \"train\"}", "knd"),
    ] {
        let request = v1::SubmitRequest {
            resolved_json: json.to_owned(),
            ..sandbox.submission("x", "")
        };
        let error = client.submit(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(
            error.message().contains("resolved_json") && error.message().contains(word),
            "{error:?}"
        );
    }
    let mut wrong = resolved(&sandbox.store_uri(), 0);
    wrong["output"] = "s3://bucket/results".into();
    let request = v1::SubmitRequest {
        resolved_json: wrong.to_string(),
        ..sandbox.submission("x", "")
    };
    let error = client.submit(request).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("s3://bucket/results"), "{error:?}");
    assert!(
        client
            .list_jobs(v1::ListJobsRequest {})
            .await
            .unwrap()
            .into_inner()
            .jobs
            .is_empty()
    );
}

#[tokio::test]
async fn results_stand_in_the_store_when_the_job_ends() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let early = client
        .results(v1::ResultsRequest { job: job.clone() })
        .await
        .unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);

    let mut snapshots = client
        .watch(v1::WatchRequest { job: job.clone() })
        .await
        .unwrap()
        .into_inner();
    let store = sandbox.store.path().to_owned();
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    worker.work_through(&store).await;

    let (mut last, mut ended) = (None, Vec::new());
    while let Some(snapshot) = snapshots.message().await.unwrap() {
        ended.extend(
            snapshot
                .ended_runs
                .iter()
                .map(|run| (run.index, run.state.clone())),
        );
        last = snapshot.job;
    }
    let last = last.unwrap();
    assert_eq!(
        (last.state.as_str(), last.results_generation),
        ("succeeded", 1)
    );
    assert_eq!(ended, [(0, "succeeded".to_owned())]);

    let results = client
        .results(v1::ResultsRequest { job: job.clone() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(results.tables, ["metrics.parquet"]);
    assert_eq!(
        fs::read_to_string(store.join(&results.path).join("metrics.parquet")).unwrap(),
        "tables/metrics.parquet"
    );
    tables_are_handed_out(&mut client, &results, &store.join(&results.path)).await;
    assert!(
        store
            .join(format!("jobs/{job}/manifest/000001.parquet"))
            .exists()
    );
    assert_eq!(
        fs::read_to_string(store.join(format!("jobs/{job}/spec.yaml"))).unwrap(),
        "kind: train\nname: brick\n"
    );
    let plan = fs::read_to_string(store.join(format!("jobs/{job}/plan.json"))).unwrap();
    assert!(serde_json::from_str::<plan::Plan>(&plan).is_ok());

    let models = client
        .list_models(v1::ListModelsRequest {})
        .await
        .unwrap()
        .into_inner()
        .models;
    assert_eq!(models.len(), 1);
    assert_eq!(
        (models[0].name.as_str(), models[0].version, &models[0].job),
        ("brick", 1, &job)
    );
    let pointer = fs::read_to_string(store.join("models/brick/000001.json")).unwrap();
    let pointer: serde_json::Value = serde_json::from_str(&pointer).unwrap();
    assert_eq!(pointer["package"], models[0].package);
    packages_are_handed_out(&mut client, &models[0].package, &store).await;
}

/// Whoever cannot read the store gets a model's `package.json` from the coordinator, and nothing else.
async fn packages_are_handed_out(client: &mut Client, package: &str, store: &Path) {
    let request = |package: &str| v1::ReadPackageRequest {
        package: package.to_owned(),
    };
    let path = package.strip_prefix("file://").unwrap();
    let read = client.read_package(request(package)).await.unwrap();
    assert_eq!(read.into_inner().data, fs::read(path).unwrap());
    let spec = format!("file://{}/models/brick/000001.json", store.display());
    for other in ["", "package.json", "file:///etc/passwd", &spec] {
        let refused = client.read_package(request(other)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{other}");
    }
    let large = fs::File::options().write(true).open(path).unwrap();
    large.set_len(5 << 20).unwrap();
    let refused = client.read_package(request(package)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
}

/// Whoever cannot read the store gets the tables from the coordinator, and nothing else from beside them.
async fn tables_are_handed_out(client: &mut Client, results: &v1::ResultsReply, folder: &Path) {
    // Several pieces.
    let table: Vec<u8> = (0..2_500_000u32).map(|i| (i % 251) as u8).collect();
    fs::write(folder.join("large.parquet"), &table).unwrap();
    let request = |generation, table: &str| v1::ReadTableRequest {
        job: results.job.clone(),
        generation,
        table: table.to_owned(),
    };
    let answer = client.read_table(request(1, "large")).await.unwrap();
    let mut pieces = answer.into_inner();
    let (mut found, mut count) = (Vec::new(), 0);
    while let Some(piece) = pieces.message().await.unwrap() {
        found.extend(piece.data);
        count += 1;
    }
    assert!(found == table && count == 3, "{} in {count}", found.len());
    for (generation, name, code) in [
        (1, "scores", Code::NotFound),
        (0, "large", Code::InvalidArgument),
        (2, "large", Code::InvalidArgument),
        (1, "", Code::InvalidArgument),
        (1, "../../spec", Code::InvalidArgument),
        (1, "/etc/passwd", Code::InvalidArgument),
    ] {
        let refused = client.read_table(request(generation, name)).await;
        assert_eq!(refused.unwrap_err().code(), code, "{generation} {name}");
    }
}

#[tokio::test]
async fn a_job_whose_results_cannot_be_published_waits_and_says_so() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    job_when(&mut client, &job, |_| {
        sandbox.stored(&format!("jobs/{job}/plan.json")).exists()
    })
    .await;
    // A file where the folder of results belongs.
    let in_the_way = sandbox.stored(&format!("jobs/{job}/results"));
    fs::write(&in_the_way, "").unwrap();
    Worker::register(&sandbox, "box", 1)
        .await
        .work_through(sandbox.store.path())
        .await;
    let stuck = job_when(&mut client, &job, |job| {
        job.unpublished.iter().any(|waits| waits.tries > 1)
    })
    .await;
    assert_eq!(stuck.state, "running");
    let waits = &stuck.unpublished[0];
    assert_eq!(waits.what, "results");
    assert!(waits.since_ms >= stuck.created_ms, "{waits:?}");
    assert!(waits.reason.contains(&job), "{waits:?}");
    fs::remove_file(in_the_way).unwrap();
    let done = job_when(&mut client, &job, |job| job.state == "succeeded").await;
    assert_eq!(done.unpublished, []);
}

#[tokio::test]
async fn a_failed_job_is_tried_again_without_what_succeeded() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let list = worker.claim().await;
    worker.complete(&list, sandbox.store.path()).await;
    let fit = worker.claim().await;
    worker
        .fail(
            &fit,
            "invalid_input",
            "/data/texture/brick/train/good: no normal images",
        )
        .await;
    // Training fails fast: nothing else of the job is done but its tables.
    let reduce = worker.claim().await;
    assert_eq!(reduce.spec, plan::TaskSpec::Reduce);
    worker.complete(&reduce, sandbox.store.path()).await;
    let failed = job_when(&mut client, &job, |job| job.state == "failed").await;
    assert_eq!(failed.results_generation, 1);
    assert!(
        failed.failures[0].contains("no normal images"),
        "{:?}",
        failed.failures
    );

    let request = v1::RetryRequest {
        request_id: "again".to_owned(),
        job: job.clone(),
    };
    let tasks = client
        .retry(request.clone())
        .await
        .unwrap()
        .into_inner()
        .tasks;
    assert!(tasks >= 2);
    assert_eq!(
        client.retry(request).await.unwrap().into_inner().tasks,
        tasks
    );
    let again = worker.claim().await;
    assert_eq!(again.spec, fit.spec);
    assert!(again.lease > fit.lease);
    worker.complete(&again, sandbox.store.path()).await;
    worker.work_through(sandbox.store.path()).await;
    job_when(&mut client, &job, |job| job.state == "succeeded").await;
}

#[tokio::test]
async fn logs_come_in_order_and_following_ends_with_the_job() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let list = worker.claim().await;
    let folder = sandbox.stored(&list.prefix).join("log");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("000000.log"), "first\n").unwrap();

    let request = v1::LogsRequest {
        id: list.task.to_string(),
        follow: true,
    };
    let mut follow = client.logs(request).await.unwrap().into_inner();
    let chunk = follow.message().await.unwrap().unwrap();
    assert_eq!(
        (chunk.lease, chunk.text.as_slice()),
        (list.lease.0, b"first\n".as_slice())
    );
    fs::write(folder.join("000001.log"), "second\n").unwrap();
    worker.complete(&list, sandbox.store.path()).await;
    assert_eq!(follow.message().await.unwrap().unwrap().text, b"second\n");
    assert!(follow.message().await.unwrap().is_none());

    let mut whole = client
        .logs(v1::LogsRequest {
            id: job[..6].to_owned(),
            follow: false,
        })
        .await
        .unwrap()
        .into_inner();
    let mut text = Vec::new();
    while let Some(chunk) = whole.message().await.unwrap() {
        text.extend(chunk.text);
    }
    assert_eq!(text, b"first\nsecond\n");
    let missing = client
        .logs(v1::LogsRequest {
            id: format!("{job}-9999"),
            follow: false,
        })
        .await
        .unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn snapshots_are_few_however_many_changes_there_are() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let list = worker.claim().await;
    let mut snapshots = client
        .watch(v1::WatchRequest { job })
        .await
        .unwrap()
        .into_inner();
    let count = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Ok(Ok(Some(snapshot))) =
            tokio::time::timeout(Duration::from_secs(1), snapshots.message()).await
        {
            seen.push(snapshot);
        }
        seen
    });
    for _ in 0..200 {
        worker.heartbeat(&[list.lease.0]).await;
    }
    let seen = count.await.unwrap();
    let progress = seen.last().unwrap().active[0].progress.clone().unwrap();
    assert_eq!((progress.stage.as_str(), progress.done), ("features", 3));
    assert!((2..100).contains(&seen.len()), "{} snapshots", seen.len());
}
