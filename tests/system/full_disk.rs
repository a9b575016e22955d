//! The disk under the coordinator's database is full: it says so and ends, and goes on where it was when there is room.

use std::fs;

use crate::hangs::executor_at_fit;
use crate::kills::wait_for_socket;
use crate::processes::Signal;
use crate::queues::{Queue, on_both_queues};
use crate::quiet::{expect_the_quiet_results, quiet};
use crate::sandbox::{SOON, Sandbox};

on_both_queues!(a_full_disk_ends_the_coordinator_and_loses_nothing,);

fn a_full_disk_ends_the_coordinator_and_loses_nothing(queue: Queue) {
    let mut sandbox = Sandbox::with_job(600, 3).on(queue);
    let quiet = quiet(&sandbox);
    let full = sandbox.path("full");
    let disk = sandbox.preload("full_disk.c");
    sandbox.set("LD_PRELOAD", &disk);
    sandbox.set("FULL_WHILE", &full.display().to_string());

    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let worker = sandbox.start("worker", &["--name", "box"]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let executor = executor_at_fit(&sandbox, &worker, 1);
    executor.signal(Signal::STOP);
    fs::write(&full, "").unwrap();
    // What it completes now cannot be written down.
    executor.signal(Signal::CONT);
    const SAYS: [&str; 1] = ["no space left for the database"];
    let ended = coordinator.wait(SOON);
    ended.expect(6);
    ended.says(&SAYS);
    // Nor does it start as long as that is so.
    let again = sandbox.start("coordinator", &[]).wait(SOON);
    again.expect(6);
    again.says(&SAYS);

    fs::remove_file(&full).unwrap();
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    expect_the_quiet_results(&sandbox, &quiet);
    assert_eq!(sandbox.outcomes("fit"), ["accepted"]);
    for program in [worker, coordinator] {
        program.signal(Signal::TERM);
        program.wait(SOON).expect(0);
    }
}
