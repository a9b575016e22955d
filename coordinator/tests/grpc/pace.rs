//! How fast a job's images are scored, as users are told.

use proto::v1::{GetJobRequest, Job, ListJobsRequest, Pace, Progress, WatchRequest};

use crate::sandbox::{Client, Sandbox, Worker, job_when};

fn scored(done: u64) -> Progress {
    Progress {
        stage: "score".to_owned(),
        done,
        total: 256,
        rate: 0.0,
    }
}

/// As every way to ask for a job says it.
async fn pace(client: &mut Client, job: &str) -> Option<Pace> {
    let of = |job: Job| job.pace;
    let get = GetJobRequest {
        job: job.to_owned(),
    };
    let got = of(client.get_job(get).await.unwrap().into_inner());
    let listed = client.list_jobs(ListJobsRequest {}).await.unwrap();
    let listed = of(listed.into_inner().jobs.remove(0));
    let watch = WatchRequest {
        job: job.to_owned(),
    };
    let mut snapshots = client.watch(watch).await.unwrap().into_inner();
    let watched = of(snapshots.message().await.unwrap().unwrap().job.unwrap());
    let counts = |pace: &Option<Pace>| pace.as_ref().map(|pace| (pace.done, pace.total));
    assert_eq!(counts(&got), counts(&listed));
    assert_eq!(counts(&got), counts(&watched));
    got
}

#[tokio::test]
async fn users_are_told_how_fast_images_are_scored_while_some_are_left() {
    let mut sandbox = Sandbox::start().await;
    let store = sandbox.store.path().to_owned();
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let list = worker.claim().await;
    assert_eq!(pace(&mut client, &job).await, None, "nothing is listed yet");
    worker.complete(&list, &store).await;
    let fit = worker.claim().await;
    worker.heartbeat(&[fit.lease.0]).await;
    let listed = Pace {
        done: 0,
        total: 300,
        images_per_s: 0.0,
        left_ms: None,
    };
    assert_eq!(pace(&mut client, &job).await, Some(listed));
    worker.complete(&fit, &store).await;

    let score = worker.claim().await;
    worker.tell(&[score.lease.0], &scored(0)).await;
    worker.tell(&[score.lease.0], &scored(100)).await;
    let told = pace(&mut client, &job).await.unwrap();
    assert_eq!((told.done, told.total), (100, 300));
    // It takes a few seconds until a rate says something.
    let fast = job_when(&mut client, &job, |job| {
        job.pace
            .as_ref()
            .is_some_and(|pace| pace.images_per_s > 0.0)
    });
    let fast = fast.await.pace.unwrap();
    assert!(fast.images_per_s < 100.0, "{fast:?}");
    let left_s = fast.left_ms.unwrap() as f64 / 1_000.0;
    assert!((left_s * fast.images_per_s - 200.0).abs() < 1.0, "{fast:?}");

    // What ran is counted again as it is heard of; what is accepted is known.
    sandbox.kill();
    sandbox.start_again().await;
    let mut client = sandbox.client().await;
    assert_eq!(pace(&mut client, &job).await, Some(listed));
    worker.client = sandbox.client().await;
    worker.complete(&score, &store).await;
    assert_eq!(pace(&mut client, &job).await.unwrap().done, 256);
    worker.work_through(&store).await;
    let ended = job_when(&mut client, &job, |job| job.state == "succeeded").await;
    assert_eq!(ended.pace, None);
}
