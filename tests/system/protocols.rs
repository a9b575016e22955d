//! Programs of another version of the protocol: what is told apart, what goes on, and what is lost by it, which is nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::hangs::{executor_at_fit, wait_for_state, with_worker};
use crate::kills::wait_for_socket;
use crate::processes::Signal;
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{LIMIT, SOON, Sandbox, programs};

on_both_queues!(
    a_worker_of_another_version_ends_at_its_start_and_takes_nothing,
    what_runs_while_a_coordinator_of_another_version_is_tried_is_not_lost,
);

/// What every program says to one that it does not understand.
const SAID: &str = "protocol (nightshift.v1)";

/// A copy of a program that speaks the protocol's next version: the version stands in the service's name, and nowhere else.
fn next_version(sandbox: &Sandbox, program: &str) -> String {
    const NOW: &[u8] = b"nightshift.v1.Coordinator";
    const NEXT: &[u8] = b"nightshift.v2.Coordinator";
    let mut bytes = fs::read(programs().join(program)).unwrap();
    let mut from = 0;
    while let Some(at) = bytes[from..]
        .windows(NOW.len())
        .position(|part| part == NOW)
    {
        from += at + NOW.len();
        bytes[from - NOW.len()..from].copy_from_slice(NEXT);
    }
    assert!(from > 0, "{program} does not name its protocol");
    let path = sandbox.path(&format!("next-{program}"));
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn a_worker_of_another_version_ends_at_its_start_and_takes_nothing(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    let next_worker = next_version(&sandbox, "worker");
    let next_ctl = next_version(&sandbox, "ctl");
    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    // There is something that it could take.
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let executor = programs().join("executor").display().to_string();
    let arguments = ["--name", "newer", "--executor", &executor];
    sandbox
        .start(&next_worker, &arguments)
        .wait(SOON)
        .expect(6)
        .says(&[SAID, "all programs of a cluster"]);
    sandbox
        .start(&next_ctl, &["get", "jobs"])
        .wait(SOON)
        .expect(6)
        .says(&[SAID]);
    let workers = sandbox.json(&["get", "workers"]);
    assert_eq!(workers.as_array().map(Vec::len), Some(0), "{workers}");
    let _worker = sandbox.start("worker", &["--name", "box"]);
    sandbox.ctl(&["wait", "last"]).expect(0);
    for kind in ["list", "fit", "score", "evaluate", "reduce"] {
        assert_eq!(sandbox.outcomes(kind), ["accepted"], "{kind}");
    }
}

fn what_runs_while_a_coordinator_of_another_version_is_tried_is_not_lost(queue: Queue) {
    let (sandbox, now, mut worker) = with_worker(queue, &[]);
    let next_coordinator = next_version(&sandbox, "coordinator");
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let executor = executor_at_fit(&sandbox, &worker, 1);
    // Held, so that it is not done before.
    executor.signal(Signal::STOP);
    now.end();
    let next = sandbox.start(&next_coordinator, &[]);
    wait_for_socket(&sandbox);
    worker.wait_for_word(SAID);
    sandbox.ctl(&["get", "jobs"]).expect(6).says(&[SAID]);
    next.end();
    assert!(executor.is_alive());
    executor.signal(Signal::CONT);
    // Back to what its workers understand.
    let _now = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    wait_for_state(&sandbox, "succeeded");
    assert_eq!(sandbox.outcomes("fit"), ["accepted"]);
    assert_eq!(
        worker.stderr().matches(SAID).count(),
        1,
        "said once, not at each call"
    );
    worker.signal(Signal::TERM);
    worker.wait(LIMIT).expect(0);
}
