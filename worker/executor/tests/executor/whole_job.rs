//! From images to tables.

use std::path::Path;

use plan::{ResultDetail, TaskResult};
use tables::{AupimoRow, ManifestRow, MetricRow, SampleRow, ScoreRow, TimingRow};
use types::TaskKind;

use crate::{
    images,
    job::{Job, yaml},
    process::Executor,
};

#[test]
fn images_become_tables() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 8, 4);
    let mut job = Job::new(folder.path(), &yaml(folder.path(), ""));
    let mut executor = Executor::start();
    job.run(&mut executor, 2);

    let samples: Vec<SampleRow> = job.table(TaskKind::List, "samples.parquet");
    assert_eq!(samples.len(), 16);
    assert!(samples.windows(2).all(|pair| pair[0].uri < pair[1].uri));

    let scores: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
    assert_eq!(scores.len(), 8);
    for row in &scores {
        assert!(row.error.is_none() && row.width == Some(64), "{row:?}");
        assert_eq!(row.is_anomalous, Some(row.label == "anomalous"), "{row:?}");
        let normalized = row.score_normalized.unwrap();
        assert!(
            (0.0..=1.0).contains(&normalized) && (normalized >= 0.5) == (row.label == "anomalous"),
            "{row:?}"
        );
    }

    let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
    assert_eq!(metrics.len(), 4);
    for row in &metrics {
        // What decides stands in every row of a level.
        assert_eq!(row.threshold_split.as_deref(), Some("test"), "{row:?}");
        assert!(row.threshold.is_some(), "{row:?}");
        let value = row.value.unwrap();
        // Random weights and a blur as wide as the squares find them, but not their edges.
        let least = match (row.level.as_str(), row.metric.as_str()) {
            ("image", _) => 0.999,
            (_, "AUROC") => 0.8,
            _ => 0.3,
        };
        assert!(value > least, "{row:?}");
        assert_eq!(
            (row.normal + row.anomalous) as usize,
            if row.level == "image" { 8 } else { 8 * 64 * 64 }
        );
        assert!(row.fingerprint.starts_with("openvino "), "{row:?}");
    }

    let timings: Vec<TimingRow> = job.table(TaskKind::Reduce, "timings.parquet");
    for kind in ["list", "fit", "score", "evaluate"] {
        let total = timings
            .iter()
            .find(|row| row.kind == kind && row.stage == "total")
            .unwrap();
        assert!(
            total.peak_memory.unwrap() > 1 << 20 && total.cpu_s.is_some(),
            "{total:?}"
        );
    }
    assert!(
        timings
            .iter()
            .any(|row| row.stage == "decode" && row.items == 8 && row.bytes > 0)
    );

    let manifest: Vec<ManifestRow> = job.table(TaskKind::Reduce, "manifest.parquet");
    assert!(manifest.windows(2).all(|pair| pair[0].path < pair[1].path));
    for row in &manifest {
        let file = std::fs::metadata(job.store.local_path(&row.path).unwrap()).unwrap();
        assert_eq!(file.len(), row.size, "{row:?}");
    }
    assert!(
        manifest
            .iter()
            .any(|row| row.path.ends_with("log/000000.log"))
    );
    assert!(
        manifest
            .iter()
            .any(|row| row.path.ends_with("package.json"))
    );
    assert!(executor.progress.iter().any(|progress| progress.pulse > 0));
}

