//! Renaming, checked against the published pairs of torchvision's and timm's MobileNetV2.

use graph::Tensor;

use super::*;

/// torchvision's module, timm's module: every convolution and norm of MobileNetV2 but the classifier.
const MOBILENET_V2: &[(&str, &str)] = &[
    ("features.0.0", "conv_stem"),
    ("features.0.1", "bn1"),
    ("features.1.conv.0.0", "blocks.0.0.conv_dw"),
    ("features.1.conv.0.1", "blocks.0.0.bn1"),
    ("features.1.conv.1", "blocks.0.0.conv_pw"),
    ("features.1.conv.2", "blocks.0.0.bn2"),
    ("features.2.conv.0.0", "blocks.1.0.conv_pw"),
    ("features.2.conv.0.1", "blocks.1.0.bn1"),
    ("features.2.conv.1.0", "blocks.1.0.conv_dw"),
    ("features.2.conv.1.1", "blocks.1.0.bn2"),
    ("features.2.conv.2", "blocks.1.0.conv_pwl"),
    ("features.2.conv.3", "blocks.1.0.bn3"),
    ("features.3.conv.0.0", "blocks.1.1.conv_pw"),
    ("features.3.conv.0.1", "blocks.1.1.bn1"),
    ("features.3.conv.1.0", "blocks.1.1.conv_dw"),
    ("features.3.conv.1.1", "blocks.1.1.bn2"),
    ("features.3.conv.2", "blocks.1.1.conv_pwl"),
    ("features.3.conv.3", "blocks.1.1.bn3"),
    ("features.4.conv.0.0", "blocks.2.0.conv_pw"),
    ("features.4.conv.0.1", "blocks.2.0.bn1"),
    ("features.4.conv.1.0", "blocks.2.0.conv_dw"),
    ("features.4.conv.1.1", "blocks.2.0.bn2"),
    ("features.4.conv.2", "blocks.2.0.conv_pwl"),
    ("features.4.conv.3", "blocks.2.0.bn3"),
    ("features.5.conv.0.0", "blocks.2.1.conv_pw"),
    ("features.5.conv.0.1", "blocks.2.1.bn1"),
    ("features.5.conv.1.0", "blocks.2.1.conv_dw"),
    ("features.5.conv.1.1", "blocks.2.1.bn2"),
    ("features.5.conv.2", "blocks.2.1.conv_pwl"),
    ("features.5.conv.3", "blocks.2.1.bn3"),
    ("features.6.conv.0.0", "blocks.2.2.conv_pw"),
    ("features.6.conv.0.1", "blocks.2.2.bn1"),
    ("features.6.conv.1.0", "blocks.2.2.conv_dw"),
    ("features.6.conv.1.1", "blocks.2.2.bn2"),
    ("features.6.conv.2", "blocks.2.2.conv_pwl"),
    ("features.6.conv.3", "blocks.2.2.bn3"),
    ("features.7.conv.0.0", "blocks.3.0.conv_pw"),
    ("features.7.conv.0.1", "blocks.3.0.bn1"),
    ("features.7.conv.1.0", "blocks.3.0.conv_dw"),
    ("features.7.conv.1.1", "blocks.3.0.bn2"),
    ("features.7.conv.2", "blocks.3.0.conv_pwl"),
    ("features.7.conv.3", "blocks.3.0.bn3"),
    ("features.8.conv.0.0", "blocks.3.1.conv_pw"),
    ("features.8.conv.0.1", "blocks.3.1.bn1"),
    ("features.8.conv.1.0", "blocks.3.1.conv_dw"),
    ("features.8.conv.1.1", "blocks.3.1.bn2"),
    ("features.8.conv.2", "blocks.3.1.conv_pwl"),
    ("features.8.conv.3", "blocks.3.1.bn3"),
    ("features.9.conv.0.0", "blocks.3.2.conv_pw"),
    ("features.9.conv.0.1", "blocks.3.2.bn1"),
    ("features.9.conv.1.0", "blocks.3.2.conv_dw"),
    ("features.9.conv.1.1", "blocks.3.2.bn2"),
    ("features.9.conv.2", "blocks.3.2.conv_pwl"),
    ("features.9.conv.3", "blocks.3.2.bn3"),
    ("features.10.conv.0.0", "blocks.3.3.conv_pw"),
    ("features.10.conv.0.1", "blocks.3.3.bn1"),
    ("features.10.conv.1.0", "blocks.3.3.conv_dw"),
    ("features.10.conv.1.1", "blocks.3.3.bn2"),
    ("features.10.conv.2", "blocks.3.3.conv_pwl"),
    ("features.10.conv.3", "blocks.3.3.bn3"),
    ("features.11.conv.0.0", "blocks.4.0.conv_pw"),
    ("features.11.conv.0.1", "blocks.4.0.bn1"),
    ("features.11.conv.1.0", "blocks.4.0.conv_dw"),
    ("features.11.conv.1.1", "blocks.4.0.bn2"),
    ("features.11.conv.2", "blocks.4.0.conv_pwl"),
    ("features.11.conv.3", "blocks.4.0.bn3"),
    ("features.12.conv.0.0", "blocks.4.1.conv_pw"),
    ("features.12.conv.0.1", "blocks.4.1.bn1"),
    ("features.12.conv.1.0", "blocks.4.1.conv_dw"),
    ("features.12.conv.1.1", "blocks.4.1.bn2"),
    ("features.12.conv.2", "blocks.4.1.conv_pwl"),
    ("features.12.conv.3", "blocks.4.1.bn3"),
    ("features.13.conv.0.0", "blocks.4.2.conv_pw"),
    ("features.13.conv.0.1", "blocks.4.2.bn1"),
    ("features.13.conv.1.0", "blocks.4.2.conv_dw"),
    ("features.13.conv.1.1", "blocks.4.2.bn2"),
    ("features.13.conv.2", "blocks.4.2.conv_pwl"),
    ("features.13.conv.3", "blocks.4.2.bn3"),
    ("features.14.conv.0.0", "blocks.5.0.conv_pw"),
    ("features.14.conv.0.1", "blocks.5.0.bn1"),
    ("features.14.conv.1.0", "blocks.5.0.conv_dw"),
    ("features.14.conv.1.1", "blocks.5.0.bn2"),
    ("features.14.conv.2", "blocks.5.0.conv_pwl"),
    ("features.14.conv.3", "blocks.5.0.bn3"),
    ("features.15.conv.0.0", "blocks.5.1.conv_pw"),
    ("features.15.conv.0.1", "blocks.5.1.bn1"),
    ("features.15.conv.1.0", "blocks.5.1.conv_dw"),
    ("features.15.conv.1.1", "blocks.5.1.bn2"),
    ("features.15.conv.2", "blocks.5.1.conv_pwl"),
    ("features.15.conv.3", "blocks.5.1.bn3"),
    ("features.16.conv.0.0", "blocks.5.2.conv_pw"),
    ("features.16.conv.0.1", "blocks.5.2.bn1"),
    ("features.16.conv.1.0", "blocks.5.2.conv_dw"),
    ("features.16.conv.1.1", "blocks.5.2.bn2"),
    ("features.16.conv.2", "blocks.5.2.conv_pwl"),
    ("features.16.conv.3", "blocks.5.2.bn3"),
    ("features.17.conv.0.0", "blocks.6.0.conv_pw"),
    ("features.17.conv.0.1", "blocks.6.0.bn1"),
    ("features.17.conv.1.0", "blocks.6.0.conv_dw"),
    ("features.17.conv.1.1", "blocks.6.0.bn2"),
    ("features.17.conv.2", "blocks.6.0.conv_pwl"),
    ("features.17.conv.3", "blocks.6.0.bn3"),
    ("features.18.0", "conv_head"),
    ("features.18.1", "bn2"),
];

