//! Packages read back as they were written, and refused where they should be.

use serde_json::json;

use super::*;
use crate::{Agreement, Compared, Computer, Measured, Skipped, digest, read_statistics, verify};

fn package() -> PackageManifest {
    let init_args = json!({"backbone": "mobilenet_v2", "n_features": 100});
    PackageManifest {
        format: FORMAT,
        model: Model {
            class_path: "Padim".to_owned(),
            init_args: init_args.as_object().expect("an object").clone(),
            seed: u64::MAX,
        },
        preprocessing: Preprocessing {
            image_size: [256, 320],
            resize: [256, 320],
            crop: None,
            hash: "abc".to_owned(),
        },
        statistics: Object {
            uri: "statistics.safetensors".to_owned(),
            sha256: digest(b"x"),
            size: 1,
        },
        weights: Some(Weights {
            backbone: "mobilenet_v2".to_owned(),
            sha256: digest(b"w"),
            licence: "MIT".to_owned(),
        }),
        thresholds: Thresholds {
            image: Some(Threshold {
                value: 13.731_241,
                chosen_on: ChosenOn::Validation,
            }),
            pixel: None,
        },
        normalization: Normalization {
            image: Some(Scale::Range(Bounds {
                min: 1.1,
                max: 30.7,
            })),
            pixel: None,
        },
        provenance: Provenance {
            job: "j1".to_owned(),
            run: 3,
            dataset: "texture".to_owned(),
            category: "brick".to_owned(),
            licences: vec!["weights: MIT".to_owned()],
            engine: "openvino".to_owned(),
            engine_version: "2026.4".to_owned(),
            rethresholded: false,
            version: "0.1.0".to_owned(),
        },
        parity: Some(parity()),
    }
}

fn agreement() -> Agreement {
    Agreement {
        version: "1.27".to_owned(),
        device: "cpu".to_owned(),
        precision: "f32".to_owned(),
        score_difference: 1.5e-6,
        map_difference: Some(2.5e-6),
        rank_correlation: Some(0.5),
        flips: Some(1),
    }
}

fn parity() -> Parity {
    let compared = |engine: &str, result| Compared {
        engine: engine.to_owned(),
        result,
    };
    Parity {
        images: 15,
        skipped: vec![Skipped {
            uri: "file:///a.png".to_owned(),
            reason: "it has gone".to_owned(),
        }],
        reference: Computer {
            engine: "openvino".to_owned(),
            version: "2026.4".to_owned(),
            device: "cpu".to_owned(),
            precision: "f32".to_owned(),
        },
        engines: vec![
            compared("onnxruntime", Measured::Agreement(agreement())),
            compared("torch-cpu", Measured::NotMeasured("not here".to_owned())),
        ],
    }
}

#[test]
fn another_threshold_changes_no_raw_score() {
    let scores = |change: &dyn Fn(&mut PackageManifest)| {
        let mut package = package();
        change(&mut package);
        package.scores_sha256()
    };
    let as_it_is = scores(&|_| {});
    let decided = |package: &mut PackageManifest| {
        package.thresholds = Thresholds::default();
        package.normalization = Normalization::default();
        package.provenance.rethresholded = true;
        package.parity = None;
        package.statistics.uri = "elsewhere/statistics.safetensors".to_owned();
    };
    assert_eq!(scores(&decided), as_it_is);
    for change in [
        (&|package: &mut PackageManifest| package.model.seed = 1) as &dyn Fn(&mut PackageManifest),
        &|package| package.preprocessing.hash = "x".to_owned(),
        &|package| package.statistics.sha256 = digest(b"y"),
        &|package| package.weights = None,
    ] {
        assert_ne!(scores(change), as_it_is);
    }
}

#[test]
fn a_package_is_read_back_as_it_was_written() {
    let text = package().to_json().expect("valid");
    assert_eq!(
        PackageManifest::from_json(text.as_bytes()).expect("valid"),
        package()
    );
}

#[test]
fn a_distribution_is_of_format_3_and_everything_else_of_2() {
    let scale = |mean, std| Scale::Distribution(Distribution { mean, std });
    let with = |format, scale| PackageManifest {
        format,
        normalization: Normalization {
            image: Some(scale),
            pixel: None,
        },
        ..package()
    };
    let read = |package: &PackageManifest| {
        let text = serde_json::to_vec(package).expect("JSON");
        PackageManifest::from_json(&text).map_err(|error| error.to_string())
    };
    let good = with(3, scale(2.5, 0.25));
    assert_eq!(
        (
            good.normalization.format(),
            package().normalization.format()
        ),
        (3, 2)
    );
    assert_eq!(read(&good), Ok(good.clone()));
    let said = |package| read(&package).expect_err("must be refused");
    assert!(said(with(2, scale(2.5, 0.25))).contains("format 2 has no mean"));
    assert!(said(with(3, scale(2.5, -0.25))).contains("std -0.25"));
}

/// A package's JSON with one change.
fn with(change: impl Fn(&mut Value)) -> String {
    let mut value = serde_json::to_value(package()).expect("JSON");
    change(&mut value);
    PackageManifest::from_json(value.to_string().as_bytes())
        .expect_err("must be refused")
        .to_string()
}

