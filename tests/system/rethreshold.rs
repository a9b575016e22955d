//! New thresholds for jobs that have ended: the tables are those of a job with that threshold, and nothing is scored again.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::kills::wait_for_socket;
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, LIMIT, SOON, Sandbox, files};

on_both_queues!(
    tables_are_those_of_a_job_with_that_threshold_and_nothing_is_scored_again,
    a_coordinator_that_is_killed_meanwhile_goes_on_with_it,
    a_trained_model_gets_a_version_with_the_new_threshold,
    a_run_that_had_no_threshold_loses_nothing_without_one,
    what_is_missing_is_said_and_results_stay_as_they_were,
);

/// Eight good images and eight bad ones in the split test.
fn sandbox() -> Sandbox {
    Sandbox::with_job(6, 8)
}

fn newest(sandbox: &Sandbox) -> String {
    sandbox.job_ids().swap_remove(0)
}

/// A table of a job, as it lies in the store.
fn table(sandbox: &Sandbox, job: &str, generation: u32, name: &str) -> PathBuf {
    sandbox.path(&format!(
        "out/jobs/{job}/results/{generation:06}/{name}.parquet"
    ))
}

/// The rows of the newest table `scores`, but for how long things took.
fn scores(sandbox: &Sandbox, job: &str) -> Vec<Value> {
    let rows = sandbox.json(&["results", job, "--scores"]);
    let mut rows = rows.as_array().unwrap().clone();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        row.retain(|column, _| !column.ends_with("_us"));
    }
    rows
}

/// What is the same for the same images, model and threshold: compared by the byte, or row by row where times stand beside.
#[track_caller]
fn expect_equal(sandbox: &Sandbox, (one, of_one): (&str, u32), (two, of_two): (&str, u32)) {
    for name in ["metrics", "curves", "pictures"] {
        let read = |job, generation| fs::read(table(sandbox, job, generation, name)).unwrap();
        assert!(read(one, of_one) == read(two, of_two), "{name} differs");
    }
    assert_eq!(scores(sandbox, one), scores(sandbox, two));
}

/// A score between the highest and the lowest of a split.
fn middle(sandbox: &Sandbox, job: &str) -> f64 {
    let rows = sandbox.json(&["results", job, "--scores"]);
    let rows = rows.as_array().unwrap();
    let mut scores: Vec<f64> = rows
        .iter()
        .map(|row| row["score"].as_f64().unwrap())
        .collect();
    scores.sort_by(f64::total_cmp);
    scores[scores.len() / 3]
}

fn tables_are_those_of_a_job_with_that_threshold_and_nothing_is_scored_again(queue: Queue) {
    let sandbox = sandbox().served(queue);
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let job = newest(&sandbox);
    let manual = middle(&sandbox, &job);
    let first: Vec<_> = files(&sandbox.path(&format!("out/jobs/{job}/results/000001")))
        .into_iter()
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    let (manual_image, manual_pixel) = (manual.to_string(), (manual / 2.0).to_string());
    let cases = [
        (
            vec!["--manual", &manual_image, "--pixel", &manual_pixel],
            format!("[{manual_image}, {manual_pixel}]"),
        ),
        (
            vec!["--fpr", "0.3"],
            "{class_path: FalsePositiveRate, init_args: {rate: 0.3}}".to_owned(),
        ),
        (vec!["--f1"], "F1AdaptiveThreshold".to_owned()),
    ];
    for (generation, (options, threshold)) in (2..).zip(cases) {
        let arguments = [&["rethreshold", &job, "--wait"], &options[..]].concat();
        let changed = sandbox.json(&arguments);
        assert_eq!(changed["generation"], generation, "{changed}");
        assert_eq!(changed["before"], generation - 1);
        if generation == 2 {
            assert_eq!(
                changed["runs"][0]["after"]["threshold"]
                    .as_f64()
                    .map(|t| t as f32),
                Some(manual as f32)
            );
            assert_ne!(changed["runs"][0]["before"], changed["runs"][0]["after"]);
        }
        if generation == 3 {
            let rate = &changed["runs"][0]["false_positive_rate"];
            assert_eq!(
                (&rate["normal"], &rate["at_or_above"]),
                (&8.into(), &2.into())
            );
        }
        // The newest job is the other one from here on.
        assert_eq!(sandbox.outcomes("score").len(), 1);
        assert_eq!(sandbox.outcomes("fit").len(), 1);
        let text = JOB.replace(
            "metrics: {",
            &format!("metrics: {{threshold: {threshold}, "),
        );
        sandbox.write("other.yaml", &text);
        sandbox.ctl(&["run", "other.yaml", "--new"]).expect(0);
        let other = newest(&sandbox);
        expect_equal(&sandbox, (&job, generation), (&other, 1));
        sandbox.ctl(&["verify", &job]).expect(0);
    }
    // By the way of two others it is what it was.
    expect_equal(&sandbox, (&job, 4), (&job, 4));
    for name in ["metrics", "curves", "pictures"] {
        let read = |generation| fs::read(table(&sandbox, &job, generation, name)).unwrap();
        assert!(read(4) == read(1), "{name} differs");
    }
    for (bytes, path) in first {
        assert!(
            fs::read(&path).unwrap() == bytes,
            "{} changed",
            path.display()
        );
    }
}

