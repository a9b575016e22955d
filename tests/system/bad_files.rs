//! Job files with something wrong in them: exit code 2, the place and the way out, and nothing is begun.

use std::time::Instant;

use crate::sandbox::{JOB, SOON, Sandbox};

/// Runs a job file that must be refused.
#[track_caller]
fn refused(text: &str, words: &[&str]) {
    let sandbox = Sandbox::with_job(1, 1);
    sandbox.write("job.yaml", text);
    let start = Instant::now();
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    ended.expect(2).says(words);
    assert!(start.elapsed() < SOON);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    sandbox.expect_no_output();
    assert!(!sandbox.path("s").exists(), "no state was begun");
}

#[test]
fn a_missing_file_is_named() {
    let sandbox = Sandbox::new();
    sandbox
        .ctl(&["run", "nowhere.yaml"])
        .expect(3)
        .says(&["nowhere.yaml"]);
    sandbox.expect_no_output();
}

#[test]
fn bad_yaml_has_its_place() {
    refused(&JOB.replace("seed: 0", "seed: [0"), &["job.yaml:"]);
}

#[test]
fn an_alias_bomb_is_refused_at_once() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let reference = format!("*a{}", level - 1);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            [reference.as_str(); 9].join(", ")
        ));
    }
    refused(&(text + JOB), &["job.yaml:"]);
}

#[test]
fn a_duplicate_key_has_its_place() {
    refused(
        &JOB.replace("seed: 0", "seed: 0\nseed: 1"),
        &["job.yaml:8:1", "seed"],
    );
}

#[test]
fn an_unknown_key_model_or_layer_names_the_nearest() {
    refused(
        &JOB.replace("seed:", "sede:"),
        &["job.yaml:7:1", "sede", "\"seed\""],
    );
    refused(
        &JOB.replace("Padim", "Padmi"),
        &["job.yaml:3:", "Padmi", "\"Padim\""],
    );
    refused(
        &JOB.replace("layer2", "layr2"),
        &["job.yaml:3:", "layr2", "layer2"],
    );
    refused(
        &JOB.replace("resnet18", "resnet81"),
        &["job.yaml:3:", "resnet81", "resnet18"],
    );
}

#[test]
fn a_model_that_is_known_but_not_built_says_that() {
    refused(&JOB.replace("Padim", "Stfpm"), &["Stfpm", "not built"]);
}

#[test]
fn a_parameter_out_of_range_says_the_range() {
    refused(
        &JOB.replace("n_features: 8", "n_features: 0"),
        &["job.yaml:3:", "n_features"],
    );
    refused(
        &JOB.replace("n_features: 8", "n_features: 100000"),
        &["job.yaml:3:", "n_features"],
    );
    refused(
        &JOB.replace("image_size: 64", "image_size: -1"),
        &["job.yaml:4:", "image_size"],
    );
}
