//! GPUs: who offers one, who waits for one, and that no two executors share one.
//!
//! No engine of this build computes on a GPU, so the executors here are the real ones behind a program that says that it can.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::kills::wait_for_socket;
use crate::processes::until;
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, LIMIT, SOON, Sandbox, programs};

on_both_queues!(
    what_needs_a_gpu_waits_for_one,
    each_executor_sees_one_gpu_and_no_two_the_same,
);

#[test]
fn a_worker_without_the_device_that_openvino_is_to_use_ends_at_its_start() {
    let mut sandbox = Sandbox::new();
    sandbox.set("NIGHTSHIFT_OPENVINO_DEVICE", "NPU");
    let refused = sandbox.start("worker", &[]).wait(LIMIT);
    let words = [
        "cannot compute with OpenVINO",
        "NPU",
        "(NIGHTSHIFT_OPENVINO_DEVICE)",
    ];
    refused.expect(6).says(&words);
}

/// An executor that says that it computes on two GPUs, and writes down which of them it was given.
fn with_gpus(sandbox: &Sandbox) -> String {
    let program = sandbox.path("with-gpus");
    let text = format!(
        r#"#!/bin/sh
if [ "$1" = --probe ]; then
  echo '{{"devices": ["cpu", "cuda:0", "cuda:1"], "engines": [{{"name": "made-up", "error": null}}]}}'
  exit
fi
echo "$$ $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER" >>'{}'
exec '{}'
"#,
        sandbox.path("seen").display(),
        programs().join("executor").display(),
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program.display().to_string()
}

fn wait_for_state(sandbox: &Sandbox, state: &str) {
    until(&format!("a job that is {state}"), LIMIT, || {
        let now = sandbox.json(&["get", "jobs"])[0]["state"].clone();
        (now == state).then_some(())
    });
}

fn what_needs_a_gpu_waits_for_one(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let _plain = sandbox.start("worker", &["--name", "plain"]);
    let is_there = |name: &str| {
        until(&format!("worker {name}"), LIMIT, || {
            let workers = sandbox.json(&["get", "workers"]);
            let mut workers = workers.as_array().unwrap().iter();
            workers.find(|worker| worker["name"] == name).cloned()
        })
    };
    assert_eq!(is_there("plain")["devices"], serde_json::json!(["cpu"]));

    let job = format!("{JOB}resources: {{device: gpu, memory: 4000GiB, labels: {{zone: b}}}}\n");
    sandbox.write("job.yaml", &job);
    let says = "no live worker in pool cpu has a GPU, none is labelled zone=b, none has 3.9 TiB of memory (the largest has ";
    sandbox.ctl(&["submit", "job.yaml"]).expect(0).says(&[says]);
    for arguments in [["describe", "last"], ["get", "jobs"]] {
        let shown = sandbox.ctl(&arguments);
        assert!(shown.stdout.contains(says), "{}", shown.stdout);
    }
    let jobs = sandbox.json(&["get", "jobs"]);
    assert_eq!(jobs[0]["waits_for"], "device,labels,memory");
    sandbox.ctl(&["cancel", "last"]).expect(0);
    let jobs = sandbox.json(&["get", "jobs"]);
    assert_eq!(
        (&jobs[0]["waits_for"], &jobs[0]["reason"]),
        (&"".into(), &"".into())
    );

    // The worker of this build has none to offer, and says so before anybody sends a task there.
    for (arguments, code, words) in [
        (
            &["--device", "cuda:0"][..],
            6,
            [
                "--device cuda:0",
                "computes on cpu alone, with the engines openvino",
            ],
        ),
        (
            &["--device", "cuda:0,cuda:1", "--slots", "3"],
            2,
            ["3 slots are too many", "--device cuda:0,cuda:1"],
        ),
        (
            &["--device", "cuda:0,cpu"],
            2,
            ["cpu and cuda:0", "one worker"],
        ),
    ] {
        let refused = sandbox.start("worker", arguments).wait(LIMIT);
        refused.expect(code).says(&words);
    }

    sandbox.write("job.yaml", &format!("{JOB}resources: {{device: gpu}}\n"));
    sandbox
        .ctl(&["submit", "job.yaml"])
        .expect(0)
        .says(&["no live worker in pool cpu has a GPU"]);
    let executor = with_gpus(&sandbox);
    let gpus = [
        "--name",
        "gpus",
        "--device",
        "cuda:0,cuda:1",
        "--executor",
        &executor,
    ];
    let _gpus = sandbox.start("worker", &gpus);
    // What it said of itself was not true: its engine would have computed on the processor, without a word.
    wait_for_state(&sandbox, "failed");
    let fit = &sandbox.tasks("fit")[0]["attempts"];
    assert_eq!(
        (
            fit.as_array().unwrap().len(),
            &fit[0]["worker"],
            &fit[0]["outcome"]
        ),
        (1, &"gpus".into(), &"invalid_input".into())
    );
    let message = fit[0]["message"].as_str().unwrap();
    assert!(message.contains("the job needs a GPU"), "{message}");
    let worker = is_there("gpus");
    assert_eq!(worker["devices"], serde_json::json!(["cuda:0", "cuda:1"]));
    assert_eq!(worker["slots"], 2);
    let table = sandbox.ctl(&["get", "workers"]).stdout;
    assert!(table.contains("cuda:0 cuda:1"), "{table}");
}

fn each_executor_sees_one_gpu_and_no_two_the_same(queue: Queue) {
    let mut sandbox = Sandbox::with_job(60, 30).on(queue);
    // As a machine's scheduler does that gives two of its GPUs to this worker.
    sandbox.set("CUDA_VISIBLE_DEVICES", "5,GPU-7a");
    let job = JOB.replace("seed: 0", "seed: {grid: [0, 1, 2, 3, 4, 5]}");
    sandbox.write("job.yaml", &job);
    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let executor = with_gpus(&sandbox);
    let gpus = [
        "--name",
        "gpus",
        "--device",
        "cuda:1,cuda:0",
        "--executor",
        &executor,
    ];
    let gpus = sandbox.start("worker", &gpus);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    // Both are at work.
    let seen = |at_least: usize| {
        until("executors", LIMIT, || {
            let seen = fs::read_to_string(sandbox.path("seen")).unwrap_or_default();
            let lines: Vec<Vec<String>> = seen
                .lines()
                .map(|line| line.split(' ').map(str::to_owned).collect())
                .collect();
            (lines.len() >= at_least).then_some(lines)
        })
    };
    let mut of_process = BTreeMap::new();
    for line in seen(2) {
        let [process, visible, order] = &line[..] else {
            panic!("{line:?}")
        };
        assert_eq!(order, "PCI_BUS_ID");
        of_process.insert(process.parse::<u32>().unwrap(), visible.clone());
    }
    let mut visible: Vec<&String> = of_process.values().collect();
    visible.sort();
    assert_eq!(visible, ["5", "GPU-7a"]);
    // Its successor has the GPU of the one that died, and no other.
    let (&killed, lost) = of_process.iter().next().unwrap();
    let victim = gpus
        .programs()
        .into_iter()
        .find(|process| process.id == killed);
    let victim = victim.unwrap();
    victim.signal(crate::processes::Signal::KILL);
    victim.wait_for_end(SOON);
    assert_eq!(&seen(3)[2][1], lost);
    wait_for_state(&sandbox, "succeeded");
    // Whoever asks where a task was computed finds it in its log.
    let logs = sandbox.ctl(&["logs", "last"]).stdout;
    for device in ["cuda:0", "cuda:1"] {
        assert!(logs.contains(&format!("device={device}")), "{logs}");
        let pinned = format!("device={device}");
        assert!(gpus.stderr().contains(&pinned), "{}", gpus.stderr());
    }
}