#[test]
fn normal_images_alone_give_a_threshold_and_metrics() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 24, 0);
    let text = yaml(folder.path(), "").replace(
        "class_path: MVTec, init_args: {root",
        "class_path: Folder, init_args: {name: tiny, normal_dir: tiny/train/good, test_split_mode: synthetic, \
         val_split_mode: synthetic, test_split_ratio: 0.5, root",
    );
    let text = text.replace(", category: tiny", "");
    let run = |threads, out: &str| {
        let mut job = Job::new(folder.path(), &text.replace("/out", out));
        job.run(&mut Executor::start(), threads);
        job
    };
    let job = run(2, "/one");
    let samples: Vec<SampleRow> = job.table(TaskKind::List, "samples.parquet");
    let of = |split: &str, label: &str| {
        let rows = samples.iter().filter(|row| row.split == split);
        rows.filter(|row| row.label == label).count()
    };
    let splits = ["test", "validation"];
    assert_eq!(splits.map(|split| of(split, "normal")), [6, 3]);
    assert_eq!(splits.map(|split| of(split, "anomalous")), [6, 3]);
    let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
    for row in &metrics {
        assert!(row.value.is_some(), "{row:?}");
        let pixels = if row.level == "pixel" { 64 * 64 } else { 1 };
        assert_eq!(row.normal + row.anomalous, 12 * pixels, "{row:?}");
        assert!(row.anomalous > 0, "{row:?}");
        if row.metric == "F1Score" {
            assert_eq!(row.threshold_split.as_deref(), Some("validation"));
        }
    }
    // Every worker makes the same anomalies.
    assert_eq!(raw_scores(&job), raw_scores(&run(1, "/two")));
}

/// One of each kind of model beside the one of [`yaml`], with random weights; whether it has maps.
const MODELS: [(&str, bool); 4] = [
    (
        "{class_path: Patchcore, init_args: {backbone: resnet18, layers: [layer1, layer2], pre_trained: false}}",
        true,
    ),
    (
        "{class_path: Dfm, init_args: {backbone: resnet18, layer: layer2, pooling_kernel_size: 2, pca_level: 0.7, pre_trained: false}}",
        true,
    ),
    (
        "{class_path: Dfm, init_args: {backbone: resnet18, layer: layer2, score_type: nll, pre_trained: false}}",
        false,
    ),
    (
        "{class_path: Dfkde, init_args: {backbone: resnet18, layers: [layer2], n_pca_components: 3, pre_trained: false}}",
        false,
    ),
];

