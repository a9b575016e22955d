//! PatchCore against the reference's numbers, and what its coreset and its head promise.

use std::sync::atomic::{AtomicU64, Ordering};

use ::graph::Tensor;
use serde_json::json;

use super::coreset::{Points, select};
use super::projection::Projection;
use super::*;
use crate::{MemoryFeatures, Scored, Stream};

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

fn read(args: serde_json::Value, input: InputSize, seed: u64) -> Result<Patchcore, ModelError> {
    let args = args.as_object().expect("an object");
    Patchcore::read(args, &[], input, seed).map_err(|mut problems| problems.swap_remove(0))
}

/// That of the golden set: images of 64 x 64 after the crop.
fn reference(neighbors: usize) -> Patchcore {
    let args = json!({
        "backbone": "mobilenetv2_100", "layers": ["blocks.2.2", "blocks.4.2"], "num_neighbors": neighbors,
    });
    read(args, InputSize::resized([74, 74]), 0).expect("valid parameters")
}

fn points(rows: &[f32], dims: usize) -> Points {
    let mut points = Points::new(rows.len() / dims, dims);
    for (mut block, rows) in points.blocks_mut().zip(rows.chunks(coreset::BLOCK * dims)) {
        for (place, row) in rows.chunks_exact(dims).enumerate() {
            block.set(place, row);
        }
    }
    points
}

fn projected(rows: &[f32], dims: usize, projection: &Tensor) -> Points {
    let projection = Projection::dense(projection.data(), dims);
    let outputs = projection.outputs();
    let mut all = vec![0.0; rows.len() / dims * outputs];
    for (row, out) in rows.chunks_exact(dims).zip(all.chunks_exact_mut(outputs)) {
        projection.apply(row, out);
    }
    points(&all, outputs)
}

#[test]
fn the_coreset_s_picks_are_the_reference_s() {
    let data = golden("coreset");
    let embedding = data["embedding"].data();
    let ones = [1.0; 6 * 4];
    let cases = [
        ("", embedding, 32, 836),
        ("small/", &embedding[..7 * 32], 32, 6),
        ("constant/", &ones[..], 4, 5),
    ];
    for (case, rows, dims, start) in cases {
        let points = projected(rows, dims, &data[&format!("{case}projection")]);
        let expected = numbers(&data[&format!("{case}indices")]);
        for threads in [1, 2, 3] {
            let picks = select(&points, start, expected.len(), threads, &|_, _| {});
            assert_eq!(picks, expected, "{case} with {threads} threads");
        }
    }
    let data = golden("patchcore");
    let points = projected(data["train_embedding"].data(), 128, &data["projection"]);
    let expected = numbers(&data["coreset_indices"]);
    assert_eq!(
        select(&points, 137, expected.len(), 2, &|_, _| {}),
        expected
    );
}

/// Every point compared with every pick, in f64.
fn slowly(rows: &[f32], dims: usize, start: usize, count: usize) -> Vec<usize> {
    let at = |i: usize, d: usize| f64::from(rows[i * dims + d]);
    let n = rows.len() / dims;
    let (mut nearest, mut picks, mut centre) = (vec![f64::INFINITY; n], Vec::new(), start);
    for _ in 0..count {
        for (i, nearest) in nearest.iter_mut().enumerate() {
            let squared = (0..dims)
                .map(|d| (at(i, d) - at(centre, d) + 1e-6).powi(2))
                .sum();
            *nearest = nearest.min(squared);
        }
        // The first of the largest.
        centre = (0..n).fold(
            0,
            |best, i| if nearest[i] > nearest[best] { i } else { best },
        );
        nearest[centre] = -1.0;
        picks.push(centre);
    }
    picks
}

#[test]
fn the_coreset_is_the_slow_one_s_whatever_the_threads() {
    for (count, dims, seed) in [
        (1, 3, 1),
        (63, 5, 2),
        (64, 1, 3),
        (65, 17, 4),
        (1_000, 6, 5),
    ] {
        let stream = Stream::new(seed, "points");
        // Clusters, so that some blocks wait long.
        let value = |i: usize| {
            stream.uniform(i as u64) + 10.0 * stream.uniform((1 << 40) + (i / dims / 50) as u64)
        };
        let rows: Vec<f32> = (0..count * dims).map(value).collect();
        let start = stream.below(7, count);
        let picked = count.div_ceil(2);
        let expected = slowly(&rows, dims, start, picked);
        for threads in [1, 2, 5, 64] {
            let picks = select(&points(&rows, dims), start, picked, threads, &|_, _| {});
            assert_eq!(picks, expected, "{count} points, {threads} threads");
        }
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let squared = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
    squared.sum::<f64>().sqrt()
}

/// How far a row is from the nearest of the bank at most.
fn coverage<'a>(rows: impl Iterator<Item = &'a [f32]>, bank: &Tensor) -> f64 {
    let nearest = |row: &[f32]| {
        let picks = bank.data().chunks_exact(row.len());
        picks
            .map(|pick| distance(row, pick))
            .fold(f64::INFINITY, f64::min)
    };
    rows.map(nearest).fold(0.0, f64::max)
}

