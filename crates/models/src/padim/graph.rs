//! PaDiM as a graph: image to features, features to anomaly map and score.

use graph::{Builder, Conv2d, Dim, Graph, Tensor, Value};

use super::Padim;
use super::layout::{Layout, Part};
use super::statistics::{Gaussians, packed};
use crate::blur::{BLUR, gaussian_blur};
use crate::extractor::{by_position, map_size};
use crate::{ModelError, Start, StateDict};

/// The chosen channels of each layer that has some: [N, channels, height, width] at its own resolution.
fn parts(
    model: &Padim,
    builder: &mut Builder,
    layout: &Layout,
    start: Start<'_>,
) -> Result<Vec<Value>, ModelError> {
    let extractor = &model.settings.extractor;
    let maps = extractor.emit(builder, model.transform.output(), start)?;
    let part = |part: &Part| {
        let layer = &extractor.layers[part.layer];
        let name = format!("padim.chosen.{}", layer.name);
        channels(
            builder,
            &name,
            maps[part.layer],
            layer.channels,
            &part.channels,
        )
    };
    layout.parts.iter().map(part).collect()
}

/// What each position sees: [N, positions, dims].
pub(super) fn seen(
    model: &Padim,
    builder: &mut Builder,
    start: Start<'_>,
) -> Result<Value, ModelError> {
    let layout = model.layout();
    let mut joined = Vec::new();
    for part in parts(model, builder, &layout, start)? {
        joined.push(if map_size(builder, part)? == layout.grid() {
            part
        } else {
            builder.resize_nearest(part, layout.grid())?
        });
    }
    let mut map = concat(builder, &joined)?;
    let taken: Vec<usize> = layout
        .parts
        .iter()
        .flat_map(|part| part.dims.iter().copied())
        .collect();
    if !taken.is_sorted() {
        let mut order = vec![0; taken.len()];
        for (place, &dim) in taken.iter().enumerate() {
            order[dim] = place;
        }
        map = builder.gather(map, 1, &order)?;
    }
    by_position(builder, map)
}

/// Along the second dimension.
fn concat(builder: &mut Builder, values: &[Value]) -> Result<Value, ModelError> {
    match values {
        [value] => Ok(*value),
        _ => Ok(builder.concat(values, 1)?),
    }
}

/// The given channels of a map of `count`. By a convolution with ones and zeros, which gives the same numbers as picking them:
/// engines keep channels innermost, and picking makes them move the whole map there and back.
fn channels(
    builder: &mut Builder,
    name: &str,
    map: Value,
    count: usize,
    indices: &[usize],
) -> Result<Value, ModelError> {
    let mut ones = vec![0.0; indices.len() * count];
    for (row, &index) in ones.chunks_exact_mut(count).zip(indices) {
        row[index] = 1.0;
    }
    let weight = builder.constant(name, Tensor::new([indices.len(), count, 1, 1], ones)?)?;
    Ok(builder.conv2d(map, weight, None, Conv2d::default())?)
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

/// The graph whose output is `features`: [N, numbers, 1], as [`Layout`] has them.
pub(super) fn features(model: &Padim, start: Start<'_>) -> Result<Graph, ModelError> {
    let mut builder = Builder::new();
    let layout = model.layout();
    let mut flat = Vec::new();
    for part in parts(model, &mut builder, &layout, start)? {
        let numbers = builder.dims(part)?[1..]
            .iter()
            .map(|dim| dim.at(1))
            .product();
        let cells = by_position(&mut builder, part)?;
        flat.push(builder.reshape(cells, &[Dim::Batch, Dim::Fixed(numbers), Dim::Fixed(1)])?);
    }
    let features = concat(&mut builder, &flat)?;
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
    let features = seen(model, &mut builder, Start::Image(weights))?;
    score(&mut builder, features, gaussians, model.transform.output())?;
    Ok(builder.finish()?)
}
