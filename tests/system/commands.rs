//! From images to results: what each command shows of a job that goes well.

use std::collections::BTreeSet;

use crate::images;
use crate::processes::naming;
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, LIMIT, Sandbox, files};

on_both_queues!(
    a_submitted_job_waits_for_a_worker_and_is_done_by_the_first_that_comes,
    a_report_shows_every_run_and_its_images_and_is_written_over_nothing,
    every_engine_does_the_job_and_gives_the_same_scores,
    every_run_has_exactly_one_score_row_for_each_image_that_is_not_trained_on,
    a_model_trained_on_folders_is_tested_by_its_name,
);

#[test]
fn a_job_goes_from_images_to_tables_and_every_command_shows_it() {
    let sandbox = Sandbox::with_job(6, 3);
    let run = sandbox.ctl(&["run", "job.yaml"]);
    run.expect(0).says(&["submitted", "succeeded"]);
    assert!(run.stdout.contains("Results: "), "{}", run.stdout);
    assert!(
        naming(sandbox.path("s").to_str().unwrap()).is_empty(),
        "its own programs end with it"
    );

    let [id] = &sandbox.job_ids()[..] else {
        panic!("one job")
    };
    let results = sandbox.path(&format!("out/jobs/{id}/results/000001"));
    for table in ["scores", "metrics", "curves", "pictures", "timings"] {
        assert!(results.join(format!("{table}.parquet")).is_file());
    }

    let metrics = sandbox.json(&["results", "--last", "--metrics"]);
    let names: BTreeSet<(&str, &str)> = metrics
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert!(row["value"].is_number(), "{row}");
            (
                row["level"].as_str().unwrap(),
                row["metric"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            ("image", "AUROC"),
            ("image", "F1Score"),
            ("pixel", "AUROC"),
            ("pixel", "F1Score")
        ]
        .into()
    );
    let timings = sandbox.json(&["results", id, "--timings"]);
    assert!(
        timings
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["kind"] == "fit")
    );

    // A prefix of the id names the job as well as the id and `last`.
    for name in [&id[..3], id, "last"] {
        let described = sandbox.json(&["describe", name]);
        assert_eq!(described["job"]["id"], id.as_str());
        assert_eq!(described["job"]["state"], "succeeded");
    }
    let runs = sandbox.json(&["get", "runs", "last"]);
    assert_eq!(runs[0]["state"], "succeeded");
    let tasks = sandbox.json(&["get", "tasks", id]);
    assert_eq!(tasks.as_array().unwrap().len(), 5);
    let workers = sandbox.json(&["get", "workers"]);
    // The one that the command brought along has ended with it.
    assert_eq!(workers.as_array().unwrap().len(), 0);
    let logs = sandbox.ctl(&["logs", "last"]);
    logs.expect(0);
    assert!(logs.stdout.contains(id.as_str()), "{}", logs.stdout);
    sandbox
        .ctl(&["describe", "nosuchjob"])
        .expect(3)
        .says(&["nosuchjob"]);
}

fn a_report_shows_every_run_and_its_images_and_is_written_over_nothing(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    sandbox.write("job.yaml", &JOB.replace("seed: 0", "seed: {grid: [0, 1]}"));
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let to = sandbox.path("report.html");
    let to = to.to_str().unwrap();
    let said = sandbox.json(&["report", "last", "--to", to]);
    let html = std::fs::read_to_string(to).unwrap();
    assert_eq!(said["bytes"], html.len());
    // Six test images, each in one list of each run.
    assert_eq!(said["pictures"], 12);
    assert_eq!(said["pictures_missing"], 0);
    // Of each the image and its map.
    assert_eq!(html.matches("src=\"data:image/jpeg;base64,").count(), 24);
    assert!(html.contains("ROC of pixels") && html.contains("Overlap with defects"));
    assert!(html.contains("<h2>Curves</h2>"), "both runs in one drawing");
    assert_eq!(html.matches("<section class=\"run\"").count(), 2);
    assert!(html.contains("ROC") && html.contains("chosen on the"));
    sandbox
        .ctl(&["report", "last", "--to", to])
        .expect(2)
        .says(&["report.html", "there already"]);
    assert_eq!(std::fs::read_to_string(to).unwrap(), html);
}

fn every_engine_does_the_job_and_gives_the_same_scores(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    let scores = |engine: &str| {
        let choice = format!("resources.engine={engine}");
        sandbox
            .ctl(&["run", "job.yaml", "--set", &choice])
            .expect(0);
        let metrics = sandbox.json(&["results", "last", "--metrics"]);
        assert!(
            metrics[0]["engine"].as_str().unwrap().starts_with(engine),
            "{metrics}"
        );
        let rows = sandbox.json(&["results", "last", "--scores"]);
        let rows = rows.as_array().unwrap().clone();
        let score = |row: &serde_json::Value| row["score"].as_f64().unwrap();
        rows.iter().map(score).collect::<Vec<f64>>()
    };
    let openvino = scores("openvino");
    assert_eq!(openvino.len(), 6);
    for engine in ["onnxruntime", "torch-cpu"] {
        for (one, other) in openvino.iter().zip(scores(engine)) {
            assert!(
                (one - other).abs() <= 1e-3 * one.abs(),
                "{engine}: {one} {other}"
            );
        }
    }
}

