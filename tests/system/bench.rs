//! `ctl bench`: measurements end with numbers, and leave nothing behind.

use serde_json::Value;

use crate::processes::naming;
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{Sandbox, files};

on_both_queues!(empty_tasks_are_dispatched_by_real_workers);

fn empty_tasks_are_dispatched_by_real_workers(queue: Queue) {
    let sandbox = Sandbox::new().on(queue);
    let mut arguments = ["bench", "dispatch", "--workers", "2", "--slots", "2"].to_vec();
    arguments.extend(["--tasks", "600", "--jobs", "3"]);
    arguments.extend(sandbox.broker().iter().flat_map(|url| ["--broker", url]));
    let measured = sandbox.json(&arguments);
    // Whole runs: each has its fit and evaluate besides its score tasks; the job has its list and reduce.
    assert_eq!(number(&measured, "/tasks"), 3.0 * 252.0 + 2.0);
    assert!(number(&measured, "/tasks_per_s") > 0.0);
    for load in ["idle_ms", "loaded_ms"] {
        // A list, a fit, an evaluate and a reduce each.
        assert_eq!(number(&measured, &format!("/{load}/count")), 12.0);
        let times = ["p50", "p99", "max"].map(|at| number(&measured, &format!("/{load}/{at}")));
        assert!(times[0] > 0.0 && times.is_sorted(), "{measured}");
    }
    assert!(number(&measured, "/coordinator/peak_mib") > 1.0);
    nothing_is_left(&sandbox);
}

#[test]
fn a_coordinator_alone_is_killed_and_goes_on() {
    let sandbox = Sandbox::new();
    let measured = sandbox.json(&["bench", "coordinator", "--tasks", "1000", "--workers", "8"]);
    for place in ["submit_ms", "expand_ms", "restart_ms", "tasks_per_s"] {
        assert!(number(&measured, &format!("/{place}")) > 0.0, "{measured}");
    }
    assert_eq!(number(&measured, "/claim_ms/count"), 1000.0);
    nothing_is_left(&sandbox);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let sandbox = Sandbox::new();
    sandbox
        .ctl(&["bench", "dispatch", "--tasks", "5"])
        .expect(2)
        .says(&["100..=1000000"]);
    sandbox.write("file", "");
    sandbox
        .ctl(&["bench", "coordinator", "--folder", "file"])
        .expect(6)
        .says(&["cannot write", "file/bench-"]);
}

fn number(measured: &Value, place: &str) -> f64 {
    let found = measured.pointer(place).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {place}: {measured}"))
}

/// Neither a program nor a file of the measurement.
fn nothing_is_left(sandbox: &Sandbox) {
    let state = sandbox.path("s");
    assert_eq!(naming(state.to_str().unwrap()), []);
    assert_eq!(files(&state), [""; 0].map(std::path::PathBuf::from));
}