/// The job of [`yaml`] with another model and another output folder.
fn with_model(folder: &Path, model: &str, out: &str) -> String {
    let text = yaml(folder, "").replace("/out", out);
    let lines = text.lines().map(|line| match line.split_once(": ") {
        Some(("model", _)) => format!("model: {model}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn every_model_goes_from_images_to_tables_and_a_package() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 8, 4);
    let mut executor = Executor::start();
    for (index, (model, has_map)) in MODELS.into_iter().enumerate() {
        let text = with_model(folder.path(), model, &format!("/out{index}"));
        let mut job = Job::new(folder.path(), &text);
        job.run(&mut executor, 2);
        let scores: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
        assert_eq!(scores.len(), 8);
        assert!(scores.iter().all(|row| row.error.is_none()), "{scores:?}");
        let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
        assert_eq!(metrics.len(), 4);
        for row in &metrics {
            if row.level == "pixel" && !has_map {
                assert_eq!(row.reason.as_deref(), Some("no_map"), "{row:?}");
                continue;
            }
            // Squares of 16 pixels on a texture; random weights and small maps find them, not their edges.
            let least = match (row.level.as_str(), row.metric.as_str()) {
                ("image", _) => 0.99,
                (_, "AUROC") => 0.7,
                _ => 0.1,
            };
            assert!(row.value.unwrap() > least, "{model}: {row:?}");
        }
        let again = tested_again(
            folder.path(),
            &job,
            &format!("/again{index}"),
            &mut executor,
        );
        assert_eq!(raw_scores(&again), raw_scores(&job), "{model}");
    }
}

/// Less than a model sees by itself, not square, and more than it sees by itself.
#[test]
fn the_middle_that_a_job_asks_for_is_learned_scored_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 8, 4);
    let mut executor = Executor::start();
    let padim = yaml(folder.path(), "");
    let patchcore = with_model(folder.path(), MODELS[0].0, "/out1");
    for (index, (text, crop)) in [(padim, [48, 32]), (patchcore, [64, 64])]
        .into_iter()
        .enumerate()
    {
        let [height, width] = crop;
        let asked = format!("image_size: 64, center_crop: [{height}, {width}]");
        let mut job = Job::new(folder.path(), &text.replace("image_size: 64", &asked));
        job.run(&mut executor, 2);
        let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
        let pixels = metrics.iter().find(|row| row.level == "pixel").unwrap();
        // Squares as `images::dataset` draws them.
        let marked = |index: usize| {
            let within = |first: usize, side: usize| {
                let cut = (64 - side) / 2;
                (first..first + 16)
                    .filter(|at| (cut..cut + side).contains(at))
                    .count()
            };
            within(8 + 3 * index % 30, width) * within(10 + 5 * index % 30, height)
        };
        let anomalous: usize = (0..4).map(marked).sum();
        assert_eq!(
            (pixels.anomalous as usize, pixels.normal as usize),
            (anomalous, 8 * height * width - anomalous),
            "{pixels:?}"
        );

        let (_, prefix) = job.accepted(TaskKind::Evaluate);
        let package = job.store.local_path(&format!("{prefix}/package.json"));
        let package = std::fs::read(package.unwrap()).unwrap();
        let seen = package::PackageManifest::from_json(&package).unwrap();
        let seen = seen.preprocessing;
        let sides = crop.map(|side| side as u32);
        assert_eq!((seen.resize, seen.image_size), ([64, 64], sides));
        assert_eq!(seen.crop, (sides != [64, 64]).then_some(sides));

        // Whoever scores by the package need not know.
        let again = format!("/again{index}");
        let again = tested_again(folder.path(), &job, &again, &mut executor);
        assert_eq!(raw_scores(&again), raw_scores(&job));
        let again: Vec<MetricRow> = again.table(TaskKind::Reduce, "metrics.parquet");
        let again = again.iter().find(|row| row.level == "pixel").unwrap();
        assert_eq!(
            (again.anomalous, again.normal),
            (pixels.anomalous, pixels.normal)
        );
    }
}

fn raw_scores(job: &Job) -> Vec<Option<f32>> {
    let rows: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
    rows.iter().map(|row| row.score).collect()
}

/// The package that a job has made, tested on the same images.
fn tested_again(folder: &Path, trained: &Job, out: &str, executor: &mut Executor) -> Job {
    let (result, prefix) = trained.accepted(TaskKind::Evaluate);
    let ResultDetail::Evaluate {
        package: Some(package),
        ..
    } = &result.detail
    else {
        panic!("{result:?}")
    };
    let package = trained.store.uri(&format!("{prefix}/{package}"));
    let text = format!(
        "kind: test
name: again
model: {{package: '{package}'}}
data: {{class_path: MVTec, init_args: {{root: {0}/data, category: tiny, image_size: 64}}}}
metrics: {{image: [AUROC, F1Score], pixel: [AUROC]}}
task: segmentation
output: {0}{out}
",
        folder.display()
    );
    let mut tested = Job::new(folder, &text);
    tested.run(executor, 2);
    tested
}

#[test]
fn scores_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 5, 3);
    scores_at_any_threads(folder.path(), |out| {
        yaml(folder.path(), "").replace("/out", out)
    });
    for (model, _) in MODELS {
        scores_at_any_threads(folder.path(), |out| with_model(folder.path(), model, out));
    }
}

