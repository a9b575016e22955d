//! A run's model is one thing from its first task to its last: its package, its weights, its size.

use std::{fs, path::Path};

use models::Model;
use package::PackageManifest;
use serde_json::{Value, json};
use tables::{MetricRow, ScoreRow};
use types::{FailureClass, TaskKind};

use crate::{
    images,
    job::{Job, yaml},
    process::Executor,
};

/// Trains a model of the given seed and publishes it in the store of `test_yaml`'s job; the path of its package.
fn publish(folder: &Path, executor: &mut Executor, version: u32) -> String {
    let text = yaml(folder, &format!("seed: {version}\n"))
        .replace("/out\n", &format!("/trained{version}\n"));
    let mut job = Job::new(folder, &text);
    job.run(executor, 2);
    let (_, prefix) = job.accepted(TaskKind::Evaluate);
    let package = job.store.uri(&format!("{prefix}/package.json"));
    point(folder, version, &package);
    package
}

fn point(folder: &Path, version: u32, package: &str) {
    let bytes = fs::read(local(package)).expect("as set up here");
    let pointer = json!({"package": package, "sha256": package::digest(&bytes)});
    let models = folder.join("tested/models/tiny");
    fs::create_dir_all(&models).expect("as set up here");
    let file = models.join(format!("{version:06}.json"));
    fs::write(file, pointer.to_string()).expect("as set up here");
}

fn local(uri: &str) -> &str {
    uri.strip_prefix("file://").expect("as set up here")
}

fn test_yaml(folder: &Path, package: &str, size: u32) -> String {
    format!(
        "kind: test
name: again
model: {{package: '{package}'}}
data: {{class_path: MVTec, init_args: {{root: {0}/data, category: tiny, image_size: {size}}}}}
metrics: {{image: [AUROC, F1Score], pixel: [AUROC]}}
task: segmentation
output: {0}/tested
",
        folder.display()
    )
}

fn scores(job: &Job) -> Vec<Option<f32>> {
    let rows: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
    rows.iter().map(|row| row.score).collect()
}

fn used(job: &Job) -> Value {
    let rows: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
    let parameters: Value = serde_json::from_str(&rows[0].parameters).expect("as set up here");
    parameters["used"].clone()
}

#[test]
fn a_version_published_meanwhile_changes_nothing() {
    let folder = tempfile::tempdir().expect("as set up here");
    let folder = folder.path();
    images::dataset(&folder.join("data"), 5, 3);
    let mut executor = Executor::start();
    let first = publish(folder, &mut executor, 1);
    let expected = {
        let mut job = Job::new(folder, &test_yaml(folder, &first, 64));
        job.run(&mut executor, 2);
        scores(&job)
    };
    for kind in [TaskKind::List, TaskKind::Score] {
        fs::remove_dir_all(folder.join("tested/jobs")).expect("as set up here");
        let mut job = Job::new(folder, &test_yaml(folder, "tiny", 64));
        job.run_through(kind, &mut executor, 2);
        let second = publish(folder, &mut executor, 2);
        job.run(&mut executor, 2);
        assert_eq!(scores(&job), expected, "published after {kind}");
        let used = used(&job);
        assert_eq!(used["package"]["version"], 1, "{used}");
        assert_eq!(used["package"]["uri"], first, "{used}");
        assert_ne!(first, second);
        fs::remove_file(folder.join("tested/models/tiny/000002.json")).expect("as set up here");
    }
    // A package that was written over is not the one that was found.
    fs::remove_dir_all(folder.join("tested/jobs")).expect("as set up here");
    let mut job = Job::new(folder, &test_yaml(folder, &first, 64));
    job.run_through(TaskKind::List, &mut executor, 2);
    let text = fs::read_to_string(local(&first)).expect("as set up here");
    fs::write(local(&first), text.replace("\"run\": 0", "\"run\": 1")).expect("as set up here");
    job.run(&mut executor, 2);
    let failure = job.failure(TaskKind::Score);
    assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
    assert!(failure.message.contains("was changed"), "{failure}");
}

/// Writes random weights of resnet18 into the folder; their digest.
fn import(folder: &Path, seed: u64) -> String {
    let args = json!({"backbone": "resnet18", "layers": ["layer1"], "n_features": 8, "pre_trained": false});
    let model = models::padim::Padim::read(
        args.as_object().expect("as set up here"),
        &[],
        models::InputSize::default(),
        seed,
    )
    .expect("as set up here");
    let mut bytes = Vec::new();
    let state = model.random_weights().expect("as set up here");
    weights::write_safetensors(&state, &mut bytes).expect("as set up here");
    fs::create_dir_all(folder).expect("as set up here");
    // As an import does: another file under the same name.
    fs::write(folder.join("new"), &bytes).expect("as set up here");
    fs::rename(folder.join("new"), folder.join("resnet18.safetensors")).expect("as set up here");
    weights::digest(&bytes)
}

