//! PaDiM against the reference's numbers, and what its fit and its head promise.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use ::graph::Tensor;
use serde_json::json;

use super::statistics::packed;
use super::*;
use crate::{MemoryFeatures, Stream};

fn golden(set: &str) -> StateDict {
    let path = format!(
        "{}/../../tests/golden/{set}/data.safetensors",
        env!("CARGO_MANIFEST_DIR")
    );
    weights::read_file(path.as_ref()).expect("the golden set is in the repository")
}

fn numbers(tensor: &Tensor) -> Vec<usize> {
    tensor.data().iter().map(|&v| v as usize).collect()
}

/// [n, dims, h, w] to [n, positions, dims].
fn by_position(embedding: &Tensor) -> Vec<f32> {
    let [n, dims, h, w] = embedding.shape()[..] else {
        panic!("{embedding:?}")
    };
    let mut out = vec![0.0; embedding.len()];
    for (i, &value) in embedding.data().iter().enumerate() {
        let (image, dim, position) = (i / (dims * h * w), i / (h * w) % dims, i % (h * w));
        out[(image * h * w + position) * dims + dim] = value;
    }
    assert_eq!(n * dims * h * w, out.len());
    out
}

/// What a model keeps of features as positions see them, [n, positions, dims]: each cell as some position sees it.
fn kept(model: &Padim, seen: &[f32]) -> Vec<f32> {
    let layout = model.layout();
    let image = |seen: &[f32]| {
        let mut features = vec![f32::NAN; layout.len()];
        for (position, seen) in seen.chunks_exact(layout.dims()).enumerate() {
            for part in &layout.parts {
                for (place, &dim) in (part.cell(position)..).zip(&part.dims) {
                    features[place] = seen[dim];
                }
            }
        }
        assert!(features.iter().all(|value| !value.is_nan()));
        features
    };
    let images = seen.chunks_exact(layout.positions() * layout.dims());
    images.flat_map(image).collect()
}

/// Largest difference, relative to the largest expected value.
fn difference(
    actual: impl IntoIterator<Item = f32>,
    expected: impl IntoIterator<Item = f32>,
) -> f64 {
    let (mut most, mut largest, mut count) = (0f64, 0f64, 0);
    let mut expected = expected.into_iter();
    for actual in actual {
        let expected = expected.next().expect("as many values");
        most = most.max((f64::from(actual) - f64::from(expected)).abs());
        largest = largest.max(f64::from(expected).abs());
        count += 1;
    }
    assert!(expected.next().is_none() && count > 0);
    most / largest
}

fn read(
    args: &Map<String, serde_json::Value>,
    input: InputSize,
    seed: u64,
) -> Result<Padim, ModelError> {
    Padim::read(args, &[], input, seed).map_err(|mut problems| problems.swap_remove(0))
}

fn model(args: serde_json::Value, side: usize) -> Padim {
    read(
        args.as_object().expect("an object"),
        InputSize::resized([side, side]),
        0,
    )
    .expect("valid parameters")
}

fn of_set(set: &str) -> (Padim, StateDict) {
    let data = golden(set);
    let (backbone, layers) = match set {
        "padim_resnet18" => ("resnet18", ["layer1", "layer2", "layer3"]),
        _ => (
            "mobilenetv2_100",
            ["blocks.1.1", "blocks.2.2", "blocks.4.2"],
        ),
    };
    let model = model(
        json!({"backbone": backbone, "layers": layers, "channel_indices": numbers(&data["idx"])}),
        64,
    );
    (model, data)
}

fn source(model: &Padim, data: &StateDict) -> MemoryFeatures {
    let features = kept(model, &by_position(&data["train_embedding"]));
    MemoryFeatures::new(model.layout().len(), 1, features).expect("fits")
}

fn score(head: &dyn Scorer, features: &[&[f32]]) -> Vec<Vec<f32>> {
    let positions = head.positions();
    let mut maps = vec![vec![0.0; positions]; features.len()];
    let mut slices: Vec<&mut [f32]> = maps.iter_mut().map(Vec::as_mut_slice).collect();
    head.distances(features, 0..positions, &mut slices);
    maps
}

