//! Model files of other programs: what Anomalib exported gives what Anomalib got from it.

use std::fs;
use std::path::PathBuf;

use engines::{Choice, CompileOptions, Engine, Output, open};
use safetensors::SafeTensors;

fn folder(set: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden")
        .join(set)
}

fn golden(set: &str, name: &str) -> Vec<f32> {
    let bytes = fs::read(folder(set).join("data.safetensors")).expect("the golden set is there");
    let tensors = SafeTensors::deserialize(&bytes).expect("it is whole");
    let (numbers, rest) = tensors
        .tensor(name)
        .expect("it has the tensor")
        .data()
        .as_chunks::<4>();
    assert!(rest.is_empty());
    numbers.iter().map(|n| f32::from_le_bytes(*n)).collect()
}

fn two_sessions() -> CompileOptions {
    CompileOptions {
        sessions: 2,
        ..CompileOptions::default()
    }
}

/// Of both golden pictures, each by a session of its own.
fn outputs(choice: Choice, set: &str, file: &str) -> Vec<Vec<Output>> {
    let engine = open(choice).expect("the engine opens; `make setup` brings the libraries");
    let model = engine
        .open_file(&folder(set).join(file), &two_sessions())
        .expect("the file opens");
    assert_eq!(model.image_size(), None);
    let input = golden(set, "input");
    let size = [96, 80];
    let pictures = input.chunks(3 * 96 * 80);
    let sessions: Vec<_> = pictures
        .map(|_| model.session().expect("there is one"))
        .collect();
    let pictures = input.chunks(3 * 96 * 80).zip(sessions);
    pictures
        .map(|(picture, mut session)| session.run(picture, size).expect("it runs"))
        .collect()
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-3 * expected.abs().max(0.1),
            "{what}: {found}, not {expected}"
        );
    }
}

#[test]
fn a_model_of_anomalib_1_gives_its_map() {
    const SET: &str = "anomalib_export_1_0_1";
    for (picture, outputs) in outputs(Choice::OpenVino, SET, "model.xml")
        .iter()
        .enumerate()
    {
        let [map] = &outputs[..] else {
            panic!("{outputs:?}");
        };
        assert_eq!(
            (map.name.as_str(), &map.shape[..]),
            ("output", &[1, 1, 64, 64][..])
        );
        close(
            &map.values,
            &golden(SET, &format!("openvino/{picture}/output")),
            "map",
        );
    }
}

#[test]
fn a_model_of_anomalib_2_gives_score_and_map() {
    const SET: &str = "anomalib_export_2_7_0";
    for choice in [Choice::OnnxRuntime, Choice::OpenVino] {
        for (picture, outputs) in outputs(choice, SET, "model.onnx").iter().enumerate() {
            // Label and mask are of another type.
            let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
            assert_eq!(names, ["pred_score", "anomaly_map"], "{choice}");
            for output in outputs {
                let expected = golden(SET, &format!("onnxruntime/{picture}/{}", output.name));
                close(
                    &output.values,
                    &expected,
                    &format!("{choice}, {}", output.name),
                );
            }
        }
    }
}

#[test]
fn sessions_come_back_and_outlive_the_file() {
    let scratch = tempfile::tempdir().unwrap();
    for name in ["model.onnx", "model.onnx.data"] {
        fs::copy(
            folder("anomalib_export_2_7_0").join(name),
            scratch.path().join(name),
        )
        .unwrap();
    }
    let image = vec![0.5; 3 * 8 * 9];
    for choice in [Choice::OnnxRuntime, Choice::OpenVino] {
        let engine: Box<dyn Engine> = open(choice).unwrap();
        let file = scratch.path().join("model.onnx");
        let model = engine.open_file(&file, &CompileOptions::default()).unwrap();
        let before = model.session().unwrap().run(&image, [8, 9]).unwrap();
        assert_eq!(
            model.session().unwrap().run(&image, [8, 9]).unwrap(),
            before
        );
        assert_eq!(model.output_names().len(), 4);
    }
}

#[test]
fn a_single_number_is_an_output_without_extents() {
    use graph::Dim::Fixed;
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("model.onnx");
    let mut builder = graph::Builder::new();
    let image = builder.input("image", &[1, 3, 4, 5].map(Fixed)).unwrap();
    let largest = builder.reduce_max(image, &[0, 1, 2, 3], false).unwrap();
    builder.output("largest", largest).unwrap();
    let onnx = graph::onnx::write(&builder.finish().unwrap(), None).unwrap();
    fs::write(&file, onnx).unwrap();
    let image: Vec<f32> = (0..60).map(|n| n as f32).collect();
    for choice in [Choice::OnnxRuntime, Choice::OpenVino] {
        let engine = open(choice).unwrap();
        let model = engine.open_file(&file, &CompileOptions::default()).unwrap();
        let outputs = model.session().unwrap().run(&image, [4, 5]).unwrap();
        let largest = Output {
            name: "largest".to_owned(),
            shape: vec![],
            values: vec![59.0],
        };
        assert_eq!(outputs, [largest], "{choice}");
    }
}

#[test]
fn what_takes_no_image_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, dims: &[graph::Dim]| {
        let mut builder = graph::Builder::new();
        let x = builder.input("x", dims).unwrap();
        let sum = builder.add(x, x).unwrap();
        builder.output("sum", sum).unwrap();
        let path = scratch.path().join(name);
        fs::write(
            &path,
            graph::onnx::write(&builder.finish().unwrap(), None).unwrap(),
        )
        .unwrap();
        path
    };
    use graph::Dim::{Batch, Fixed};
    let fits = write("fits.onnx", &[Batch, Fixed(3), Fixed(4), Fixed(5)]);
    let rows = write("rows.onnx", &[Batch, Fixed(7)]);
    let grey = write("grey.onnx", &[Batch, Fixed(1), Fixed(4), Fixed(5)]);
    let broken = scratch.path().join("broken.onnx");
    fs::write(&broken, b"\x08\x08\x12\x03abc").unwrap();
    for choice in [Choice::OnnxRuntime, Choice::OpenVino] {
        let engine = open(choice).unwrap();
        let said = |file| {
            engine
                .open_file(file, &CompileOptions::default())
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(
            engine
                .open_file(&fits, &CompileOptions::default())
                .unwrap()
                .image_size(),
            Some([4, 5])
        );
        let refusal = said(&rows).unwrap();
        assert!(refusal.contains("but [?, 7]"), "{refusal}");
        let refusal = said(&grey).unwrap();
        assert!(refusal.contains("but [?, 1, 4, 5]"), "{refusal}");
        assert!(said(&broken).is_some());
        assert!(said(&scratch.path().join("gone.onnx")).is_some());
    }
    engines_torch::link();
    let torch = open(Choice::TorchCpu).unwrap();
    let refusal = torch
        .open_file(&fits, &CompileOptions::default())
        .err()
        .unwrap()
        .to_string();
    assert!(
        refusal.contains("torch-cpu reads no model files"),
        "{refusal}"
    );
}
