//! Who can do what, and what is said to those who wait.

use coordinator_core::*;
use sim::workload;
use types::*;

use crate::desk::{Desk, job};

/// A job that needs an engine and labels.
fn needing(id: &str, engine: &str, labels: &str) -> Submit {
    let mut submit = job(id, id, None, 1);
    workload::need(&mut submit, engine, &labels.parse().unwrap(), 1 << 30);
    submit
}

fn register(desk: &mut Desk, name: &str, engine: &str, labels: &str, gib: u64) -> Sender {
    register_of_release(desk, name, engine, labels, gib, TaskKind::ALL)
}

fn register_of_release(
    desk: &mut Desk,
    name: &str,
    engine: &str,
    labels: &str,
    gib: u64,
    kinds: &[TaskKind],
) -> Sender {
    let from = Sender {
        worker: name.parse().unwrap(),
        incarnation: Incarnation(1),
    };
    let worker = Registration {
        worker: from.worker.clone(),
        incarnation: from.incarnation,
        pool: PoolName::default(),
        slots: 1,
        version: "1".to_owned(),
        engines: vec![engine.to_owned()],
        kinds: kinds.iter().copied().collect(),
        labels: labels.parse().unwrap(),
        memory_bytes: gib << 30,
        temporary: false,
    };
    let reply = desk.ask(|to| Event::WorkerRegistered { to, worker });
    assert!(matches!(reply, Reply::Registered { .. }));
    from
}

/// What the job's first task waits for.
fn waits(desk: &Desk, job: &str) -> String {
    let tasks = desk
        .core
        .task_views(&job.parse().unwrap(), desk.now)
        .unwrap();
    let id = tasks[0].id.clone();
    assert_eq!(
        desk.core.task_view(&id, desk.now).unwrap().waiting,
        tasks[0].waiting
    );
    tasks[0].waiting.as_ref().unwrap().to_string()
}

#[test]
fn a_worker_gets_only_what_it_can_do() {
    let mut desk = Desk::new();
    let plain = register(&mut desk, "plain", "openvino", "", 8);
    let special = register(&mut desk, "special", "onnxruntime", "zone=b,disk=nvme", 8);
    desk.submit(needing("job0", "onnxruntime", ""));
    desk.submit(needing("job1", "auto", "zone=b"));
    desk.submit(needing("job2", "auto", ""));
    assert_eq!(desk.granted(&plain, "p0").task.job.as_str(), "job2");
    assert_eq!(desk.claim(&plain, "p1"), ClaimAnswer::Nothing);
    desk.restart();
    desk.beat(&plain, &[]);
    assert_eq!(desk.claim(&plain, "p2"), ClaimAnswer::Nothing);
    assert_eq!(desk.granted(&special, "s0").task.job.as_str(), "job0");
    assert_eq!(desk.granted(&special, "s1").task.job.as_str(), "job1");
}

#[test]
fn what_failed_on_the_only_worker_that_can_do_it_is_tried_there_again() {
    let mut desk = Desk::new();
    let able = register(&mut desk, "able", "onnxruntime", "", 8);
    let other = register(&mut desk, "other", "openvino", "", 64);
    desk.submit(needing("job0", "onnxruntime", ""));
    for (round, class) in [FailureClass::Crashed, FailureClass::OutOfMemory]
        .into_iter()
        .enumerate()
    {
        let list = desk.granted(&able, &format!("a{round}"));
        desk.fail(&able, list.lease, class);
        desk.wait(5_000);
        assert_eq!(
            desk.claim(&other, &format!("o{round}")),
            ClaimAnswer::Nothing
        );
    }
    desk.granted(&able, "last");
}

#[test]
fn a_crash_on_every_worker_that_can_do_it_is_not_one_on_all_workers() {
    let mut desk = Desk::new();
    let able = register(&mut desk, "able", "onnxruntime", "", 8);
    register(&mut desk, "other", "openvino", "", 8);
    desk.submit(needing("job0", "onnxruntime", ""));
    for attempt in 1..=3 {
        let list = desk.granted(&able, &format!("a{attempt}"));
        desk.fail(&able, list.lease, FailureClass::Crashed);
        let dead = desk.core.dead(None).count();
        assert_eq!(dead, usize::from(attempt == 3), "attempt {attempt}");
        desk.wait(10_000);
        desk.beat(&able, &[]);
    }
    // Nobody else could have done it, so the worker is not taken out.
    assert_eq!(desk.worker_state("able"), Some(WorkerState::Live));
}

