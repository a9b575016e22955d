//! The state folder is brought back as it was some time ago, while workers run: nothing that was computed is taken for what it is not.

use std::collections::BTreeMap;
use std::fs;

use crate::kills::wait_for_socket;
use crate::processes::Signal;
use crate::queues::{Queue, on_both_queues};
use crate::quiet::Work;
use crate::sandbox::{LIMIT, Running, SOON, Sandbox};

on_both_queues!(an_older_copy_of_the_state_is_restored_while_a_worker_runs_and_all_jobs_end_well,);

/// The files of the state folder as they lie there, as a snapshot of its file system would have them.
type Kept = BTreeMap<String, Vec<u8>>;

fn backup(sandbox: &Sandbox) -> Kept {
    let entries = fs::read_dir(sandbox.path("s")).unwrap().flatten();
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    files
        .map(|entry| (name(&entry), fs::read(entry.path()).unwrap()))
        .collect()
}

fn restore(sandbox: &Sandbox, copy: &Kept) {
    for name in backup(sandbox).keys() {
        fs::remove_file(sandbox.path("s").join(name)).unwrap();
    }
    for (name, bytes) in copy {
        fs::write(sandbox.path("s").join(name), bytes).unwrap();
    }
}

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Running {
    // What ran when the copy was made is done again once its lease has run out.
    let lease = ["--lease-ttl", "5s"];
    let mut coordinator = sandbox.start("coordinator", &[&lease, arguments].concat());
    coordinator.wait_for_word("coordinator.sock");
    wait_for_socket(sandbox);
    coordinator
}

fn an_older_copy_of_the_state_is_restored_while_a_worker_runs_and_all_jobs_end_well(queue: Queue) {
    let sandbox = Work::Long.sandbox().on(queue);
    let submit = |arguments: &[&str]| sandbox.ctl(&[&["submit", "job.yaml"], arguments].concat());
    let coordinator = start(&sandbox, &[]);
    let worker = sandbox.start("worker", &["--name", "box"]);
    submit(&["--key", "before", "--wait"]).expect(0);

    // The copy is made while a task runs, without a word to anybody.
    submit(&["--key", "during", "--set", "seed=1"]).expect(0);
    sandbox.wait_for_running("fit");
    coordinator.signal(Signal::KILL);
    coordinator.wait(SOON);
    let copy = backup(&sandbox);

    // The world goes on, and knows more than the copy.
    let coordinator = start(&sandbox, &[]);
    submit(&["--key", "during", "--set", "seed=1", "--wait"]).expect(0);
    submit(&["--key", "after", "--set", "seed=2", "--wait"]).expect(0);
    assert_eq!(sandbox.job_ids().len(), 3);
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);

    restore(&sandbox, &copy);
    let mut coordinator = start(&sandbox, &["--restored"]);
    coordinator.wait_for_word("restored from a backup");
    // What ended since is done again by the worker that runs, under new names; what came since is not known.
    submit(&["--key", "during", "--set", "seed=1", "--wait"]).expect(0);
    assert_eq!(sandbox.job_ids().len(), 2);
    submit(&["--key", "after", "--set", "seed=2", "--wait"]).expect(0);
    let jobs = sandbox.job_ids();
    assert_eq!(jobs.len(), 3);
    for job in &jobs {
        sandbox.ctl(&["verify", job]).expect(0);
    }
    assert!(worker.process().is_alive());
    worker.signal(Signal::TERM);
    worker.wait(LIMIT).expect(0);
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);
}