fn a_coordinator_that_is_killed_meanwhile_goes_on_with_it(queue: Queue) {
    let sandbox = sandbox().on(queue);
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let worker = sandbox.start("worker", &["--name", "one"]);
    sandbox.ctl(&["submit", "job.yaml", "--wait"]).expect(0);
    let job = newest(&sandbox);
    let manual = middle(&sandbox, &job).to_string();
    worker.signal(Signal::TERM);
    worker.wait(SOON).expect(0);
    // Nobody is there to do it.
    sandbox
        .ctl(&["rethreshold", &job, "--manual", &manual])
        .expect(0);
    coordinator.signal(Signal::KILL);
    coordinator.wait(SOON);
    let _coordinator = sandbox.start("coordinator", &[]);
    until("a coordinator", LIMIT, || {
        let jobs = sandbox.ctl(&["get", "jobs", "-o", "json"]);
        jobs.stdout.contains("running").then_some(())
    });
    sandbox
        .ctl(&["rethreshold", &job, "--f1"])
        .expect(2)
        .says(&["a new threshold is for jobs that have ended"]);
    let _worker = sandbox.start("worker", &["--name", "two"]);
    sandbox.ctl(&["retry", &job, "--wait"]).expect(0);
    assert_eq!(sandbox.outcomes("score"), ["accepted"]);
    assert_eq!(sandbox.outcomes("evaluate"), ["accepted", "accepted"]);
    let text = JOB.replace(
        "metrics: {",
        &format!("metrics: {{threshold: {{image: {manual}}}, "),
    );
    sandbox.write("other.yaml", &text);
    sandbox.ctl(&["submit", "other.yaml", "--wait"]).expect(0);
    expect_equal(&sandbox, (&job, 2), (&newest(&sandbox), 1));
}

