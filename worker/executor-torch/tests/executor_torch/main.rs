//! The executor with libtorch: who links it, how the plain executor becomes it, and that all engines agree.
//!
//! `cargo test -p executor-torch -p executor` builds both programs.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

#[allow(dead_code)]
#[path = "../../../executor/tests/executor/images.rs"]
mod images;
#[allow(dead_code)]
#[path = "../../../executor/tests/executor/job.rs"]
mod job;
#[allow(dead_code)]
#[path = "../../../executor/tests/executor/process.rs"]
mod process;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tables::{MetricRow, ScoreRow};
use types::{FailureClass, TaskKind};

use crate::{
    job::{Job, yaml},
    process::{Executor, program},
};

/// The plain executor and this one in one folder, as they are installed.
fn together(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for path in [program(), env!("CARGO_BIN_EXE_executor-torch").into()] {
        let name = path.file_name().unwrap();
        fs::hard_link(&path, bin.join(name))
            .or_else(|_| fs::copy(&path, bin.join(name)).map(|_| ()))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    bin.join("executor")
}

fn with_engine(folder: &Path, engine: &str) -> String {
    let more = format!("resources: {{engine: {engine}}}\n");
    yaml(folder, &more).replace("/out\n", &format!("/out-{engine}\n"))
}

#[test]
fn only_this_program_links_libtorch() {
    let libraries = |path: &Path| {
        let output = Command::new("readelf")
            .arg("-d")
            .arg(path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", path.display());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let torch = libraries(env!("CARGO_BIN_EXE_executor-torch").as_ref());
    assert!(torch.contains("libtorch_cpu.so"), "{torch}");
    let plain = libraries(&program());
    assert!(
        plain.contains("libc.so") && !plain.contains("torch"),
        "{plain}"
    );
}

#[test]
fn engines_agree() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 6, 3);
    let executor = together(folder.path());
    let scores = |engine: &str| {
        let mut job = Job::new(folder.path(), &with_engine(folder.path(), engine));
        let mut executor = Executor::start_program(&executor, None, &[]);
        job.run(&mut executor, 2);
        // The process that the agent knows is still the one that computes.
        assert!(executor.child.try_wait().unwrap().is_none());
        let program = fs::read_link(format!("/proc/{}/exe", executor.child.id())).unwrap();
        assert_eq!(program.ends_with("executor-torch"), engine == "torch-cpu");
        let metrics: Vec<MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
        assert!(
            metrics.iter().all(|row| row.engine == engine),
            "{metrics:?}"
        );
        let rows: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
        assert_eq!(rows.len(), 6);
        rows.iter()
            .map(|row| row.score.unwrap())
            .collect::<Vec<_>>()
    };
    let expected = scores("torch-cpu");
    for engine in ["openvino", "onnxruntime"] {
        for (ours, torch) in scores(engine).into_iter().zip(&expected) {
            assert!(
                (ours - torch).abs() <= 1e-4 * torch.abs(),
                "{engine}: {ours}, torch-cpu: {torch}"
            );
        }
    }
}

#[test]
fn the_parity_certificate_has_all_three_engines() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 6, 3);
    let mut executor = Executor::start_program(&together(folder.path()), None, &[]);
    // The second job finds libtorch there, since the first needed it.
    for (engine, others) in [
        ("torch-cpu", ["onnxruntime", "openvino"]),
        ("openvino", ["onnxruntime", "torch-cpu"]),
    ] {
        let mut job = Job::new(folder.path(), &with_engine(folder.path(), engine));
        job.run(&mut executor, 2);
        let (_, prefix) = job.accepted(TaskKind::Evaluate);
        let path = job.store.local_path(&format!("{prefix}/package.json"));
        let package = fs::read(path.unwrap()).unwrap();
        let package: serde_json::Value = serde_json::from_slice(&package).unwrap();
        let parity = &package["parity"];
        assert_eq!(parity["images"], 6);
        assert_eq!(parity["reference"]["engine"], engine);
        let engines = parity["engines"].as_array().unwrap();
        let names: Vec<&str> = engines
            .iter()
            .map(|compared| compared["engine"].as_str().unwrap())
            .collect();
        assert_eq!(names[..2], others);
        assert_eq!(names[2..], ["openvino-bf16"]);
        for compared in &engines[..2] {
            let agreement = &compared["result"]["agreement"];
            for number in ["score_difference", "map_difference"] {
                let difference = agreement[number].as_f64();
                assert!(
                    difference.is_some_and(|d| d > 0.0 && d < 1e-4),
                    "{compared}"
                );
            }
        }
    }
}

#[test]
fn it_serves_further_tasks_of_any_engine() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 4, 2);
    let mut executor = Executor::start_program(&together(folder.path()), None, &[]);
    for engine in ["torch-cpu", "openvino"] {
        let mut job = Job::new(folder.path(), &with_engine(folder.path(), engine));
        job.run(&mut executor, 1);
        assert_eq!(
            job.table::<ScoreRow>(TaskKind::Reduce, "scores.parquet")
                .len(),
            4
        );
    }
}

#[test]
fn a_missing_or_broken_program_is_a_failure_with_a_way_out() {
    for broken in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        images::dataset(&folder.path().join("data"), 4, 2);
        let executor = together(folder.path());
        let torch = executor.with_file_name("executor-torch");
        fs::remove_file(&torch).unwrap();
        if broken {
            fs::copy("/bin/false", &torch).unwrap();
        }
        let mut job = Job::new(folder.path(), &with_engine(folder.path(), "torch-cpu"));
        job.run(&mut Executor::start_program(&executor, None, &[]), 1);
        let failure = job.failure(TaskKind::Fit);
        assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
        for part in ["executor-torch", "make build", "resources.engine"] {
            assert!(failure.message.contains(part), "{failure}");
        }
    }
}
