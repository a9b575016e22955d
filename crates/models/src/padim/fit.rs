//! How PaDiM learns: each position's Gaussian from all training images, tile of positions by tile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use graph::Tensor;

use super::CLASS;
use super::layout::Layout;
use super::solve::{self, POSITIONS, Tile, solve};
use super::statistics::{Gaussians, packed};
use crate::{FeatureSource, ModelError, Progress, Statistics, parallel};

/// Features held at once by each thread, in numbers: 16 MiB.
const TILE: usize = 4 << 20;

/// Positions of a tile at most: enough to make reads long, few enough to share the work evenly.
const MAX_POSITIONS: usize = 8 * POSITIONS;

/// What the result and the threads' tiles and matrices take at most, however many images there are.
pub(super) fn memory(positions: usize, dims: usize, threads: usize) -> u64 {
    let numbers = positions * (dims + packed(dims)) + threads * TILE;
    (numbers * size_of::<f32>() + threads * solve::memory(dims)) as u64
}

/// A tile of the result: the first position, its means, its whitening matrices.
type Piece<'a> = (usize, &'a mut [f32], &'a mut [f32]);

/// One Gaussian a position, of features as positions see them. The result does not depend on the number of threads: each tile is solved by one.
pub(super) fn fit(
    grid: [usize; 2],
    channels: &[usize],
    features: &dyn FeatureSource,
    threads: usize,
    progress: &Progress,
) -> Result<Statistics, ModelError> {
    fit_in(TILE, grid, channels, features, threads, progress)
}

/// With room for so many numbers a thread. Nor does the result depend on that.
pub(super) fn fit_in(
    room: usize,
    grid: [usize; 2],
    channels: &[usize],
    features: &dyn FeatureSource,
    threads: usize,
    progress: &Progress,
) -> Result<Statistics, ModelError> {
    let (images, positions, dims) = (features.images(), features.positions(), features.dims());
    let (mut mean, mut whitening) = (zeros(positions * dims), zeros(positions * packed(dims)));
    let tile = (room / (images * dims)).clamp(POSITIONS, MAX_POSITIONS) / POSITIONS * POSITIONS;
    let pieces = Arc::make_mut(&mut mean)
        .chunks_mut(tile * dims)
        .zip(Arc::make_mut(&mut whitening).chunks_mut(tile * packed(dims)));
    let pieces = pieces
        .enumerate()
        .map(|(i, (mean, whitening))| (i * tile, mean, whitening));
    let done = AtomicU64::new(0);
    parallel::for_each(threads, pieces, Vec::new, |buffer, piece| {
        let solved = piece.1.len() / dims;
        solve_piece(features, piece, room, buffer)?;
        let done = done.fetch_add(solved as u64, Ordering::Relaxed) + solved as u64;
        progress(done, positions as u64);
        Ok(())
    })?;
    let gaussians = Gaussians {
        grid,
        channels: channels.to_vec(),
        mean: Tensor::new([positions, dims], mean)?,
        whitening: Tensor::new([positions, packed(dims)], whitening)?,
    };
    Ok(gaussians.into_statistics(images))
}

/// Shared memory as tensors have it, so that the result is not copied into them.
fn zeros(length: usize) -> Arc<[f32]> {
    std::iter::repeat_n(0.0, length).collect()
}

/// Whether these are features of the model, and enough of them.
pub(super) fn check(layout: &Layout, features: &dyn FeatureSource) -> Result<(), ModelError> {
    let (images, numbers) = (features.images(), features.positions() * features.dims());
    let fail = |problem: String| {
        Err(ModelError::Fit {
            class: CLASS,
            problem,
        })
    };
    if images < 2 {
        return fail(format!(
            "a covariance needs at least 2 normal training images, there {} {images}",
            if images == 1 { "is" } else { "are" }
        ));
    }
    if numbers != layout.len() {
        return fail(format!(
            "the features have {numbers} numbers an image, the model has {}",
            layout.len()
        ));
    }
    Ok(())
}

fn solve_piece(
    features: &dyn FeatureSource,
    (first, mean, whitening): Piece,
    room: usize,
    buffer: &mut Vec<f32>,
) -> Result<(), ModelError> {
    let dims = features.dims();
    let positions = mean.len() / dims;
    let tile = Tile::new(features, first..first + positions, room, buffer);
    solve(tile, mean, whitening)?;
    // Only features that are not finite, or absurdly large, leave anything else: variances are at least the ridge.
    match whitening
        .chunks_exact(packed(dims))
        .position(|matrix| matrix.iter().any(|v| !v.is_finite()))
    {
        Some(bad) => Err(ModelError::Fit {
            class: CLASS,
            problem: format!(
                "the features at position {} are not finite; are these the right weights?",
                first + bad
            ),
        }),
        None => Ok(()),
    }
}
