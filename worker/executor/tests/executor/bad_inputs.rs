//! Bad data, one by one: each has its typed outcome with the place.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tables::{MetricRow, ScoreRow, TimingRow};
use types::{FailureClass, TaskKind};

use crate::{
    images,
    job::{Job, yaml},
    process::{Executor, NOBODY},
};

fn run(folder: &Path, spoil: impl FnOnce(&Path)) -> Job {
    images::dataset(&folder.join("data"), 4, 3);
    spoil(&folder.join("data/tiny"));
    let mut job = Job::new(folder, &yaml(folder, ""));
    job.run(&mut Executor::start(), 2);
    job
}

#[test]
fn bad_test_images_are_rows_with_errors() {
    let folder = tempfile::tempdir().unwrap();
    let job = run(folder.path(), |data| {
        let whole = fs::read(data.join("test/good/000.png")).unwrap();
        fs::write(
            data.join("test/good/truncated.png"),
            &whole[..whole.len() / 2],
        )
        .unwrap();
        fs::write(data.join("test/good/empty.jpg"), b"").unwrap();
        fs::write(data.join("test/good/text.png"), b"this is no picture").unwrap();
        images::write_bomb(&data.join("test/good/bomb.png"));
        // Takes no room on the disk, and must take none in memory.
        fs::File::create(data.join("test/good/huge.png"))
            .and_then(|file| file.set_len(4 << 30))
            .unwrap();
    });
    let rows: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
    assert_eq!(rows.len(), 11);
    for (name, word) in [
        ("truncated.png", "decode_error"),
        ("empty.jpg", "empty"),
        ("text.png", "not_an_image"),
        ("bomb.png", "too_large"),
        ("huge.png", "too_large"),
    ] {
        let row = rows.iter().find(|row| row.uri.ends_with(name)).unwrap();
        assert!(
            row.score.is_none() && row.error.is_some() && row.is_anomalous.is_none(),
            "{row:?}"
        );
        assert_eq!(row.error_class.as_deref(), Some(word), "{row:?}");
    }
    let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
    assert!(metrics.iter().all(|row| row.value.is_some()), "{metrics:?}");
    assert!(
        metrics
            .iter()
            .filter(|row| row.level == "image")
            .all(|row| row.errors == 5 && row.normal == 3),
        "{metrics:?}"
    );
    let timings: Vec<TimingRow> = job.table(TaskKind::Reduce, "timings.parquet");
    let scored = timings
        .iter()
        .find(|row| row.kind == "score" && row.stage == "total");
    assert!(scored.unwrap().peak_memory.unwrap() < 2 << 30, "{scored:?}");
}

#[test]
fn bad_training_images_are_all_named() {
    let folder = tempfile::tempdir().unwrap();
    let job = run(folder.path(), |data| {
        for index in 0..12 {
            fs::write(
                data.join(format!("train/good/bad{index:02}.png")),
                b"no picture",
            )
            .unwrap();
        }
    });
    let failure = job.failure(TaskKind::Fit);
    assert_eq!(failure.class, FailureClass::InvalidInput);
    assert!(failure.message.contains("12 training images"), "{failure}");
    assert!(
        failure.message.contains("bad00.png") && failure.message.contains("bad09.png"),
        "{failure}"
    );
    assert!(failure.message.contains("and 2 more"), "{failure}");
    // The failed run is a row with its error.
    let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
    assert_eq!(metrics.len(), 4);
    assert!(
        metrics
            .iter()
            .all(|row| row.value.is_none() && row.reason.as_deref().unwrap().contains("bad00.png"))
    );
}

#[test]
fn a_mask_of_another_size_names_both() {
    let folder = tempfile::tempdir().unwrap();
    let job = run(folder.path(), |data| {
        images::write_sized(
            &data.join("ground_truth/bad/001_mask.png"),
            &[255; 32 * 16],
            32,
            16,
        );
    });
    let failure = job.failure(TaskKind::Score);
    assert_eq!(failure.class, FailureClass::InvalidInput);
    for part in ["001_mask.png", "32x16", "bad/001.png", "64x64"] {
        assert!(failure.message.contains(part), "{failure}");
    }
}

