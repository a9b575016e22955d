//! Every built model and backbone, executed by every engine: against the reference's numbers, and against each other.

mod formula;
mod images;

use std::collections::BTreeMap;

use engines::{Choice, CompileOptions};
use graph::{Builder, Dim, Graph, Tensor};
use models::{MemoryFeatures, Model, StateDict, Statistics, backbones};
use serde_json::{Map, Value, json};

const ENGINES: [Choice; 3] = [Choice::OpenVino, Choice::OnnxRuntime, Choice::TorchCpu];

/// Runs a graph with one input on `batch` images at a time; all images' outputs by name.
fn run(
    choice: Choice,
    graph: &Graph,
    images: &[Vec<f32>],
    batch: usize,
) -> BTreeMap<String, Vec<f32>> {
    engines_torch::link();
    let engine = engines::open(choice).unwrap_or_else(|e| {
        panic!("{choice} cannot be opened ({e}); `make setup` fetches the native libraries")
    });
    let compiled = engine
        .compile(graph, &CompileOptions { batch, sessions: 1 })
        .expect("compiles");
    let mut session = compiled.session().expect("a session");
    let names: Vec<String> = graph
        .outputs()
        .iter()
        .map(|port| port.name.clone())
        .collect();
    let mut all: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for images in images.chunks(batch) {
        assert_eq!(images.len(), batch, "the images fill every batch");
        let mut outputs = vec![Vec::new(); names.len()];
        session
            .run(&[&images.concat()], &mut outputs)
            .expect("runs");
        for (name, values) in names.iter().zip(outputs) {
            all.entry(name.clone()).or_default().extend(values);
        }
    }
    all
}

/// Largest difference, relative to the largest expected value.
fn difference(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let pairs = actual
        .iter()
        .zip(expected)
        .map(|(&a, &e)| (f64::from(a), f64::from(e)));
    let most = pairs
        .clone()
        .map(|(a, e)| (a - e).abs())
        .fold(0.0, f64::max);
    assert!(actual.iter().all(|v| v.is_finite()));
    most / pairs.map(|(_, e)| e.abs()).fold(0.0, f64::max)
}

fn golden(set: &str) -> StateDict {
    let path = format!(
        "{}/../../tests/golden/{set}/data.safetensors",
        env!("CARGO_MANIFEST_DIR")
    );
    weights::read_file(path.as_ref()).expect("the golden set is in the repository")
}

fn split(tensor: &Tensor) -> Vec<Vec<f32>> {
    let image = tensor.len() / tensor.shape()[0];
    tensor.data().chunks(image).map(<[f32]>::to_vec).collect()
}

/// A backbone alone, on a normalized image of `size`, with these layers as outputs.
fn trunk(backbone: &str, weights: &StateDict, size: [usize; 2], layers: &[&str]) -> Graph {
    let architecture = backbones::find(backbone).expect("known");
    let wanted: Vec<_> = layers
        .iter()
        .map(|name| architecture.layer(name).expect("known"))
        .collect();
    let mut builder = Builder::new();
    let image = builder
        .input(
            "image",
            &[Dim::Batch, Dim::Fixed(3), size[0].into(), size[1].into()],
        )
        .expect("an input");
    let maps = architecture
        .emit(&mut builder, image, weights, &wanted)
        .expect("builds");
    for (name, map) in layers.iter().zip(maps) {
        builder.output(name, map).expect("a name once");
    }
    builder.finish().expect("has outputs")
}

