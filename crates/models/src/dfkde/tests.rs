//! DFKDE against the reference's numbers, and what its fit promises.

use ::graph::Tensor;
use serde_json::json;

use super::*;
use crate::{MemoryFeatures, Scored};

fn golden() -> StateDict {
    let path = format!(
        "{}/../../tests/golden/dfkde/data.safetensors",
        env!("CARGO_MANIFEST_DIR")
    );
    weights::read_file(path.as_ref()).expect("the golden set is in the repository")
}

fn read(args: serde_json::Value, seed: u64) -> Result<Dfkde, ModelError> {
    let args = args.as_object().expect("an object");
    Dfkde::read(args, &[], InputSize::default(), seed)
        .map_err(|mut problems| problems.swap_remove(0))
}

/// That of the golden set.
fn reference(scaling: &str) -> Dfkde {
    let args = json!({"n_pca_components": 4, "feature_scaling_method": scaling});
    read(args, 0).expect("valid parameters")
}

fn source(features: &Tensor) -> MemoryFeatures {
    MemoryFeatures::new(1, features.shape()[1], features.data().to_vec()).expect("fits")
}

/// What both signs of the components share.
fn with_transposed(transform: &Tensor) -> Vec<f32> {
    let d = transform.shape()[0];
    let at = |i: usize, j: usize| transform.data()[i * d + j];
    (0..d * d)
        .map(|k| {
            (0..d)
                .map(|j| at(k / d, j) * at(k % d, j))
                .sum::<f32>()
                .abs()
        })
        .collect()
}

#[test]
fn the_density_matches_the_reference() {
    let data = golden();
    let train = source(&data["train_features"]);
    for scaling in ["scale", "norm"] {
        let golden = |name: &str| data[&format!("{scaling}/{name}")].data();
        let model = reference(scaling);
        let statistics = model.fit(&train, 2, &|_, _| {}).expect("fits");
        let bandwidth = with_transposed(&statistics["transform"]);
        let expected = with_transposed(&data[&format!("{scaling}/bw_transform")]);
        let largest = expected.iter().fold(0f32, |a, b| a.max(*b));
        for (ours, theirs) in bandwidth.iter().zip(&expected) {
            assert!(
                (ours - theirs).abs() < 1e-3 * largest,
                "{scaling}: {ours}, not {theirs}"
            );
        }
        let log_norm = statistics["log_norm"].data()[0];
        assert!((log_norm - golden("norm")[0].ln()).abs() < 1e-2);
        if scaling == "norm" {
            // The reference centres its training points, and not the tested ones: its densities are of other places.
            continue;
        }
        assert!((statistics["scale"].data()[0] / golden("max_length")[0] - 1.0).abs() < 1e-5);
        let head = Head::new(
            model.density(&statistics).expect("fits"),
            params::Scaling::Scale,
        );
        let test = data["test_features"].data().chunks_exact(512);
        for (i, image) in test.enumerate() {
            let (ours, theirs) = (head.log_density(image), golden("log_density")[i]);
            // In the reference a density that underflows has no logarithm.
            let near = (ours - theirs).abs() < 1e-2 || theirs == f32::NEG_INFINITY;
            assert!(near, "image {i}: {ours}, not {theirs}");
            let Scored::Score(score) = head.image(image, Vec::new()) else {
                panic!("a score alone")
            };
            assert!(
                (score - golden("probability")[i]).abs() < 1e-3,
                "image {i}: {score}"
            );
        }
    }
}

/// From the definition, in f64: a sum of Gaussians around the scaled training points, with their covariance times Scott's factor.
fn slow_log_density(points: &[Vec<f64>], at: &[f64], inverse: &dyn Fn(usize, usize) -> f64) -> f64 {
    let d = at.len();
    let kernel = |point: &Vec<f64>| {
        let diff = |i: usize| at[i] - point[i];
        let all = (0..d * d).map(|k| diff(k / d) * inverse(k / d, k % d) * diff(k % d));
        (-0.5 * all.sum::<f64>()).exp()
    };
    (points.iter().map(kernel).sum::<f64>() / points.len() as f64).ln()
}

