//! Layers, tensors and random weights of every architecture.

use ::graph::{Builder, Dim};

use super::*;

#[test]
fn architectures_are_sorted_and_found_by_every_name() {
    assert!(
        ARCHITECTURES
            .windows(2)
            .all(|pair| pair[0].name < pair[1].name)
    );
    for architecture in ARCHITECTURES {
        for name in std::iter::once(&architecture.name).chain(architecture.aliases) {
            assert_eq!(find(name).expect("known").name, architecture.name);
        }
    }
    let error = find("resnet19").err().expect("unknown").to_string();
    assert!(
        error.contains("resnet19") && error.contains("mobilenetv2_100"),
        "{error}"
    );
}

#[test]
fn layers_have_the_published_channels_and_strides() {
    let cases = [
        ("mobilenet_v2", "features.1", "blocks.0.0", 16, 2),
        ("mobilenet_v2", "features.3", "blocks.1.1", 24, 4),
        ("mobilenet_v2", "features.6", "blocks.2.2", 32, 8),
        ("mobilenet_v2", "features.13", "blocks.4.2", 96, 16),
        ("mobilenet_v2", "features.17", "blocks.6.0", 320, 32),
        ("efficientnet_lite0", "_blocks.2", "blocks.1.1", 24, 4),
        ("efficientnet_lite0", "_blocks.4", "blocks.2.1", 40, 8),
        ("efficientnet_lite0", "_blocks.10", "blocks.4.2", 112, 16),
        ("efficientnet_lite0", "_blocks.15", "blocks.6.0", 320, 32),
        ("resnet18", "act1", "act1", 64, 2),
        ("resnet18", "layer1", "layer1", 64, 4),
        ("resnet34", "layer4", "layer4", 512, 32),
        ("resnet50", "layer3", "layer3", 1024, 16),
        ("wide_resnet50_2", "layer2", "layer2", 512, 8),
    ];
    for (backbone, asked, name, channels, stride) in cases {
        let layer = find(backbone).expect("known").layer(asked).expect("known");
        assert_eq!(
            (layer.name.as_str(), layer.channels, layer.stride),
            (name, channels, stride),
            "{backbone} {asked}"
        );
    }
    let mobilenet = find("mobilenet_v2").expect("known");
    assert_eq!(mobilenet.layer("features.0"), None);
}

#[test]
fn networks_take_the_published_numbers_of_products() {
    // torchvision's, in 10^9 for an image of 224 x 224; mobilenet_v2's without its last convolution, 320 to 1,280 channels of 7 x 7.
    let cases = [
        (
            "mobilenet_v2",
            "features.17",
            0.30 - 320e-9 * 1_280.0 * 49.0,
        ),
        ("resnet18", "layer4", 1.81),
        ("resnet34", "layer4", 3.66),
        ("resnet50", "layer4", 4.09),
        ("wide_resnet50_2", "layer4", 11.40),
    ];
    for (name, deepest, published) in cases {
        let network = find(name).expect("known");
        let layer = |name: &str| network.layer(name).expect("known");
        let products = network.products([224, 224], &[layer(deepest)]) as f64 / 1e9;
        assert!(
            (products / published - 1.0).abs() < 0.01,
            "{name}: {products}, published {published}"
        );
    }
    let network = find("resnet18").expect("known");
    let [shallow, deep] = ["layer1", "layer3"].map(|name| network.layer(name).expect("known"));
    let of = |wanted: &[Layer]| network.products([64, 64], wanted);
    assert!(of(&[]) == 0 && of(std::slice::from_ref(&shallow)) < of(std::slice::from_ref(&deep)));
    assert_eq!(of(&[deep.clone(), shallow]), of(&[deep]));
}

#[test]
fn trunks_have_the_published_numbers_of_weights() {
    let count = |name: &str| -> usize {
        let tensors = find(name).expect("known").tensors();
        // Running statistics are no parameters.
        tensors
            .iter()
            .filter(|(name, _)| !name.contains("running"))
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    };
    // torchvision: 11,689,512 and 21,797,672 with the classifier of 513,000.
    assert_eq!(count("resnet18"), 11_176_512);
    assert_eq!(count("resnet34"), 21_284_672);
    // torchvision: 25,557,032 and 68,883,240 with the classifier of 2,049,000.
    assert_eq!(count("resnet50"), 23_508_032);
    assert_eq!(count("wide_resnet50_2"), 66_834_240);
    // torchvision: 2,223,872 without classifier, of which the head (conv_head, bn2) has 412,160.
    assert_eq!(count("mobilenet_v2"), 1_811_712);
    assert_eq!(find("mobilenet_v2").expect("known").tensors().len(), 255);
}

