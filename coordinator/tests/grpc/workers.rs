//! What workers may rely on: leases that outlive the coordinator, the same answer to the same question, quick wake-ups.

use std::time::{Duration, Instant};

use proto::v1::{self, complete_reply::Verdict};
use tonic::Code;

use crate::sandbox::{Sandbox, Worker, job_when};

#[tokio::test]
async fn a_killed_coordinator_goes_on_where_it_was() {
    let mut sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let list = worker.claim().await;
    assert!(worker.heartbeat(&[list.lease.0]).await.cancel.is_empty());

    sandbox.kill();
    sandbox.start_again().await;
    worker.client = sandbox.client().await;
    let beat = worker.heartbeat(&[list.lease.0]).await;
    assert!(beat.cancel.is_empty(), "the lease was lost: {beat:?}");
    assert_eq!(
        worker.complete(&list, sandbox.store.path()).await,
        Verdict::Accepted
    );
    let fit = worker.claim().await;
    assert!(fit.lease > list.lease);

    sandbox.kill();
    sandbox.start_again().await;
    worker.client = sandbox.client().await;
    // The answer to what was accepted before, and the task held over the second end.
    assert_eq!(
        worker.complete(&list, sandbox.store.path()).await,
        Verdict::Accepted
    );
    assert_eq!(
        worker.complete(&fit, sandbox.store.path()).await,
        Verdict::Accepted
    );
    worker.work_through(sandbox.store.path()).await;
    let mut client = sandbox.client().await;
    let done = job_when(&mut client, &job, |job| job.state == "succeeded").await;
    // Each list, fit, evaluate and reduce once, and 300 samples in two chunks: what was accepted was expanded once.
    assert_eq!(done.tasks.unwrap().succeeded, 6);
}

#[tokio::test]
async fn every_start_has_a_higher_epoch() {
    let mut sandbox = Sandbox::start().await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let before = worker.heartbeat(&[]).await.epoch;
    sandbox.kill();
    sandbox.start_again().await;
    worker.client = sandbox.client().await;
    assert!(worker.heartbeat(&[]).await.epoch > before);
}

#[tokio::test]
async fn the_same_complete_gets_the_same_verdict() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let list = worker.claim().await;
    for _ in 0..3 {
        assert_eq!(
            worker.complete(&list, sandbox.store.path()).await,
            Verdict::Accepted
        );
    }
    let tasks = client
        .list_tasks(v1::ListTasksRequest {
            job: "last".to_owned(),
        })
        .await
        .unwrap()
        .into_inner()
        .tasks;
    assert_eq!(tasks.iter().filter(|task| task.kind == "score").count(), 2);
    assert_eq!(tasks[0].attempts.len(), 1);
    assert_eq!(tasks[0].attempts[0].outcome, "accepted");
}

#[tokio::test]
async fn the_same_claim_gets_the_same_lease() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let request = worker.claim_request(0);
    let first = worker
        .client
        .claim(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(!first.assignment_json.is_empty());
    assert_eq!(
        worker.client.claim(request).await.unwrap().into_inner(),
        first
    );
}

#[tokio::test]
async fn a_held_claim_is_woken_by_a_submit() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let mut waits = Vec::new();
    for number in 0..5 {
        let request = worker.claim_request(20_000);
        let mut claimer = worker.client.clone();
        let held = tokio::spawn(async move {
            (
                claimer.claim(request).await.unwrap().into_inner(),
                Instant::now(),
            )
        });
        worker.heartbeat(&[]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!held.is_finished());
        sandbox
            .submit(&mut client, &format!("request-{number}"))
            .await;
        let submitted = Instant::now();
        let (reply, answered) = held.await.unwrap();
        assert!(!reply.assignment_json.is_empty());
        waits.push(answered.saturating_duration_since(submitted));
    }
    waits.sort_unstable();
    println!(
        "a held claim is answered after the submit's reply: median {:?}",
        waits[2]
    );
    // Far below the tick, so that it was the submit that woke it; far above what it takes on a busy machine.
    assert!(waits[2] < Duration::from_millis(200), "{waits:?}");
}

#[tokio::test]
async fn a_claim_without_work_is_answered_when_its_wait_is_over() {
    let sandbox = Sandbox::start().await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let request = worker.claim_request(100);
    let start = Instant::now();
    let reply = worker.client.claim(request).await.unwrap().into_inner();
    assert!(reply.assignment_json.is_empty() && !reply.ended);
    assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&start.elapsed()));
}