const NORM_LEAVES: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

fn leaves(timm: &str) -> &'static [&'static str] {
    let part = timm.rsplit('.').next().expect("a name");
    if part.starts_with("bn") {
        &NORM_LEAVES
    } else {
        &NORM_LEAVES[..1]
    }
}

/// A state whose tensors can be told apart: each holds its number.
fn state<'a>(names: impl IntoIterator<Item = &'a str>) -> StateDict {
    names
        .into_iter()
        .enumerate()
        .map(|(i, name)| (name.to_owned(), Tensor::scalar(i as f32)))
        .collect()
}

#[test]
fn torchvision_mobilenet_v2_becomes_timm() {
    let pairs: Vec<(String, String)> = MOBILENET_V2
        .iter()
        .flat_map(|(from, to)| {
            leaves(to)
                .iter()
                .map(move |leaf| (format!("{from}.{leaf}"), format!("{to}.{leaf}")))
        })
        .collect();
    assert_eq!(pairs.len(), 260);
    let renamed = canonical_names(
        "mobilenetv2_100",
        state(pairs.iter().map(|(from, _)| from.as_str())),
    )
    .expect("renames");
    let expected: StateDict = pairs
        .iter()
        .enumerate()
        .map(|(i, (_, to))| (to.clone(), Tensor::scalar(i as f32)))
        .collect();
    assert_eq!(renamed, expected);
}