#[test]
fn a_bank_that_is_chosen_part_by_part_covers_what_it_says_and_little_less_than_the_whole_one() {
    let stream = Stream::new(9, "points");
    let (images, dims) = (40, 128);
    let value = |i: usize| {
        // Images differ more than their patches.
        stream.uniform(i as u64) + 4.0 * stream.uniform((1 << 40) + (i / dims / 64) as u64)
    };
    let embedding: Vec<f32> = (0..images * 64 * dims).map(value).collect();
    let features = MemoryFeatures::new(64, dims, embedding.clone()).expect("fits");
    let model = |budget: serde_json::Value| {
        let args = json!({
            "backbone": "mobilenetv2_100", "layers": ["blocks.2.2", "blocks.4.2"], "coreset_budget": budget,
        });
        read(args, InputSize::resized([74, 74]), 0).expect("valid parameters")
    };
    let fit = |budget, threads| {
        let (told, ends) = (AtomicU64::new(0), AtomicU64::new(0));
        let progress = |done: u64, total: u64| {
            assert!(done <= total);
            told.fetch_max(done, Ordering::Relaxed);
            ends.store(total, Ordering::Relaxed);
        };
        let fitted = model(budget)
            .fit(&features, threads, &progress)
            .expect("fits");
        assert_eq!(told.into_inner(), ends.into_inner());
        fitted
    };
    let whole = fit(json!(null), 1);
    assert!(!whole.contains_key("coverage"));
    // A budget that all fit into changes nothing.
    assert_eq!(fit(json!(images * 64), 1), whole);
    let best = coverage(embedding.chunks_exact(dims), &whole["bank"]);
    for (budget, worse) in [(1_024, 1.1), (400, 1.2), (256, 1.35), (64, 1.6)] {
        let parts = fit(json!(budget), 1);
        assert_eq!(parts, fit(json!(budget), 3));
        assert_eq!(parts["bank"].shape(), whole["bank"].shape());
        let mut picked: Vec<&[f32]> = parts["bank"].data().chunks_exact(dims).collect();
        picked.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
        picked.dedup();
        assert_eq!(
            picked.len(),
            parts["bank"].shape()[0],
            "none is picked twice"
        );
        let covers = coverage(embedding.chunks_exact(dims), &parts["bank"]);
        let says = f64::from(parts["coverage"].data()[0]);
        assert!(covers <= says + 1e-4, "{budget}: {covers} beside {says}");
        assert!(covers <= worse * best, "{budget}: {covers} beside {best}");
    }
    let memory = |budget| model(budget).fit_memory(2).expect("known");
    let (all, bounded) = (memory(json!(null)), memory(json!(10_000)));
    assert!(bounded.bytes_per_image * 3 < all.bytes_per_image);
    assert!(bounded.bytes - all.bytes < 10_000 * (129 * 4 + 16));
}

#[test]
fn every_point_can_be_picked_once() {
    let mut picks = select(&points(&[2.0; 70], 1), 3, 70, 2, &|_, _| {});
    picks.sort_unstable();
    assert_eq!(picks, (0..70).collect::<Vec<_>>());
}

#[test]
fn a_projection_is_sparse_keeps_lengths_and_enlarges_nothing_unasked() {
    use super::projection::{Projecting, components};
    assert!(Projecting::Auto.projection(78_400, 128, 0).is_none());
    assert!(Projecting::Never.projection(78_400, 1_536, 0).is_none());
    assert_eq!(
        Projecting::Always
            .projection(78_400, 128, 0)
            .map(|p| p.outputs()),
        Some(components(78_400))
    );
    let projection = Projecting::Auto
        .projection(78_400, 1_536, 4)
        .expect("smaller");
    assert_eq!(
        Projecting::Auto.projection(78_400, 1_536, 4).as_ref(),
        Some(&projection)
    );
    let stream = Stream::new(1, "vector");
    let vector: Vec<f32> = (0..1_536).map(|i| stream.uniform(i) - 0.5).collect();
    let mut out = vec![0.0; projection.outputs()];
    projection.apply(&vector, &mut out);
    let length = |v: &[f32]| v.iter().map(|v| v * v).sum::<f32>().sqrt();
    let ratio = length(&out) / length(&vector);
    assert!((0.8..1.2).contains(&ratio), "{ratio}");
}

