//! Trained models as files for other programs.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, Sandbox};

on_both_queues!(
    a_model_becomes_files_of_every_kind_and_every_command_knows_them,
    a_job_file_says_the_same_and_half_precision_is_half_as_large,
    what_cannot_be_exported_is_said_with_the_right_exit_code,
    a_folder_holds_the_files_of_one_export,
    a_model_of_a_store_that_this_coordinator_did_not_fill_is_exported_by_its_name,
);

/// With the model `tiny` trained.
fn trained() -> Sandbox {
    let sandbox = Sandbox::with_job(6, 3);
    sandbox.write("train.yaml", &JOB.replace("kind: benchmark", "kind: train"));
    sandbox.ctl(&["run", "train.yaml"]).expect(0);
    sandbox
}

fn metadata(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("metadata.json")).unwrap()).unwrap()
}

fn a_model_becomes_files_of_every_kind_and_every_command_knows_them(queue: Queue) {
    let sandbox = trained().served(queue);
    let package = sandbox.json(&["describe", "model", "tiny"]);
    for (engine, names) in [
        ("onnx", &["model.onnx"][..]),
        ("openvino", &["model.xml", "model.bin"]),
        ("torch", &["model.pt"]),
    ] {
        let folder = format!("files-{engine}");
        let said = sandbox.json(&["export", "tiny", "--engine", engine, "--to", &folder]);
        let folder = sandbox.path(&folder);
        let mut found: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut expected = [names, &["metadata.json"]].concat();
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected);
        // They are those that the store has.
        let published = sandbox.json(&["results", "last"]);
        assert_eq!(published["job"], said["job"]);
        let place = Path::new(published["results"].as_str().unwrap());
        for name in &expected {
            let of = |folder: &Path| fs::read(folder.join(name)).unwrap();
            assert!(of(&folder) == of(place) && !of(place).is_empty(), "{name}");
        }

        let metadata = metadata(&folder);
        let (thresholds, ranges) = (
            &package["package"]["thresholds"],
            &package["package"]["normalization"],
        );
        for (key, value) in [
            ("task", &Value::from("segmentation")),
            ("image_threshold", &thresholds["image"]["value"]),
            ("pixel_threshold", &thresholds["pixel"]["value"]),
            ("min", &ranges["image"]["min"]),
            ("max", &ranges["image"]["max"]),
        ] {
            assert_eq!(&metadata[key], value, "{key}");
        }
        let ours = &metadata["nightshift"];
        assert_eq!(ours["engine"], engine);
        assert_eq!(ours["package"]["name"], "tiny");
        assert_eq!(
            ours["preprocessing"]["hash"],
            package["package"]["preprocessing"]["hash"]
        );
        let names = |ports: &Value| -> Vec<Value> {
            let ports = ports.as_array().unwrap().iter();
            ports.map(|port| port["name"].clone()).collect()
        };
        assert_eq!(names(&ours["inputs"]), ["image"]);
        assert_eq!(names(&ours["outputs"]), ["anomaly_map", "pred_score"]);

        sandbox.ctl(&["verify", "last"]).expect(0);
        sandbox.ctl(&["describe", "last"]).expect(0);
        sandbox
            .ctl(&["report", "last"])
            .expect(3)
            .says(&["is an export"]);
        sandbox
            .ctl(&["results", "last", "--scores"])
            .expect(3)
            .says(&["is an export"]);
        sandbox
            .ctl(&["rethreshold", "last", "--f1"])
            .expect(2)
            .says(&["is an export"]);
    }
}