#[test]
fn flat_mobilenet_v2_becomes_the_same() {
    // The flat layout numbers what torchvision nests.
    let flat = |from: &str| {
        let Some((block, position)) = from.split_once(".conv.") else {
            return from.to_owned();
        };
        let place = match (block, position) {
            (_, "0.0") => 0,
            (_, "0.1") => 1,
            ("features.1", "1") => 3,
            ("features.1", "2") => 4,
            (_, "1.0") => 3,
            (_, "1.1") => 4,
            (_, "2") => 6,
            (_, "3") => 7,
            other => panic!("{other:?}"),
        };
        format!("{block}.conv.{place}")
    };
    let names: Vec<String> = MOBILENET_V2
        .iter()
        .map(|(from, _)| format!("{}.weight", flat(from)))
        .collect();
    let renamed =
        canonical_names("mobilenet_v2", state(names.iter().map(String::as_str))).expect("renames");
    let expected: StateDict = MOBILENET_V2
        .iter()
        .enumerate()
        .map(|(i, (_, to))| (format!("{to}.weight"), Tensor::scalar(i as f32)))
        .collect();
    assert_eq!(renamed, expected);
}

#[test]
fn shipped_efficientnet_lite0_becomes_timm() {
    let cases = [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn0.running_var", "bn1.running_var"),
        (
            "_blocks.0._depthwise_conv.weight",
            "blocks.0.0.conv_dw.weight",
        ),
        ("_blocks.0._bn1.bias", "blocks.0.0.bn1.bias"),
        (
            "_blocks.0._project_conv.weight",
            "blocks.0.0.conv_pw.weight",
        ),
        ("_blocks.0._bn2.weight", "blocks.0.0.bn2.weight"),
        ("_blocks.1._expand_conv.weight", "blocks.1.0.conv_pw.weight"),
        ("_blocks.2._bn0.weight", "blocks.1.1.bn1.weight"),
        (
            "_blocks.5._depthwise_conv.weight",
            "blocks.3.0.conv_dw.weight",
        ),
        ("_blocks.10._bn1.weight", "blocks.4.2.bn2.weight"),
        (
            "_blocks.14._project_conv.weight",
            "blocks.5.3.conv_pwl.weight",
        ),
        (
            "_blocks.15._bn2.running_mean",
            "blocks.6.0.bn3.running_mean",
        ),
        ("_conv_head.weight", "conv_head.weight"),
        ("_bn1.weight", "bn2.weight"),
        ("_fc.bias", "classifier.bias"),
    ];
    let renamed =
        canonical_names("efficientnet_lite0", state(cases.map(|(from, _)| from))).expect("renames");
    let expected: StateDict = cases
        .iter()
        .enumerate()
        .map(|(i, (_, to))| ((*to).to_owned(), Tensor::scalar(i as f32)))
        .collect();
    assert_eq!(renamed, expected);
}

#[test]
fn canonical_names_stay_as_they_are_and_prefixes_go() {
    let names = ["module.conv1.weight", "module.layer1.0.bn1.weight"];
    let renamed = canonical_names("resnet18", state(names)).expect("renames");
    assert_eq!(
        renamed.into_keys().collect::<Vec<_>>(),
        ["conv1.weight", "layer1.0.bn1.weight"]
    );
    let timm = state(["conv_stem.weight", "blocks.1.1.bn3.bias"]);
    assert_eq!(
        canonical_names("mobilenet_v2", timm.clone()).expect("renames"),
        timm
    );
}

#[test]
fn names_of_another_network_are_refused() {
    let cases = [
        ("mobilenet_v2", "layer1.0.conv1.weight"),
        ("mobilenet_v2", "features.19.0.weight"),
        ("mobilenet_v2", "features.x"),
        ("efficientnet_lite0", "features.1.conv.0.0.weight"),
        ("resnet18", "features.0.0.weight"),
    ];
    for (backbone, name) in cases {
        let error = canonical_names(backbone, state([name]))
            .expect_err(name)
            .to_string();
        assert!(error.contains(name) && error.contains(backbone), "{error}");
    }
    let error = canonical_names("mobilenet_v9", StateDict::new())
        .expect_err("unknown")
        .to_string();
    assert!(
        error.contains("mobilenet_v9") && error.contains("resnet18"),
        "{error}"
    );
}
