//! Programs that are killed, one by one, in the middle of work: nothing is left running, and the job goes on.

use crate::processes::{Process, Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::quiet::Work;
use crate::sandbox::{JOB, LIMIT, Running, SOON, Sandbox};

on_both_queues!(sigterm_ends_worker_and_coordinator_in_order_and_what_ran_is_handed_back);

pub fn wait_for_socket(sandbox: &Sandbox) {
    until("a coordinator", LIMIT, || {
        sandbox.path("s/coordinator.sock").exists().then_some(())
    });
}

/// A `ctl run` with its `fit` task in work.
pub fn run_to_fit(sandbox: &Sandbox, arguments: &[&str]) -> Running {
    let run = sandbox.start("ctl", &[&["run", "job.yaml"], arguments].concat());
    sandbox.wait_for_running("fit");
    run
}

fn long_job() -> Sandbox {
    Work::Long.sandbox()
}

/// Coordinator, worker and executor of a `ctl run`.
fn all_programs(run: &Running) -> Vec<Process> {
    ["coordinator", "worker", "executor"]
        .map(|name| run.program(name))
        .to_vec()
}

#[test]
fn a_killed_run_leaves_nothing_running_and_the_same_command_goes_on_with_the_same_job() {
    let sandbox = long_job();
    let run = run_to_fit(&sandbox, &[]);
    let programs = all_programs(&run);
    run.signal(Signal::KILL);
    for program in programs {
        program.wait_for_end(SOON);
    }
    let again = sandbox.ctl(&["run", "job.yaml"]);
    again.expect(0).says(&["going on with it"]);
    assert_eq!(sandbox.job_ids().len(), 1);
    assert_eq!(
        sandbox.tasks("list")[0]["attempts"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let fits = sandbox.outcomes("fit");
    assert!(fits.len() == 2 && fits[1] == "accepted", "{fits:?}");
    assert_eq!(
        sandbox
            .json(&["results", "--last", "--scores"])
            .as_array()
            .unwrap()
            .len(),
        6
    );
}

#[test]
fn a_key_is_one_job_however_often_it_is_killed_and_no_other_content_takes_it() {
    let sandbox = long_job();
    let run = run_to_fit(&sandbox, &["--key", "nightly"]);
    let programs = all_programs(&run);
    run.signal(Signal::KILL);
    for program in programs {
        program.wait_for_end(SOON);
    }
    sandbox
        .ctl(&["run", "job.yaml", "--key", "nightly"])
        .expect(0);
    let ids = sandbox.job_ids();
    assert_eq!(ids.len(), 1);
    // Done is done.
    sandbox
        .ctl(&["run", "job.yaml", "--key", "nightly"])
        .expect(0)
        .says(&[&ids[0], "has succeeded already"]);
    assert_eq!(sandbox.outcomes("fit").len(), 2);
    sandbox
        .ctl(&["run", "job.yaml", "--key", "nightly", "--set", "seed=7"])
        .expect(2)
        .says(&["nightly"]);
    assert_eq!(sandbox.job_ids(), ids);
}

#[test]
fn a_command_right_after_a_killed_run_waits_for_its_coordinator_to_end() {
    let sandbox = long_job();
    for command in [&["get", "jobs"][..], &["run", "job.yaml"]] {
        let run = run_to_fit(&sandbox, &[]);
        let programs = all_programs(&run);
        run.signal(Signal::KILL);
        sandbox.ctl(command).expect(0);
        for program in programs {
            program.wait_for_end(SOON);
        }
    }
    // Each went on with what was left.
    assert_eq!(sandbox.job_ids().len(), 1);
}

#[test]
fn a_terminated_executor_is_a_crashed_attempt_and_the_task_is_done_again() {
    let sandbox = long_job();
    let run = run_to_fit(&sandbox, &[]);
    let executor = run.program("executor");
    // Stopped, it cannot finish before the signal arrives.
    executor.signal(Signal::STOP);
    executor.signal(Signal::TERM);
    executor.signal(Signal::CONT);
    run.wait(LIMIT).expect(0);
    assert_eq!(sandbox.outcomes("fit"), ["crashed", "accepted"]);
    let described = sandbox.json(&["describe", "last"]);
    let text = described["tasks"].to_string();
    assert!(text.contains("killed by signal"), "{text}");
}

#[test]
fn a_killed_coordinator_is_started_again_and_the_job_succeeds() {
    let sandbox = long_job();
    let run = run_to_fit(&sandbox, &[]);
    run.program("coordinator").signal(Signal::KILL);
    run.wait(LIMIT).expect(0).says(&["starting another one"]);
    assert_eq!(sandbox.job_ids().len(), 1);
    assert_eq!(sandbox.outcomes("fit").last().unwrap(), "accepted");
}

#[test]
fn a_killed_worker_takes_its_executor_along_and_another_goes_on() {
    let sandbox = long_job();
    let run = run_to_fit(&sandbox, &[]);
    let executor = run.program("executor");
    run.program("worker").signal(Signal::KILL);
    executor.wait_for_end(SOON);
    run.wait(LIMIT).expect(0);
    assert_eq!(sandbox.outcomes("fit").last().unwrap(), "accepted");
}

#[test]
fn sigterm_ends_a_run_and_everything_it_started() {
    let sandbox = long_job();
    let run = run_to_fit(&sandbox, &[]);
    let programs = all_programs(&run);
    run.signal(Signal::TERM);
    run.wait(SOON)
        .expect(130)
        .says(&["go on with `ctl run job.yaml"]);
    for program in programs {
        program.wait_for_end(SOON);
    }
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    assert_eq!(sandbox.job_ids().len(), 1);
}

fn sigterm_ends_worker_and_coordinator_in_order_and_what_ran_is_handed_back(queue: Queue) {
    let sandbox = long_job().on(queue);
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let worker = sandbox.start("worker", &["--name", "box"]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    sandbox.wait_for_running("fit");
    let executor = worker.program("executor");
    // Stopped, it cannot finish while the worker drains.
    executor.signal(Signal::STOP);
    worker.signal(Signal::TERM);
    worker.wait(SOON * 2).expect(0);
    executor.wait_for_end(SOON);
    assert_eq!(sandbox.outcomes("fit"), ["released"]);
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);
    assert!(!sandbox.path("s/coordinator.sock").exists());
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    assert_eq!(sandbox.outcomes("fit"), ["released", "accepted"]);
}

#[test]
fn a_second_run_joins_the_first_and_goes_on_when_the_first_is_killed() {
    let sandbox = long_job();
    let first = run_to_fit(&sandbox, &["--key", "shared"]);
    let programs = all_programs(&first);
    let mut second = sandbox.start("ctl", &["run", "job.yaml", "--key", "shared"]);
    second.wait_for_word("joined");
    assert!(second.programs().is_empty(), "it uses those of the first");
    first.signal(Signal::KILL);
    second.wait(LIMIT).expect(0);
    for program in programs {
        program.wait_for_end(SOON);
    }
    assert_eq!(sandbox.job_ids().len(), 1);
    assert_eq!(sandbox.outcomes("fit").last().unwrap(), "accepted");
}

#[test]
fn two_runs_started_at_once_both_succeed() {
    let sandbox = Sandbox::with_job(6, 3);
    sandbox.write("other.yaml", &JOB.replace("name: tiny", "name: other"));
    let one = sandbox.start("ctl", &["run", "job.yaml"]);
    let two = sandbox.start("ctl", &["run", "other.yaml"]);
    one.wait(LIMIT).expect(0);
    two.wait(LIMIT).expect(0);
    assert_eq!(sandbox.job_ids().len(), 2);
}

#[test]
fn after_a_run_no_live_worker_is_listed() {
    let sandbox = Sandbox::with_job(3, 3);
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let workers = sandbox.json(&["get", "workers"]);
    assert_eq!(
        workers.as_array().unwrap(),
        &Vec::<serde_json::Value>::new()
    );
}

#[test]
fn a_worker_that_was_told_to_end_is_gone_at_once_and_one_that_was_killed_is_unheard_after_a_restart()
 {
    let sandbox = Sandbox::with_job(3, 3);
    let coordinator = sandbox.start("coordinator", &[]);
    let states = || -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let workers = sandbox.json(&["get", "workers"]);
        let workers = workers.as_array().unwrap();
        let mut states: Vec<_> = workers
            .iter()
            .map(|worker| (text(&worker["name"]), text(&worker["state"])))
            .collect();
        states.sort();
        states
    };
    let shown = |wanted: &[(&str, &str)]| {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(name, state)| ((*name).to_owned(), (*state).to_owned()))
            .collect();
        until(&format!("workers {wanted:?}"), SOON, || {
            (states() == wanted).then_some(())
        });
    };
    wait_for_socket(&sandbox);
    let told = sandbox.start("worker", &["--name", "told"]);
    let killed = sandbox.start("worker", &["--name", "killed"]);
    shown(&[("killed", "live"), ("told", "live")]);
    told.signal(Signal::TERM);
    told.wait(SOON).expect(0);
    assert_eq!(
        states(),
        [("killed", "live"), ("told", "gone")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    killed.signal(Signal::KILL);
    killed.process().wait_for_end(SOON);
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);
    let _coordinator = sandbox.start("coordinator", &[]);
    shown(&[("killed", "unheard"), ("told", "gone")]);
    // The restart is not when they were seen.
    let workers = sandbox.json(&["get", "workers"]);
    let seen = |worker: &serde_json::Value| worker["last_seen"].is_null();
    assert!(workers.as_array().unwrap().iter().all(seen), "{workers}");
    let table = sandbox.ctl(&["get", "workers"]);
    let told = table.stdout.matches("before the coordinator's start");
    assert_eq!(told.count(), 2, "{}", table.stdout);
}