#[test]
fn fit_and_distances_match_the_reference() {
    for set in ["padim_resnet18", "padim_mobilenet_v2"] {
        let (model, data) = of_set(set);
        let statistics = model
            .fit(&source(&model, &data), 2, &|_, _| {})
            .expect("fits");
        let dims = model.channels().len();

        let mean = &data["mean"];
        let positions = mean.shape()[1];
        let transposed =
            (0..positions * dims).map(|i| mean.data()[i % dims * positions + i / dims]);
        let off = difference(statistics["mean"].data().iter().copied(), transposed);
        assert!(off < 1e-5, "{set}: mean differs by {off:e}");

        // Wᵀ W is the inverse covariance.
        for position in 0..4 {
            let packed = &statistics["whitening"].data()[position * packed(dims)..];
            let w = |row: usize, column: usize| {
                if column <= row {
                    f64::from(packed[row * (row + 1) / 2 + column])
                } else {
                    0.0
                }
            };
            let inverse = (0..dims * dims).map(|i| {
                (0..dims)
                    .map(|k| w(k, i / dims) * w(k, i % dims))
                    .sum::<f64>() as f32
            });
            let expected = data["inv_covariance_float64_first_4"].data()[position * dims * dims..]
                .iter()
                .copied()
                .take(dims * dims);
            let off = difference(inverse, expected);
            assert!(
                off < 1e-5,
                "{set}: the inverse at {position} differs by {off:e}"
            );
        }

        let head = model.scorer(&statistics).expect("fits");
        let features = kept(&model, &by_position(&data["test_embedding"]));
        let images: Vec<&[f32]> = features.chunks_exact(model.layout().len()).collect();
        let maps = score(&*head, &images);
        let off = difference(
            maps.into_iter().flatten(),
            data["distance_float64"].data().iter().copied(),
        );
        assert!(off < 1e-4, "{set}: distances differ by {off:e}");
    }
}

/// Features of a model of one layer with structure: a few common factors and noise.
fn synthetic(images: usize, positions: usize, dims: usize, seed: u64) -> MemoryFeatures {
    let (noise, common) = (Stream::new(seed, "noise"), Stream::new(seed, "common"));
    let value = |i: usize| {
        let (image, rest) = (i / (positions * dims), i % (positions * dims));
        noise.uniform(i as u64) + common.uniform((image * 8 + rest % 7) as u64) * (rest % 5) as f32
            - 1.0
    };
    MemoryFeatures::new(
        positions * dims,
        1,
        (0..images * positions * dims).map(value).collect(),
    )
    .expect("fits")
}

/// A model with a grid of 8 x 8 positions and that many channels.
fn small(dims: usize) -> Padim {
    model(json!({"layers": ["layer1"], "n_features": dims}), 32)
}

/// Odd sides, channels in any order, a layer of which none is chosen.
#[test]
fn positions_see_the_cells_that_nearest_enlarging_gives_them() {
    let model = read(
        json!({"layers": ["layer1", "layer2", "layer3"], "channel_indices": [300, 3, 447, 0]})
            .as_object()
            .expect("an object"),
        InputSize::resized([70, 100]),
        0,
    )
    .expect("valid parameters");
    let layout = model.layout();
    let (fine, deep) = ([18, 25], [5, 7]);
    assert_eq!((layout.grid(), layout.dims()), (fine, 4));
    assert_eq!(layout.len(), 2 * fine[0] * fine[1] + 2 * deep[0] * deep[1]);
    // Each number tells its own place.
    let numbers: Vec<f32> = (0..2 * layout.len()).map(|i| i as f32).collect();
    let features = MemoryFeatures::new(layout.len(), 1, numbers).expect("fits");
    let seen = Seen {
        features: &features,
        layout: &layout,
    };
    let all = 0..layout.positions();
    let mut whole = vec![0.0; 2 * layout.positions() * 4];
    seen.read(0..2, all.clone(), &mut whole).expect("reads");
    for (at, row) in whole.chunks_exact(4).enumerate() {
        let (image, position) = (at / layout.positions(), at % layout.positions());
        let (y, x) = (position / fine[1], position % fine[1]);
        let first = image * layout.len() + 2 * position;
        let cell = y * deep[0] / fine[0] * deep[1] + x * deep[1] / fine[1];
        let second = image * layout.len() + 2 * fine[0] * fine[1] + 2 * cell;
        let expected = [second, first, second + 1, first + 1].map(|place| place as f32);
        assert_eq!(row, expected, "image {image}, {y}, {x}");
    }
    for range in [0..1, 24..26, 60..111, 449..450] {
        let mut part = vec![0.0; range.len() * 4];
        seen.read(1..2, range.clone(), &mut part).expect("reads");
        let start = layout.positions() + range.start;
        assert_eq!(part, whole[4 * start..4 * start + part.len()]);
    }
}

