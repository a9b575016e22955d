//! Jobs that wait for a worker that can do them: `ctl` says exactly why, until one comes.

use std::{fs, os::unix::fs::symlink};

use crate::kills::wait_for_socket;
use crate::processes::until;
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, LIMIT, Sandbox, programs};

on_both_queues!(
    a_job_says_what_it_waits_for_until_a_worker_comes_that_has_it,
    auto_is_computed_by_an_engine_whose_library_the_worker_has,
);

fn a_job_says_what_it_waits_for_until_a_worker_comes_that_has_it(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let submit = |resources: &str, says: &str| {
        sandbox.write("job.yaml", &format!("{JOB}resources: {resources}\n"));
        let submitted = sandbox.ctl(&["submit", "job.yaml"]);
        submitted.expect(0).says(&[says]);
        let described = sandbox.ctl(&["describe", "last"]);
        let line = format!("waits    {says}");
        assert!(
            described.stdout.contains(&line),
            "{line:?} in\n{}",
            described.stdout
        );
    };
    submit("{}", "no live worker is in pool cpu");
    let _plain = sandbox.start("worker", &["--name", "plain", "--engines", "openvino"]);
    until("the end of the first job", LIMIT, || {
        let state = sandbox.json(&["get", "jobs"])[0]["state"].clone();
        (state == "succeeded").then_some(())
    });
    submit("{pool: gpu}", "no live worker is in pool gpu");
    submit(
        "{memory: 4000GiB}",
        "no live worker in pool cpu has 3.9 TiB of memory (the largest has",
    );
    submit(
        "{engine: onnxruntime}",
        "no live worker in pool cpu has the engine onnxruntime (there: openvino)",
    );
    submit(
        "{labels: {zone: b}}",
        "no live worker in pool cpu is labelled zone=b",
    );
    let list = &sandbox.tasks("list")[0];
    assert_eq!(
        (&list["waits_for"], &list["until"]),
        (&"labels".into(), &serde_json::Value::Null)
    );
    let page = sandbox.ctl(&["describe", list["id"].as_str().unwrap()]);
    page.expect(0);
    assert!(
        page.stdout.contains("is labelled zone=b"),
        "{}",
        page.stdout
    );
    sandbox.ctl(&["describe", "zzzz9999-0000"]).expect(3);

    let _labelled = sandbox.start(
        "worker",
        &["--name", "labelled", "--labels", "disk=nvme,zone=b"],
    );
    until("the end of the labelled job", LIMIT, || {
        let jobs = sandbox.json(&["get", "jobs"]);
        (jobs[0]["state"] == "succeeded").then_some(())
    });
    let attempt = &sandbox.tasks("fit")[0]["attempts"][0];
    assert_eq!(attempt["worker"], "labelled");
    let workers = sandbox.json(&["get", "workers"]);
    let labelled = workers
        .as_array()
        .unwrap()
        .iter()
        .find(|w| w["name"] == "labelled");
    assert_eq!(labelled.unwrap()["labels"]["zone"], "b");
    let table = sandbox.ctl(&["get", "workers"]).stdout;
    assert!(table.contains("disk=nvme zone=b"), "{table}");
}

fn auto_is_computed_by_an_engine_whose_library_the_worker_has(queue: Queue) {
    let mut sandbox = Sandbox::with_job(6, 3).on(queue);
    let native = sandbox.path("native");
    fs::create_dir(&native).unwrap();
    for entry in fs::read_dir(programs().join("lib")).unwrap() {
        let file = entry.unwrap();
        let name = file.file_name();
        if !name.to_string_lossy().starts_with("libopenvino") {
            symlink(file.path(), native.join(name)).unwrap();
        }
    }
    sandbox.set("NIGHTSHIFT_NATIVE_DIR", native.to_str().unwrap());
    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let _few = sandbox.start("worker", &["--name", "few"]);
    let engines = until("a worker", LIMIT, || {
        let workers = sandbox.json(&["get", "workers"]);
        Some(workers.as_array().unwrap().first()?["engines"].clone())
    });
    assert_eq!(engines, serde_json::json!(["onnxruntime", "torch-cpu"]));
    sandbox.ctl(&["submit", "job.yaml", "--wait"]).expect(0);
    let metrics = sandbox.json(&["results", "last", "--metrics"]);
    let engine = metrics[0]["engine"].as_str().unwrap();
    assert!(engine.starts_with("onnxruntime"), "{engine}");
    // A file of OpenVINO's is read by OpenVINO alone.
    sandbox.write(
        "predict.yaml",
        "kind: predict\nmodel: {package: ./model.xml}\noutput: ./out\ndata: data/tiny/test\n",
    );
    let named = ["submit", "job.yaml", "--set", "resources.engine=openvino"];
    let lacks =
        "no live worker in pool cpu has the engine openvino (there: onnxruntime, torch-cpu)";
    for submit in [&named[..], &["submit", "predict.yaml"]] {
        sandbox.ctl(submit).expect(0).says(&[lacks]);
    }
}
