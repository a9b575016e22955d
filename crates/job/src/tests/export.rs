//! Jobs of kind export.

use super::*;
use resolved::{EngineChoice, ExportEngine};

const EXPORT: &str =
    "kind: export\nname: e\nmodel: {package: screws@2}\nexport: {engine: openvino}\n";

#[test]
fn an_export_has_no_runs_and_its_defaults_are_written_out() {
    let job = right(EXPORT).job;
    assert!(job.runs.is_empty());
    let spec = job.export.clone().expect("an export");
    assert_eq!(spec.package, "screws@2");
    assert_eq!(
        (spec.engine, spec.compress_to_fp16, spec.anomalib),
        (ExportEngine::Openvino, false, false)
    );
    assert_eq!(job.resources.engine, EngineChoice::Auto);
    assert_eq!(
        ResolvedJob::from_json(&job.to_json()).expect("reads back"),
        job
    );
    let path = EXPORT.replace("screws@2", "out/package.json");
    let spec = right(&path).job.export.expect("an export");
    assert_eq!(spec.package, "/home/me/out/package.json");
}

#[test]
fn torch_needs_a_worker_that_has_it() {
    let job = right(&EXPORT.replace("openvino", "torch")).job;
    assert_eq!(job.resources.engine, EngineChoice::TorchCpu);
    let mut other = job.clone();
    other.resources.engine = EngineChoice::Auto;
    let error = ResolvedJob::from_json(&other.to_json()).expect_err("no torch");
    assert!(error.to_string().contains("resources.engine"), "{error}");
    says(
        &format!("{EXPORT}resources: {{engine: torch-cpu}}\n"),
        &["job.yaml:5:12: resources.engine: this export needs auto"],
    );
}

#[test]
fn everything_wrong_is_said_at_its_place() {
    says(
        "kind: export\nname: e\nmodel: Padim\ndata: MVTec\nexport: {engine: openvno, compress_to_fp16: maybe, anomlib: true}\n",
        &[
            "job.yaml:3:8: a job of kind export has a trained package",
            "job.yaml:4:1: a job of kind export has no \"data\"",
            "job.yaml:5:18: export.engine: expected one of onnx, openvino, torch, found \"openvno\"; .. ; did you mean \"openvino\"?",
            "job.yaml:5:45: export.compress_to_fp16: expected true or false",
            "job.yaml:5:52: export has no key \"anomlib\"; .. ; did you mean \"anomalib\"?",
        ],
    );
    says(
        "kind: export\nname: e\nmodel: {package: x}\n",
        &["job.yaml:1:1: the key `export` is missing"],
    );
    for key in ["compress_to_fp16", "anomalib"] {
        says(
            &EXPORT.replace("openvino", &format!("torch, {key}: true")),
            &[&format!("job.yaml:4:{}: export.{key}: ", 27 + key.len())],
        );
    }
    says(
        &format!("{RIGHT}export: {{engine: onnx}}\n"),
        &["job.yaml:9:9: a job of kind train has no `export`"],
    );
}

#[test]
fn no_other_kind_has_an_export_and_no_export_has_runs() {
    let export = right(EXPORT).job;
    let mut train = right(RIGHT).job;
    train.export.clone_from(&export.export);
    assert!(ResolvedJob::from_json(&train.to_json()).is_err());
    let mut runs = export.clone();
    runs.runs.clone_from(&train.runs);
    assert!(ResolvedJob::from_json(&runs.to_json()).is_err());
    let mut empty = export;
    empty.export = None;
    assert!(ResolvedJob::from_json(&empty.to_json()).is_err());
}
