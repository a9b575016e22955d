//! What programs and attempts write down: every line says whom it concerns, and an attempt's log outlives its executor.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::hangs::{executor_at_fit, wait_for_state, with_worker};
use crate::kills::wait_for_socket;
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{LIMIT, SOON, Sandbox};

on_both_queues!(
    every_line_about_an_attempt_names_job_task_attempt_and_worker,
    a_crash_says_the_signal_and_the_last_words_and_its_log_is_kept,
    a_log_that_is_followed_comes_while_the_job_runs_and_ends_with_it,
    an_executor_that_dies_before_its_task_began_leaves_what_it_said,
    an_executor_that_cannot_be_started_says_why_in_the_log,
);

/// Each line is one JSON object; those about an attempt say which and whose.
#[track_caller]
fn expect_named(log: &str) -> Vec<Value> {
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    for line in &lines {
        for key in ["time", "level", "message"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
        let of_attempt = ["lease", "task", "attempt"];
        if of_attempt.iter().any(|key| !line[key].is_null()) {
            for key in ["job", "task", "worker"] {
                assert!(line[key].is_string(), "{key}: {line}");
            }
            assert!(line["attempt"].is_u64(), "{line}");
        }
    }
    lines
}

fn every_line_about_an_attempt_names_job_task_attempt_and_worker(queue: Queue) {
    let (sandbox, coordinator, worker) = with_worker(queue, &[]);
    // Without --wait, which would bring a worker of its own while this one is still starting.
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    wait_for_state(&sandbox, "succeeded");
    worker.signal(Signal::TERM);
    let worker = worker.wait(SOON);
    coordinator.signal(Signal::TERM);
    let coordinator = coordinator.wait(SOON);
    let said = |lines: &[Value], message: &str| {
        let of_attempt = |line: &&Value| line["message"] == message && line["task"].is_string();
        lines.iter().filter(of_attempt).count()
    };
    // list, fit, score, evaluate, reduce
    let lines = expect_named(&worker.stderr);
    assert_eq!(said(&lines, "task begun"), 5, "{}", worker.stderr);
    assert_eq!(said(&lines, "task completed"), 5, "{}", worker.stderr);
    let lines = expect_named(&coordinator.stderr);
    assert_eq!(said(&lines, "attempt granted"), 5, "{}", coordinator.stderr);
    assert_eq!(said(&lines, "attempt ended"), 5, "{}", coordinator.stderr);
    // The attempts' own, from the store.
    let mut segments = 0;
    for file in crate::sandbox::files(&sandbox.path("out")) {
        if file.extension().is_some_and(|extension| extension == "log") {
            let lines = expect_named(&fs::read_to_string(&file).unwrap());
            assert!(lines.iter().all(|line| line["attempt"] == 1), "{file:?}");
            segments += 1;
        }
    }
    assert_eq!(segments, 5);
}

fn a_crash_says_the_signal_and_the_last_words_and_its_log_is_kept(queue: Queue) {
    let (sandbox, _coordinator, mut worker) = with_worker(queue, &[]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let executor = executor_at_fit(&sandbox, &worker, 1);
    // Held, so that the task does not end before its executor is killed.
    executor.signal(Signal::STOP);
    let mut stderr = OpenOptions::new()
        .write(true)
        .open(format!("/proc/{}/fd/2", executor.id))
        .unwrap();
    stderr
        .write_all(b"terminate called: out of luck\n")
        .unwrap();
    drop(stderr);
    worker.wait_for_word("out of luck");
    executor.signal(Signal::ABORT);
    executor.signal(Signal::CONT);
    wait_for_state(&sandbox, "succeeded");
    assert_eq!(sandbox.outcomes("fit"), ["crashed", "accepted"]);
    let fit = &sandbox.tasks("fit")[0];
    let message = fit["attempts"][0]["message"].as_str().unwrap();
    for word in ["signal 6 (SIGABRT", "terminate called: out of luck"] {
        assert!(message.contains(word), "{message}");
    }
    let log = sandbox.ctl(&["logs", fit["id"].as_str().unwrap()]);
    let lines = expect_named(&log.expect(0).stdout);
    let of = |attempt: u32| {
        let messages = lines.iter().filter(move |line| line["attempt"] == attempt);
        messages.map(|line| line["message"].as_str().unwrap())
    };
    assert_eq!(of(1).next(), Some("started"));
    assert!(of(1).any(|message| message.contains("out of luck")));
    assert!(of(1).next_back().unwrap().contains("SIGABRT"));
    assert_eq!(of(2).next_back(), Some("finished"));
}

fn a_log_that_is_followed_comes_while_the_job_runs_and_ends_with_it(queue: Queue) {
    let (sandbox, _coordinator, worker) = with_worker(queue, &[]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let executor = executor_at_fit(&sandbox, &worker, 1);
    executor.signal(Signal::STOP);
    let follow = sandbox.start("ctl", &["logs", "last", "-f"]);
    until("the lines of the list task", LIMIT, || {
        follow.stdout().contains("listed").then_some(())
    });
    executor.signal(Signal::CONT);
    let followed = follow.wait(LIMIT);
    followed.expect(0);
    wait_for_state(&sandbox, "succeeded");
    let ids: Vec<String> = ["list", "fit", "score", "evaluate", "reduce"]
        .iter()
        .map(|kind| sandbox.tasks(kind)[0]["id"].as_str().unwrap().to_owned())
        .collect();
    for id in ids {
        let of_task = |line: &&str| line.starts_with(&id) && line.contains("finished");
        let found = followed.stdout.lines().filter(of_task).count();
        assert_eq!(found, 1, "{id}:\n{}", followed.stdout);
    }
}

/// An executor that ends before it can take a task, or that cannot be started.
fn logs_with_executor(queue: Queue, program: &str) -> String {
    let sandbox = Sandbox::with_job(3, 3).on(queue);
    sandbox.write("executor", program);
    let executor = sandbox.path("executor");
    fs::set_permissions(&executor, fs::Permissions::from_mode(0o755)).unwrap();
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let executor = executor.display().to_string();
    let worker = sandbox.start(
        "worker",
        &["--executor", &executor, "--engines", "openvino"],
    );
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    wait_for_state(&sandbox, "failed");
    assert_eq!(sandbox.outcomes("list"), ["crashed"; 3]);
    let list = &sandbox.tasks("list")[0]["id"];
    let logs = sandbox.ctl(&["logs", list.as_str().unwrap()]);
    logs.expect(0);
    for program in [worker, coordinator] {
        program.signal(Signal::TERM);
        program.wait(SOON).expect(0);
    }
    logs.stdout
}

fn an_executor_that_dies_before_its_task_began_leaves_what_it_said(queue: Queue) {
    let said = logs_with_executor(
        queue,
        "#!/bin/sh\necho 'error while loading shared libraries: libhidden.so' >&2\nexit 127\n",
    );
    for word in ["libraries: libhidden.so", "exited with code 127"] {
        assert_eq!(said.matches(word).count(), 3, "{word} in:\n{said}");
    }
}

fn an_executor_that_cannot_be_started_says_why_in_the_log(queue: Queue) {
    let said = logs_with_executor(queue, "#!/nowhere/interpreter\n");
    for word in [
        "could not be started: cannot start the executor",
        "ctl doctor",
    ] {
        assert_eq!(said.matches(word).count(), 3, "{word} in:\n{said}");
    }
}
