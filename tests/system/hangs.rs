//! Executors that hang: the worker notices, kills them, and the task is tried once more.

use std::fs;

use crate::kills::wait_for_socket;
use crate::processes::{Process, Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{LIMIT, Running, SOON, Sandbox};

on_both_queues!(
    a_stopped_executor_is_stalled_and_killed_and_its_task_is_tried_once_more,
    a_cancel_reaches_an_executor_that_does_not_listen_and_a_retry_computes_what_was_cancelled,
    a_cancelled_task_ends_between_two_images_and_its_executor_takes_the_next_job,
    what_a_drained_worker_cannot_finish_is_done_by_another,
);

/// Far above what lies between two images or takes to compile, and short enough to wait for.
const STALL: [&str; 2] = ["--stall-timeout=5s", "--loading-timeout=5s"];

/// A coordinator and a worker, with a job of so many images that its `fit` task runs for a while.
pub fn with_worker(queue: Queue, arguments: &[&str]) -> (Sandbox, Running, Running) {
    let sandbox = Sandbox::with_job(600, 3).on(queue);
    let coordinator = sandbox.start("coordinator", &["--log-json"]);
    wait_for_socket(&sandbox);
    let worker = sandbox.start(
        "worker",
        &[&["--name", "box", "--log-json"], arguments].concat(),
    );
    (sandbox, coordinator, worker)
}

/// The executor that is now at work on the newest job's `fit` task, in this attempt (from 1).
pub fn executor_at_fit(sandbox: &Sandbox, worker: &Running, attempt: usize) -> Process {
    until(&format!("attempt {attempt} of fit"), LIMIT, || {
        let running = sandbox.outcomes("fit").last()? == "running"
            && sandbox.outcomes("fit").len() == attempt;
        running.then_some(())
    });
    worker.program("executor")
}

pub fn wait_for_state(sandbox: &Sandbox, state: &str) {
    until(&format!("the job to be {state}"), LIMIT, || {
        (sandbox.json(&["get", "jobs"])[0]["state"] == state).then_some(())
    });
}

fn a_stopped_executor_is_stalled_and_killed_and_its_task_is_tried_once_more(queue: Queue) {
    let (sandbox, _coordinator, worker) = with_worker(queue, &STALL);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let first = executor_at_fit(&sandbox, &worker, 1);
    first.signal(Signal::STOP);
    first.wait_for_end(LIMIT);
    wait_for_state(&sandbox, "succeeded");
    assert_eq!(sandbox.outcomes("fit"), ["stalled", "accepted"]);
    let fit = &sandbox.tasks("fit")[0];
    let message = fit["attempts"][0]["message"].as_str().unwrap();
    assert!(message.contains("nothing moved"), "{message}");
    // What it had written is there, and how it ended.
    let log = sandbox.ctl(&["logs", fit["id"].as_str().unwrap()]);
    log.expect(0);
    let begun = log.stdout.matches("started").count();
    assert_eq!(begun, 2, "{}", log.stdout);
    assert!(log.stdout.contains("SIGKILL"), "{}", log.stdout);

    // Once more is all.
    sandbox
        .ctl(&["submit", "job.yaml", "--set", "seed=1"])
        .expect(0);
    for attempt in [1, 2] {
        let executor = executor_at_fit(&sandbox, &worker, attempt);
        executor.signal(Signal::STOP);
        executor.wait_for_end(LIMIT);
    }
    wait_for_state(&sandbox, "failed");
    assert_eq!(sandbox.outcomes("fit"), ["stalled", "stalled"]);
    assert_eq!(sandbox.tasks("fit")[0]["state"], "dead");
    worker.signal(Signal::TERM);
    worker.wait(SOON).expect(0);
}

fn a_cancel_reaches_an_executor_that_does_not_listen_and_a_retry_computes_what_was_cancelled(
    queue: Queue,
) {
    let (sandbox, _coordinator, worker) = with_worker(queue, &[]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let executor = executor_at_fit(&sandbox, &worker, 1);
    executor.signal(Signal::STOP);
    sandbox.ctl(&["cancel", "last"]).expect(0);
    // A heartbeat, the grace, the kill.
    executor.wait_for_end(SOON * 2);
    wait_for_state(&sandbox, "cancelled");
    assert!(worker.programs().is_empty(), "{:?}", worker.programs());
    sandbox.ctl(&["retry", "last", "--wait"]).expect(0);
    let attempts = |kind| sandbox.outcomes(kind).len();
    assert_eq!(sandbox.outcomes("fit"), ["cancelled", "accepted"]);
    assert_eq!((attempts("list"), attempts("score")), (1, 1));
}

fn a_cancelled_task_ends_between_two_images_and_its_executor_takes_the_next_job(queue: Queue) {
    let (sandbox, _coordinator, worker) = with_worker(queue, &[]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let executor = executor_at_fit(&sandbox, &worker, 1);
    sandbox.ctl(&["cancel", "last"]).expect(0);
    wait_for_state(&sandbox, "cancelled");
    sandbox
        .ctl(&["submit", "job.yaml", "--wait", "--set", "seed=1"])
        .expect(0);
    assert_eq!(worker.program("executor"), executor);
}

fn what_a_drained_worker_cannot_finish_is_done_by_another(queue: Queue) {
    let (sandbox, _coordinator, worker) = with_worker(queue, &[]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let executor = executor_at_fit(&sandbox, &worker, 1);
    executor.signal(Signal::STOP);
    let _other = sandbox.start("worker", &["--name", "other"]);
    worker.signal(Signal::TERM);
    worker.wait(SOON * 2).expect(0);
    executor.wait_for_end(SOON);
    wait_for_state(&sandbox, "succeeded");
    assert_eq!(sandbox.outcomes("fit"), ["released", "accepted"]);
    let fit = &sandbox.tasks("fit")[0];
    assert_eq!(fit["attempts"][1]["worker"], "other", "{fit}");
}

#[test]
fn times_without_a_unit_are_refused() {
    let sandbox = Sandbox::new();
    let worker = sandbox.start("worker", &["--stall-timeout", "5"]);
    worker
        .wait(SOON)
        .expect(2)
        .says(&["--stall-timeout", "90s"]);
    assert!(
        fs::read_dir(sandbox.path("s")).is_err(),
        "nothing was begun"
    );
}