#[test]
fn every_layer_can_be_emitted_from_random_weights_at_odd_sizes() {
    for architecture in ARCHITECTURES {
        let weights = architecture.random_weights(0);
        let layers = architecture.layers();
        let mut builder = Builder::new();
        let image = builder
            .input(
                "image",
                &[Dim::Batch, Dim::Fixed(3), Dim::Fixed(50), Dim::Fixed(37)],
            )
            .expect("an input");
        let maps = architecture
            .emit(&mut builder, image, &weights, &layers)
            .expect("builds");
        assert_eq!(maps.len(), layers.len());
        for (map, layer) in maps.iter().zip(&layers) {
            let expected = [
                Dim::Batch,
                layer.channels.into(),
                50usize.div_ceil(layer.stride).into(),
                37usize.div_ceil(layer.stride).into(),
            ];
            assert_eq!(
                builder.dims(*map).expect("known"),
                expected,
                "{} {}",
                architecture.name,
                layer.name
            );
        }
    }
}

#[test]
fn random_weights_follow_the_seed() {
    let resnet = find("resnet18").expect("known");
    assert_eq!(resnet.random_weights(5), resnet.random_weights(5));
    assert_ne!(
        resnet.random_weights(5)["conv1.weight"],
        resnet.random_weights(6)["conv1.weight"]
    );
}

#[test]
fn missing_and_misshapen_weights_are_named() {
    let resnet = find("resnet18").expect("known");
    let layers = [resnet.layer("layer1").expect("known")];
    let emit = |weights: &crate::StateDict| {
        let mut builder = Builder::new();
        let image = builder
            .input(
                "image",
                &[Dim::Batch, Dim::Fixed(3), Dim::Fixed(64), Dim::Fixed(64)],
            )
            .expect("an input");
        resnet.emit(&mut builder, image, weights, &layers).map(drop)
    };
    let mut weights = resnet.random_weights(0);
    // Layers that nobody asked for are not needed.
    weights.retain(|name, _| !name.starts_with("layer2"));
    emit(&weights).expect("enough");
    let conv = weights.remove("layer1.1.conv2.weight").expect("was there");
    assert!(
        emit(&weights)
            .expect_err("missing")
            .to_string()
            .contains("`layer1.1.conv2.weight` is missing")
    );
    weights.insert(
        "layer1.1.conv2.weight".to_owned(),
        conv.reshaped([64, 64, 9, 1]).expect("same count"),
    );
    assert!(
        emit(&weights)
            .expect_err("misshapen")
            .to_string()
            .contains("[64, 64, 9, 1] instead of [64, 64, 3, 3]")
    );
}

#[test]
fn weight_files_are_known_for_every_architecture() {
    let names: Vec<&str> = ARCHITECTURES
        .iter()
        .map(|architecture| architecture.name)
        .collect();
    assert_eq!(names, weights::BACKBONES);
    for architecture in ARCHITECTURES {
        for alias in architecture.aliases {
            assert_eq!(
                weights::backbone_name(alias).expect("known"),
                architecture.name
            );
        }
        // Canonical names are left as they are.
        let state = architecture.random_weights(0);
        let names: Vec<String> = state.keys().cloned().collect();
        let renamed = weights::canonical_names(architecture.name, state).expect("its own names");
        assert_eq!(renamed.into_keys().collect::<Vec<_>>(), names);
    }
}

#[test]
fn what_is_not_built_is_known_and_nothing_is_both() {
    assert!(NOT_BUILT.windows(2).all(|pair| pair[0] < pair[1]));
    for name in NOT_BUILT {
        assert!(names().all(|built| built != *name), "{name}");
        let error = find(name).err().expect("not built").to_string();
        assert!(error.contains("not built yet"), "{error}");
    }
    let error = find("resnet18__AT__file:///x.pth")
        .err()
        .expect("not built");
    assert!(error.to_string().contains("ctl weights import"), "{error}");
}
