//! Who can do what, and what is said to those who wait.

use coordinator_core::*;
use job::resolved::{DeviceChoice, EngineChoice};
use sim::workload;
use types::*;

use crate::desk::{Desk, job};

/// A job that needs an engine and labels.
pub fn needing(id: &str, engine: &str, labels: &str) -> Submit {
    needing_all(id, engine, DeviceChoice::Auto, labels, 1)
}

fn needing_all(id: &str, engine: &str, device: DeviceChoice, labels: &str, gib: u64) -> Submit {
    let mut submit = job(id, id, None, 1);
    let labels = labels.parse().unwrap();
    workload::need(&mut submit, engine, device, &labels, gib << 30);
    submit
}

fn worker(name: &str, engine: &str, labels: &str, gib: u64) -> Registration {
    Registration {
        worker: name.parse().unwrap(),
        incarnation: Incarnation(1),
        pool: PoolName::default(),
        slots: 1,
        version: "1".to_owned(),
        engines: vec![engine.to_owned()],
        devices: Devices::default(),
        kinds: TaskKind::ALL.iter().copied().collect(),
        labels: labels.parse().unwrap(),
        memory_bytes: gib << 30,
        temporary: false,
    }
}

pub fn register(desk: &mut Desk, name: &str, engine: &str, labels: &str, gib: u64) -> Sender {
    join(desk, worker(name, engine, labels, gib))
}

fn join(desk: &mut Desk, worker: Registration) -> Sender {
    let from = Sender {
        worker: worker.worker.clone(),
        incarnation: worker.incarnation,
    };
    let reply = desk.ask(|to| Event::WorkerRegistered { to, worker });
    assert!(matches!(reply, Reply::Registered { .. }));
    from
}

#[test]
fn auto_is_the_fastest_engine_that_the_worker_offers_and_what_the_job_asks_for_stays() {
    for (offered, taken) in [
        (&["torch-cpu", "onnxruntime"][..], EngineChoice::Onnxruntime),
        (&["onnxruntime", "openvino"], EngineChoice::Openvino),
        (&["torch-cpu"], EngineChoice::TorchCpu),
        (&["openvino", "torch-cuda"], EngineChoice::TorchCuda),
        (&[], EngineChoice::Auto),
    ] {
        let mut desk = Desk::new();
        let mut registration = worker("a", "", "", 1);
        registration.engines = offered.iter().map(|&one| one.to_owned()).collect();
        let a = join(&mut desk, registration);
        desk.submit(needing("job0", "auto", ""));
        let list = desk.granted(&a, "list");
        desk.complete(&a, &list);
        let next = desk.granted(&a, "next");
        for assignment in [list, next] {
            assert_eq!(assignment.engine, taken, "{offered:?}");
            // What is known as scored goes by it, whoever lists.
            assert_eq!(assignment.resources.engine, EngineChoice::Auto);
        }
    }
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
        "no live worker in pool cpu has the engine onnxruntime (there: openvino), none is labelled zone=b"
    );
    register(&mut desk, "able", "onnxruntime", "zone=a", 8);
    assert_eq!(
        waits(&desk, "job0"),
        "no live worker in pool cpu with the engine onnxruntime is labelled zone=b"
    );
    desk.submit(needing_all("job1", "auto", DeviceChoice::Auto, "", 20));
    assert_eq!(
        waits(&desk, "job1"),
        "no live worker in pool cpu has 20 GiB of memory (the largest has 8 GiB)"
    );
    for id in ["job2", "job3", "job4"] {
        desk.submit(needing(id, "openvino", ""));
    }
    assert_eq!(
        waits(&desk, "job4"),
        "the only slot of pool cpu is free, position 5"
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
        "the only slot of pool cpu is busy, position 4"
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
    let mut of_before = worker("behind", "openvino", "", 8);
    of_before.kinds.remove(&TaskKind::Reduce);
    let behind = join(&mut desk, of_before);
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
    let upgraded = join(
        &mut desk,
        Registration {
            incarnation: Incarnation(2),
            version: "2".to_owned(),
            ..worker("behind", "openvino", "", 8)
        },
    );
    assert_eq!(desk.granted(&upgraded, "u1").task.job.as_str(), "job2");
}

#[test]
fn what_needs_a_gpu_waits_for_one_and_what_needs_none_may_stay_away_from_it() {
    let mut desk = Desk::new();
    let plain = register(&mut desk, "plain", "openvino", "", 8);
    desk.submit(needing_all("job0", "auto", DeviceChoice::Gpu, "", 1));
    desk.submit(needing_all("job1", "auto", DeviceChoice::Cpu, "", 1));
    desk.submit(needing_all("job2", "auto", DeviceChoice::Auto, "", 1));
    assert_eq!(waits(&desk, "job0"), "no live worker in pool cpu has a GPU");
    let list = desk.granted(&plain, "p0");
    assert_eq!(list.task.job.as_str(), "job1");
    desk.fail(&plain, list.lease, FailureClass::Released);
    desk.leave(&plain);
    let gpus = Registration {
        devices: "cuda:0,cuda:1".parse().unwrap(),
        slots: 2,
        ..worker("gpus", "openvino", "", 8)
    };
    let gpus = join(&mut desk, gpus);
    assert_eq!(
        waits(&desk, "job1"),
        "no live worker in pool cpu is without GPUs, as `device: cpu` asks"
    );
    assert_eq!(desk.granted(&gpus, "g0").task.job.as_str(), "job0");
    desk.restart();
    desk.beat(&gpus, &[]);
    assert_eq!(desk.granted(&gpus, "g1").task.job.as_str(), "job2");
    assert_eq!(desk.claim(&gpus, "g2"), ClaimAnswer::Nothing);
}

#[test]
fn everything_that_nobody_has_is_said_at_once() {
    let mut desk = Desk::new();
    register(&mut desk, "plain", "openvino", "zone=b", 8);
    register(&mut desk, "other", "openvino", "disk=nvme", 16);
    let job = "job0".parse().unwrap();
    desk.submit(needing_all("job0", "auto", DeviceChoice::Gpu, "zone=b", 20));
    let said = "no live worker in pool cpu labelled zone=b has a GPU, none has 20 GiB of memory (the largest has 8 GiB)";
    assert_eq!(waits(&desk, "job0"), said);
    let waiting = desk.core.job_waiting(&job, desk.now).unwrap();
    assert_eq!(
        (waiting.to_string(), waiting.word().as_ref()),
        (said.to_owned(), "device,memory")
    );
    // Where something of a job runs, the job itself waits for nothing.
    desk.submit(needing("job1", "auto", "disk=nvme"));
    let said = |desk: &Desk| {
        let jobs = desk.core.waiting_jobs(desk.now);
        let said = jobs.iter().map(|(job, waiting)| {
            assert_eq!(desk.core.job_waiting(job, desk.now).as_ref(), Some(waiting));
            format!("{job}: {}", waiting.word())
        });
        said.collect::<Vec<_>>()
    };
    assert_eq!(said(&desk), ["job0: device,memory", "job1: turn"]);
    let other = Sender {
        worker: "other".parse().unwrap(),
        incarnation: Incarnation(1),
    };
    desk.granted(&other, "o0");
    assert_eq!(said(&desk), ["job0: device,memory"]);
    desk.cancel("job0", "x");
    assert_eq!(said(&desk), Vec::<String>::new());
}
