//! The executor's end: with its agent, and when it is told to stop.

use std::{
    fs,
    time::{Duration, Instant},
};

use types::TaskKind;

use crate::{
    images,
    job::{Job, yaml},
    process::Executor,
};

/// A job whose fit takes a while, with its list done, and the fit begun.
fn computing(folder: &std::path::Path, executor: &mut Executor) -> u64 {
    images::dataset(&folder.join("data"), 300, 1);
    let text = yaml(folder, "")
        .replace(
            "layers: [layer1, layer2]",
            "layers: [layer1, layer2, layer3]",
        )
        .replace("image_size: 64", "image_size: 512");
    let mut job = Job::new(folder, &text);
    let list = job.next().expect("the list task");
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).expect("scratch");
    executor.begin(&job.assignment(&list), &scratch, 2);
    let done = executor.outcome().expect("the listing");
    job.outcomes.insert(
        list.index,
        plan::InputOutcome::Accepted {
            prefix: job.assignment(&list).prefix,
            result: serde_json::from_str(&done.result_json).expect("a result"),
            outputs: serde_json::from_str(&done.outputs_json).expect("outputs"),
        },
    );
    let fit = job.next().expect("the fit task");
    assert_eq!(fit.spec.kind(), TaskKind::Fit);
    let assignment = job.assignment(&fit);
    executor.begin(&assignment, &scratch, 2);
    // Wait until it computes.
    loop {
        match executor.receive() {
            Some(proto::v1::from_executor::Message::Progress(progress)) => {
                let shown = progress.progress.expect("progress");
                if shown.stage == "features" && shown.done > 0 {
                    return assignment.lease.0;
                }
            }
            Some(proto::v1::from_executor::Message::Log(_)) => {}
            other => panic!("expected progress, got {other:?}"),
        }
    }
}

#[test]
fn it_ends_with_its_agent_while_it_computes() {
    let folder = tempfile::tempdir().unwrap();
    let mut executor = Executor::start();
    computing(folder.path(), &mut executor);
    executor.socket = None;
    let closed = Instant::now();
    loop {
        if executor.child.try_wait().unwrap().is_some() {
            break;
        }
        assert!(
            closed.elapsed() < Duration::from_secs(5),
            "the executor outlived its agent by seconds"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_cancelled_task_ends_between_two_images() {
    let folder = tempfile::tempdir().unwrap();
    let mut executor = Executor::start();
    let lease = computing(folder.path(), &mut executor);
    executor.cancel(lease);
    let failed = executor.outcome().expect_err("it was cancelled");
    assert_eq!(
        (failed.lease, failed.class.as_str(), failed.message.as_str()),
        (lease, "released", "cancelled")
    );
    // It is still there for the next task.
    assert!(executor.child.try_wait().unwrap().is_none());
}