#[test]
fn fit_matches_a_slow_solution_for_all_sizes() {
    // Dimensions around the block, images around the cache block, fewer images than dimensions.
    for (images, dims) in [
        (2, 1),
        (3, 5),
        (10, 17),
        (64, 4),
        (65, 9),
        (130, 12),
        (6, 33),
    ] {
        let features = synthetic(images, 64, dims, 1);
        let statistics = small(dims).fit(&features, 1, &|_, _| {}).expect("fits");
        for position in [0, 9, 63] {
            let mut rows = vec![0.0; images * dims];
            features
                .read(0..images, position * dims..(position + 1) * dims, &mut rows)
                .expect("reads");
            let at = |image: usize, dim: usize| f64::from(rows[image * dims + dim]);
            let mean: Vec<f64> = (0..dims)
                .map(|d| (0..images).map(|i| at(i, d)).sum::<f64>() / images as f64)
                .collect();
            let packed = &statistics["whitening"].data()[position * packed(dims)..];
            let w = |row: usize, column: usize| {
                if column <= row {
                    f64::from(packed[row * (row + 1) / 2 + column])
                } else {
                    0.0
                }
            };
            let covariance = |a: usize, b: usize| {
                let sum: f64 = (0..images)
                    .map(|i| (at(i, a) - mean[a]) * (at(i, b) - mean[b]))
                    .sum();
                sum / (images - 1) as f64 + if a == b { 0.01 } else { 0.0 }
            };
            // W C Wᵀ is the identity.
            for r in 0..dims {
                for c in 0..=r {
                    let entry: f64 = (0..dims)
                        .flat_map(|a| (0..dims).map(move |b| (a, b)))
                        .map(|(a, b)| w(r, a) * covariance(a, b) * w(c, b))
                        .sum();
                    let expected = if r == c { 1.0 } else { 0.0 };
                    assert!(
                        (entry - expected).abs() < 1e-4,
                        "{images} x {dims}, position {position}: ({r}, {c}) is {entry}"
                    );
                }
            }
        }
    }
}

#[test]
fn fit_does_not_depend_on_threads_and_tells_its_progress() {
    let features = synthetic(20, 64, 21, 2);
    let (last, total) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |done: u64, of: u64| {
        last.fetch_max(done, Ordering::Relaxed);
        total.store(of, Ordering::Relaxed);
    };
    let one = small(21).fit(&features, 1, &progress).expect("fits");
    assert_eq!((last.into_inner(), total.into_inner()), (64, 64));
    for threads in [2, 3, 8] {
        assert_eq!(
            small(21).fit(&features, threads, &|_, _| {}).expect("fits"),
            one,
            "{threads} threads"
        );
    }
}

/// Thousands of images of many channels do not fit into a thread's room, and are read in blocks.
#[test]
fn fit_holds_no_more_features_than_it_has_room_for() {
    struct Watched<'a>(Seen<'a>, AtomicU64);
    impl FeatureSource for Watched<'_> {
        fn images(&self) -> usize {
            self.0.images()
        }
        fn positions(&self) -> usize {
            self.0.positions()
        }
        fn dims(&self) -> usize {
            self.0.dims()
        }
        fn read(
            &self,
            images: Range<usize>,
            positions: Range<usize>,
            out: &mut [f32],
        ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            self.1.fetch_max(out.len() as u64, Ordering::Relaxed);
            self.0.read(images, positions, out)
        }
    }
    let (images, dims) = (300, 9);
    let model = small(dims);
    let fit = |room: usize| {
        let (features, layout) = (synthetic(images, 64, dims, 5), model.layout());
        let seen = Seen {
            features: &features,
            layout: &layout,
        };
        let watched = Watched(seen, AtomicU64::new(0));
        let found = fit::fit_in(room, [8, 8], model.channels(), &watched, 2, &|_, _| {});
        (found.expect("fits"), watched.1.into_inner() as usize)
    };
    let (expected, _) = fit(usize::MAX);
    for room in [64, 130, 299].map(|images| images * 8 * dims) {
        let (found, held) = fit(room);
        assert!(held <= room, "{held} of {room}");
        assert_eq!(found, expected, "room for {room}");
    }
}

