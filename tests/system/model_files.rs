//! Model files of other programs score images like packages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{Ended, JOB, Sandbox};

on_both_queues!(
    exported_files_score_as_the_package_does,
    what_anomalib_has_exported_scores_images,
);

/// With the model `tiny` trained.
fn trained() -> Sandbox {
    let sandbox = Sandbox::with_job(6, 3);
    sandbox.write("train.yaml", &JOB.replace("kind: benchmark", "kind: train"));
    sandbox.ctl(&["run", "train.yaml"]).expect(0);
    sandbox
}

fn golden(set: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../golden")
        .join(set)
}

/// Score and decision of each image of the last job.
fn scores(sandbox: &Sandbox) -> BTreeMap<String, (f64, Option<bool>)> {
    let rows = sandbox.json(&["results", "last", "--scores"]);
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| {
        let uri = row["uri"].as_str().unwrap().to_owned();
        let score = row["score"].as_f64();
        (
            uri,
            (
                score.unwrap_or_else(|| panic!("{row}")),
                row["is_anomalous"].as_bool(),
            ),
        )
    })
    .collect()
}

fn predicted(sandbox: &Sandbox, model: &str, engine: &str) -> Ended {
    let engine = format!("resources.engine={engine}");
    sandbox.ctl(&[
        "predict",
        model,
        "data/tiny/test",
        "--to",
        "./out",
        "--set",
        &engine,
        "--new",
    ])
}

fn predict(sandbox: &Sandbox, model: &str, engine: &str) {
    predicted(sandbox, model, engine).expect(0);
    sandbox.ctl(&["verify", "last"]).expect(0);
}

fn exported_files_score_as_the_package_does(queue: Queue) {
    let sandbox = trained().served(queue);
    predict(&sandbox, "tiny", "openvino");
    let expected = scores(&sandbox);
    assert_eq!(expected.len(), 6);
    let package = sandbox.json(&["describe", "model", "tiny"]);
    let threshold = &package["package"]["thresholds"]["image"]["value"];
    let threshold = threshold.as_f64().unwrap();
    for (format, file, engine) in [
        ("onnx", "model.onnx", "onnxruntime"),
        ("onnx", "model.onnx", "openvino"),
        ("openvino", "model.xml", "openvino"),
    ] {
        let to = format!("files-{format}");
        let exported = ["export", "tiny", "--engine", format, "--to", &to];
        if !sandbox.path(&to).exists() {
            sandbox.ctl(&exported).expect(0);
        }
        predict(&sandbox, &format!("{to}/{file}"), engine);
        let found = scores(&sandbox);
        assert!(found.keys().eq(expected.keys()), "{found:?}");
        for (uri, (score, decision)) in &found {
            let (of_package, decided) = expected[uri];
            assert!(
                (score - of_package).abs() <= 1e-4 * of_package,
                "{file} by {engine}: {score}, not {of_package}"
            );
            // The threshold is one of the scores, and this may be that one.
            let is_close = (of_package - threshold).abs() <= 1e-4 * threshold;
            assert!(is_close || *decision == decided, "{uri}");
        }
    }
    // What its address names by now has not scored anything.
    let draw = ["render", "last", "--top", "2"];
    sandbox.ctl(&draw).expect(0);
    let model = sandbox.path("files-openvino/model.xml");
    let text = fs::read_to_string(&model).unwrap();
    fs::write(&model, text + "\n").unwrap();
    let drawn = sandbox.ctl(&draw);
    drawn.expect(1).says(&["not one of 2 images of job"]);
    let why = "the model that scored it has been replaced since";
    assert!(drawn.stdout.contains(why), "{drawn:?}");
}