fn train() -> (Patchcore, MemoryFeatures, StateDict) {
    let data = golden("patchcore");
    let embedding = data["train_embedding"].data().to_vec();
    let features = MemoryFeatures::new(64, 128, embedding).expect("fits");
    (reference(9), features, data)
}

#[test]
fn fit_keeps_patches_of_the_images_and_does_not_depend_on_threads() {
    let (model, features, data) = train();
    let told = AtomicU64::new(0);
    let progress = |done: u64, total: u64| {
        assert_eq!(total, 38);
        told.fetch_max(done, Ordering::Relaxed);
    };
    let one = model.fit(&features, 1, &progress).expect("fits");
    assert_eq!(told.into_inner(), 38);
    assert_eq!(one["bank"].shape(), [38, 128]);
    let rows: Vec<&[f32]> = data["train_embedding"].data().chunks_exact(128).collect();
    for row in one["bank"].data().chunks_exact(128) {
        assert!(rows.contains(&row));
    }
    for threads in [2, 7] {
        assert_eq!(
            model.fit(&features, threads, &|_, _| {}).expect("fits"),
            one
        );
    }
    let other = read(
        json!({"backbone": "mobilenetv2_100", "layers": ["blocks.2.2", "blocks.4.2"]}),
        InputSize::resized([74, 74]),
        1,
    );
    let other = other
        .expect("valid")
        .fit(&features, 1, &|_, _| {})
        .expect("fits");
    assert_ne!(other["bank"], one["bank"], "the seed chooses the start");
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
    most / pairs.map(|(_, e)| e.abs()).fold(0.0, f64::max)
}