#[tokio::test]
async fn a_worker_that_is_not_known_is_told_to_register() {
    let sandbox = Sandbox::start().await;
    let mut known = Worker::register(&sandbox, "box", 1).await;
    let mut request = known.claim_request(10_000);
    request.worker = "stranger".to_owned();
    assert!(
        known
            .client
            .claim(request)
            .await
            .unwrap()
            .into_inner()
            .register
    );
    let beat = v1::HeartbeatRequest {
        worker: "stranger".to_owned(),
        incarnation: 1,
        leases: Vec::new(),
    };
    assert!(
        known
            .client
            .heartbeat(beat)
            .await
            .unwrap()
            .into_inner()
            .register
    );
}

#[tokio::test]
async fn a_cancelled_job_grants_and_accepts_nothing() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let list = worker.claim().await;
    let request = v1::CancelRequest {
        request_id: "stop".to_owned(),
        job: job.clone(),
    };
    let state = client
        .cancel(request.clone())
        .await
        .unwrap()
        .into_inner()
        .state;
    assert_eq!(state, "cancelling");
    assert_eq!(
        worker.heartbeat(&[list.lease.0]).await.cancel,
        [list.lease.0]
    );
    assert_eq!(
        worker.complete(&list, sandbox.store.path()).await,
        Verdict::Cancelled
    );
    job_when(&mut client, &job, |job| job.state == "cancelled").await;
    assert_eq!(
        client.cancel(request).await.unwrap().into_inner().state,
        state
    );
    let request = worker.claim_request(0);
    assert!(
        worker
            .client
            .claim(request)
            .await
            .unwrap()
            .into_inner()
            .assignment_json
            .is_empty()
    );
}

#[tokio::test]
async fn a_drained_worker_gets_nothing_more() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    client
        .drain(v1::DrainRequest {
            worker: "box".to_owned(),
        })
        .await
        .unwrap();
    assert!(worker.heartbeat(&[]).await.drain);
    sandbox.submit(&mut client, "a").await;
    let request = worker.claim_request(0);
    assert!(
        worker
            .client
            .claim(request)
            .await
            .unwrap()
            .into_inner()
            .assignment_json
            .is_empty()
    );
    let workers = client
        .list_workers(v1::ListWorkersRequest {})
        .await
        .unwrap()
        .into_inner()
        .workers;
    assert_eq!(
        (workers[0].name.as_str(), workers[0].state.as_str()),
        ("box", "draining")
    );
    let unknown = client
        .drain(v1::DrainRequest {
            worker: "nobody".to_owned(),
        })
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn a_worker_that_left_is_gone_and_a_temporary_one_is_not_listed() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let leave = |worker: &str, incarnation| v1::LeaveRequest {
        worker: worker.to_owned(),
        incarnation,
    };
    let mut stays = Worker::register(&sandbox, "box", 1).await;
    let request = v1::RegisterRequest {
        worker: "ctl-cpu-7".to_owned(),
        incarnation: 3,
        pool: "cpu".to_owned(),
        slots: 1,
        temporary: true,
        ..v1::RegisterRequest::default()
    };
    client.register(request).await.unwrap();
    for _ in 0..2 {
        stays.client.leave(leave("box", 1)).await.unwrap();
        stays.client.leave(leave("ctl-cpu-7", 3)).await.unwrap();
        let workers = client
            .list_workers(v1::ListWorkersRequest {})
            .await
            .unwrap()
            .into_inner()
            .workers;
        let shown: Vec<_> = workers
            .iter()
            .map(|worker| (worker.name.as_str(), worker.state.as_str()))
            .collect();
        assert_eq!(shown, [("box", "gone")]);
    }
    assert!(stays.heartbeat(&[]).await.register);
}

#[tokio::test]
async fn a_released_task_is_somebody_elses() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    sandbox.submit(&mut client, "a").await;
    let mut first = Worker::register(&sandbox, "box-1", 1).await;
    let mut second = Worker::register(&sandbox, "box-2", 1).await;
    let list = first.claim().await;
    let request = v1::ReleaseRequest {
        worker: "box-1".to_owned(),
        incarnation: 1,
        lease: list.lease.0,
    };
    first.client.release(request).await.unwrap();
    let again = second.claim().await;
    assert_eq!(again.task, list.task);
    assert_eq!(
        second.complete(&again, sandbox.store.path()).await,
        Verdict::Accepted
    );
}