#[test]
fn the_density_of_unit_vectors_is_that_of_the_definition() {
    let data = golden();
    let train = source(&data["train_features"]);
    let model = reference("norm");
    let statistics = model.fit(&train, 1, &|_, _| {}).expect("fits");
    let density = model.density(&statistics).expect("fits");
    let unit = |row: &[f32]| -> Vec<f64> {
        let y = density
            .components
            .coordinates(&density.components.centre(row));
        let length = y.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        y.iter().map(|v| f64::from(*v) / length).collect()
    };
    let points: Vec<Vec<f64>> = data["train_features"]
        .data()
        .chunks_exact(512)
        .map(unit)
        .collect();
    let transform = statistics["transform"].data();
    let inverse = |i: usize, j: usize| -> f64 {
        let product = |k: usize| f64::from(transform[i * 4 + k]) * f64::from(transform[j * 4 + k]);
        (0..4).map(product).sum()
    };
    let head = Head::new(density.clone(), params::Scaling::Norm);
    for image in data["test_features"].data().chunks_exact(512) {
        let expected = slow_log_density(&points, &unit(image), &inverse)
            + f64::from(statistics["log_norm"].data()[0]);
        let found = f64::from(head.log_density(image));
        assert!((found - expected).abs() < 1e-2, "{found}, not {expected}");
    }
}

#[test]
fn fit_does_not_depend_on_threads_and_takes_as_many_points_as_allowed() {
    let data = golden();
    let train = source(&data["train_features"]);
    let one = reference("scale").fit(&train, 1, &|_, _| {}).expect("fits");
    assert_eq!(
        reference("scale").fit(&train, 3, &|_, _| {}).expect("fits"),
        one
    );
    let few = |seed| {
        let args = json!({"n_pca_components": 4, "max_training_points": 9});
        let model = read(args, seed).expect("valid");
        model.fit(&train, 1, &|_, _| {}).expect("fits")
    };
    assert_eq!(few(0)["points"].shape(), [9, 4]);
    assert_ne!(few(0), few(1), "the seed chooses them");
}

#[test]
fn fit_says_how_many_images_it_needs() {
    let fit = |features: &MemoryFeatures| {
        let error = reference("scale").fit(features, 1, &|_, _| {});
        error.expect_err("must fail").to_string()
    };
    let stream = crate::Stream::new(1, "few");
    let few: Vec<f32> = (0..4 * 512).map(|i| stream.uniform(i)).collect();
    let error = fit(&MemoryFeatures::new(1, 512, few).expect("fits"));
    assert!(
        error.contains("n_pca_components is 4") && error.contains("there are 4"),
        "{error}"
    );
    let equal = MemoryFeatures::new(1, 512, vec![0.5; 9 * 512]).expect("fits");
    assert!(fit(&equal).contains("fewer n_pca_components"));
    let narrow = MemoryFeatures::new(1, 511, vec![0.5; 9 * 511]).expect("fits");
    assert!(fit(&narrow).contains("511"));
}

#[test]
fn far_away_images_have_a_density_all_the_same() {
    let data = golden();
    let model = reference("scale");
    let statistics = model
        .fit(&source(&data["train_features"]), 1, &|_, _| {})
        .expect("fits");
    let head = Head::new(
        model.density(&statistics).expect("fits"),
        params::Scaling::Scale,
    );
    let far = |factor: f32| {
        let image: Vec<f32> = data["test_features"].data()[..512]
            .iter()
            .map(|v| v * factor)
            .collect();
        head.log_density(&image)
    };
    assert!(far(30.0).is_finite() && far(60.0) < far(30.0));
}

#[test]
fn statistics_of_another_model_are_refused() {
    let data = golden();
    let model = reference("scale");
    let statistics = model
        .fit(&source(&data["train_features"]), 1, &|_, _| {})
        .expect("fits");
    assert!(
        read(json!({}), 0)
            .expect("valid")
            .scorer(&statistics)
            .is_err()
    );
    for name in [
        "mean",
        "components",
        "scale",
        "transform",
        "points",
        "log_norm",
    ] {
        let mut less = statistics.clone();
        less.remove(name);
        let refused = |statistics: &Statistics| {
            model
                .scorer(statistics)
                .err()
                .expect("must fail")
                .to_string()
        };
        assert!(refused(&less).contains(name));
        less.insert(name.to_owned(), Tensor::vector(vec![0.5; 3]));
        assert!(refused(&less).contains(name), "{}", refused(&less));
    }
}

#[test]
fn parameters_are_checked_with_the_way_out() {
    let cases = [
        (json!({"n_pca_components": 0}), "n_pca_components"),
        (json!({"n_pca_components": 513}), "512 channels"),
        (json!({"feature_scaling_method": "max"}), "norm, scale"),
        (json!({"max_training_points": 1}), "max_training_points"),
        (json!({"layers": ["layer5"]}), "layer4"),
    ];
    for (args, word) in cases {
        let error = read(args.clone(), 0).err().expect("must fail").to_string();
        assert!(error.contains(word), "{args}: {error}");
    }
}