fn what_anomalib_has_exported_scores_images(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    let raw = golden("anomalib_export_1_0_1/model.xml");
    predict(&sandbox, raw.to_str().unwrap(), "auto");
    let raw = scores(&sandbox);
    // Its thresholds and range are in metadata.json; the other version has them inside.
    let inside = golden("anomalib_export_2_7_0/model.onnx");
    for engine in ["onnxruntime", "openvino"] {
        predict(&sandbox, inside.to_str().unwrap(), engine);
        for (uri, (score, decision)) in scores(&sandbox) {
            let (of_other, decided) = raw[&uri];
            let expected = ((of_other - 12.0) / (14.0 - 2.0) + 0.5).clamp(0.0, 1.0);
            assert!(
                (score - expected).abs() <= 1e-3,
                "{engine}: {score}, not {expected}"
            );
            assert_eq!(decision, Some(score >= 0.5));
            assert_eq!(decided, Some(of_other >= 12.0));
        }
    }
    // With labels and masks it is measured, and its pictures are drawn.
    let job = JOB
        .replace("kind: benchmark", "kind: test")
        .replace(", image_size: 64", "");
    let model = job
        .lines()
        .position(|line| line.starts_with("model:"))
        .unwrap();
    let mut lines: Vec<String> = job.lines().map(str::to_owned).collect();
    lines[model] = format!(
        "model: {{package: {}}}",
        golden("anomalib_export_1_0_1/model.xml").display()
    );
    sandbox.write("test.yaml", &lines.join("\n"));
    sandbox.ctl(&["run", "test.yaml"]).expect(0);
    let metrics = sandbox.json(&["results", "last", "--metrics"]);
    let measured = |level: &str| {
        let rows = metrics.as_array().unwrap().iter();
        rows.filter(|row| {
            row["level"] == level && row["metric"] == "AUROC" && row["value"].is_f64()
        })
        .count()
    };
    assert_eq!((measured("image"), measured("pixel")), (1, 1), "{metrics}");
    let by_threshold = metrics.as_array().unwrap().iter();
    let splits: Vec<_> = by_threshold
        .filter(|row| row["metric"] == "F1Score")
        .map(|row| (&row["threshold_split"], &row["low"]))
        .collect();
    let unknown = (&Value::from("package:unknown"), &Value::Null);
    assert_eq!(splits, [unknown, unknown], "{metrics}");
    sandbox
        .ctl(&["report", "last", "--to", "report.html"])
        .expect(0);
    assert!(
        fs::read_to_string(sandbox.path("report.html"))
            .unwrap()
            .contains("data:image/jpeg")
    );
}