#[test]
fn a_mask_too_large_to_read_is_named_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let job = run(folder.path(), |data| {
        fs::File::create(data.join("ground_truth/bad/001_mask.png"))
            .and_then(|file| file.set_len(4 << 30))
            .unwrap();
    });
    let failure = job.failure(TaskKind::List);
    assert_eq!(failure.class, FailureClass::InvalidInput);
    for part in ["001_mask.png", "4294967296 bytes"] {
        assert!(failure.message.contains(part), "{failure}");
    }
}

/// Such as label masks of 0 and 1, which look black.
#[test]
fn masks_without_a_defect_are_counted_in_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let job = run(folder.path(), |data| {
        for name in ["000", "002"] {
            images::write(
                &data.join(format!("ground_truth/bad/{name}_mask.png")),
                &[1; 64 * 64],
            );
        }
    });
    let (result, _) = job.accepted(TaskKind::Evaluate);
    let warned = |text: &str| result.warnings.iter().any(|warning| warning.contains(text));
    assert!(
        warned("2 masks of anomalous images show no defect") && warned("127"),
        "{:?}",
        result.warnings
    );
}

#[test]
fn a_validation_split_of_one_class_is_no_word_about_the_test_split() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images::dataset(&folder.join("data"), 4, 3);
    images::write(
        &folder.join("data/tiny/validation/good/000.png"),
        &images::texture(7),
    );
    let text =
        yaml(folder, "").replace("image_size: 64", "image_size: 64, val_split_mode: from_dir");
    let mut job = Job::new(folder, &text);
    job.run(&mut Executor::start(), 2);
    let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
    for row in &metrics {
        let reason = (row.metric == "F1Score").then_some("no_threshold");
        assert_eq!(row.reason.as_deref(), reason, "{row:?}");
        assert!(row.normal > 0 && row.anomalous > 0, "{row:?}");
    }
    let (result, _) = job.accepted(TaskKind::Evaluate);
    assert!(
        result
            .warnings
            .iter()
            .any(|warning| warning.contains("no anomalous validation image")),
        "{:?}",
        result.warnings
    );
}

#[test]
fn datasets_without_what_they_need_say_so() {
    for (spoil, word) in [
        (
            (|data| fs::remove_dir_all(data).unwrap()) as fn(&Path),
            "no images",
        ),
        (
            |data| fs::remove_dir_all(data.join("train")).unwrap(),
            "no normal images",
        ),
        (
            |data| fs::remove_file(data.join("ground_truth/bad/001_mask.png")).unwrap(),
            "no mask",
        ),
        (
            |data| fs::remove_file(data.join("test/bad/001.png")).unwrap(),
            "belongs to no image",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let job = run(folder.path(), spoil);
        let failure = job.failure(TaskKind::List);
        assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
        assert!(
            failure.message.contains(word) && failure.message.contains("tiny"),
            "{failure}"
        );
    }
}

#[test]
fn an_unreadable_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 4, 3);
    let mut job = Job::new(folder.path(), &yaml(folder.path(), ""));
    // Everything belongs to the user that the executor runs as; root would be refused nothing.
    let root = fs::metadata(folder.path()).unwrap();
    let user = (std::os::unix::fs::MetadataExt::uid(&root) == 0).then_some(NOBODY);
    for path in ["", "out", "data", "data/tiny", "scratch"] {
        let path = folder.path().join(path);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let locked = folder.path().join("data/tiny/test/bad");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    job.run(&mut Executor::start_as(user, &[]), 1);
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    let failure = job.failure(TaskKind::List);
    assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
    assert!(
        failure.message.contains("permission") && failure.message.contains("test/bad"),
        "{failure}"
    );
    assert!(!failure.message.contains("LocalFileSystem"), "{failure}");
}

#[test]
fn missing_weights_say_how_to_get_them() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 4, 3);
    let text = yaml(folder.path(), "").replace("pre_trained: false", "pre_trained: true");
    let mut job = Job::new(folder.path(), &text);
    job.run(
        &mut Executor::start_as(None, &[("NIGHTSHIFT_WEIGHTS", folder.path())]),
        1,
    );
    let failure = job.failure(TaskKind::Fit);
    assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
    assert!(
        failure.message.contains("ctl weights import") && failure.message.contains("resnet18"),
        "{failure}"
    );
}