#[test]
fn weights_that_were_imported_meanwhile_are_refused() {
    let folder = tempfile::tempdir().expect("as set up here");
    let folder = folder.path();
    images::dataset(&folder.join("data"), 5, 3);
    let weights = folder.join("weights");
    let text = yaml(folder, "").replace("pre_trained: false", "pre_trained: true");
    let mut executor = Executor::start_as(None, &[("NIGHTSHIFT_WEIGHTS", &weights)]);
    for kind in [TaskKind::Fit, TaskKind::Score] {
        let first = import(&weights, 1);
        let mut job = Job::new(folder, &text);
        job.run_through(kind, &mut executor, 2);
        let second = import(&weights, 2);
        job.run(&mut executor, 2);
        let failed = if kind == TaskKind::Fit {
            TaskKind::Score
        } else {
            TaskKind::Evaluate
        };
        let failure = job.failure(failed);
        assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
        for part in [
            first.as_str(),
            second.as_str(),
            "resnet18",
            "weights import",
        ] {
            assert!(failure.message.contains(part), "{failure}");
        }
        fs::remove_dir_all(folder.join("out")).expect("as set up here");
    }
    // Left alone, the results name them.
    let sha256 = import(&weights, 3);
    let mut job = Job::new(folder, &text);
    job.run(&mut executor, 2);
    assert_eq!(
        used(&job)["weights"],
        json!({"backbone": "resnet18", "sha256": sha256})
    );
}

#[test]
fn a_package_sees_the_size_that_it_was_trained_for() {
    let folder = tempfile::tempdir().expect("as set up here");
    let folder = folder.path();
    images::dataset(&folder.join("data"), 4, 2);
    let mut executor = Executor::start();
    publish(folder, &mut executor, 1);
    let mut job = Job::new(folder, &test_yaml(folder, "tiny", 96));
    job.run(&mut executor, 2);
    let failure = job.failure(TaskKind::List);
    assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
    for part in ["image_size", "96x96", "64x64", "package.json"] {
        assert!(failure.message.contains(part), "{failure}");
    }
    // All of it is no crop; another one is.
    for (crop, fails) in [(64, false), (48, true)] {
        fs::remove_dir_all(folder.join("tested/jobs")).expect("as set up here");
        let asked = format!("image_size: 64, center_crop: {crop}");
        let text = test_yaml(folder, "tiny", 64).replace("image_size: 64", &asked);
        let mut job = Job::new(folder, &text);
        job.run(&mut executor, 2);
        if fails {
            let failure = job.failure(TaskKind::List);
            assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
            for part in ["center_crop", "48x48", "64x64", "package.json"] {
                assert!(failure.message.contains(part), "{failure}");
            }
        } else {
            assert_eq!(scores(&job).len(), 4);
        }
    }
}

#[test]
fn scores_that_are_no_numbers_are_errors_and_never_perfect() {
    let folder = tempfile::tempdir().expect("as set up here");
    let folder = folder.path();
    images::dataset(&folder.join("data"), 4, 2);
    let mut executor = Executor::start();
    let package = publish(folder, &mut executor, 1);

    let mut manifest =
        PackageManifest::from_json(&fs::read(local(&package)).expect("as set up here"))
            .expect("as set up here");
    let beside = Path::new(local(&package)).parent().expect("as set up here");
    let bytes = fs::read(beside.join(&manifest.statistics.uri)).expect("as set up here");
    let mut statistics = weights::read_safetensors(&bytes).expect("as set up here");
    let mean = statistics.get_mut("mean").expect("as set up here");
    let mut numbers = mean.data().to_vec();
    numbers[17] = f32::NAN;
    *mean = graph::Tensor::new(mean.shape(), numbers).expect("as set up here");
    let mut bytes = Vec::new();
    weights::write_safetensors(&statistics, &mut bytes).expect("as set up here");
    let edited = folder.join("edited");
    fs::create_dir_all(&edited).expect("as set up here");
    manifest.statistics.uri = "statistics.safetensors".to_owned();
    manifest.statistics.sha256 = weights::digest(&bytes);
    manifest.statistics.size = bytes.len() as u64;
    fs::write(edited.join("statistics.safetensors"), &bytes).expect("as set up here");
    fs::write(
        edited.join("package.json"),
        manifest.to_json().expect("as set up here"),
    )
    .expect("as set up here");

    let path = edited.join("package.json").display().to_string();
    let mut job = Job::new(folder, &test_yaml(folder, &path, 64));
    job.run(&mut executor, 2);
    let failure = job.failure(TaskKind::Evaluate);
    assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
    let message = "nothing to measure: all 4 test images";
    assert!(failure.message.contains(message), "{failure}");
    let rows: Vec<ScoreRow> = job.table(TaskKind::Score, "scores.parquet");
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert_eq!(row.error_class.as_deref(), Some("not_finite"), "{row:?}");
        assert_eq!((row.score, row.is_anomalous), (None, None), "{row:?}");
    }
}
