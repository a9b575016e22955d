//! Exported files of every built model: what reads them computes what the graph says.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use engines::{Choice, CompileOptions};
use graph::{Graph, onnx, rewrite};
use serde_json::Value;

use crate::{INPUTS, Trained, difference, run, run_compiled, small_cases, trained};

/// What an export does.
const TOLERANCE: f64 = 1e-4;
/// Scores and maps of files whose kernels have half precision: about ten times what was found.
const HALF_TOLERANCE: f64 = 2e-2;

const READERS: [(Choice, &str); 4] = [
    (Choice::OnnxRuntime, "model.onnx"),
    (Choice::OpenVino, "model.onnx"),
    (Choice::OpenVino, "model.xml"),
    (Choice::TorchCpu, "model.pt"),
];

/// The inference graph of a model, as it is exported.
fn graph_of(one: &Trained) -> Graph {
    let graph = one.model.inference_graph(&one.weights, &one.statistics);
    rewrite::fold_batch_norm(&graph.expect("builds"))
}

/// Built with everything else, two folders up from this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let program = test.ancestors().nth(2).expect("target").join("openvino-ir");
    assert!(
        program.is_file(),
        "{}: `make programs` builds it",
        program.display()
    );
    program
}

/// Writes the graph as ONNX and, from that, as OpenVINO's IR.
fn write(folder: &Path, graph: &Graph, form: &onnx::Form<'_>) -> onnx::Files {
    let files = onnx::files(graph, form).expect("has a form");
    fs::write(folder.join("model.onnx"), &files.model).expect("a file");
    fs::write(folder.join("model.onnx.data"), files.beside.concat()).expect("a file");
    let paths = ["model.onnx", "model.xml"].map(|name| folder.join(name));
    let status = Command::new(program()).args(paths).status();
    assert!(status.expect("starts").success());
    files
}

/// What a reader makes of a file.
fn read(
    (choice, file): (Choice, &str),
    folder: &Path,
    graph: &Graph,
    images: &[Vec<f32>],
    batch: usize,
) -> BTreeMap<String, Vec<f32>> {
    let options = CompileOptions {
        batch,
        ..CompileOptions::default()
    };
    let engine = engines::open(choice).expect("opened before");
    let compiled = engine
        .compile_file(&folder.join(file), graph, &options)
        .unwrap_or_else(|error| panic!("{file} by {choice}: {error}"));
    run_compiled(&*compiled, graph, images, batch)
}

/// The largest difference of any output.
fn worst(found: &BTreeMap<String, Vec<f32>>, expected: &BTreeMap<String, Vec<f32>>) -> f64 {
    assert!(found.keys().eq(expected.keys()));
    let off = found
        .iter()
        .map(|(name, values)| difference(values, &expected[name]));
    off.fold(0.0, f64::max)
}

fn cases() -> impl Iterator<Item = (String, Trained)> {
    small_cases().into_iter().flat_map(|(class, args)| {
        INPUTS.map(|size| {
            let name = format!("{class} {args} at {size:?}");
            let args: Value = args.clone();
            (
                name,
                trained(class, args.as_object().expect("an object"), size),
            )
        })
    })
}

#[test]
fn files_give_the_graphs_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, one) in cases() {
        let graph = graph_of(&one);
        let expected = run(Choice::TorchCpu, &graph, &one.test, 1);
        let torch = engines::open(Choice::TorchCpu).expect("opened before");
        torch
            .write_file(&graph, &folder.path().join("model.pt"))
            .expect("writes");
        // Everything in one file, and most in the one beside it.
        for limit in [usize::MAX, 0] {
            let form = onnx::Form {
                beside: Some((limit, "model.onnx.data")),
                ..onnx::Form::default()
            };
            let files = write(folder.path(), &graph, &form);
            assert_eq!(files.beside.is_empty(), limit > 0);
            for reader in READERS {
                for batch in [1, 5] {
                    let found = read(reader, folder.path(), &graph, &one.test, batch);
                    let off = worst(&found, &expected);
                    assert!(off < TOLERANCE, "{name} {reader:?}, batch {batch}: {off:e}");
                }
            }
        }
    }
}

