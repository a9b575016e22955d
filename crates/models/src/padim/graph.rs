//! PaDiM as a graph: image to features, features to anomaly map and score.

use graph::{Builder, Dim, Graph, Tensor, Value};

use super::Padim;
use super::statistics::{Gaussians, packed};
use crate::blur::{BLUR, gaussian_blur};
use crate::extractor::{by_position, map_size};
use crate::{ModelError, Start, StateDict};

/// The chosen channels of all layers at the grid of the first: [N, dims, height, width].
pub(super) fn embedding(
    model: &Padim,
    builder: &mut Builder,
    start: Start<'_>,
) -> Result<Value, ModelError> {
    let settings = &model.settings;
    let maps = settings.extractor.emit(builder, model.size, start)?;
    let grid = map_size(builder, maps[0])?;
    let mut parts = Vec::new();
    // Where each chosen channel lands when channels are taken layer by layer.
    let mut taken = Vec::new();
    let mut first = 0;
    for (map, layer) in maps.into_iter().zip(&settings.extractor.layers) {
        let range = first..first + layer.channels;
        let chosen: Vec<usize> = (0..settings.channels.len())
            .filter(|&i| range.contains(&settings.channels[i]))
            .collect();
        if !chosen.is_empty() {
            // Before enlarging: channels that nobody asked for cost nothing.
            let indices: Vec<usize> = chosen
                .iter()
                .map(|&i| settings.channels[i] - first)
                .collect();
            let mut part = builder.gather(map, 1, &indices)?;
            if map_size(builder, part)? != grid {
                part = builder.resize_nearest(part, grid)?;
            }
            parts.push(part);
            taken.extend(chosen);
        }
        first = range.end;
    }
    let joined = if let [part] = parts[..] {
        part
    } else {
        builder.concat(&parts, 1)?
    };
    if taken.is_sorted() {
        return Ok(joined);
    }
    let mut order = vec![0; taken.len()];
    for (place, &channel) in taken.iter().enumerate() {
        order[channel] = place;
    }
    Ok(builder.gather(joined, 1, &order)?)
}

/// From features [N, positions, dims] to the outputs `anomaly_map` and `pred_score`.
pub(super) fn score(
    builder: &mut Builder,
    features: Value,
    gaussians: &Gaussians,
    image: [usize; 2],
) -> Result<(), ModelError> {
    let (positions, dims) = (gaussians.positions(), gaussians.dims());
    let mean = builder.constant("padim.mean", gaussians.mean.reshaped([1, positions, dims])?)?;
    let centred = builder.sub(features, mean)?;
    let rows = builder.reshape(
        centred,
        &[Dim::Batch, positions.into(), Dim::Fixed(1), dims.into()],
    )?;
    let whitening = builder.constant("padim.whitening", transposed(gaussians)?)?;
    let white = builder.matmul(rows, whitening)?;
    let squares = builder.mul(white, white)?;
    let distance = builder.reduce_sum(squares, &[2, 3], false)?;
    let distance = builder.sqrt(distance)?;
    let [height, width] = gaussians.grid;
    let map = builder.reshape(
        distance,
        &[Dim::Batch, Dim::Fixed(1), height.into(), width.into()],
    )?;
    let map = builder.resize_bilinear(map, image, false)?;
    let map = gaussian_blur(builder, map, BLUR)?;
    let score = builder.reduce_max(map, &[1, 2, 3], false)?;
    builder.output("anomaly_map", map)?;
    Ok(builder.output("pred_score", score)?)
}

/// The transposed whitening matrices with their zeros, [positions, dims, dims]: rows of features are multiplied from the left.
fn transposed(gaussians: &Gaussians) -> Result<Tensor, ModelError> {
    let (positions, dims) = (gaussians.positions(), gaussians.dims());
    let mut full = vec![0.0; positions * dims * dims];
    for (packed, full) in gaussians
        .whitening
        .data()
        .chunks_exact(packed(dims))
        .zip(full.chunks_exact_mut(dims * dims))
    {
        let mut rest = packed;
        for row in 0..dims {
            let (values, tail) = rest.split_at(row + 1);
            for (column, &value) in values.iter().enumerate() {
                full[column * dims + row] = value;
            }
            rest = tail;
        }
    }
    Ok(Tensor::new([positions, dims, dims], full)?)
}

/// The graph whose output is `features`.
pub(super) fn features(model: &Padim, start: Start<'_>) -> Result<Graph, ModelError> {
    let mut builder = Builder::new();
    let embedding = embedding(model, &mut builder, start)?;
    let features = by_position(&mut builder, embedding)?;
    builder.output("features", features)?;
    Ok(builder.finish()?)
}

/// The whole model.
pub(super) fn inference(
    model: &Padim,
    weights: &StateDict,
    gaussians: &Gaussians,
) -> Result<Graph, ModelError> {
    let mut builder = Builder::new();
    let embedding = embedding(model, &mut builder, Start::Image(weights))?;
    if map_size(&builder, embedding)? != gaussians.grid {
        return Err(super::settings_mismatch(format!(
            "they are for a grid of {:?}, the model has {:?}",
            gaussians.grid,
            map_size(&builder, embedding)?
        )));
    }
    let features = by_position(&mut builder, embedding)?;
    score(&mut builder, features, gaussians, model.size)?;
    Ok(builder.finish()?)
}
