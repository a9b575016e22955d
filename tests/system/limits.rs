//! A job's own bounds on time and memory become typed failures.

use std::fs;
use std::path::PathBuf;

use crate::images;
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, LIMIT, Sandbox};

on_both_queues!(
    a_task_that_takes_too_long_is_timed_out,
    a_task_that_takes_too_much_memory_is_out_of_memory,
    an_allocation_that_fails_is_out_of_memory,
);

fn a_task_that_takes_too_long_is_timed_out(queue: Queue) {
    let sandbox = Sandbox::with_job(600, 3).served(queue);
    // The limit is every task's: long enough to list on a busy machine, short enough to wait for.
    sandbox.write("job.yaml", &format!("{JOB}resources: {{timeout: 15s}}\n"));
    let run = crate::kills::run_to_fit(&sandbox, &[]);
    sandbox.program("executor").signal(Signal::STOP);
    run.wait(LIMIT)
        .expect(1)
        .says(&["timed_out", "resources.timeout"]);
    assert_eq!(sandbox.outcomes("fit"), ["timed_out"]);
}

fn a_task_that_takes_too_much_memory_is_out_of_memory(queue: Queue) {
    // So many images that no machine is done before the agent has looked at it more than once.
    let sandbox = Sandbox::with_job(5000, 3).served(queue);
    sandbox.write("job.yaml", &format!("{JOB}resources: {{memory: 64MiB}}\n"));
    sandbox
        .ctl(&["run", "job.yaml"])
        .expect(1)
        .says(&["out_of_memory", "resources.memory"]);
    let outcomes: Vec<String> = ["list", "fit"]
        .iter()
        .flat_map(|kind| sandbox.outcomes(kind))
        .collect();
    assert!(
        outcomes.iter().any(|outcome| outcome == "out_of_memory"),
        "{outcomes:?}"
    );
}

fn an_allocation_that_fails_is_out_of_memory(queue: Queue) {
    let mut sandbox = Sandbox::with_job(600, 3);
    // The trace below what it died of must not hide it.
    sandbox.set("RUST_BACKTRACE", "1");
    let sandbox = sandbox.served(queue);
    let (width, height) = (12_000, 8_000);
    let large = sandbox.path("data/tiny/train/good/large.png");
    images::write_sized(&large, &vec![0; 96_000_000], width, height);
    let run = crate::kills::run_to_fit(&sandbox, &[]);
    let executor = sandbox.program("executor");
    // Everything is loaded once the features of the first images are on disk; the large one is the last.
    until("features", LIMIT, || {
        let files = fs::read_dir(format!("/proc/{}/fd", executor.id)).ok()?;
        let mut files = files.flatten().map(|file| file.path());
        let spool = |file: &PathBuf| {
            let path = fs::read_link(file).unwrap_or_default();
            path.ends_with("features.f32")
        };
        let spooled = fs::metadata(files.find(spool)?).ok()?.len();
        (spooled > 0).then_some(())
    });
    executor.allow_more_memory(64 << 20);
    // Tried once more, by an executor that has what it needs.
    run.wait(LIMIT).expect(0);
    assert_eq!(sandbox.outcomes("fit"), ["out_of_memory", "accepted"]);
    let message = sandbox.tasks("fit")[0]["attempts"][0]["message"].clone();
    let message = message.as_str().unwrap();
    assert!(
        message.contains("memory allocation of 96000000 bytes failed"),
        "{message}"
    );
}
