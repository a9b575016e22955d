//! Jobs that stop as a whole: at their deadline, or when more of their tasks failed than may.

use crate::kills::wait_for_socket;
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, LIMIT, Sandbox};

on_both_queues!(
    a_job_fails_at_its_deadline_says_so_and_a_retry_has_the_time_again,
    a_job_stops_when_more_tasks_failed_than_may_and_says_so,
);

fn a_job_fails_at_its_deadline_says_so_and_a_retry_has_the_time_again(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    sandbox.write("job.yaml", &format!("{JOB}deadline: 2s\n"));
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let state = || sandbox.json(&["get", "jobs"])[0].clone();
    assert!(state()["deadline"].is_string());
    // It outlives its coordinator.
    coordinator.signal(Signal::KILL);
    coordinator.wait(LIMIT);
    let mut again = sandbox.start("coordinator", &[]);
    // The socket's file is there still: a command that is faster would start a coordinator of its own.
    again.wait_for_word("coordinator.sock");
    until("a missed deadline", LIMIT, || {
        let ended = sandbox.ctl(&["get", "jobs", "-o", "json"]);
        let jobs: serde_json::Value = serde_json::from_str(&ended.stdout).ok()?;
        let failure = jobs[0]["failures"][0].as_str()?.to_owned();
        assert!(
            failure.starts_with("timed_out: the job had not ended within"),
            "{failure}"
        );
        Some(())
    });
    let described = sandbox.ctl(&["describe", "last"]).stdout;
    assert!(
        described.contains("failed   timed_out: the job"),
        "{described}"
    );
    // Its reduce tells what became of the run as soon as there is a worker.
    let _worker = sandbox.start("worker", &["--name", "box"]);
    until("the end of the failed job", LIMIT, || {
        (state()["state"] == "failed").then_some(())
    });
    let metrics = sandbox.json(&["results", "last", "--metrics"]);
    let text = metrics.to_string();
    assert!(text.contains("timed_out"), "{text}");
    let missed = state()["deadline"].clone();
    sandbox.ctl(&["retry", "last"]).expect(0);
    let again = state();
    assert!(
        again["deadline"].is_string() && again["deadline"] != missed,
        "{again}"
    );
}

fn a_job_stops_when_more_tasks_failed_than_may_and_says_so(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3);
    let job = JOB.replace("category: tiny", "category: {grid: [tiny, absent]}");
    sandbox.write("job.yaml", &format!("{job}max_failed_tasks: 0\n"));
    let sandbox = sandbox.served(queue);
    const WHY: &str = "1 of its tasks failed and 0 may (`max_failed_tasks`)";
    sandbox
        .ctl(&["run", "job.yaml"])
        .expect(1)
        .says(&[WHY, "absent"]);
    let described = sandbox.ctl(&["describe", "last"]);
    assert!(described.stdout.contains(WHY), "{}", described.stdout);
    let jobs = sandbox.json(&["get", "jobs"]);
    assert_eq!(jobs[0]["state"], "failed");
    assert_ne!(jobs[0]["tasks"]["cancelled"], 0);
}
