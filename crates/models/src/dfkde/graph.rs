//! DFKDE as a graph: image to the means of its channels, these to a probability.

use graph::{Builder, Dim, Graph, Tensor, Value};

use super::Dfkde;
use super::density::{Density, TINY};
use super::params::Scaling;
use super::{MIDDLE, STEEPNESS};
use crate::{ModelError, Start, StateDict};

/// Each channel's mean over the map, all layers' one after the other: [N, 1, dims].
fn means(model: &Dfkde, builder: &mut Builder, start: Start<'_>) -> Result<Value, ModelError> {
    let extractor = &model.settings.extractor;
    let mut parts = Vec::new();
    for map in extractor.emit(builder, model.transform.output(), start)? {
        parts.push(builder.reduce_mean(map, &[2, 3], false)?);
    }
    let joined = builder.concat(&parts, 1)?;
    let dims = extractor.channels();
    Ok(builder.reshape(joined, &[Dim::Batch, Dim::Fixed(1), dims.into()])?)
}

/// The graph whose output is `features`.
pub(super) fn features(model: &Dfkde, start: Start<'_>) -> Result<Graph, ModelError> {
    let mut builder = Builder::new();
    let means = means(model, &mut builder, start)?;
    builder.output("features", means)?;
    Ok(builder.finish()?)
}

/// The whole model.
pub(super) fn inference(
    model: &Dfkde,
    weights: &StateDict,
    density: &Density,
) -> Result<Graph, ModelError> {
    let mut builder = Builder::new();
    let means = means(model, &mut builder, Start::Image(weights))?;
    let point = point(&mut builder, means, density, model.settings.scaling)?;
    let log_density = log_density(&mut builder, point, density)?;
    // 1 / (1 + exp(steepness (ln p - middle)))
    let above = builder.add_scalar(log_density, -MIDDLE)?;
    let scaled = builder.mul_scalar(above, -STEEPNESS)?;
    let probability = builder.sigmoid(scaled)?;
    builder.output("pred_score", probability)?;
    Ok(builder.finish()?)
}

/// Scaled components: [N, 1, components].
fn point(
    builder: &mut Builder,
    means: Value,
    density: &Density,
    scaling: Scaling,
) -> Result<Value, ModelError> {
    let components = &density.components;
    let (count, dims) = (components.count(), components.mean.len());
    let mean = builder.constant("dfkde.mean", components.mean.reshaped([1, 1, dims])?)?;
    let centred = builder.sub(means, mean)?;
    let mut transposed = vec![0.0; count * dims];
    for (c, direction) in components.directions().enumerate() {
        for (d, value) in direction.iter().enumerate() {
            transposed[d * count + c] = *value;
        }
    }
    let transposed = Tensor::new([dims, count], transposed)?;
    let transposed = builder.constant("dfkde.components_transposed", transposed)?;
    let coordinates = builder.matmul(centred, transposed)?;
    let by = match scaling {
        Scaling::Scale => builder.scalar(density.scale)?,
        Scaling::Norm => {
            let squares = builder.mul(coordinates, coordinates)?;
            let squared = builder.reduce_sum(squares, &[2], true)?;
            let length = builder.sqrt(squared)?;
            builder.maximum_scalar(length, TINY)?
        }
    };
    Ok(builder.div(coordinates, by)?)
}

/// Of a sum of kernels, each around a training point: [N].
fn log_density(
    builder: &mut Builder,
    point: Value,
    density: &Density,
) -> Result<Value, ModelError> {
    let transform = builder.constant("dfkde.transform", density.transform.clone())?;
    let point = builder.matmul(point, transform)?;
    let points = builder.constant("dfkde.points", density.points.clone())?;
    // [N, 1, components] and [points, components]
    let differences = builder.sub(point, points)?;
    let squares = builder.mul(differences, differences)?;
    let squared = builder.reduce_sum(squares, &[2], false)?;
    let exponents = builder.mul_scalar(squared, -0.5)?;
    // Without the largest, far points would have a density of 0 and no logarithm.
    let most = builder.reduce_max(exponents, &[1], true)?;
    let below = builder.sub(exponents, most)?;
    let kernels = builder.exp(below)?;
    let sum = builder.reduce_sum(kernels, &[1], true)?;
    let log = builder.log(sum)?;
    let log = builder.add(log, most)?;
    let log = builder.add_scalar(log, density.log_weight())?;
    Ok(builder.reshape(log, &[Dim::Batch])?)
}