fn scores_at_any_threads(folder: &Path, text: impl Fn(&str) -> String) {
    let scores = |threads| {
        let out = tempfile::tempdir_in(folder).expect("a folder");
        let text = text(&format!(
            "/{}",
            out.path().file_name().expect("a name").display()
        ));
        let mut job = Job::new(folder, &text);
        job.run(&mut Executor::start(), threads);
        let rows: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
        let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
        let bits: Vec<u32> = rows
            .iter()
            .map(|row| row.score.expect("a score").to_bits())
            .collect();
        (
            bits,
            metrics
                .iter()
                .map(|row| row.value.map(f64::to_bits))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(scores(1), scores(2));
}

#[test]
fn scores_are_normalized_by_the_distribution_of_training_images() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 8, 4);
    let mut executor = Executor::start();
    let run = |executor: &mut Executor, name: &str, more: &str| {
        let text = yaml(folder.path(), more).replace("/out", name);
        let mut job = Job::new(folder.path(), &text);
        job.run(executor, 2);
        job
    };
    let job = run(&mut executor, "/cdf", "normalization: cdf\n");
    // Nothing else depends on it.
    let plain = run(&mut executor, "/plain", "");
    let scores = |job: &Job| -> Vec<ScoreRow> { job.table(TaskKind::Reduce, "scores.parquet") };
    let (found, expected) = (scores(&job), scores(&plain));
    let raw = |rows: &[ScoreRow]| -> Vec<_> {
        let rows = rows.iter();
        rows.map(|row| (row.uri.clone(), row.score, row.is_anomalous))
            .collect()
    };
    assert_eq!(raw(&found), raw(&expected));
    let values = |job: &Job| -> Vec<Option<f64>> {
        let rows: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
        rows.iter().map(|row| row.value).collect()
    };
    assert_eq!(values(&job), values(&plain));

    let training: Vec<ScoreRow> = job.table(TaskKind::Score, "training_scores.parquet");
    assert_eq!(training.len(), 8);
    let logarithms: Vec<f64> = training
        .iter()
        .map(|row| f64::from(row.score.unwrap()).ln())
        .collect();
    let mean = logarithms.iter().sum::<f64>() / 8.0;
    let squares: f64 = logarithms.iter().map(|one| (one - mean).powi(2)).sum();
    let std = (squares / 7.0).sqrt();
    let package = |job: &Job| {
        let path = format!("{}/package.json", job.accepted(TaskKind::Evaluate).1);
        let bytes = std::fs::read(job.store.local_path(&path).unwrap()).unwrap();
        (
            package::PackageManifest::from_json(&bytes).unwrap(),
            job.store.uri(&path),
        )
    };
    let (manifest, uri) = package(&job);
    let Some(package::Scale::Distribution(distribution)) = manifest.normalization.image else {
        panic!("{:?}", manifest.normalization);
    };
    assert!((distribution.mean - mean).abs() < 1e-9 && (distribution.std - std).abs() < 1e-9);
    let pixels = manifest.normalization.pixel;
    assert!(
        matches!(pixels, Some(package::Scale::Distribution(_))),
        "{pixels:?}"
    );
    assert_eq!((manifest.format, package(&plain).0.format), (3, 2));
    // Of ln(score / threshold) in standard deviations, by a series of another kind than the program's.
    let normal = |z: f64| {
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= z * z / f64::from(2 * n + 1);
            sum += term;
        }
        0.5 + sum * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    };
    let threshold = f64::from(manifest.thresholds.image.unwrap().value);
    let mut inside = 0;
    for row in &found {
        let z = (f64::from(row.score.unwrap()) / threshold).ln() / std;
        let normalized = f64::from(row.score_normalized.unwrap());
        if z.abs() < 6.0 {
            inside += 1;
            assert!((normalized - normal(z)).abs() < 1e-6, "{z}: {row:?}");
        } else {
            assert!(
                (normalized - f64::from(u8::from(z > 0.0))).abs() < 1e-6,
                "{z}: {row:?}"
            );
        }
    }
    assert!(inside > 0, "{found:?}");

    // A package brings it along, and the training images of a test are not looked at.
    let test = format!(
        "kind: test\nname: again\nmodel: {{package: '{uri}'}}\ndata: {{class_path: MVTec, init_args: {{root: {0}/data, category: tiny}}}}\n\
         normalization: cdf\nmetrics: {{image: [AUROC]}}\noutput: {0}/again\n",
        folder.path().display()
    );
    let mut again = Job::new(folder.path(), &test);
    again.run(&mut executor, 2);
    let normalized = |rows: &[ScoreRow]| -> Vec<_> {
        let rows = rows.iter();
        rows.map(|row| (row.score, row.score_normalized)).collect()
    };
    assert_eq!(normalized(&scores(&again)), normalized(&found));
}