#[test]
fn half_precision_halves_the_kernels_and_stays_within_its_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut most = 0.0_f64;
    for (name, one) in cases() {
        let graph = graph_of(&one);
        let expected = run(Choice::TorchCpu, &graph, &one.test, 1);
        let half = models::kernels(&*one.model, &one.weights).expect("has a backbone");
        let whole = write(folder.path(), &graph, &onnx::Form::default());
        let size = |file: &str| {
            fs::metadata(folder.path().join(file))
                .expect("a file")
                .len()
        };
        let bin = size("model.bin");
        let form = onnx::Form {
            half: Some(&half),
            ..onnx::Form::default()
        };
        let files = write(folder.path(), &graph, &form);
        let kernels: usize = graph
            .constants()
            .filter(|(name, _)| half.contains(*name))
            .map(|(_, tensor)| 2 * tensor.len())
            .sum();
        assert!(kernels > 0);
        // Names and nodes come on top.
        let saved = whole.model.len() as f64 - files.model.len() as f64;
        assert!(
            (0.9..=1.0).contains(&(saved / kernels as f64)),
            "{name}: {saved} of {kernels}"
        );
        assert_eq!(size("model.bin"), bin - kernels as u64, "{name}");
        for reader in &READERS[..3] {
            let found = read(*reader, folder.path(), &graph, &one.test, 5);
            let off = worst(&found, &expected);
            assert!(off < HALF_TOLERANCE, "{name} {reader:?}: {off:e}");
            most = most.max(off);
        }
    }
    // They do lose digits.
    assert!(most > 1e-5, "{most:e}");
    println!("half precision: {most:e}");
}

/// An image that has the model's size already is resized to itself; one of another size is taken.
#[test]
fn files_for_any_size_resize_and_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, one) in cases() {
        let graph = graph_of(&one);
        let transform = one.model.preprocess();
        let [height, width] = transform.size;
        let crop = transform
            .crop
            .map(|[h, w]| ([(height - h) / 2, (width - w) / 2], [h, w]));
        let form = onnx::Form {
            any_size: Some(onnx::FromAnySize {
                channels: 3,
                size: transform.size,
                crop,
            }),
            ..onnx::Form::default()
        };
        write(folder.path(), &graph, &form);
        let image = &crate::images::uniform_images("any size", 1, height * width)[0];
        let ([top, left], [rows, columns]) = crop.unwrap_or(([0, 0], transform.size));
        let seen: Vec<f32> = (0..3 * rows)
            .flat_map(|row| {
                let (channel, row) = (row / rows, row % rows);
                let start = (channel * height + top + row) * width + left;
                image[start..start + columns].iter().copied()
            })
            .collect();
        let expected = run(Choice::TorchCpu, &graph, &[seen], 1);
        // A graph with the file's own input: only its ports are looked at.
        let opened = |size: [usize; 2]| {
            let mut builder = graph::Builder::new();
            let dims = [graph::Dim::Batch, 3.into(), size[0].into(), size[1].into()];
            let image = builder.input("image", &dims).expect("an input");
            let mean = builder
                .reduce_mean(image, &[1, 2, 3], false)
                .expect("a mean");
            builder.output("pred_score", mean).expect("a name once");
            builder.finish().expect("has an output")
        };
        let score = |reader, size: [usize; 2], image: &Vec<f32>| {
            let found = read(
                reader,
                folder.path(),
                &opened(size),
                std::slice::from_ref(image),
                1,
            );
            found["pred_score"][0]
        };
        // OpenVINO binds outputs by their place.
        let reader = (Choice::OnnxRuntime, "model.onnx");
        let same = score(reader, transform.size, image);
        let off = difference(&[same], &expected["pred_score"]);
        assert!(off < TOLERANCE, "{name}: {off:e}");
        let other = crate::images::uniform_images("another size", 1, 50 * 90).remove(0);
        assert!(score(reader, [50, 90], &other).is_finite(), "{name}");
    }
}
