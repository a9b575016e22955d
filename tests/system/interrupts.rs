//! Ctrl-C in `ctl run`: the first drains, the second cancels, and the same command goes on.

use crate::images;
use crate::kills::run_to_fit;
use crate::processes::{Process, Signal};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, LIMIT, SOON, Sandbox};

// The other two interrupt programs that `ctl run` has started by itself, which never use a broker.
on_both_queues!(a_retry_computes_only_the_runs_that_failed,);

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_job(300, 3);
    sandbox.write("job.yaml", &JOB.replace("seed: 0", "seed: {grid: [0, 1]}"));
    sandbox
}

fn attempts(sandbox: &Sandbox, kind: &str) -> usize {
    sandbox.outcomes(kind).len()
}

#[test]
fn the_first_interrupt_finishes_what_runs_and_the_same_command_goes_on() {
    let sandbox = sandbox();
    let mut run = run_to_fit(&sandbox, &[]);
    let executor = run.program("executor");
    let programs = run.programs();
    // Held until the wish to drain has arrived.
    executor.signal(Signal::STOP);
    run.signal(Signal::INT);
    run.wait_for_word("draining");
    executor.signal(Signal::CONT);
    run.wait(LIMIT)
        .expect(130)
        .says(&["go on with `ctl run job.yaml"]);
    programs
        .iter()
        .for_each(|program: &Process| program.wait_for_end(SOON));
    let fits = sandbox.outcomes("fit");
    assert_eq!(
        fits,
        ["accepted"],
        "the running one was finished, no other begun"
    );
    sandbox
        .ctl(&["run", "job.yaml"])
        .expect(0)
        .says(&["going on with it"]);
    assert_eq!(sandbox.outcomes("fit"), ["accepted", "accepted"]);
    assert_eq!(sandbox.job_ids().len(), 1);
}

#[test]
fn the_second_interrupt_cancels_and_the_same_command_computes_what_is_missing() {
    let sandbox = sandbox();
    let mut run = run_to_fit(&sandbox, &[]);
    let executor = run.program("executor");
    let programs = run.programs();
    executor.signal(Signal::STOP);
    run.signal(Signal::INT);
    run.wait_for_word("draining");
    run.signal(Signal::INT);
    run.wait_for_word("cancelling");
    executor.signal(Signal::CONT);
    run.wait(LIMIT).expect(130);
    programs
        .iter()
        .for_each(|program: &Process| program.wait_for_end(SOON));
    let jobs = sandbox.json(&["get", "jobs"]);
    assert_eq!(jobs[0]["state"], "cancelled");
    sandbox
        .ctl(&["run", "job.yaml"])
        .expect(0)
        .says(&["going on with it"]);
    assert_eq!(sandbox.job_ids().len(), 1);
    assert_eq!(attempts(&sandbox, "list"), 1, "what had succeeded stays");
    assert_eq!(
        sandbox
            .json(&["results", "--last", "--scores"])
            .as_array()
            .unwrap()
            .len(),
        12
    );
}

fn a_retry_computes_only_the_runs_that_failed(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    let _programs = sandbox.found_by_run(queue);
    images::mvtec(&sandbox.path("data/other"), 6, 3);
    let bad = sandbox.path("data/other/train/good/0002.png");
    images::write_truncated(&bad);
    sandbox.write(
        "job.yaml",
        &JOB.replace("category: tiny", "category: {grid: [tiny, other]}"),
    );
    sandbox
        .ctl(&["run", "job.yaml"])
        .expect(1)
        .says(&["other/train/good/0002.png"]);
    let metrics = sandbox.json(&["results", "--last", "--metrics"]);
    let with_value = |run: u64| {
        metrics
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["run"] == run)
            .all(|row| row["value"].is_number())
    };
    assert!(with_value(0) && !with_value(1), "{metrics}");

    // Nothing was mended: it fails again, with the same words.
    sandbox
        .ctl(&["retry", "last", "--wait"])
        .expect(1)
        .says(&["other/train/good/0002.png"]);
    let fits = sandbox.tasks("fit");
    let attempts: Vec<usize> = fits
        .iter()
        .map(|fit| fit["attempts"].as_array().unwrap().len())
        .collect();
    assert_eq!(attempts, [1, 2]);

    // Mended files are other files: a job computes on what it listed, and says so.
    images::mvtec(&sandbox.path("data/other"), 6, 3);
    sandbox
        .ctl(&["retry", "last", "--wait"])
        .expect(1)
        .says(&["changed since it was listed", "a new job lists it again"]);
    assert_eq!(sandbox.job_ids().len(), 1);
}