fn a_trained_model_gets_a_version_with_the_new_threshold(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    sandbox.write("job.yaml", &JOB.replace("kind: benchmark", "kind: train"));
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    // Images are not looked at again.
    let (data, aside) = (sandbox.path("data"), sandbox.path("aside"));
    fs::rename(&data, &aside).unwrap();
    sandbox
        .ctl(&["rethreshold", "last", "--manual", "4.5", "--wait"])
        .expect(0);
    fs::rename(&aside, &data).unwrap();
    let models = sandbox.json(&["get", "models"]);
    let versions: Vec<_> = models
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["version"])
        .collect();
    assert_eq!(versions.len(), 2, "{models}");
    let read = |version: u32| -> Value {
        let pointer = sandbox.path(&format!("out/models/tiny/{version:06}.json"));
        let pointer: Value = serde_json::from_slice(&fs::read(pointer).unwrap()).unwrap();
        let package = pointer["package"].as_str().unwrap().to_owned();
        let package = package.strip_prefix("file://").unwrap().to_owned();
        serde_json::from_slice(&fs::read(package).unwrap()).unwrap()
    };
    let (before, after) = (read(1), read(2));
    assert_eq!(after["thresholds"]["image"]["value"], 4.5);
    assert_eq!(after["thresholds"]["image"]["chosen_on"], "manual");
    assert_eq!(after["thresholds"]["pixel"], before["thresholds"]["pixel"]);
    assert_eq!(after["provenance"]["rethresholded"], true);
    assert_eq!(before["provenance"].get("rethresholded"), None);
    // The engines agree as they did; what they decide by this threshold was not measured.
    let mut certificate = before["parity"].clone();
    let mut flips = 0;
    for engine in certificate["engines"].as_array_mut().unwrap() {
        if let Some(agreement) = engine["result"].get_mut("agreement") {
            flips += usize::from(agreement["flips"].is_u64());
            agreement["flips"] = Value::Null;
        }
    }
    assert!(flips > 0, "{certificate}");
    assert_eq!(after["parity"], certificate);
    // Predictions use it.
    sandbox.write(
        "test.yaml",
        "kind: test\nname: tested\nmodel: {package: tiny}\ndata: {class_path: MVTec, init_args: {root: ./data, category: tiny, val_split_mode: same_as_test}}\nmetrics: {image: [F1Score]}\noutput: ./out\n",
    );
    sandbox.ctl(&["run", "test.yaml"]).expect(0);
    let metrics = sandbox.json(&["results", "last", "--metrics"]);
    assert_eq!(metrics[0]["threshold"], 4.5, "{metrics}");
    assert_eq!(metrics[0]["threshold_split"], "package:manual");
}

fn a_run_that_had_no_threshold_loses_nothing_without_one(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    for folder in ["test/bad", "ground_truth/bad"] {
        fs::remove_dir_all(sandbox.path(&format!("data/tiny/{folder}"))).unwrap();
    }
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    assert_eq!(scores(&sandbox, "last")[0]["is_anomalous"], Value::Null);
    sandbox
        .ctl(&["rethreshold", "last", "--f1", "--wait"])
        .expect(0);
    sandbox
        .ctl(&["rethreshold", "last", "--manual", "4.5", "--wait"])
        .expect(0);
    assert!(scores(&sandbox, "last")[0]["is_anomalous"].is_boolean());
    // Now it would.
    sandbox
        .ctl(&["rethreshold", "last", "--f1", "--wait"])
        .expect(1)
        .says(&["as before"]);
    assert!(scores(&sandbox, "last")[0]["is_anomalous"].is_boolean());
}

fn what_is_missing_is_said_and_results_stay_as_they_were(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    sandbox.ctl(&["rethreshold", "last", "--f1"]).expect(3);
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let job = newest(&sandbox);
    let wrong: [(&[&str], i32, &str); 4] = [
        (&["--f1", "--run", "7"], 3, "no run 7"),
        (&["--manual", "inf"], 2, "ManualThreshold"),
        (&["--fpr", "0.9"], 2, "FalsePositiveRate"),
        (&[], 2, "--manual"),
    ];
    for (options, code, word) in wrong {
        let arguments = [&["rethreshold", &job], options].concat();
        sandbox.ctl(&arguments).expect(code).says(&[word]);
    }
    let before = scores(&sandbox, &job);
    let parts: Vec<_> = files(&sandbox.path(&format!("out/jobs/{job}/tasks")))
        .into_iter()
        .filter(|path| path.with_file_name("computed_by.json").exists())
        .collect();
    let part = |name: &str| {
        let found = parts.iter().find(|path| path.ends_with(name));
        found.unwrap().clone()
    };
    let remove = |name: &str| {
        let aside = sandbox.path("aside");
        fs::rename(part(name), &aside).unwrap();
        aside
    };
    // Nobody looks for it before.
    let aside = remove("computed_by.json");
    sandbox
        .ctl(&["rethreshold", &job, "--manual", "4.5", "--wait"])
        .expect(1)
        .says(&["as before", "computed_by.json"]);
    fs::rename(aside, part("computed_by.json")).unwrap();
    let described = sandbox.ctl(&["describe", &job]);
    described.expect(0);
    assert!(
        described.stdout.contains("came to nothing"),
        "{}",
        described.stdout
    );
    let value = sandbox.json(&["describe", &job]);
    assert_eq!(value["job"]["state"], "succeeded");
    assert_eq!(value["job"]["results_generation"], 1);
    // The scores themselves are looked for.
    let evaluations = sandbox.outcomes("evaluate").len();
    let aside = remove("scores.parquet");
    sandbox
        .ctl(&["rethreshold", &job, "--manual", "4.5"])
        .expect(3)
        .says(&["not in its store any more"]);
    fs::rename(aside, part("scores.parquet")).unwrap();
    assert_eq!(sandbox.outcomes("evaluate").len(), evaluations);
    assert_eq!(scores(&sandbox, &job), before);
    sandbox
        .ctl(&["rethreshold", &job, "--manual", "4.5", "--wait"])
        .expect(0);
    assert_eq!(
        sandbox.json(&["describe", &job])["job"]["results_generation"],
        2
    );
}

