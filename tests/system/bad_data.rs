//! Data with something wrong in it: one message that names the file, the right exit code, nothing half-written.

use std::fs;
use std::os::unix::{ffi::OsStrExt, fs::symlink};
use std::path::Path;

use crate::images;
use crate::sandbox::{Ended, JOB, Sandbox, files};

/// Runs the job on data that was spoilt; it must fail with these words.
#[track_caller]
fn fails(spoil: impl FnOnce(&Path), words: &[&str]) {
    let sandbox = Sandbox::with_job(6, 3);
    spoil(&sandbox.path("data/tiny"));
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    ended.expect(1).says(words).says(&["invalid_input"]);
    one_clear_message(&ended);
    sandbox.expect_nothing_half_written();
}

/// Each failure is one line, and none of them is about the program.
#[track_caller]
fn one_clear_message(ended: &Ended) {
    let failures = |line: &&str| line.starts_with("failed: ");
    let failures = ended.stderr.lines().filter(failures).count();
    assert!(failures <= 1, "{}", ended.stderr);
    for word in ["panicked", "internal", "src/"] {
        assert!(!ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }
}

#[test]
fn an_empty_dataset_says_where_it_looked() {
    fails(
        |data| {
            fs::remove_dir_all(data).unwrap();
            fs::create_dir_all(data.join("train/good")).unwrap();
        },
        &["no images", "data/tiny"],
    );
}

#[test]
fn a_dataset_without_normal_images_says_so() {
    fails(
        |data| fs::remove_dir_all(data.join("train")).unwrap(),
        &["no normal images", "tiny"],
    );
}

#[test]
fn links_that_lead_round_or_nowhere_are_named() {
    fails(
        |data| symlink("..", data.join("train/good/up")).unwrap(),
        &["train/good/up", "\"..\"", "for ever"],
    );
    fails(
        |data| symlink("gone.png", data.join("train/good/9999.png")).unwrap(),
        &["train/good/9999.png", "\"gone.png\"", "not there"],
    );
}

#[test]
fn a_name_that_no_address_can_hold_is_named() {
    fails(
        |data| fs::write(data.join("test/good/a\tb.png"), "x").unwrap(),
        &["test/good holds \"a\\tb.png\"", "rename"],
    );
    fails(
        |data| {
            let name = std::ffi::OsStr::from_bytes(b"a\xff.png");
            fs::write(data.join("test/good").join(name), "x").unwrap();
        },
        &["test/good holds \"a\\xFF.png\"", "UTF-8", "rename"],
    );
}

#[test]
fn images_beside_the_layout_are_said() {
    let sandbox = Sandbox::with_job(6, 3);
    let good = sandbox.path("data/tiny/test/good");
    fs::create_dir(good.join("sub")).unwrap();
    fs::rename(good.join("0000.png"), good.join("sub/0000.png")).unwrap();
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    ended.expect(0);
    for word in ["warning: run 0: 1 images in", "test/good/sub/0000.png"] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
}

#[test]
fn a_mask_of_another_size_names_both() {
    fails(
        |data| {
            images::write_sized(
                &data.join("ground_truth/bad/0001_mask.png"),
                &[255; 512],
                32,
                16,
            )
        },
        &["0001_mask.png", "32x16", "64x64"],
    );
}

#[test]
fn a_mask_without_image_and_an_image_without_mask_are_named() {
    fails(
        |data| fs::remove_file(data.join("test/bad/0001.png")).unwrap(),
        &["0001_mask.png", "belongs to no image"],
    );
    fails(
        |data| fs::remove_file(data.join("ground_truth/bad/0001_mask.png")).unwrap(),
        &["test/bad/0001.png", "no mask"],
    );
}

/// Each kind of picture that cannot be read, with its error class.
const UNREADABLE: [(&str, &str); 4] = [
    ("truncated.png", "decode_error"),
    ("empty.jpg", "empty"),
    ("text.png", "not_an_image"),
    ("bomb.png", "too_large"),
];

fn write_unreadable(folder: &Path, name: &str) {
    let path = folder.join(name);
    match name {
        "truncated.png" => images::write_truncated(&path),
        "empty.jpg" => fs::write(path, b"").unwrap(),
        "text.png" => fs::write(path, b"this is no picture").unwrap(),
        _ => images::write_bomb(&path),
    }
}

#[test]
fn an_unreadable_training_image_fails_the_job_and_is_named() {
    for (name, _) in UNREADABLE {
        fails(
            |data| write_unreadable(&data.join("train/good"), name),
            &[name],
        );
    }
}

#[test]
fn an_unreadable_test_image_is_a_row_with_its_error_and_the_job_succeeds_with_a_warning() {
    let sandbox = Sandbox::with_job(6, 3);
    for (name, _) in UNREADABLE {
        write_unreadable(&sandbox.path("data/tiny/test/good"), name);
    }
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    ended.expect(0);
    let warning = ended.stdout.lines();
    let mut warning = warning.filter(|line| line.starts_with("warning: run 0: 4 test images"));
    let warning = warning.next().expect(&ended.stdout);
    for (name, _) in UNREADABLE {
        assert!(warning.contains(&format!("{name}: ")), "{warning}");
    }
    let scores = sandbox.json(&["results", "--last", "--scores"]);
    let scores = scores.as_array().unwrap();
    assert_eq!(scores.len(), 10);
    for (name, class) in UNREADABLE {
        let row = scores
            .iter()
            .find(|row| row["uri"].as_str().unwrap().ends_with(name))
            .unwrap();
        assert_eq!(row["error_class"], class, "{row}");
        assert!(row["score"].is_null() && row["error"].is_string(), "{row}");
    }
    let metrics = sandbox.json(&["results", "--last", "--metrics"]);
    assert!(
        metrics
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["value"].is_number()),
        "{metrics}"
    );
}

#[test]
fn a_run_without_one_readable_test_image_fails_and_names_them() {
    let sandbox = Sandbox::with_job(6, 3);
    for image in files(&sandbox.path("data/tiny/test")) {
        fs::write(image, "no picture").unwrap();
    }
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    ended
        .expect(1)
        .says(&["nothing to measure: all 6 test images", ".png: "]);
}

#[test]
fn a_failed_train_job_has_its_tables_with_the_run_as_a_row_and_what_was_accepted_of_it() {
    let sandbox = Sandbox::with_job(6, 3);
    sandbox.write("job.yaml", &JOB.replace("kind: benchmark", "kind: train"));
    fs::write(sandbox.path("data/tiny/train/good/text.png"), "no picture").unwrap();
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    ended.expect(1).says(&["text.png", "invalid_input"]);
    one_clear_message(&ended);
    let metrics = sandbox.json(&["results", "--last", "--metrics"]);
    let metrics = metrics.as_array().unwrap();
    assert_eq!(metrics.len(), 4);
    for row in metrics {
        assert!(row["value"].is_null(), "{row}");
        assert!(
            row["reason"].as_str().unwrap().contains("text.png"),
            "{row}"
        );
    }
    let id = sandbox.job_ids().remove(0);
    let timings = sandbox.json(&["results", &id, "--timings"]);
    let timed = |kind: &str| {
        let mut rows = timings.as_array().unwrap().iter();
        rows.any(|row| row["kind"] == kind)
    };
    assert!(timed("list") && !timed("fit"), "{timings}");
    assert!(
        sandbox
            .path(&format!("out/jobs/{id}/manifest/000001.parquet"))
            .is_file()
    );
    let models = sandbox.json(&["get", "models"]);
    assert_eq!(models.as_array().unwrap().len(), 0);
}