fn every_run_has_exactly_one_score_row_for_each_image_that_is_not_trained_on(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    sandbox.write(
        "job.yaml",
        &JOB.replace("seed: 0", "seed: {grid: [0, 1, 2]}"),
    );
    sandbox.ctl(&["run", "job.yaml", "--slots", "2"]).expect(0);
    let scores = sandbox.json(&["results", "--last", "--scores"]);
    let scores = scores.as_array().unwrap();
    for run in 0..3 {
        let uris: Vec<&str> = scores
            .iter()
            .filter(|row| row["run"] == run)
            .map(|row| {
                assert!(row["score"].is_number(), "{row}");
                row["uri"].as_str().unwrap()
            })
            .collect();
        assert_eq!(uris.len(), 6, "{uris:?}");
        assert_eq!(uris.iter().collect::<BTreeSet<_>>().len(), 6, "{uris:?}");
        assert!(uris.iter().all(|uri| uri.contains("/test/")), "{uris:?}");
    }
    assert_eq!(scores.len(), 18);
}

fn a_model_trained_on_folders_is_tested_by_its_name(queue: Queue) {
    let sandbox = Sandbox::new().served(queue);
    images::folder(&sandbox.path("cells"), 10, 4);
    let train = "\
kind: train
name: cells
model: {class_path: Padim, init_args: {backbone: resnet18, layers: [layer1], n_features: 8, pre_trained: false}}
data: {class_path: Folder, init_args: {name: cells, root: ./cells, normal_dir: good, abnormal_dir: bad, image_size: 64, val_split_mode: same_as_test}}
task: classification
output: ./out
";
    sandbox.write("train.yaml", train);
    sandbox.ctl(&["run", "train.yaml"]).expect(0);
    let models = sandbox.json(&["get", "models"]);
    assert_eq!(models[0]["name"], "cells");
    assert_eq!(models[0]["version"], 1);
    assert!(sandbox.path("out/models/cells").is_dir());
    a_certificate_says_how_far_engines_agree(&sandbox);

    let model = train
        .lines()
        .find(|line| line.starts_with("model:"))
        .unwrap();
    sandbox.write(
        "test.yaml",
        &train
            .replace("kind: train\nname: cells", "kind: test\nname: again")
            .replace(model, "model: {package: cells}"),
    );
    let tested = sandbox.ctl(&["run", "test.yaml"]);
    tested.expect(0);
    assert!(sandbox.tasks("fit").is_empty(), "nothing is trained");
    let metrics = sandbox.json(&["results", "--last", "--metrics"]);
    assert!(metrics[0]["value"].is_number(), "{metrics}");
    let rows = metrics.as_array().unwrap();
    let f1 = rows.iter().find(|row| row["metric"] == "F1Score").unwrap();
    assert_eq!(f1["threshold_split"], "package:test", "{metrics}");

    // Trained again, it is the next version.
    sandbox.ctl(&["run", "train.yaml"]).expect(0);
    let models = sandbox.json(&["get", "models"]);
    let versions: BTreeSet<u64> = models
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|model| model["version"].as_u64())
        .collect();
    assert_eq!(versions, [1, 2].into());
    sandbox.write(
        "none.yaml",
        &fs_read(&sandbox, "test.yaml").replace("package: cells", "package: nosuch"),
    );
    sandbox
        .ctl(&["run", "none.yaml"])
        .expect(1)
        .says(&["nosuch", "ctl get models"]);
}

/// `ctl describe model` of the package that has just been published.
fn a_certificate_says_how_far_engines_agree(sandbox: &Sandbox) {
    for name in ["cells", "cells@1"] {
        let described = sandbox.json(&["describe", "model", name]);
        assert_eq!(described["model"]["version"], 1);
        let parity = &described["package"]["parity"];
        assert_eq!(parity["reference"]["engine"], "openvino", "{described}");
        assert!(parity["images"].as_u64().is_some_and(|images| images > 4));
        let onnxruntime = &parity["engines"][0];
        assert_eq!(onnxruntime["engine"], "onnxruntime");
        for number in ["score_difference", "map_difference"] {
            let difference = onnxruntime["result"]["agreement"][number].as_f64();
            assert!(difference.is_some_and(|d| d < 1e-4), "{parity}");
        }
    }
    let page = sandbox.ctl(&["describe", "model", "cells"]);
    page.expect(0);
    for words in [
        "cells@1",
        "Padim",
        "is the reference",
        "agrees",
        "not measured",
    ] {
        assert!(page.stdout.contains(words), "{words}: {}", page.stdout);
    }
    let refused = sandbox.ctl(&["describe", "model", "nosuch"]);
    refused.expect(3).says(&["nosuch", "ctl get models"]);
    let refused = sandbox.ctl(&["describe", "model", "cells@2"]);
    refused.expect(3).says(&["no version 2"]);
    sandbox.ctl(&["describe", "model"]).expect(2);
    sandbox.ctl(&["describe", "last", "cells"]).expect(2);
}

fn fs_read(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.path(name)).unwrap()
}

fn a_submitted_job_waits_for_a_worker_and_is_done_by_the_first_that_comes(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    let coordinator = sandbox.start("coordinator", &[]);
    crate::kills::wait_for_socket(&sandbox);
    let submitted = sandbox.ctl(&["submit", "job.yaml"]);
    submitted.expect(0);
    assert_eq!(sandbox.tasks("list")[0]["state"], "ready");
    let waiting = sandbox.start("ctl", &["submit", "job.yaml", "--wait"]);
    let worker = sandbox.start("worker", &["--name", "box"]);
    waiting.wait(LIMIT).expect(0);
    let workers = sandbox.json(&["get", "workers"]);
    assert_eq!(workers[0]["name"], "box");
    assert_eq!(workers[0]["state"], "live");
    // Published in order, so the first job has its results as well.
    assert_eq!(sandbox.job_ids().len(), 2);
    drop((worker, coordinator));
    assert!(!files(&sandbox.path("out")).is_empty());
}
