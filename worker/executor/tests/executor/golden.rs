//! The whole chain against Anomalib 1.0.1: fit, scores, thresholds, bounds, labels and metrics of the sets `engine_padim` and
//! `engine_patchcore`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use graph::Tensor;
use models::backbones;
use package::PackageManifest;
use tables::{MetricRow, ScoreRow};
use types::TaskKind;

use crate::{job::Job, process::Executor};

/// The set's own tolerance for scores and thresholds, relative.
const TOLERANCE: f64 = 2e-3;

/// What the reference has of a whole job.
struct Golden {
    meta: serde_json::Value,
    data: weights::StateDict,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

impl Golden {
    fn read(set: &str) -> Self {
        let set = root().join(set);
        let meta = fs::read(set.join("meta.json")).expect("the set is in the repository");
        Self {
            meta: serde_json::from_slice(&meta).expect("json"),
            data: weights::read_file(&set.join("data.safetensors")).expect("a set"),
        }
    }
}

/// Number `i` of a name, uniform in [0, 1): the formula of the golden sets.
fn uniform(name: &str, i: u64) -> f64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let key = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    let mut z = key.wrapping_add((i + 1).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / f64::from(1 << 24)
}

/// A weights folder with the formula's resnet18.
fn write_weights(folder: &Path) {
    let shapes = backbones::find("resnet18").expect("known").tensors();
    let state: weights::StateDict = shapes
        .into_iter()
        .map(|(name, shape)| {
            let fan_in: usize = shape.iter().skip(1).product();
            let value = |i| {
                let u = uniform(&name, i);
                let value = match name.rsplit('.').next() {
                    Some("running_mean") => 0.2 * (u - 0.5),
                    Some("running_var") => 0.5 + u,
                    _ if shape.len() > 1 => (2.0 * u - 1.0) * (3.0 / fan_in as f64).sqrt(),
                    Some("weight") => 0.5 + u,
                    _ => 0.2 * (u - 0.5),
                };
                value as f32
            };
            let len: usize = shape.iter().product();
            let values: Vec<f32> = (0..len as u64).map(value).collect();
            let tensor = Tensor::new(shape, values).expect("as many as the shape says");
            (name, tensor)
        })
        .collect();
    let mut bytes = Vec::new();
    weights::write_safetensors(&state, &mut bytes).expect("in memory");
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join("resnet18.safetensors"), bytes).expect("the weights");
}

fn close(what: &str, ours: f64, theirs: f64) {
    assert!(
        (ours - theirs).abs() <= TOLERANCE * theirs.abs(),
        "{what}: {ours}, the reference has {theirs}"
    );
}

/// Runs a job of this model on the images of the sets; `learned` may change what its fit task has left.
fn job(folder: &Path, model: &str, learned: impl FnOnce(&mut Job)) -> Job {
    let weights = folder.join("weights");
    write_weights(&weights);
    let text = format!(
        "kind: benchmark
name: golden
model: {model}
data: {{class_path: Folder, init_args: {{name: engine_data, root: '{}', normal_dir: train/good, abnormal_dir: test/bad, normal_test_dir: test/good, mask_dir: ground_truth/bad, image_size: 64, val_split_mode: same_as_test, task: segmentation}}}}
metrics: {{image: [AUROC, F1Score], pixel: [AUROC, F1Score]}}
task: segmentation
output: '{}/out'
",
        root().join("engine_data").display(),
        folder.display()
    );
    let mut job = Job::new(folder, &text);
    let environment = [("NIGHTSHIFT_WEIGHTS", weights.as_path())];
    let mut executor = Executor::start_as(None, &environment);
    job.run_through(TaskKind::Fit, &mut executor, 2);
    learned(&mut job);
    job.run(&mut executor, 2);
    job
}

#[test]
fn the_whole_chain_of_padim_matches_the_reference() {
    let golden = Golden::read("engine_padim");
    let folder = tempfile::tempdir().unwrap();
    let channels = golden.data["idx"].data().iter().map(|&v| v as u32);
    let channels: Vec<u32> = channels.collect();
    let model = format!(
        "{{class_path: Padim, init_args: {{backbone: resnet18, layers: [layer1, layer2], channel_indices: {channels:?}}}}}"
    );
    check(&job(folder.path(), &model, |_| {}), &golden);
}

