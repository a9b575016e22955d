//! PatchCore as a graph: image to patches, patches to anomaly map and score.

use graph::{Builder, Dim, Graph, Pool2d, Tensor, Value};

use super::Patchcore;
use super::statistics::Bank;
use crate::blur::{BLUR, gaussian_blur};
use crate::extractor::{by_position, map_size};
use crate::{ModelError, Start, StateDict};

/// Rows of the bank with which patches are compared at once: an image's products with them take some megabytes, however
/// many rows there are.
const CHUNK: usize = 1024;

/// Each position's mean over its neighbourhood, all layers at the grid of the first: [N, positions, dims].
fn patches(
    model: &Patchcore,
    builder: &mut Builder,
    start: Start<'_>,
) -> Result<Value, ModelError> {
    let maps = model
        .settings
        .extractor
        .emit(builder, model.transform.output(), start)?;
    let grid = map_size(builder, maps[0])?;
    let neighbourhood = Pool2d {
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1; 4],
    };
    let mut parts = Vec::new();
    for map in maps {
        let pooled = builder.avg_pool2d(map, neighbourhood)?;
        parts.push(builder.resize_bilinear(pooled, grid, false)?);
    }
    let joined = builder.concat(&parts, 1)?;
    by_position(builder, joined)
}

/// The bank as constants.
struct Constants {
    /// -2 times the rows, transposed, in chunks [dims, rows].
    products: Vec<Value>,
    /// The rows' squared lengths, in chunks [1, rows].
    lengths: Vec<Value>,
    /// [rows, dims]
    rows: Value,
}

impl Constants {
    fn new(builder: &mut Builder, bank: &Bank) -> Result<Self, ModelError> {
        let dims = bank.dims();
        let (mut products, mut lengths) = (Vec::new(), Vec::new());
        for (i, rows) in bank.rows.data().chunks(CHUNK * dims).enumerate() {
            let count = rows.len() / dims;
            let mut transposed = vec![0.0; rows.len()];
            for (r, row) in rows.chunks_exact(dims).enumerate() {
                for (d, value) in row.iter().enumerate() {
                    transposed[d * count + r] = -2.0 * value;
                }
            }
            let squares = rows.chunks_exact(dims).map(squared_length);
            products.push(builder.constant(
                &format!("patchcore.products.{i}"),
                Tensor::new([dims, count], transposed)?,
            )?);
            lengths.push(builder.constant(
                &format!("patchcore.lengths.{i}"),
                Tensor::new([1, count], squares.collect::<Vec<_>>())?,
            )?);
        }
        Ok(Self {
            products,
            lengths,
            rows: builder.constant("patchcore.bank", bank.rows.clone())?,
        })
    }

    /// Squared distances to each chunk of the bank, less the vectors' own squared lengths: [N, vectors, rows].
    fn compare(&self, builder: &mut Builder, vectors: Value) -> Result<Vec<Value>, ModelError> {
        let mut chunks = Vec::new();
        for (&products, &lengths) in self.products.iter().zip(&self.lengths) {
            let products = builder.matmul(vectors, products)?;
            chunks.push(builder.add(products, lengths)?);
        }
        Ok(chunks)
    }
}

/// In f64, since it is subtracted from numbers of its own size.
pub(super) fn squared_length(row: &[f32]) -> f32 {
    row.iter()
        .map(|&v| f64::from(v) * f64::from(v))
        .sum::<f64>() as f32
}

/// Each patch's distance to the nearest row of the bank: [N, positions].
fn distances(builder: &mut Builder, patches: Value, bank: &Constants) -> Result<Value, ModelError> {
    let mut nearest = None;
    for (&products, &lengths) in bank.products.iter().zip(&bank.lengths) {
        let products = builder.matmul(patches, products)?;
        let squared = builder.add(products, lengths)?;
        let least = builder.reduce_min(squared, &[2], false)?;
        nearest = Some(match nearest {
            Some(nearest) => builder.minimum(nearest, least)?,
            None => least,
        });
    }
    let squares = builder.mul(patches, patches)?;
    let own = builder.reduce_sum(squares, &[2], false)?;
    let squared = match nearest {
        Some(nearest) => builder.add(nearest, own)?,
        // A bank has rows.
        None => own,
    };
    let squared = builder.maximum_scalar(squared, 0.0)?;
    Ok(builder.sqrt(squared)?)
}

