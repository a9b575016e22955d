//! A job's own bounds on time and memory become typed failures.

use crate::processes::Signal;
use crate::sandbox::{JOB, LIMIT, Sandbox};

#[test]
fn a_task_that_takes_too_long_is_timed_out() {
    let sandbox = Sandbox::with_job(600, 3);
    // The limit is every task's: long enough to list on a busy machine, short enough to wait for.
    sandbox.write("job.yaml", &format!("{JOB}resources: {{timeout: 15s}}\n"));
    let run = crate::kills::run_to_fit(&sandbox, &[]);
    run.program("executor").signal(Signal::STOP);
    run.wait(LIMIT)
        .expect(1)
        .says(&["timed_out", "resources.timeout"]);
    assert_eq!(sandbox.outcomes("fit"), ["timed_out"]);
}

#[test]
fn a_task_that_takes_too_much_memory_is_out_of_memory() {
    // So many images that no machine is done before the agent has looked at it more than once.
    let sandbox = Sandbox::with_job(5000, 3);
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