fn score(head: &dyn Scorer, images: &[&[f32]]) -> Vec<(Vec<f32>, f32)> {
    let mut maps = vec![vec![0.0; head.positions()]; images.len()];
    let mut slices: Vec<&mut [f32]> = maps.iter_mut().map(Vec::as_mut_slice).collect();
    head.distances(images, 0..head.positions(), &mut slices);
    let scored = images
        .iter()
        .zip(maps)
        .map(|(image, map)| head.image(image, map));
    scored
        .map(|scored| match scored {
            Scored::MapAndScore(map, score) => (map, score),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn by_position(embedding: &Tensor) -> Vec<f32> {
    let [n, dims, h, w] = embedding.shape()[..] else {
        panic!("{embedding:?}")
    };
    let mut out = vec![0.0; n * dims * h * w];
    for (i, &value) in embedding.data().iter().enumerate() {
        let (image, dim, position) = (i / (dims * h * w), i / (h * w) % dims, i % (h * w));
        out[(image * h * w + position) * dims + dim] = value;
    }
    out
}

fn bank(rows: &Tensor) -> Statistics {
    Statistics::from([("bank".to_owned(), rows.clone())])
}

#[test]
fn distances_and_scores_match_the_reference() {
    let data = golden("patchcore");
    let features = by_position(&data["test_embedding"]);
    let images: Vec<&[f32]> = features.chunks_exact(64 * 128).collect();
    let four = Tensor::new([4, 128], data["memory_bank"].data()[..4 * 128].to_vec()).expect("fits");
    let cases = [
        (9, &data["memory_bank"], "pred_score"),
        (1, &data["memory_bank"], "pred_score_num_neighbors_1"),
        (9, &four, "pred_score_bank_of_4"),
    ];
    for (neighbors, rows, name) in cases {
        let head = reference(neighbors).scorer(&bank(rows)).expect("fits");
        let scored = score(&*head, &images);
        let scores: Vec<f32> = scored.iter().map(|(_, score)| *score).collect();
        let off = difference(&scores, data[name].data());
        assert!(off < 1e-3, "{name} differs by {off:e}");
        if rows.shape()[0] > 4 {
            let maps: Vec<f32> = scored.into_iter().flat_map(|(map, _)| map).collect();
            let off = difference(&maps, data["nn_distance"].data());
            assert!(off < 1e-3, "distances differ by {off:e}");
        }
    }
}

#[test]
fn a_score_depends_on_neither_batch_mates_nor_ranges() {
    let (model, features, data) = train();
    let statistics = model.fit(&features, 2, &|_, _| {}).expect("fits");
    let head = model.scorer(&statistics).expect("fits");
    let rows = by_position(&data["test_embedding"]);
    let images: Vec<&[f32]> = rows.chunks_exact(64 * 128).collect();
    let together = score(&*head, &images);
    for (image, expected) in images.iter().zip(&together) {
        assert_eq!(score(&*head, &[*image])[0], *expected);
    }
    let mut part = vec![0.0; 11];
    head.distances(&images[1..2], 20..31, &mut [&mut part]);
    assert_eq!(part, together[1].0[20..31]);
}

/// Rows around the width of a register, banks of several panels, duplicates.
#[test]
fn distances_are_the_slow_ones_for_all_sizes() {
    for (rows, dims) in [(1, 3), (15, 1), (33, 20), (700, 352)] {
        let stream = Stream::new(rows as u64, "rows");
        let values: Vec<f32> = (0..rows * dims).map(|i| stream.uniform(i as u64)).collect();
        let rows_tensor = Tensor::new([rows, dims], values.clone()).expect("fits");
        let head = Head::new(Bank { rows: rows_tensor }, 1, [3, 3]);
        let queries: Vec<f32> = (0..9 * dims)
            .map(|i| stream.uniform((1 << 30) + i as u64))
            .collect();
        let mut found = vec![0.0; 9];
        head.distances(&[&queries], 0..9, &mut [&mut found]);
        for (query, found) in queries.chunks_exact(dims).zip(found) {
            let squared = |row: &[f32]| -> f64 {
                let pairs = row.iter().zip(query);
                pairs
                    .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                    .sum()
            };
            let nearest = values
                .chunks_exact(dims)
                .map(squared)
                .fold(f64::INFINITY, f64::min);
            let off = (f64::from(found) - nearest.sqrt()).abs();
            assert!(
                off < 1e-3,
                "{rows} x {dims}: {found} instead of {}",
                nearest.sqrt()
            );
        }
    }
}

#[test]
fn a_feature_that_is_no_number_gives_no_score() {
    let (model, features, data) = train();
    let statistics = model.fit(&features, 1, &|_, _| {}).expect("fits");
    let head = model.scorer(&statistics).expect("fits");
    let mut rows = by_position(&data["test_embedding"]);
    rows[17 * 128 + 3] = f32::NAN;
    rows[64 * 128 + 5] = f32::INFINITY;
    let images: Vec<&[f32]> = rows.chunks_exact(64 * 128).collect();
    let scored = score(&*head, &images);
    assert!(!scored[0].0[17].is_finite() && !scored[0].1.is_finite());
    assert!(!scored[1].0[0].is_finite() && !scored[1].1.is_finite());
    assert!(scored[2].1.is_finite());
}

#[test]
fn fit_and_scorer_refuse_what_is_not_the_model_s() {
    let (model, _, data) = train();
    let fit = |positions: usize, dims: usize, data: Vec<f32>| {
        let features = MemoryFeatures::new(positions, dims, data).expect("fits");
        model
            .fit(&features, 2, &|_, _| {})
            .expect_err("must fail")
            .to_string()
    };
    assert!(fit(64, 128, Vec::new()).contains("no normal training images"));
    assert!(fit(32, 128, vec![0.0; 32 * 128]).contains("32 positions"));
    let mut broken = data["train_embedding"].data().to_vec();
    broken[(2 * 64 + 17) * 128 + 1] = f32::NAN;
    let error = fit(64, 128, broken);
    assert!(
        error.contains("image 2") && error.contains("position 17"),
        "{error}"
    );

    let refused = |statistics: &Statistics| {
        let error = model.scorer(statistics).err().expect("must fail");
        error.to_string()
    };
    assert!(refused(&Statistics::new()).contains("`bank` is missing"));
    let narrow = Tensor::new([2, 3], vec![0.0; 6]).expect("fits");
    assert!(refused(&bank(&narrow)).contains("[2, 3]"));
}

#[test]
fn images_are_cropped_as_in_the_reference() {
    let preprocess = |input| read(json!({}), input, 0).expect("valid").preprocess();
    let transform = |size, crop| Transform {
        size,
        crop: Some(crop),
    };
    let own = preprocess(InputSize::default());
    assert_eq!(own, transform([256, 256], [224, 224]));
    let own = preprocess(InputSize::resized([64, 300]));
    assert_eq!(own, transform([64, 300], [56, 262]));
}

#[test]
fn parameters_are_checked_with_the_way_out() {
    let cases = [
        (
            json!({"coreset_sampling_ratio": 0.0}),
            "coreset_sampling_ratio",
        ),
        (json!({"coreset_sampling_ratio": 1.5}), "from 0 to 1"),
        (json!({"num_neighbors": 0}), "num_neighbors"),
        (json!({"projection": "maybe"}), "auto, always, never"),
        (json!({"layers": ["layer9"]}), "layer3"),
        (json!({"neighbors": 3}), "num_neighbors"),
    ];
    for (args, word) in cases {
        let error = read(args.clone(), InputSize::default(), 0)
            .err()
            .expect("must fail")
            .to_string();
        assert!(error.contains(word), "{args}: {error}");
    }
    // What is left of it after the crop cannot be blurred.
    let error = read(json!({}), InputSize::resized([19, 64]), 0)
        .err()
        .expect("too small")
        .to_string();
    assert!(error.contains("16 x 56") && error.contains("17"), "{error}");
}