#[test]
fn fit_refuses_what_it_cannot_learn_from() {
    struct Broken;
    impl FeatureSource for Broken {
        fn images(&self) -> usize {
            3
        }
        fn positions(&self) -> usize {
            64 * 4
        }
        fn dims(&self) -> usize {
            1
        }
        fn read(
            &self,
            _: Range<usize>,
            _: Range<usize>,
            _: &mut [f32],
        ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            Err("the disk is gone".into())
        }
    }
    let fit = |features: &dyn FeatureSource| {
        small(4)
            .fit(features, 2, &|_, _| {})
            .expect_err("must fail")
            .to_string()
    };
    assert!(fit(&synthetic(1, 64, 4, 0)).contains("at least 2"));
    assert!(fit(&synthetic(5, 63, 4, 0)).contains("252 numbers"));
    assert!(fit(&Broken).contains("cannot read the features"));
    let mut data = vec![0.5; 3 * 64 * 4];
    data[(2 * 64 + 17) * 4] = f32::NAN;
    assert!(fit(&MemoryFeatures::new(64 * 4, 1, data).expect("fits")).contains("position 17"));
}

/// The exact head, and the one for features in bf16 where this processor can have it.
fn heads(model: &Padim, statistics: &Statistics) -> Vec<Box<dyn Scorer>> {
    let exact = model.scorer(statistics).expect("fits");
    let rounded = exact.in_bf16();
    #[cfg(target_arch = "x86_64")]
    assert_eq!(
        rounded.is_some(),
        is_x86_feature_detected!("avx512bf16"),
        "a head in bf16"
    );
    [Some(exact), rounded].into_iter().flatten().collect()
}

#[test]
fn a_score_depends_on_neither_batch_mates_nor_ranges() {
    let dims = 37;
    let model = small(dims);
    let statistics = model
        .fit(&synthetic(50, 64, dims, 3), 1, &|_, _| {})
        .expect("fits");
    let mut features = vec![0.0; 70 * 64 * dims];
    synthetic(70, 64, dims, 4)
        .read(0..70, 0..64 * dims, &mut features)
        .expect("reads");
    let images: Vec<&[f32]> = features.chunks_exact(64 * dims).collect();
    for head in heads(&model, &statistics) {
        let together = score(&*head, &images);
        for batch in [1, 3, 16, 17, 32, 33, 64, 65] {
            let apart: Vec<Vec<f32>> = images
                .chunks(batch)
                .flat_map(|images| score(&*head, images))
                .collect();
            assert_eq!(apart, together, "batches of {batch}");
        }
        let mut part = vec![0.0; 11];
        head.distances(&images[7..8], 20..31, &mut [&mut part]);
        assert_eq!(part, together[7][20..31]);
    }
}

#[test]
fn a_feature_that_is_no_number_gives_no_score() {
    let dims = 6;
    let model = small(dims);
    let statistics = model
        .fit(&synthetic(9, 64, dims, 3), 1, &|_, _| {})
        .expect("fits");
    let mut features = vec![0.5; 2 * 64 * dims];
    features[17 * dims + 3] = f32::NAN;
    let images: Vec<&[f32]> = features.chunks_exact(64 * dims).collect();
    for head in heads(&model, &statistics) {
        let maps = score(&*head, &images);
        let broken = |map: &[f32]| map.iter().filter(|value| value.is_nan()).count();
        assert!(maps[0][17].is_nan());
        assert_eq!((broken(&maps[0]), broken(&maps[1])), (1, 0));
    }
}

/// Where a processor can have such a head: it rounds what is multiplied and nothing else.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_head_in_bf16_has_the_distances_of_rounded_factors() {
    use super::bf16::rounded;

    let near = |value: f32| f64::from(f32::from_bits(u32::from(rounded(value)) << 16));
    for dims in [1, 2, 3, 4, 5, 8, 37, 64] {
        let model = small(dims);
        let statistics = model
            .fit(&synthetic(120, 64, dims, 3), 2, &|_, _| {})
            .expect("fits");
        let Some(head) = heads(&model, &statistics).into_iter().nth(1) else {
            return;
        };
        let mut features = vec![0.0; 20 * 64 * dims];
        synthetic(20, 64, dims, 4)
            .read(0..20, 0..64 * dims, &mut features)
            .expect("reads");
        let images: Vec<&[f32]> = features.chunks_exact(64 * dims).collect();
        let (means, matrices) = (statistics["mean"].data(), statistics["whitening"].data());
        let expected = images.iter().flat_map(|image| {
            (0..64).map(|position| {
                let own = position * dims..(position + 1) * dims;
                let pairs = image[own.clone()].iter().zip(&means[own]);
                let x: Vec<f64> = pairs.map(|(value, mean)| near(value - mean)).collect();
                let matrix = &matrices[position * packed(dims)..];
                let squares = (0..dims).map(|row| {
                    let row = &matrix[packed(row)..packed(row + 1)];
                    let products = row.iter().zip(&x).map(|(w, x)| near(*w) * x);
                    products.sum::<f64>().powi(2)
                });
                squares.sum::<f64>().sqrt() as f32
            })
        });
        let found = score(&*head, &images).into_iter().flatten();
        let off = difference(found, expected);
        assert!(off < 1e-5, "{dims} dimensions: distances differ by {off:e}");
    }
}

