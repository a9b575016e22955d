//! DFM as a graph: image to pooled features, features to score and perhaps map.

use graph::{Builder, Dim, Graph, Pool2d, Tensor, Value};

use super::Dfm;
use super::params::ScoreType;
use super::statistics::Subspace;
use crate::extractor::by_position;
use crate::{ModelError, Start, StateDict};

/// The pooled map of the layer: [N, positions, dims].
fn pooled(model: &Dfm, builder: &mut Builder, start: Start<'_>) -> Result<Value, ModelError> {
    let settings = &model.settings;
    let maps = settings
        .extractor
        .emit(builder, model.transform.output(), start)?;
    let pool = Pool2d {
        kernel: [settings.pooling; 2],
        stride: [settings.pooling; 2],
        padding: [0; 4],
    };
    let map = match settings.pooling {
        1 => maps[0],
        _ => builder.avg_pool2d(maps[0], pool)?,
    };
    by_position(builder, map)
}

/// The graph whose output is `features`.
pub(super) fn features(model: &Dfm, start: Start<'_>) -> Result<Graph, ModelError> {
    let mut builder = Builder::new();
    let pooled = pooled(model, &mut builder, start)?;
    builder.output("features", pooled)?;
    Ok(builder.finish()?)
}

/// The whole model.
pub(super) fn inference(
    model: &Dfm,
    weights: &StateDict,
    subspace: &Subspace,
) -> Result<Graph, ModelError> {
    let mut builder = Builder::new();
    let features = pooled(model, &mut builder, Start::Image(weights))?;
    match model.settings.score_type {
        ScoreType::Fre => reconstruction_error(model, &mut builder, features, subspace)?,
        ScoreType::Nll => negative_log_likelihood(&mut builder, features, subspace)?,
    }
    Ok(builder.finish()?)
}

/// The features as one vector less the mean, [N, all], and its coordinates, [N, components].
fn coordinates(
    builder: &mut Builder,
    features: Value,
    subspace: &Subspace,
) -> Result<(Value, Value), ModelError> {
    let components = &subspace.components;
    let (count, dims) = (components.count(), components.mean.len());
    let vector = builder.reshape(features, &[Dim::Batch, dims.into()])?;
    let mean = builder.constant("dfm.mean", components.mean.reshaped([1, dims])?)?;
    let centred = builder.sub(vector, mean)?;
    let mut transposed = vec![0.0; count * dims];
    for (c, direction) in components.directions().enumerate() {
        for (d, value) in direction.iter().enumerate() {
            transposed[d * count + c] = *value;
        }
    }
    let transposed = Tensor::new([dims, count], transposed)?;
    let transposed = builder.constant("dfm.components_transposed", transposed)?;
    let coordinates = builder.matmul(centred, transposed)?;
    Ok((centred, coordinates))
}

/// |e|² of what the components cannot express, e; the map has it position by position.
fn reconstruction_error(
    model: &Dfm,
    builder: &mut Builder,
    features: Value,
    subspace: &Subspace,
) -> Result<(), ModelError> {
    let [height, width] = model.grid();
    let dims = builder.dims(features)?[2];
    let (centred, coordinates) = coordinates(builder, features, subspace)?;
    let directions = subspace.components.directions.clone();
    let directions = builder.constant("dfm.components", directions)?;
    let expressed = builder.matmul(coordinates, directions)?;
    let error = builder.sub(centred, expressed)?;
    let squares = builder.mul(error, error)?;
    let squares = builder.reshape(squares, &[Dim::Batch, Dim::Fixed(height * width), dims])?;
    let cells = builder.reduce_sum(squares, &[2], false)?;
    let score = builder.reduce_sum(cells, &[1], false)?;
    let map = builder.reshape(
        cells,
        &[Dim::Batch, Dim::Fixed(1), height.into(), width.into()],
    )?;
    let map = builder.resize_bilinear(map, model.transform.output(), false)?;
    builder.output("anomaly_map", map)?;
    Ok(builder.output("pred_score", score)?)
}

/// Twice the negative logarithm of the likelihood, but for a constant of the number of components.
fn negative_log_likelihood(
    builder: &mut Builder,
    features: Value,
    subspace: &Subspace,
) -> Result<(), ModelError> {
    let (_, coordinates) = coordinates(builder, features, subspace)?;
    let count = subspace.components.count();
    let deviations =
        builder.constant("dfm.deviations", subspace.deviations.reshaped([1, count])?)?;
    let scaled = builder.div(coordinates, deviations)?;
    let squares = builder.mul(scaled, scaled)?;
    let squared = builder.reduce_sum(squares, &[1], false)?;
    let score = builder.add_scalar(squared, subspace.constant())?;
    Ok(builder.output("pred_score", score)?)
}