#[test]
fn the_mean_of_single_images_is_the_metric_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 8, 4);
    // More than the squares that the model finds, and of each image another part.
    for index in 0..4 {
        let name = format!("data/tiny/ground_truth/bad/{index:03}_mask.png");
        let rows = 16 * (index + 1);
        let mask: Vec<u8> = (0..64 * 64)
            .map(|at| if at < 64 * rows { 255 } else { 0 })
            .collect();
        images::write(&folder.path().join(name), &mask);
    }
    let text = yaml(folder.path(), "");
    let wanted = "pixel: [AUROC, {class_path: AUPIMO, init_args: {fpr_bounds: [0.001, 0.5]}}]";
    let text = text.replace("pixel: [AUROC, F1Score]", wanted);
    let mut job = Job::new(folder.path(), &text);
    let mut executor = Executor::start();
    job.run(&mut executor, 2);
    let rows: Vec<AupimoRow> = job.table(TaskKind::Reduce, "aupimo.parquet");
    let scores: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
    let anomalous = scores.iter().filter(|row| row.label == "anomalous");
    let uris: Vec<&String> = anomalous.map(|row| &row.uri).collect();
    assert_eq!(rows.iter().map(|row| &row.uri).collect::<Vec<_>>(), uris);
    assert!(rows.iter().all(|row| row.pixels > 0), "{rows:?}");
    let values: Vec<f64> = rows.iter().map(|row| row.aupimo.unwrap()).collect();
    assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
    assert!(values.iter().any(|value| *value != values[0]), "{values:?}");
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
    let metric = metrics.iter().find(|row| row.metric == "AUPIMO").unwrap();
    assert!(
        (metric.value.unwrap() - mean).abs() < 1e-9,
        "{metric:?}, {mean}"
    );

    // Bounds that are below one pixel give a reason in every row.
    let few = text
        .replace("[0.001, 0.5]", "[0.0000001, 0.000001]")
        .replace("/out", "/few");
    let mut few = Job::new(folder.path(), &few);
    few.run(&mut executor, 2);
    let rows: Vec<AupimoRow> = few.table(TaskKind::Reduce, "aupimo.parquet");
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert_eq!(
            (row.aupimo, row.reason.as_deref()),
            (None, Some("too_few_pixels"))
        );
    }
}

#[test]
fn a_trained_package_is_tested() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 6, 3);
    let mut executor = Executor::start();
    let mut trained = Job::new(folder.path(), &yaml(folder.path(), ""));
    trained.run(&mut executor, 2);
    let tested = tested_again(folder.path(), &trained, "/out2", &mut executor);
    assert_eq!(raw_scores(&tested), raw_scores(&trained));
    let metrics: Vec<MetricRow> = tested.table(TaskKind::Reduce, "metrics.parquet");
    let f1 = metrics.iter().find(|row| row.metric == "F1Score").unwrap();
    assert!(f1.threshold.is_some(), "{f1:?}");
    assert_eq!(f1.threshold_split.as_deref(), Some("package:test"));
}

#[test]
fn a_task_is_not_charged_for_what_another_job_left() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 8, 4);
    // 64 x 64 positions of 100 dimensions: 83 MB of statistics.
    let yaml = yaml(folder.path(), "")
        .replace(
            "layers: [layer1, layer2], n_features: 8",
            "layers: [layer1, layer2], n_features: 100",
        )
        .replace("image_size: 64", "image_size: 256");
    let mut job = Job::new(folder.path(), &yaml);
    let mut executor = Executor::start();
    job.run_through(TaskKind::Fit, &mut executor, 2);
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", executor.child.id())).unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    let held = pages * 4096;

    let job = Job::new(folder.path(), &yaml);
    let mut list = job.assignment(&job.next().unwrap());
    list.task.job = "testjob2".parse().unwrap();
    list.prefix = list.prefix.replace("testjob1", "testjob2");
    executor.begin(&list, folder.path(), 2);
    let done = executor.outcome().unwrap();
    let result: TaskResult = serde_json::from_str(&done.result_json).unwrap();
    let total = result.timings.iter().find(|timing| timing.stage == "total");
    let peak = total.unwrap().peak_memory.unwrap();
    assert!(peak + (60 << 20) < held, "{peak} of {held} bytes");
}