fn a_job_file_says_the_same_and_half_precision_is_half_as_large(queue: Queue) {
    let sandbox = trained().served(queue);
    let size = |more: &str| {
        let text = format!(
            "kind: export\nname: half\nmodel: {{package: tiny}}\nexport: {{engine: openvino{more}}}\noutput: ./out\n"
        );
        sandbox.write("export.yaml", &text);
        sandbox
            .ctl(&["run", "export.yaml"])
            .expect(0)
            .says(&["succeeded"]);
        let published = sandbox.json(&["results", "last"]);
        let place = Path::new(published["results"].as_str().unwrap()).to_owned();
        fs::metadata(place.join("model.bin")).unwrap().len()
    };
    let (whole, half) = (size(""), size(", compress_to_fp16: true"));
    // Statistics of 16 x 16 positions keep their digits.
    assert!(half < whole * 3 / 4, "{half} of {whole}");
}

fn what_cannot_be_exported_is_said_with_the_right_exit_code(queue: Queue) {
    let sandbox = trained().served(queue);
    let ctl = |arguments: &[&str]| sandbox.ctl(&[&["export"], arguments].concat());
    ctl(&["tiny@7", "--engine", "onnx"])
        .expect(3)
        .says(&["no version 7"]);
    ctl(&["stone", "--engine", "onnx"])
        .expect(3)
        .says(&["has trained a model \"stone\""]);
    ctl(&["tiny", "--engine", "keras"])
        .expect(2)
        .says(&["onnx, openvino, torch"]);
    ctl(&["tiny", "--engine", "torch", "--fp16"])
        .expect(2)
        .says(&["compress_to_fp16"]);
    ctl(&["tiny", "--engine", "torch", "--anomalib"])
        .expect(2)
        .says(&["TorchScript"]);
    ctl(&[
        "./nowhere/package.json",
        "--engine",
        "onnx",
        "--store",
        "./out",
    ])
    .expect(1)
    .says(&["nowhere/package.json"]);
}

fn a_folder_holds_the_files_of_one_export(queue: Queue) {
    let sandbox = trained().served(queue);
    let export =
        |engine: &str, to: &str| sandbox.ctl(&["export", "tiny", "--engine", engine, "--to", to]);
    let jobs = || sandbox.json(&["get", "jobs"]).as_array().unwrap().len();
    export("onnx", "files").expect(0);
    export("onnx", "files").expect(0);
    // A worker of another pool does it.
    let night = ["--to", "night", "--set", "resources.pool=night"];
    let asked = [&["export", "tiny", "--engine", "onnx"][..], &night].concat();
    sandbox.ctl(&asked).expect(0);
    let job = sandbox.json(&["describe", "last"]);
    assert_eq!(job["resolved"]["resources"]["pool"], "night");
    let before = jobs();
    export("openvino", "files")
        .expect(2)
        .says(&["holds the files of tiny for onnx", "--to"]);
    fs::create_dir(sandbox.path("other")).unwrap();
    sandbox.write("other/metadata.json", "{}");
    export("onnx", "other")
        .expect(2)
        .says(&["a metadata.json of another program"]);
    sandbox.write("file", "");
    for to in ["file", "file/below"] {
        export("onnx", to).expect(2).says(&["file is no folder"]);
    }
    assert_eq!(jobs(), before, "it is known before the job runs");
    assert_eq!(
        metadata(&sandbox.path("files"))["nightshift"]["engine"],
        "onnx"
    );
}

fn a_model_of_a_store_that_this_coordinator_did_not_fill_is_exported_by_its_name(queue: Queue) {
    let (theirs, ours) = (trained(), Sandbox::new().served(queue));
    let export = |store: &Path| {
        let asked = ["export", "tiny", "--engine", "onnx", "--to", "files"];
        ours.ctl(&[&asked[..], &["--store", store.to_str().unwrap()]].concat())
    };
    ours.ctl(&["export", "tiny", "--engine", "onnx"])
        .expect(3)
        .says(&["model \"tiny\""]);
    export(&theirs.path("out")).expect(0);
    assert_eq!(
        metadata(&ours.path("files"))["nightshift"]["package"]["name"],
        "tiny"
    );
    export(&ours.path("empty"))
        .expect(1)
        .says(&["no model \"tiny\"", "empty"]);
}
