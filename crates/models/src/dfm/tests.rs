//! DFM against the reference's numbers, and what its fit promises.

use ::graph::Tensor;
use serde_json::json;

use super::*;
use crate::pca::{Centred, Keep};
use crate::{MemoryFeatures, Scored};

fn golden() -> StateDict {
    let path = format!(
        "{}/../../tests/golden/dfm/data.safetensors",
        env!("CARGO_MANIFEST_DIR")
    );
    weights::read_file(path.as_ref()).expect("the golden set is in the repository")
}

fn read(args: serde_json::Value, input: InputSize) -> Result<Dfm, ModelError> {
    let args = args.as_object().expect("an object");
    Dfm::read(args, &[], input, 0).map_err(|mut problems| problems.swap_remove(0))
}

/// That of the golden set.
fn reference(score_type: &str) -> Dfm {
    let args = json!({
        "backbone": "resnet18", "pooling_kernel_size": 2, "pca_level": 0.9, "score_type": score_type,
    });
    read(args, InputSize::resized([64, 64])).expect("valid parameters")
}

/// [n, dims * 4] as the reference flattens maps of 2 x 2 to [n, 4, dims].
fn by_position(features: &Tensor) -> Vec<f32> {
    let width = features.shape()[1];
    let dims = width / 4;
    let images = features.data().chunks_exact(width);
    images
        .flat_map(|image| (0..width).map(move |i| image[i % dims * 4 + i / dims]))
        .collect()
}

fn source(features: &Tensor) -> MemoryFeatures {
    let dims = features.shape()[1] / 4;
    MemoryFeatures::new(4, dims, by_position(features)).expect("fits")
}

/// With as many components as the reference, whose rule keeps one fewer.
fn learned(data: &StateDict) -> Subspace {
    let features = source(&data["train_features"]);
    let all: Vec<usize> = (0..features.images()).collect();
    let centred = Centred::read(&features, CLASS, &all).expect("reads");
    let components = centred
        .components(Keep::Count(9), 1, &|_, _| {})
        .expect("finite")
        .expect("they differ");
    Subspace::new(components, all.len())
}

fn close(what: &str, actual: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0f32, |a, b| a.max(b.abs()));
    for (a, e) in actual.iter().zip(expected) {
        let off = f64::from((a - e).abs() / largest);
        assert!(off < tolerance, "{what}: {a} instead of {e}");
    }
}

fn scores(head: &dyn Scorer, data: &StateDict) -> Vec<f32> {
    let test = by_position(&data["test_features"]);
    let images = test.chunks_exact(test.len() / 3);
    images
        .map(|image| match head.image(image, Vec::new()) {
            Scored::MapAndScore(_, score) | Scored::Score(score) => score,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn components_and_scores_match_the_reference() {
    let data = golden();
    let subspace = learned(&data);
    let spreads: Vec<f32> = subspace
        .components
        .spreads
        .iter()
        .map(|&s| s as f32)
        .collect();
    close("spreads", &spreads, data["singular_values"].data(), 1e-4);
    close(
        "deviations",
        subspace.deviations.data(),
        data["nll/sigma_mat"].data(),
        1e-4,
    );
    let statistics = subspace.into_statistics(12);
    let fre = reference("fre").scorer(&statistics).expect("fits");
    close("fre", &scores(&*fre, &data), data["fre/score"].data(), 1e-3);
    // The reference centres training features twice: its own numbers are of features that are not centred.
    let nll = reference("nll").scorer(&statistics).expect("fits");
    close(
        "nll",
        &scores(&*nll, &data),
        data["nll/textbook"].data(),
        1e-3,
    );
}

#[test]
fn fit_keeps_enough_components_for_the_share_and_does_not_depend_on_threads() {
    let data = golden();
    let features = source(&data["train_features"]);
    let one = reference("fre")
        .fit(&features, 1, &|_, _| {})
        .expect("fits");
    assert_eq!(
        one["components"].shape(),
        [10, 1024],
        "one more than the reference"
    );
    assert_eq!(
        reference("fre")
            .fit(&features, 3, &|_, _| {})
            .expect("fits"),
        one
    );
    let fit = |features: &MemoryFeatures| {
        let error = reference("fre").fit(features, 1, &|_, _| {});
        error.expect_err("must fail").to_string()
    };
    let equal = MemoryFeatures::new(4, 256, vec![0.5; 3 * 1024]).expect("fits");
    assert!(fit(&equal).contains("equal"));
    let alone = MemoryFeatures::new(4, 256, vec![0.5; 1024]).expect("fits");
    assert!(fit(&alone).contains("at least 2"));
    let narrow = MemoryFeatures::new(4, 255, vec![0.5; 2 * 4 * 255]).expect("fits");
    assert!(fit(&narrow).contains("255"));
}

#[test]
fn only_reconstruction_errors_have_maps() {
    let statistics = learned(&golden()).into_statistics(12);
    let [positions, dims] = reference("fre").feature_shape().expect("is known");
    for (score_type, has_map) in [("fre", true), ("nll", false)] {
        let model = reference(score_type);
        let head = model.scorer(&statistics).expect("fits");
        let scored = head.image(&vec![0.0; positions * dims], Vec::new());
        let is_mapped = !matches!(scored, Scored::Score(_));
        assert_eq!((model.map().is_some(), is_mapped), (has_map, has_map));
    }
}

#[test]
fn statistics_of_another_model_are_refused() {
    let statistics = learned(&golden()).into_statistics(12);
    for name in ["mean", "components", "deviations"] {
        let mut less = statistics.clone();
        less.remove(name);
        let refused = |statistics: &Statistics| {
            let error = reference("fre")
                .scorer(statistics)
                .err()
                .expect("must fail");
            error.to_string()
        };
        assert!(refused(&less).contains(name));
        less.insert(name.to_owned(), Tensor::vector(vec![0.5]));
        assert!(refused(&less).contains(name));
    }
}

#[test]
fn parameters_are_checked_with_the_way_out() {
    let cases = [
        (json!({"pca_level": 0.0}), "pca_level"),
        (json!({"pca_level": 1.1}), "from 0 to 1"),
        (json!({"pooling_kernel_size": 17}), "16 x 16"),
        (json!({"score_type": "mse"}), "fre, nll"),
        (json!({"layer": "layer9"}), "layer3"),
        (json!({"layers": ["layer3"]}), "layer"),
    ];
    for (args, word) in cases {
        let error = read(args.clone(), InputSize::default())
            .err()
            .expect("must fail");
        assert!(error.to_string().contains(word), "{args}: {error}");
    }
    let error = read(json!({"layer": "layer9"}), InputSize::default())
        .err()
        .expect("no layer");
    assert_eq!(error.parameter(), Some("layer"));
}