#[tokio::test]
async fn outputs_elsewhere_are_refused_and_change_nothing() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let list = worker.claim().await;
    let whole = worker.completion(&list, sandbox.store.path());
    for path in [
        "../../../models/x.json",
        "",
        "/etc/passwd",
        "..",
        "a/../../b",
        "a//b",
        "./a",
        "a/",
        "a\\\\b",
        "a\\u0000",
    ] {
        // In both, so that only the place is wrong.
        let elsewhere = |json: &str| json.replace("samples.parquet", path);
        let request = v1::CompleteRequest {
            outputs_json: elsewhere(&whole.outputs_json),
            result_json: elsewhere(&whole.result_json),
            ..whole.clone()
        };
        let refused = worker.client.complete(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}: {refused}");
    }
    let unwritten = v1::CompleteRequest {
        outputs_json: whole.outputs_json.replace("samples", "others"),
        ..whole.clone()
    };
    let refused = worker.client.complete(unwritten).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("samples.parquet"), "{refused}");
    assert_eq!(
        worker.complete(&list, sandbox.store.path()).await,
        Verdict::Accepted
    );
    let job = client
        .get_job(v1::GetJobRequest { job })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(job.tasks.unwrap().succeeded, 1);
}

#[tokio::test]
async fn tables_are_published_under_plain_names() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let reduce = loop {
        let task = worker.claim().await;
        if matches!(task.spec, plan::TaskSpec::Reduce) {
            break task;
        }
        worker.complete(&task, sandbox.store.path()).await;
    };
    let whole = worker.completion(&reduce, sandbox.store.path());
    for name in ["../../../models/x.json", "a/b.parquet", "", ".."] {
        let mut result: plan::TaskResult = serde_json::from_str(&whole.result_json).unwrap();
        let plan::ResultDetail::Reduce { tables, .. } = &mut result.detail else {
            panic!("{:?}", result.detail);
        };
        tables[0].name = name.to_owned();
        let request = v1::CompleteRequest {
            result_json: serde_json::to_string(&result).unwrap(),
            ..whole.clone()
        };
        let refused = worker.client.complete(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("not a file name"), "{refused}");
    }
    assert_eq!(
        worker.complete(&reduce, sandbox.store.path()).await,
        Verdict::Accepted
    );
}

#[tokio::test]
async fn nobody_completes_anothers_lease() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    sandbox.submit(&mut client, "a").await;
    let mut owner = Worker::register(&sandbox, "box-1", 1).await;
    let mut other = Worker::register(&sandbox, "box-2", 1).await;
    let list = owner.claim().await;
    let request = other.completion(&list, sandbox.store.path());
    assert_eq!(
        other.client.complete(request).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    assert_eq!(
        owner.complete(&list, sandbox.store.path()).await,
        Verdict::Accepted
    );
}

#[tokio::test]
async fn the_index_is_given_tables_of_its_job_only() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    let mut listed = None;
    let reduce = loop {
        let task = worker.claim().await;
        match task.spec {
            plan::TaskSpec::Reduce => break task,
            plan::TaskSpec::List { .. } => {
                listed = Some(format!("{}/samples.parquet", task.prefix));
            }
            _ => {}
        }
        worker.complete(&task, sandbox.store.path()).await;
    };
    let listed = listed.unwrap();
    let whole = worker.completion(&reduce, sandbox.store.path());
    let with = |index: &str, part: &str| {
        let mut result: plan::TaskResult = serde_json::from_str(&whole.result_json).unwrap();
        let plan::ResultDetail::Reduce {
            tables,
            index: folder,
            merged,
            ..
        } = &mut result.detail
        else {
            panic!("{:?}", result.detail);
        };
        tables[0].name = "scores.parquet".to_owned();
        *folder = Some(index.to_owned());
        merged.push(part.to_owned());
        v1::CompleteRequest {
            result_json: serde_json::to_string(&result).unwrap(),
            ..whole.clone()
        }
    };
    for (index, part, told) in [
        ("models/x", &*listed, "no folder of the index"),
        ("index/../models", &*listed, "no folder of the index"),
        (
            "index/a/b",
            "jobs/zzzzzzzz/tasks/t/merged-0.parquet",
            "no part of the job",
        ),
        (
            "index/a/b",
            &format!("{listed}/../../../../../models/x.json"),
            "no part of the job",
        ),
        ("index/a/b", "/etc/passwd", "no part of the job"),
    ] {
        let refused = worker.client.complete(with(index, part)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(told), "{refused}");
    }
    let request = with("index/a/b", &listed);
    let verdict = worker.client.complete(request).await.unwrap().into_inner();
    assert_eq!(verdict.verdict(), Verdict::Accepted);
    job_when(&mut client, &job, |job| job.state == "succeeded").await;
    let index = sandbox.store.path().join("index/a/b");
    for name in [format!("{job}.parquet"), format!("merged/{job}-0.parquet")] {
        assert!(index.join(&name).is_file(), "{name}");
    }
}