/// The largest distance, weighted by how unusual the patch is among the neighbours of its nearest row: [N].
fn score(
    builder: &mut Builder,
    patches: Value,
    distances: Value,
    bank: &Constants,
    neighbors: usize,
) -> Result<Value, ModelError> {
    let largest = builder.reduce_max(distances, &[1], false)?;
    if neighbors == 1 {
        return Ok(largest);
    }
    let worst = worst_patch(builder, patches, distances)?;
    let compared = bank.compare(builder, worst)?;
    let compared = builder.concat(&compared, 2)?;
    let nearest = builder.arg_min(compared, 2, false)?;
    let nearest = builder.take(bank.rows, nearest)?;
    let compared = bank.compare(builder, nearest)?;
    let compared = builder.concat(&compared, 2)?;
    let (_, support) = builder.top_k(compared, 2, neighbors, false)?;
    let support = builder.reshape(support, &[Dim::Batch, neighbors.into()])?;
    let support = builder.take(bank.rows, support)?;
    let differences = builder.sub(support, worst)?;
    let squares = builder.mul(differences, differences)?;
    let squared = builder.reduce_sum(squares, &[2], false)?;
    let distances = builder.sqrt(squared)?;
    let shares = builder.softmax(distances, 1)?;
    let first = builder.slice(shares, 1, 0, 1)?;
    let first = builder.reshape(first, &[Dim::Batch])?;
    let one = builder.scalar(1.0)?;
    let weight = builder.sub(one, first)?;
    Ok(builder.mul(weight, largest)?)
}

/// The patch with the largest distance, [N, 1, dims]: a row of zeros with a one at its position picks it.
fn worst_patch(
    builder: &mut Builder,
    patches: Value,
    distances: Value,
) -> Result<Value, ModelError> {
    let positions = builder.dims(distances)?[1].at(1);
    let worst = builder.arg_max(distances, 1, true)?;
    let worst = builder.to_float(worst)?;
    let numbers: Vec<f32> = (0..positions).map(|i| i as f32).collect();
    let numbers = builder.constant("patchcore.positions", Tensor::new([1, positions], numbers)?)?;
    let is_worst = builder.equal(worst, numbers)?;
    let picked = builder.to_float(is_worst)?;
    let picked = builder.reshape(picked, &[Dim::Batch, Dim::Fixed(1), positions.into()])?;
    Ok(builder.matmul(picked, patches)?)
}

/// The graph whose output is `features`.
pub(super) fn features(model: &Patchcore, start: Start<'_>) -> Result<Graph, ModelError> {
    let mut builder = Builder::new();
    let patches = patches(model, &mut builder, start)?;
    builder.output("features", patches)?;
    Ok(builder.finish()?)
}

/// The whole model.
pub(super) fn inference(
    model: &Patchcore,
    weights: &StateDict,
    bank: &Bank,
) -> Result<Graph, ModelError> {
    let mut builder = Builder::new();
    let patches = patches(model, &mut builder, Start::Image(weights))?;
    let constants = Constants::new(&mut builder, bank)?;
    let distances = distances(&mut builder, patches, &constants)?;
    let neighbors = model.settings.neighbors.min(bank.count());
    let score = score(&mut builder, patches, distances, &constants, neighbors)?;
    let [height, width] = model.grid();
    let map = builder.reshape(
        distances,
        &[Dim::Batch, Dim::Fixed(1), height.into(), width.into()],
    )?;
    let map = builder.resize_nearest(map, model.transform.output())?;
    let map = gaussian_blur(&mut builder, map, BLUR)?;
    builder.output("anomaly_map", map)?;
    builder.output("pred_score", score)?;
    Ok(builder.finish()?)
}