/// Which patches a coreset begins with is chance, and all others follow from it: the memory bank is the reference's.
#[test]
fn the_whole_chain_of_patchcore_matches_the_reference() {
    let golden = Golden::read("engine_patchcore");
    let folder = tempfile::tempdir().unwrap();
    let model = "{class_path: Patchcore, init_args: {backbone: resnet18, layers: [layer2, layer3], coreset_sampling_ratio: 0.1, num_neighbors: 3}}";
    let job = job(folder.path(), model, |job| {
        let object = "statistics.safetensors";
        let (_, prefix) = job.accepted(TaskKind::Fit);
        let path = job.store.local_path(&format!("{prefix}/{object}")).unwrap();
        let own = weights::read_file(&path).unwrap();
        let theirs = golden.data["memory_bank"].clone();
        assert_eq!(own["bank"].shape(), theirs.shape());
        let state = weights::StateDict::from([("bank".to_owned(), theirs)]);
        let mut bytes = Vec::new();
        weights::write_safetensors(&state, &mut bytes).unwrap();
        fs::write(path, &bytes).unwrap();
        let sha256 = weights::digest(&bytes);
        job.replaced(TaskKind::Fit, object, bytes.len() as u64, sha256);
    });
    check(&job, &golden);
}

fn check(job: &Job, Golden { meta, data }: &Golden) {
    let rows: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
    let files = meta["files"].as_array().expect("is there");
    assert_eq!(rows.len(), files.len());
    for (index, file) in files.iter().enumerate() {
        let file = file.as_str().expect("is there");
        let row = rows
            .iter()
            .find(|row| row.uri.ends_with(file))
            .expect("is there");
        let number = |name: &str| f64::from(data[name].data()[index]);
        close(
            file,
            row.score.expect("is there").into(),
            number("raw_score"),
        );
        assert_eq!(
            row.is_anomalous,
            Some(number("pred_label") > 0.5),
            "{row:?}"
        );
    }

    let (result, prefix) = job.accepted(TaskKind::Evaluate);
    let plan::ResultDetail::Evaluate {
        package: Some(package),
        ..
    } = &result.detail
    else {
        panic!("{result:?}")
    };
    let path = job
        .store
        .local_path(&format!("{prefix}/{package}"))
        .expect("is there");
    let manifest =
        PackageManifest::from_json(&fs::read(path).expect("is there")).expect("is there");
    let statistic = |name: &str| meta["statistics"][name].as_f64().expect("is there");
    let (image, pixel) = (
        manifest.thresholds.image.expect("is there"),
        manifest.thresholds.pixel.expect("is there"),
    );
    close(
        "image threshold",
        image.value.into(),
        statistic("image_threshold"),
    );
    close(
        "pixel threshold",
        pixel.value.into(),
        statistic("pixel_threshold"),
    );
    // The reference has one pair of bounds, that of the maps; ours has one for each level.
    let Some(package::Scale::Range(bounds)) = manifest.normalization.pixel else {
        panic!("{:?}", manifest.normalization);
    };
    close("smallest map value", bounds.min.into(), statistic("min"));
    close("largest map value", bounds.max.into(), statistic("max"));

    let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
    let ours = |level: &str, metric: &str| {
        let row = metrics
            .iter()
            .find(|row| row.level == level && row.metric == metric);
        row.and_then(|row| row.value).expect("is there")
    };
    let theirs = |name: &str| meta["test_metrics"][name].as_f64().expect("is there");
    close("image AUROC", ours("image", "AUROC"), theirs("image_AUROC"));
    // The reference measures normalized maps, cut at 0 and 1, which makes few ties here.
    close("pixel AUROC", ours("pixel", "AUROC"), theirs("pixel_AUROC"));
    // The reference's F1Score leaves out what is at the threshold itself: one pixel, and one image of four.
    let pixels = ours("pixel", "F1Score") - theirs("pixel_F1Score");
    assert!((0.0..5e-3).contains(&pixels), "{pixels}");
    close("image F1Score", ours("image", "F1Score"), 1.0);
    assert!(theirs("image_F1Score") < 0.9);
}