#[test]
fn what_is_not_understood_is_refused_with_its_name() {
    let newer = with(|v| {
        v["format"] = json!(4);
        v["model"] = json!("a form that only format 4 knows");
    });
    assert!(
        newer.contains("format 4") && newer.contains("newer"),
        "{newer}"
    );
    assert!(with(|v| v["format"] = json!("1")).contains("format"));
    assert!(with(|v| v["format"] = json!(0)).contains("format"));
    assert!(with(|v| v["statistics"]["sha256"] = json!("ABC")).contains("statistics"));
    assert!(with(|v| v["normalization"]["image"]["max"] = json!(0.5)).contains("1.1 to 0.5"));
    let resized = |size: [u32; 2]| with(|v| v["preprocessing"]["resize"] = json!(size));
    assert!(resized([0, 50]).contains("0 x 50"));
    assert!(resized([256, 4097]).contains("256 x 4097; sides are 32 to 4096"));
    assert!(resized([128, 128]).contains("give 128 x 128, but `image_size` is 256 x 320"));
    let edited = with(|v| v["preprocessing"]["image_size"] = json!([1_000_000, 320]));
    assert!(edited.contains("1000000 x 320"), "{edited}");
    let cut = |size: [u32; 2]| with(|v| v["preprocessing"]["crop"] = json!(size));
    assert!(cut([256, 321]).contains("no 256 x 321 can be cut out of 256 x 320"));
    assert!(cut([27, 224]).contains("27 x 224; sides are 28 to 4096"));
    assert!(cut([224, 224]).contains("give 224 x 224, but `image_size` is 256 x 320"));
    let source = |text: &str| {
        format!(
            "{:?}",
            PackageManifest::from_json(text.as_bytes()).expect_err("must be refused")
        )
    };
    let mut unknown = serde_json::to_value(package()).expect("JSON");
    unknown["treshold"] = json!(1);
    assert!(source(&unknown.to_string()).contains("treshold"));
    assert!(source("{}").contains("NoPackage"));
    assert!(source("{\"format\": 1").contains("EOF"));
}

#[test]
fn numbers_that_json_cannot_hold_are_not_written() {
    let mut package = package();
    package.thresholds.pixel = Some(Threshold {
        value: f32::NAN,
        chosen_on: ChosenOn::Manual,
    });
    assert!(
        package
            .to_json()
            .expect_err("NaN")
            .to_string()
            .contains("thresholds")
    );
}

#[test]
fn an_object_is_verified_by_size_and_digest() {
    let object = Object {
        uri: "s".to_owned(),
        sha256: digest(b"abc"),
        size: 3,
    };
    assert_eq!(
        object.sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    verify(&object, b"abc").expect("the same");
    assert!(
        verify(&object, b"abd")
            .expect_err("changed")
            .to_string()
            .contains("sha256")
    );
    assert!(
        verify(&object, b"abcd")
            .expect_err("longer")
            .to_string()
            .contains("4 bytes instead of 3")
    );
}

#[test]
fn statistics_are_read_back_as_they_were_written() {
    let tensor = graph::Tensor::new([2, 2], vec![1.0, 2.0, -3.0, 4.5]).expect("fits");
    let statistics = weights::StateDict::from([("mean".to_owned(), tensor)]);
    let mut bytes = Vec::new();
    weights::write_safetensors(&statistics, &mut bytes).expect("writes to memory");
    assert_eq!(read_statistics(&bytes).expect("reads"), statistics);
}

#[test]
fn the_format_before_is_read_and_has_no_certificate() {
    let mut value = serde_json::to_value(package()).expect("JSON");
    value["format"] = json!(1);
    let object = value.as_object_mut().expect("an object");
    object.remove("parity");
    let read = PackageManifest::from_json(value.to_string().as_bytes()).expect("valid");
    assert_eq!((read.format, read.parity), (1, None));
    assert!(with(|v| v["format"] = json!(1)).contains("format 1 has none"));
}

#[test]
fn a_certificate_holds_no_numbers_that_cannot_be() {
    let at = |key: &str, number: Value| {
        with(|v| v["parity"]["engines"][0]["result"]["agreement"][key] = number.clone())
    };
    for (key, number) in [
        ("score_difference", json!(-1e-9)),
        ("map_difference", json!(-1)),
        ("rank_correlation", json!(1.1)),
        ("flips", json!(16)),
    ] {
        let said = at(key, number);
        assert!(said.contains("onnxruntime"), "{key}: {said}");
    }
    let mut package = package();
    let broken = Agreement {
        score_difference: f64::INFINITY,
        ..agreement()
    };
    package.parity.as_mut().expect("one").engines[0].result = Measured::Agreement(broken);
    assert!(package.to_json().is_err());
}

#[test]
fn engines_that_disagree_or_are_broken_are_named() {
    let mut parity = parity();
    assert_eq!(parity.problems(), [""; 0]);
    for (score, map) in [(1.1e-3, Some(0.0)), (0.0, Some(1.1e-3)), (1.1e-3, None)] {
        let agreement = Agreement {
            score_difference: score,
            map_difference: map,
            ..agreement()
        };
        parity.engines[0].result = Measured::Agreement(agreement);
        let [problem] = &parity.problems()[..] else {
            panic!("one")
        };
        assert!(
            problem.contains("onnxruntime differs from openvino by 1.1e-3"),
            "{problem}"
        );
    }
    parity.engines[1].result = Measured::Broken("NaN is no number to compare".to_owned());
    let problems = parity.problems();
    assert_eq!(problems.len(), 2);
    assert!(
        problems[1].starts_with("torch-cpu is broken: NaN"),
        "{problems:?}"
    );
}
