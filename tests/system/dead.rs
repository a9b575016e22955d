//! What fails for good, and a worker that fails whatever it gets: lists with reasons that a user can act on.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::kills::wait_for_socket;
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, LIMIT, SOON, Sandbox};

on_both_queues!(
    a_dead_task_is_listed_with_its_reason_until_a_retry_has_mended_it,
    a_worker_whose_executors_crash_is_quarantined_and_no_task_pays_for_it,
);

fn worker(sandbox: &Sandbox, name: &str) -> Option<Value> {
    let workers = sandbox.json(&["get", "workers"]);
    let mut workers = workers.as_array().unwrap().iter();
    workers.find(|worker| worker["name"] == name).cloned()
}

/// A program that dies as soon as it is started.
fn broken_executor(sandbox: &Sandbox) -> String {
    sandbox.write(
        "broken",
        "#!/bin/sh\necho no such library >&2\nkill -SEGV $$\n",
    );
    let broken = sandbox.path("broken");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    broken.display().to_string()
}

fn a_dead_task_is_listed_with_its_reason_until_a_retry_has_mended_it(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    let job = JOB.to_owned() + "resources: {retries: 0}\n";
    sandbox.write("job.yaml", &job);
    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    sandbox.ctl(&["get", "dead"]).expect(0);
    let executor = broken_executor(&sandbox);
    // A worker that would ask it would end.
    let broken = ["--executor", &executor, "--engines", "openvino"];
    let sick = sandbox.start("worker", &[&["--name", "box"][..], &broken].concat());
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let dead = until("a dead task", LIMIT, || {
        let dead = sandbox.json(&["get", "dead"]);
        dead.as_array().unwrap().first().cloned()
    });
    let [id] = &sandbox.job_ids()[..] else {
        panic!("one job")
    };
    for (key, value) in [
        ("job", id.as_str()),
        ("kind", "list"),
        ("state", "dead"),
        ("class", "crashed"),
        ("worker", "box"),
    ] {
        assert_eq!(dead[key], value, "{dead}");
    }
    assert_eq!(dead["attempts"], 1);
    assert!(
        dead["message"].as_str().unwrap().contains("signal 11"),
        "{dead}"
    );
    let table = sandbox.ctl(&["get", "dead", "last"]).stdout;
    assert!(
        table.contains("crashed") && table.contains("no such library"),
        "{table}"
    );
    sandbox.ctl(&["get", "dead", "zzzz"]).expect(3);

    sick.signal(Signal::TERM);
    sick.wait(SOON).expect(0);
    // Its reduce tells what failed; until then the job is open.
    let _well = sandbox.start("worker", &["--name", "box"]);
    until("the end of the failed job", LIMIT, || {
        let state = sandbox.json(&["get", "jobs"])[0]["state"].clone();
        (state == "failed").then_some(())
    });
    let retried = sandbox.ctl(&["retry", id]);
    retried.expect(0);
    assert!(
        retried.stdout.contains("tasks back in the queue"),
        "{}",
        retried.stdout
    );
    assert_eq!(sandbox.json(&["get", "dead"]), Value::Array(Vec::new()));
    until("the end of the job", LIMIT, || {
        let state = sandbox.json(&["get", "jobs"])[0]["state"].clone();
        (state == "succeeded").then_some(())
    });
    assert!(sandbox.ctl(&["retry", id]).stdout.contains("nothing to do"));
}

fn a_worker_whose_executors_crash_is_quarantined_and_no_task_pays_for_it(queue: Queue) {
    let sandbox = Sandbox::with_job(200, 3).on(queue);
    let job = JOB.replace("seed: 0", "seed: {grid: [0, 1, 2, 3, 4, 5]}");
    sandbox.write("job.yaml", &job);
    let executor = broken_executor(&sandbox);
    // A worker that would ask it would end.
    let broken = ["--executor", &executor, "--engines", "openvino"];

    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let well = sandbox.start("worker", &["--name", "well"]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    sandbox.wait_for_running("fit");
    // It lives, and the job cannot end before it was looked at.
    let executor_of_well = well.program("executor");
    executor_of_well.signal(Signal::STOP);
    let _sick = sandbox.start("worker", &[&["--name", "sick"][..], &broken].concat());
    let quarantined = until("a quarantined worker", LIMIT, || {
        worker(&sandbox, "sick").filter(|worker| worker["state"] == "quarantined")
    });
    let reason = quarantined["quarantine"]["reason"].as_str().unwrap();
    for word in [
        "3 attempts in a row failed",
        "crashed",
        "signal 11",
        "no such library",
    ] {
        assert!(reason.contains(word), "{word}: {reason}");
    }
    let described = sandbox.ctl(&["describe", "last"]);
    assert!(
        described.stdout.contains("worker sick is in quarantine"),
        "{}",
        described.stdout
    );
    executor_of_well.signal(Signal::CONT);

    until("the end of the job", LIMIT, || {
        let state = sandbox.json(&["get", "jobs"])[0]["state"].clone();
        (state == "succeeded").then_some(())
    });
    let tasks = sandbox.json(&["get", "tasks", "last"]);
    let tasks = tasks.as_array().unwrap().iter();
    let attempts = tasks.flat_map(|task| task["attempts"].as_array().unwrap());
    let of_sick: Vec<_> = attempts
        .filter(|attempt| attempt["worker"] == "sick")
        .collect();
    // A claim may overtake the report of the third failure: then there is a fourth, which costs its task nothing either.
    let tasks: BTreeSet<_> = of_sick
        .iter()
        .map(|one| one["prefix"].as_str().unwrap().split('/').nth(3))
        .collect();
    assert!((3..=4).contains(&tasks.len()), "{of_sick:?}");
    for attempt in of_sick {
        assert_eq!(
            (&attempt["outcome"], &attempt["counted"]),
            (&"crashed".into(), &false.into())
        );
    }

    sandbox
        .ctl(&["worker", "release", "nobody"])
        .expect(3)
        .says(&["nobody"]);
    sandbox.ctl(&["worker", "release", "sick"]).expect(0);
    let released = worker(&sandbox, "sick").unwrap();
    assert_eq!(
        (&released["state"], &released["quarantine"]),
        (&"live".into(), &Value::Null)
    );
}