/// An ONNX file whose map is the image itself, which is of so many rows, in the words of an opset.
fn of_size(height: u64, opset: u64) -> Vec<u8> {
    fn number(field: u8, mut value: u64) -> Vec<u8> {
        let mut bytes = vec![field << 3];
        while value > 127 {
            bytes.push(value as u8 | 128);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }
    fn message(field: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let content = parts.concat();
        let mut bytes = number(field, content.len() as u64);
        bytes[0] |= 2;
        [bytes, content].concat()
    }
    let text = |field, text: &str| message(field, &[text.as_bytes().to_vec()]);
    let port = |field, name| {
        let extents = [1, 3, height, 64].map(|extent| message(1, &[number(1, extent)]));
        let tensor = message(1, &[number(1, 1), message(2, &extents)]);
        message(field, &[text(1, name), message(2, &[tensor])])
    };
    let node = message(
        1,
        &[text(1, "image"), text(2, "anomaly_map"), text(4, "Relu")],
    );
    let (input, output) = (port(11, "image"), port(12, "anomaly_map"));
    let graph = message(7, &[node, text(2, "g"), input, output]);
    let version = message(8, &[number(2, opset)]);
    [number(1, 8), graph, version].concat()
}

#[test]
fn files_of_no_use_are_refused_before_a_listing() {
    let sandbox = Sandbox::with_job(6, 3);
    let onnx = fs::read(golden("anomalib_export_2_7_0/model.onnx")).unwrap();
    let folder = |name: &str, files: &[(&str, &[u8])]| {
        fs::create_dir_all(sandbox.path(name)).unwrap();
        for (file, bytes) in files {
            fs::write(sandbox.path(name).join(file), bytes).unwrap();
        }
    };
    let cut = &onnx[..onnx.len() - 100];
    let text = String::from_utf8_lossy(&onnx).into_owned();
    assert!(text.contains("model.onnx.data"));
    let at = onnx
        .windows(15)
        .enumerate()
        .filter(|(_, part)| part == b"model.onnx.data");
    let mut hostile = onnx.clone();
    for (at, _) in at {
        hostile[at..at + 15].copy_from_slice(b"../../etc/hosts");
    }
    folder("cut", &[("model.onnx", cut)]);
    folder("alone", &[("model.onnx", &onnx)]);
    folder("hostile", &[("model.onnx", &hostile)]);
    folder("garbage", &[("model.xml", b"<net/>"), ("model.bin", b"")]);
    let data = fs::read(golden("anomalib_export_2_7_0/model.onnx.data")).unwrap();
    folder(
        "thresholds",
        &[
            ("model.onnx", &onnx),
            ("model.onnx.data", &data),
            ("metadata.json", b"{\"image_threshold\": \"high\"}"),
        ],
    );
    folder("link", &[("model.onnx", &onnx)]);
    let beside = sandbox.path("link/model.onnx.data");
    std::os::unix::fs::symlink("../thresholds/model.onnx.data", beside).unwrap();
    folder("empty", &[("model.onnx", b"")]);
    folder("huge", &[("model.onnx", &of_size(99_999, 17))]);
    folder("larger", &[("model.onnx", &of_size(4_000_000_000, 17))]);
    folder("newer", &[("model.onnx", &of_size(64, 99))]);
    folder("xml", &[]);
    for name in ["model.xml", "model.bin"] {
        fs::copy(
            golden("anomalib_export_1_0_1").join(name),
            sandbox.path("xml").join(name),
        )
        .unwrap();
    }
    for (model, engine, words) in [
        ("cut/model.onnx", "auto", "it is no ONNX file, or damaged"),
        (
            "alone/model.onnx",
            "auto",
            "model.onnx.data beside it, which is to hold its constants, is not there",
        ),
        (
            "link/model.onnx",
            "auto",
            "model.onnx.data beside it, which is to hold its constants, is a link",
        ),
        ("empty/model.onnx", "auto", "the file is empty"),
        (
            "huge/model.onnx",
            "auto",
            "its input is an image of 99999 x 64; sides are 1 to 4096 pixels",
        ),
        (
            "larger/model.onnx",
            "onnxruntime",
            "its input is an image of 4000000000 x 64; sides are 1 to 4096 pixels",
        ),
        (
            "newer/model.onnx",
            "auto",
            "it is of ONNX opset 99, and those up to 27 are known here",
        ),
        (
            "newer/model.onnx",
            "onnxruntime",
            "it is of ONNX opset 99, and those up to 27 are known here",
        ),
        (
            "hostile/model.onnx",
            "auto",
            "\"../../etc/hosts\", which is no other file beside it",
        ),
        (
            "garbage/model.xml",
            "auto",
            "garbage/model.xml cannot be used: openvino",
        ),
        (
            "thresholds/model.onnx",
            "auto",
            "metadata.json beside it: image_threshold: \"high\" is no number",
        ),
        (
            "xml/model.xml",
            "onnxruntime",
            "onnxruntime does not read OpenVINO's files",
        ),
        (
            "xml/model.xml",
            "torch-cpu",
            "torch-cpu does not read OpenVINO's files",
        ),
        ("thresholds/gone.onnx", "auto", "gone.onnx does not exist"),
    ] {
        let ran = predicted(&sandbox, model, engine);
        ran.expect(1);
        assert!(
            ran.stderr.contains(words) || ran.stdout.contains(words),
            "{model}: {ran:?}"
        );
    }
    // Without thresholds images are scored and nothing is decided.
    predict(&sandbox, "xml/model.xml", "auto");
    assert!(
        scores(&sandbox)
            .values()
            .all(|(_, decision)| decision.is_none())
    );
    // It is no package to export.
    let ran = sandbox.ctl(&[
        "export",
        "./xml/model.xml",
        "--engine",
        "onnx",
        "--store",
        "./out",
    ]);
    ran.expect(1);
    let words = "is a model file, and no package.json";
    assert!(
        ran.stderr.contains(words) || ran.stdout.contains(words),
        "{ran:?}"
    );
}