#[test]
fn whoever_asks_is_told_what_decides() {
    let sandbox = Sandbox::with_job(6, 3);
    let bounds = "[AUROC, {class_path: AUPIMO, init_args: {fpr_bounds: [0.001, 0.5]}}]";
    let text = JOB
        .replace("kind: benchmark", "kind: train")
        .replace("[AUROC, F1Score], pixel", "[AUROC], pixel")
        .replace("[AUROC, F1Score]", bounds);
    sandbox.write("job.yaml", &text);
    sandbox.ctl(&["run", "job.yaml", "--key", "once"]).expect(0);
    let job = newest(&sandbox);
    let finished = || sandbox.json(&["describe", &job])["job"]["finished"].clone();
    let before = finished();
    assert!(before.is_string(), "{before}");
    let words = "by `ctl rethreshold`, not by the job file: images at and above 4.5";
    let again = || sandbox.ctl(&["run", "job.yaml", "--key", "once"]);
    let first = again();
    first.expect(0).says(&["succeeded already"]);
    assert!(!first.stderr.contains("rethreshold"), "{}", first.stderr);
    // No metric of it needs a threshold, and there is one.
    let changed = sandbox.json(&["rethreshold", &job, "--manual", "4.5", "--wait"]);
    for (side, is) in [("before", None), ("after", Some(4.5))] {
        let threshold = &changed["runs"][0][side]["threshold"];
        assert!(threshold.is_f64(), "{changed}");
        assert!(is.is_none_or(|is| threshold == is), "{changed}");
    }
    assert_eq!(finished(), before);
    let described = sandbox.ctl(&["describe", &job]);
    described.expect(0);
    assert!(described.stdout.contains(words), "{}", described.stdout);
    again().expect(0).says(&["succeeded already", words]);
    let model = sandbox.ctl(&["describe", "model", "tiny"]);
    model.expect(0);
    assert!(
        model
            .stdout
            .contains("by `ctl rethreshold` after the job's end"),
        "{}",
        model.stdout
    );
    let first = sandbox.ctl(&["describe", "model", "tiny@1"]);
    assert!(!first.stdout.contains("rethreshold"), "{}", first.stdout);

    // Of single images and of all, as numbers.
    let rows = sandbox.json(&["results", &job, "--aupimo"]);
    let values = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["aupimo"].as_f64().unwrap());
    let values: Vec<f64> = values.collect();
    assert_eq!(values.len(), 3, "{rows}");
    let metrics = sandbox.json(&["results", &job, "--metrics"]);
    let metric = metrics
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["metric"] == "AUPIMO")
        .unwrap();
    let mean = values.iter().sum::<f64>() / 3.0;
    assert!(
        (metric["value"].as_f64().unwrap() - mean).abs() < 1e-9,
        "{metric}, {mean}"
    );
    let found = sandbox.json(&["results", &job, "--distribution"]);
    assert_eq!(found[0]["threshold"], 4.5, "{found}");
    let bins = found[0]["bins"].as_array().unwrap();
    let images: u64 = bins
        .iter()
        .map(|bin| bin["anomalous"].as_u64().unwrap())
        .sum();
    assert_eq!(images, 3, "{found}");
}