fn check_layers(set: &str, backbone: &str, weights: &StateDict) {
    let data = golden(set);
    for (input, prefix) in [("input", ""), ("odd_input", "odd/")] {
        let Some(image) = data.get(input) else {
            continue;
        };
        let has_prefix = |name: &&String| {
            if prefix.is_empty() {
                !name.contains('/') && !name.contains("input")
            } else {
                name.starts_with(prefix)
            }
        };
        let keys: Vec<&String> = data.keys().filter(has_prefix).collect();
        let layers: Vec<&str> = keys.iter().map(|key| &key[prefix.len()..]).collect();
        let graph = trunk(
            backbone,
            weights,
            [image.shape()[2], image.shape()[3]],
            &layers,
        );
        for choice in ENGINES {
            let outputs = run(choice, &graph, &split(image), image.shape()[0]);
            for (key, layer) in keys.iter().zip(&layers) {
                let off = difference(&outputs[*layer], data[*key].data());
                assert!(off < 1e-4, "{set} {key} by {choice}: differs by {off:e}");
            }
        }
    }
}

#[test]
fn backbones_match_the_reference() {
    for (set, backbone) in [
        ("backbone_mobilenet_v2", "mobilenetv2_100"),
        ("backbone_efficientnet_lite0", "tf_efficientnet_lite0"),
        ("backbone_resnet18", "resnet18"),
    ] {
        check_layers(set, backbone, &formula::weights(backbone));
    }
}

/// Needs the weights that `make setup` fetches and imports into `weights/`, or into `NIGHTSHIFT_WEIGHTS`.
#[test]
fn mobilenet_v2_with_imagenet_weights_matches_the_reference() {
    let root = std::env::var("NIGHTSHIFT_WEIGHTS")
        .unwrap_or_else(|_| format!("{}/../../weights", env!("CARGO_MANIFEST_DIR")));
    let loaded = weights::WeightsFolder::new(root).load("mobilenet_v2");
    let loaded = loaded.unwrap_or_else(|error| {
        panic!("{error}; `make setup` fetches them, or set NIGHTSHIFT_WEIGHTS")
    });
    check_layers(
        "backbone_mobilenet_v2_imagenet",
        "mobilenet_v2",
        &loaded.state,
    );
}

fn padim(args: Value, side: usize) -> Box<dyn Model> {
    models::build(
        "Padim",
        args.as_object().expect("an object"),
        Some([side, side]),
        0,
    )
    .expect("valid")
}

/// Features of images as one engine computes them, as a source to learn from.
fn features(model: &dyn Model, weights: &StateDict, images: &[Vec<f32>]) -> MemoryFeatures {
    let graph = model.feature_graph(weights).expect("builds");
    let [positions, dims] = model.feature_shape().expect("known");
    assert_eq!(graph.outputs()[0].name, "features");
    let mut outputs = run(Choice::OnnxRuntime, &graph, images, 1);
    MemoryFeatures::new(
        positions,
        dims,
        outputs.remove("features").expect("an output"),
    )
    .expect("fits")
}

#[test]
fn padim_matches_the_reference() {
    for (set, backbone, layers) in [
        ("padim_resnet18", "resnet18", ["layer1", "layer2", "layer3"]),
        (
            "padim_mobilenet_v2",
            "mobilenetv2_100",
            ["blocks.1.1", "blocks.2.2", "blocks.4.2"],
        ),
    ] {
        let data = golden(set);
        let channels: Vec<usize> = data["idx"].data().iter().map(|&v| v as usize).collect();
        let model = padim(
            json!({"backbone": backbone, "layers": layers, "channel_indices": channels}),
            64,
        );
        let weights = formula::weights(backbone);
        let count = data["train_embedding"].shape()[0];
        let train: Vec<_> = images::reference("train", count, 64)
            .into_iter()
            .map(images::denormalized)
            .collect();
        let statistics = model
            .fit(&features(&*model, &weights, &train), 1, &|_, _| {})
            .expect("fits");
        let test: Vec<_> = split(&data["test_input"])
            .into_iter()
            .map(images::denormalized)
            .collect();
        let graph = model
            .inference_graph(&weights, &statistics)
            .expect("builds");
        for choice in ENGINES {
            let outputs = run(choice, &graph, &test, 1);
            for name in ["anomaly_map", "pred_score"] {
                let off = difference(&outputs[name], data[name].data());
                assert!(off < 1e-3, "{set} {name} by {choice}: differs by {off:e}");
            }
        }
    }
}

