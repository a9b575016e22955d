//! Every built model and backbone, executed by every engine: against the reference's numbers, and against each other.

mod files;
mod formula;
mod images;

use std::collections::BTreeMap;

use engines::{Choice, CompileOptions};
use graph::{Builder, Dim, Graph, Tensor};
use models::{
    InputSize, JointPass, MemoryFeatures, Model, Scored, Scorer, Start, StateDict, Statistics,
    backbones,
};
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
        .compile(
            graph,
            &CompileOptions {
                batch,
                ..CompileOptions::default()
            },
        )
        .expect("compiles");
    run_compiled(&*compiled, graph, images, batch)
}

/// As `run`, with what was compiled for so many images at a time.
fn run_compiled(
    compiled: &dyn engines::Compiled,
    graph: &Graph,
    images: &[Vec<f32>],
    batch: usize,
) -> BTreeMap<String, Vec<f32>> {
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
    let mut difference = metrics::Difference::default();
    difference.observe(expected, actual).expect("numbers");
    difference.value().expect("a scale")
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
        ("backbone_resnet50", "resnet50"),
        ("backbone_wide_resnet50_2", "wide_resnet50_2"),
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
        InputSize::resized([side, side]),
        0,
    )
    .expect("valid")
}

/// Features of images as one engine computes them, as a source to learn from.
fn features(model: &dyn Model, weights: &StateDict, images: &[Vec<f32>]) -> MemoryFeatures {
    let graph = model.feature_graph(Start::Image(weights)).expect("builds");
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

#[test]
fn patchcore_matches_the_reference() {
    let data = golden("patchcore");
    let args = json!({"backbone": "mobilenetv2_100", "layers": ["blocks.2.2", "blocks.4.2"]});
    // The graph sees 64 of 74 pixels.
    let model = models::build(
        "Patchcore",
        args.as_object().expect("an object"),
        InputSize::resized([74, 74]),
        0,
    )
    .expect("valid");
    let weights = formula::weights("mobilenetv2_100");
    let train: Vec<_> = images::reference("train", 6, 64)
        .into_iter()
        .map(images::denormalized)
        .collect();
    let graph = model.feature_graph(Start::Image(&weights)).expect("builds");
    for choice in ENGINES {
        let outputs = run(choice, &graph, &train, 1);
        let off = difference(&outputs["features"], data["train_embedding"].data());
        assert!(off < 1e-4, "features by {choice}: differ by {off:e}");
    }
    let bank = [("bank".to_owned(), data["memory_bank"].clone())];
    let test: Vec<_> = split(&data["test_input"])
        .into_iter()
        .map(images::denormalized)
        .collect();
    let graph = model
        .inference_graph(&weights, &Statistics::from(bank))
        .expect("builds");
    for choice in ENGINES {
        let outputs = run(choice, &graph, &test, 1);
        for name in ["anomaly_map", "pred_score"] {
            let off = difference(&outputs[name], data[name].data());
            assert!(off < 1e-3, "{name} by {choice}: differs by {off:e}");
        }
    }
}

#[test]
fn dfm_matches_the_reference() {
    let data = golden("dfm");
    let weights = formula::weights("resnet18");
    let train: Vec<_> = images::reference("train", 12, 64)
        .into_iter()
        .map(images::denormalized)
        .collect();
    let test: Vec<_> = split(&data["test_input"])
        .into_iter()
        .map(images::denormalized)
        .collect();
    let args = json!({"backbone": "resnet18", "pooling_kernel_size": 2, "pca_level": 0.88});
    let args = args.as_object().expect("an object");
    let model = models::build("Dfm", args, InputSize::resized([64, 64]), 0).expect("valid");
    let statistics = model
        .fit(&features(&*model, &weights, &train), 1, &|_, _| {})
        .expect("fits");
    // The reference keeps one component fewer for its share of 0.9.
    assert_eq!(statistics["components"].shape(), [9, 1024]);
    let graph = model
        .inference_graph(&weights, &statistics)
        .expect("builds");
    for choice in ENGINES {
        let outputs = run(choice, &graph, &test, 1);
        for (name, golden) in [
            ("anomaly_map", "fre/score_map"),
            ("pred_score", "fre/score"),
        ] {
            let off = difference(&outputs[name], data[golden].data());
            assert!(off < 1e-3, "{golden} by {choice}: differs by {off:e}");
        }
    }
}

#[test]
fn dfkde_matches_the_reference() {
    let data = golden("dfkde");
    let weights = formula::weights("resnet18");
    let args = json!({"n_pca_components": 4});
    let args = args.as_object().expect("an object");
    let model = models::build("Dfkde", args, InputSize::resized([64, 64]), 0).expect("valid");
    let train = &data["train_features"];
    let learned = MemoryFeatures::new(1, 512, train.data().to_vec()).expect("fits");
    let statistics = model.fit(&learned, 1, &|_, _| {}).expect("fits");
    // Of the set's test features the first, fourth and fifth are those of plain images.
    let mut test = images::reference("test", 1, 64);
    test.extend(images::reference("train", 2, 64));
    let test: Vec<_> = test.into_iter().map(images::denormalized).collect();
    let graph = model
        .inference_graph(&weights, &statistics)
        .expect("builds");
    for choice in ENGINES {
        let outputs = run(choice, &graph, &test, 1);
        let expected = [0, 3, 4].map(|i| data["scale/probability"].data()[i]);
        let off = difference(&outputs["pred_score"], &expected);
        assert!(off < 1e-3, "probability by {choice}: differs by {off:e}");
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
        (
            "Dfm",
            json!({"backbone": "resnet18", "layer": "layer2", "pooling_kernel_size": 3}),
        ),
        (
            "Dfm",
            json!({"backbone": "mobilenet_v2", "layer": "features.6", "pooling_kernel_size": 1, "score_type": "nll", "pca_level": 0.8}),
        ),
        (
            "Dfkde",
            json!({"backbone": "resnet18", "layers": ["layer4", "layer2"], "n_pca_components": 5}),
        ),
        (
            "Dfkde",
            json!({"backbone": "mobilenet_v2", "layers": ["features.13"], "n_pca_components": 3, "feature_scaling_method": "norm"}),
        ),
        (
            "Patchcore",
            json!({"backbone": "mobilenet_v2", "layers": ["features.3", "features.6"], "coreset_sampling_ratio": 0.4}),
        ),
        (
            "Patchcore",
            json!({"backbone": "resnet18", "layers": ["layer3", "layer2"], "num_neighbors": 1, "coreset_sampling_ratio": 0.1, "projection": "always"}),
        ),
        (
            "Patchcore",
            json!({"backbone": "efficientnet_lite0", "layers": ["blocks.2.1"], "coreset_sampling_ratio": 0.2, "projection": "never"}),
        ),
    ]
}

/// Images with sides of different lengths: one of no powers of two, of which each model sees what it sees by itself, and one of which all
/// see 64 x 96 in the middle.
const INPUTS: [InputSize; 2] = [
    InputSize {
        resized: Some([72, 56]),
        crop: None,
    },
    InputSize {
        resized: Some([80, 104]),
        crop: Some([64, 96]),
    },
];

const TRAINED_ON: usize = 12;

struct Trained {
    model: Box<dyn Model>,
    weights: StateDict,
    statistics: Statistics,
    test: Vec<Vec<f32>>,
    /// Pixels of what the graph sees.
    pixels: usize,
}

fn trained(class: &str, args: &Map<String, Value>, input: InputSize) -> Trained {
    let model = models::build(class, args, input, 1).expect("valid");
    let [height, width] = model.preprocess().output();
    let weights = model.random_weights().expect("has a backbone");
    let train = images::uniform_images("train", TRAINED_ON, height * width);
    let statistics = model
        .fit(&features(&*model, &weights, &train), 2, &|_, _| {})
        .expect("fits");
    Trained {
        model,
        weights,
        statistics,
        test: images::uniform_images("test", 5, height * width),
        pixels: height * width,
    }
}

/// What a case has for a parameter: its own value, or else the default.
fn value_of(args: &Value, param: &params::Param) -> Value {
    match (&args[param.name], param.default) {
        (Value::Null, params::Default::Json(text)) => serde_json::from_str(text).expect("JSON"),
        (given, _) => given.clone(),
    }
}

#[test]
fn every_built_model_has_a_case_here_with_every_word_that_a_parameter_can_be() {
    let cases = small_cases();
    for entry in models::REGISTRY {
        let of_class = || cases.iter().filter(|(class, _)| *class == entry.class);
        let count = of_class().count();
        assert_eq!(entry.params.is_some(), count > 0, "{}", entry.class);
        for param in entry.params.unwrap_or_default() {
            let params::Kind::Enum(words) = param.kind else {
                continue;
            };
            for word in words {
                let has_it = of_class().any(|(_, args)| value_of(args, param) == *word);
                assert!(has_it, "{} without {}: {word}", entry.class, param.name);
            }
        }
    }
}

/// A model's outputs are named, whatever it is, and of the shapes that executors rely on.
fn check_lengths(one: &Trained, outputs: &BTreeMap<String, Vec<f32>>) {
    let lengths: Vec<(&str, usize)> = outputs
        .iter()
        .map(|(name, values)| (name.as_str(), values.len()))
        .collect();
    let expected = [("anomaly_map", 5 * one.pixels), ("pred_score", 5)];
    let first = usize::from(one.model.map().is_none());
    assert_eq!(lengths, expected[first..], "{}", one.model.class());
}

#[test]
fn engines_agree_at_two_sizes_and_batches() {
    for (class, args) in small_cases() {
        for input in INPUTS {
            let one = trained(class, args.as_object().expect("an object"), input);
            let graph = one
                .model
                .inference_graph(&one.weights, &one.statistics)
                .expect("builds");
            let expected = run(Choice::TorchCpu, &graph, &one.test, 1);
            check_lengths(&one, &expected);
            for choice in ENGINES {
                for batch in [1, 5] {
                    let outputs = run(choice, &graph, &one.test, batch);
                    for (name, values) in &outputs {
                        let off = difference(values, &expected[name]);
                        assert!(
                            off < 1e-4,
                            "{class} {args}: {name} by {choice} at {input:?}, batch {batch} differs by {off:e}"
                        );
                    }
                }
            }
        }
    }
}

/// The comparison above is one that can fail: what differs by one percent anywhere in what was learned is seen, in scores or
/// maps, by every engine and of every model.
#[test]
fn a_planted_difference_is_seen() {
    for (class, args) in small_cases() {
        let one = trained(class, args.as_object().expect("an object"), INPUTS[0]);
        let outputs = |choice, statistics: &Statistics| {
            let graph = one.model.inference_graph(&one.weights, statistics);
            run(choice, &graph.expect("builds"), &one.test, 5)
        };
        let expected = outputs(Choice::TorchCpu, &one.statistics);
        let planted = one.statistics.iter().map(|(name, tensor)| {
            // Sizes of grids are not what was learned.
            let whole = tensor.data().iter().all(|value| value.fract() == 0.0);
            let by = if whole { 1.0 } else { 1.01 };
            let values: Vec<f32> = tensor.data().iter().map(|value| value * by).collect();
            let tensor = Tensor::new(tensor.shape().to_vec(), values).expect("as many");
            (name.clone(), tensor)
        });
        let planted = Statistics::from_iter(planted);
        for choice in ENGINES {
            let found = outputs(choice, &planted);
            let most = found
                .iter()
                .map(|(name, values)| difference(values, &expected[name]))
                .fold(0.0, f64::max);
            assert!(most > 1e-3, "{class} {args} by {choice}: {most:e}");
        }
    }
}

/// Bits of outputs, image by image.
fn bits(outputs: &BTreeMap<String, Vec<f32>>, images: usize) -> Vec<Vec<u32>> {
    let of_image = |image: usize| {
        let values = outputs.values().flat_map(move |values| {
            let each = values.len() / images;
            values[image * each..][..each].iter()
        });
        values.map(|value| value.to_bits()).collect()
    };
    (0..images).map(of_image).collect()
}

#[test]
fn a_score_depends_on_no_batch_mate_and_comes_again() {
    for (class, args) in small_cases() {
        let one = trained(class, args.as_object().expect("an object"), INPUTS[1]);
        let graph = one
            .model
            .inference_graph(&one.weights, &one.statistics)
            .expect("builds");
        let turned: Vec<Vec<f32>> = one.test.iter().rev().cloned().collect();
        for choice in ENGINES {
            let straight = bits(&run(choice, &graph, &one.test, 5), 5);
            let mut back = bits(&run(choice, &graph, &turned, 5), 5);
            back.reverse();
            assert!(straight == back, "{class} {args} by {choice}");
        }
    }
}

#[test]
fn what_is_learned_does_not_depend_on_threads() {
    for (class, args) in small_cases() {
        let one = trained(class, args.as_object().expect("an object"), INPUTS[0]);
        let train = images::uniform_images("train", TRAINED_ON, one.pixels);
        let source = features(&*one.model, &one.weights, &train);
        for threads in [1, 3] {
            let again = one.model.fit(&source, threads, &|_, _| {}).expect("fits");
            assert_eq!(again.len(), one.statistics.len());
            for ((name, tensor), expected) in again.iter().zip(one.statistics.values()) {
                let bits = |tensor: &Tensor| -> Vec<u32> {
                    tensor.data().iter().map(|value| value.to_bits()).collect()
                };
                assert!(
                    bits(tensor) == bits(expected),
                    "{class} {args}: {name} on {threads} threads"
                );
            }
        }
    }
}

fn finish_of(finish: models::MapFinish) -> vision::MapFinish {
    let upsampling = match finish.upsampling {
        models::Upsampling::Nearest => vision::Upsampling::Nearest,
        models::Upsampling::Bilinear => vision::Upsampling::Bilinear,
    };
    let blur = finish.blur.map(|blur| vision::Blur {
        sigma: blur.sigma,
        kernel: blur.kernel,
    });
    vision::MapFinish::new(finish.grid, finish.size, upsampling, blur)
}

/// Scores, and maps if the model has any, as an executor makes them.
fn scored(
    model: &dyn Model,
    scorer: &dyn Scorer,
    features: &[&[f32]],
) -> BTreeMap<String, Vec<f32>> {
    let mut distances = vec![vec![0.0; scorer.positions()]; features.len()];
    let mut slices: Vec<&mut [f32]> = distances.iter_mut().map(Vec::as_mut_slice).collect();
    scorer.distances(features, 0..scorer.positions(), &mut slices);
    let finish = model.map().map(finish_of);
    let map = |cells: &[f32]| finish.as_ref().expect("has maps").apply(cells);
    let mut all: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for (features, distances) in features.iter().zip(distances) {
        let (score, map) = match scorer.image(features, distances) {
            Scored::Map(cells) => {
                let map = map(&cells);
                (map.iter().copied().fold(f32::MIN, f32::max), map)
            }
            Scored::MapAndScore(cells, score) => (score, map(&cells)),
            Scored::Score(score) => (score, Vec::new()),
        };
        all.entry("pred_score".to_owned()).or_default().push(score);
        if !map.is_empty() {
            all.entry("anomaly_map".to_owned()).or_default().extend(map);
        }
    }
    all
}

#[test]
fn scorers_agree_with_the_graph() {
    for (class, args) in small_cases() {
        let one = trained(class, args.as_object().expect("an object"), INPUTS[0]);
        let scorer = one.model.scorer(&one.statistics).expect("fits");
        let graph = one
            .model
            .inference_graph(&one.weights, &one.statistics)
            .expect("builds");
        let expected = run(Choice::OnnxRuntime, &graph, &one.test, 1);
        let graph = one
            .model
            .feature_graph(Start::Image(&one.weights))
            .expect("builds");
        let features = run(Choice::OnnxRuntime, &graph, &one.test, 1);
        let each = features["features"].len() / one.test.len();
        let features: Vec<&[f32]> = features["features"].chunks(each).collect();
        let found = scored(&*one.model, &*scorer, &features);
        check_lengths(&one, &found);
        for (name, values) in found {
            let off = difference(&values, &expected[&name]);
            assert!(off < 1e-4, "{class} {args}: {name} differs by {off:e}");
        }
    }
}

#[test]
fn features_from_the_maps_of_a_joint_pass_are_those_from_the_image() {
    for (class, args) in small_cases() {
        let one = trained(class, args.as_object().expect("an object"), INPUTS[0]);
        let used = one.model.backbone().expect("has one");
        // With a layer that this model does not take, before and behind its own.
        let all = backbones::find(used.name).expect("known").layers();
        let mut joint = used.clone();
        joint.layers = all.iter().map(|layer| layer.name.clone()).collect();
        let layers = JointPass::layers([&joint, &used]);
        let size = one.model.preprocess().output();
        let pass = JointPass::new(used.name, &layers, size).expect("known");
        let maps = pass.graph(&one.weights).expect("builds");
        let whole = one
            .model
            .feature_graph(Start::Image(&one.weights))
            .expect("builds");
        let tail = one.model.feature_graph(Start::Maps).expect("builds");
        for choice in ENGINES {
            let expected = run(choice, &whole, &one.test, 1);
            let found = run(choice, &maps, &one.test, 1);
            let engine = engines::open(choice).expect("opened before");
            let compiled = engine
                .compile(&tail, &CompileOptions::default())
                .expect("compiles");
            let mut session = compiled.session().expect("a session");
            let mut features = Vec::new();
            for image in 0..one.test.len() {
                let record: Vec<f32> = layers
                    .iter()
                    .flat_map(|layer| {
                        let values = &found[layer];
                        let each = values.len() / one.test.len();
                        &values[image * each..][..each]
                    })
                    .copied()
                    .collect();
                let places = pass.places(&used).expect("all there");
                let inputs: Vec<&[f32]> = places.iter().map(|at| &record[at.clone()]).collect();
                let mut outputs = [Vec::new()];
                session.run(&inputs, &mut outputs).expect("runs");
                features.extend_from_slice(&outputs[0]);
            }
            let off = difference(&features, &expected["features"]);
            assert!(off < 1e-5, "{class} {args} by {choice}: differs by {off:e}");
        }
    }
}