#[test]
fn statistics_of_another_model_are_refused() {
    let statistics = small(5)
        .fit(&synthetic(5, 64, 5, 3), 1, &|_, _| {})
        .expect("fits");
    let refused = |statistics: &Statistics| {
        small(5)
            .scorer(statistics)
            .err()
            .expect("must fail")
            .to_string()
    };
    assert!(small(6).scorer(&statistics).is_err());
    let mut other = statistics.clone();
    let [height, width] = <[usize; 2]>::try_from(numbers(&other["grid"])).expect("a grid");
    // As many positions in another shape: the tensors fit, the places do not.
    let turned = Tensor::vector(vec![(height * width) as f32, 1.0]);
    other.insert("grid".to_owned(), turned);
    let error = refused(&other);
    assert!(error.contains("grid of"), "{error}");
    for name in ["mean", "whitening", "grid", "channels"] {
        let mut less = statistics.clone();
        less.remove(name);
        assert!(refused(&less).contains(name));
        less.insert(name.to_owned(), Tensor::vector(vec![0.5]));
        assert!(refused(&less).contains(name), "{}", refused(&less));
    }
}

#[test]
fn parameters_are_checked_with_the_way_out() {
    let error = |args: serde_json::Value| {
        read(
            args.as_object().expect("an object"),
            InputSize::default(),
            0,
        )
        .err()
        .expect("must fail")
        .to_string()
    };
    let cases = [
        (json!({"backbone": "resnet19"}), "mobilenet_v2"),
        (json!({"layers": ["layer9"]}), "layer3"),
        (
            json!({"backbone": "mobilenet_v2", "layers": ["features.99"], "n_features": 5}),
            "features.13",
        ),
        (
            json!({"backbone": "mobilenet_v2", "layers": ["features.3"]}),
            "up to 24",
        ),
        (json!({"layers": ["layer1", "layer1"]}), "twice"),
        (json!({"layers": []}), "layers"),
        (json!({"n_features": 449}), "448"),
        (json!({"layers": ["layer1"]}), "null means 100 channels"),
        (json!({"n_features": 0}), "n_features"),
        (json!({"channel_indices": [1, 448]}), "448"),
        (json!({"channel_indices": [1, 2, 1]}), "1 is there twice"),
        (
            json!({"channel_indices": [1, 2], "n_features": 3}),
            "n_features",
        ),
        (json!({"pre_trained": "yes"}), "pre_trained"),
        (json!({"n_feature": 3}), "n_features"),
    ];
    for (args, word) in cases {
        let error = error(args.clone());
        assert!(error.contains(word), "{args}: {error}");
    }
    let error = read(&Map::new(), InputSize::resized([16, 64]), 0)
        .err()
        .expect("too small")
        .to_string();
    assert!(error.contains("16 x 64") && error.contains("17"), "{error}");
}

#[test]
fn channels_come_from_the_seed_or_from_the_job() {
    let channels = |args: serde_json::Value, seed| {
        read(
            args.as_object().expect("an object"),
            InputSize::default(),
            seed,
        )
        .expect("valid")
        .channels()
        .to_vec()
    };
    assert_eq!(channels(json!({}), 0).len(), 100);
    assert_ne!(channels(json!({}), 0), channels(json!({}), 1));
    assert_eq!(
        channels(json!({"channel_indices": [7, 3, 300]}), 1),
        [7, 3, 300]
    );
}

#[test]
fn each_default_of_the_parameter_list_is_the_one_in_use() {
    let written: Map<String, serde_json::Value> = PARAMS
        .iter()
        .map(|param| match param.default {
            ::params::Default::Json(text) => (
                param.name.to_owned(),
                serde_json::from_str(text).expect("JSON"),
            ),
            ::params::Default::Required => panic!("{} has no default", param.name),
        })
        .collect();
    let (explicit, implied) = (
        read(&written, InputSize::default(), 3).expect("valid"),
        read(&Map::new(), InputSize::default(), 3).expect("valid"),
    );
    assert_eq!(explicit.backbone(), implied.backbone());
    assert_eq!(explicit.channels(), implied.channels());
}