/// Parameters with which each built model is small enough for a test.
fn small_cases() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Padim",
            json!({"backbone": "mobilenet_v2", "layers": ["features.3", "features.6"], "n_features": 20}),
        ),
        (
            "Padim",
            json!({"backbone": "efficientnet_lite0", "layers": ["blocks.1.1", "blocks.2.1"], "channel_indices": [60, 3, 5, 31, 0]}),
        ),
        (
            "Padim",
            json!({"backbone": "resnet18", "layers": ["layer2", "layer1"], "n_features": 9, "pre_trained": false}),
        ),
    ]
}

fn trained(class: &str, args: &Map<String, Value>) -> (Box<dyn Model>, StateDict, Statistics) {
    // Sides of different lengths and no power of two.
    let model = models::build(class, args, Some([72, 56]), 1).expect("valid");
    let weights = model.random_weights().expect("has a backbone");
    let statistics = model
        .fit(
            &features(
                &*model,
                &weights,
                &images::uniform_images("train", 12, 72 * 56),
            ),
            2,
            &|_, _| {},
        )
        .expect("fits");
    (model, weights, statistics)
}

#[test]
fn every_built_model_has_a_case_here() {
    for entry in models::REGISTRY {
        assert_eq!(
            entry.params.is_some(),
            small_cases().iter().any(|(class, _)| *class == entry.class),
            "{}",
            entry.class
        );
    }
}

#[test]
fn engines_agree_at_batch_1_and_5() {
    for (class, args) in small_cases() {
        let (model, weights, statistics) = trained(class, args.as_object().expect("an object"));
        let graph = model
            .inference_graph(&weights, &statistics)
            .expect("builds");
        let images = images::uniform_images("test", 5, 72 * 56);
        let expected = run(Choice::TorchCpu, &graph, &images, 1);
        assert_eq!(
            (expected["anomaly_map"].len(), expected["pred_score"].len()),
            (5 * 72 * 56, 5)
        );
        for choice in ENGINES {
            for batch in [1, 5] {
                let outputs = run(choice, &graph, &images, batch);
                for (name, values) in &outputs {
                    let off = difference(values, &expected[name]);
                    assert!(
                        off < 1e-4,
                        "{class} {args}: {name} by {choice} at batch {batch} differs by {off:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn scorers_agree_with_the_graph() {
    for (class, args) in small_cases() {
        let (model, weights, statistics) = trained(class, args.as_object().expect("an object"));
        let scorer = model.scorer(&statistics).expect("fits");
        let test = images::uniform_images("test", 3, 72 * 56);
        let graph = model
            .inference_graph(&weights, &statistics)
            .expect("builds");
        let expected = run(Choice::OnnxRuntime, &graph, &test, 1);
        let features = run(
            Choice::OnnxRuntime,
            &model.feature_graph(&weights).expect("builds"),
            &test,
            1,
        );
        let [height, width] = scorer.grid();
        let finish = scorer.finish();
        let finish =
            vision::MapFinish::new([height, width], finish.size, finish.sigma, finish.kernel);
        let each = features["features"].len() / test.len();
        let features: Vec<&[f32]> = features["features"].chunks(each).collect();
        let mut distances = vec![vec![0.0; height * width]; test.len()];
        let mut slices: Vec<&mut [f32]> = distances.iter_mut().map(Vec::as_mut_slice).collect();
        scorer.score(&features, 0..height * width, &mut slices);
        let maps: Vec<Vec<f32>> = distances.iter().map(|map| finish.apply(map)).collect();
        let scores: Vec<f32> = maps
            .iter()
            .map(|map| map.iter().copied().fold(f32::MIN, f32::max))
            .collect();
        for (name, values) in [("anomaly_map", maps.concat()), ("pred_score", scores)] {
            let off = difference(&values, &expected[name]);
            assert!(off < 1e-4, "{class} {args}: {name} differs by {off:e}");
        }
    }
}
