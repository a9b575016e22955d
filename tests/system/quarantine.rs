//! A worker that fails whatever it gets: taken out with the reason, and released by its user.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::kills::wait_for_socket;
use crate::processes::until;
use crate::sandbox::{JOB, LIMIT, Sandbox};

fn worker(sandbox: &Sandbox, name: &str) -> Option<Value> {
    let workers = sandbox.json(&["get", "workers"]);
    let mut workers = workers.as_array().unwrap().iter();
    workers.find(|worker| worker["name"] == name).cloned()
}

#[test]
fn a_worker_whose_executors_crash_is_quarantined_and_no_task_pays_for_it() {
    let sandbox = Sandbox::with_job(200, 3);
    let job = JOB.replace("seed: 0", "seed: {grid: [0, 1, 2, 3, 4, 5]}");
    sandbox.write("job.yaml", &job);
    sandbox.write(
        "broken",
        "#!/bin/sh\necho no such library >&2\nkill -SEGV $$\n",
    );
    let broken = sandbox.path("broken");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();

    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let _well = sandbox.start("worker", &["--name", "well"]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    sandbox.wait_for_running("fit");
    let executor = broken.to_str().unwrap();
    let _sick = sandbox.start("worker", &["--name", "sick", "--executor", executor]);
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
    let told = "worker sick is in quarantine";
    let ended = sandbox.json(&["get", "jobs"])[0]["state"] != "running";
    assert!(
        described.stdout.contains(told) || ended,
        "{}",
        described.stdout
    );

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
    assert_eq!(of_sick.len(), 3, "{of_sick:?}");
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