#[test]
fn each_reason_for_waiting_is_said() {
    let mut desk = Desk::new();
    let reply = desk.submit(needing("job0", "onnxruntime", "zone=b"));
    let Reply::Submitted { warnings, .. } = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        warnings,
        ["no live worker is in pool cpu: the job waits for one"]
    );
    let plain = register(&mut desk, "plain", "openvino", "", 8);
    assert_eq!(
        waits(&desk, "job0"),
        "no live worker in pool cpu has the engine onnxruntime (there: openvino)"
    );
    register(&mut desk, "able", "onnxruntime", "zone=a", 8);
    assert_eq!(
        waits(&desk, "job0"),
        "no live worker in pool cpu with the engine onnxruntime is labelled zone=b"
    );
    let mut large = job("job1", "job1", None, 1);
    workload::need(&mut large, "auto", &Labels::default(), 20 << 30);
    desk.submit(large);
    assert_eq!(
        waits(&desk, "job1"),
        "no live worker in pool cpu has 20 GiB of memory (the largest has 8 GiB)"
    );
    for id in ["job2", "job3", "job4"] {
        desk.submit(needing(id, "openvino", ""));
    }
    assert_eq!(
        waits(&desk, "job4"),
        "1 of 1 slots of pool cpu are free, position 5"
    );
    let list = desk.granted(&plain, "c1");
    assert_eq!(
        waits(&desk, "job2"),
        format!(
            "lease {} is held by worker plain, for 60 s unless renewed",
            list.lease
        )
    );
    // What nobody in the pool can do stands in its queue, too.
    assert_eq!(
        waits(&desk, "job4"),
        "all 1 slots of pool cpu are busy, position 4"
    );
    desk.fail(&plain, list.lease, FailureClass::Crashed);
    let said = waits(&desk, "job2");
    assert!(
        said.starts_with("tried again in 1 s after crashed: simulated"),
        "{said}"
    );
    desk.wait(2_000);
    let said = waits(&desk, "job2");
    assert!(
        said.ends_with("not on worker plain, where it failed"),
        "{said}"
    );
    let list = desk.granted(&plain, "c2");
    desk.fail(&plain, list.lease, FailureClass::Unavailable);
    let job = list.task.job.as_str();
    assert!(waits(&desk, job).contains("because something did not answer"));
}

#[test]
fn c18_a_worker_one_release_behind_gets_nothing_of_a_job_with_a_kind_that_it_does_not_know() {
    let mut desk = Desk::new();
    let known = &TaskKind::ALL[..TaskKind::ALL.len() - 1];
    let behind = register_of_release(&mut desk, "behind", "openvino", "", 8, known);
    desk.submit(needing("job0", "auto", ""));
    assert_eq!(desk.claim(&behind, "b1"), ClaimAnswer::Nothing);
    assert_eq!(
        waits(&desk, "job0"),
        "no live worker in pool cpu knows tasks of the kind reduce: start workers of this release there (they are of 1)"
    );
    desk.restart();
    assert_eq!(desk.claim(&behind, "b2"), ClaimAnswer::Nothing);
    let present = register(&mut desk, "present", "openvino", "", 8);
    // Not for its want of a kind alone, either: where another is asked for, that is said.
    desk.submit(needing("job1", "onnxruntime", ""));
    assert!(waits(&desk, "job1").contains("engine onnxruntime"));
    assert_eq!(desk.claim(&behind, "b3"), ClaimAnswer::Nothing);
    desk.work_off(&present, "p");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    // Upgraded, under the same name.
    desk.cancel("job1", "x");
    desk.submit(needing("job2", "auto", ""));
    let upgraded = Sender {
        incarnation: Incarnation(2),
        ..behind
    };
    let worker = Registration {
        worker: upgraded.worker.clone(),
        incarnation: upgraded.incarnation,
        pool: PoolName::default(),
        slots: 1,
        version: "2".to_owned(),
        engines: Vec::new(),
        kinds: TaskKind::ALL.iter().copied().collect(),
        labels: Labels::default(),
        memory_bytes: 8 << 30,
        temporary: false,
    };
    desk.ask(|to| Event::WorkerRegistered { to, worker });
    assert_eq!(desk.granted(&upgraded, "u1").task.job.as_str(), "job2");
}
