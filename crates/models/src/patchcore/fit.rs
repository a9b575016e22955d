//! How PatchCore learns: of all patches of all training images those that a coreset keeps.

use std::sync::Arc;

use graph::Tensor;

use super::CLASS;
use super::coreset::{self, BLOCK, Points, select};
use super::params::Settings;
use super::projection::Projection;
use super::statistics::Bank;
use crate::{
    FeatureSource, FitMemory, ModelError, Progress, Statistics, Stream, parallel, read_rows,
};

/// Blocks of points that a thread reads at once.
const AT_ONCE: usize = 16;

/// Images of which the memory of learning is told: what a projection keeps grows with the logarithm of their number.
const IMAGES: usize = 1_000;

/// Rows of the bank for so many patches.
fn kept(patches: usize, ratio: f64) -> usize {
    ((patches as f64 * ratio) as usize).clamp(1, patches.max(1))
}

pub(super) fn memory(
    [positions, dims]: [usize; 2],
    settings: &Settings,
    threads: usize,
) -> FitMemory {
    let compared = settings.projecting.dims(positions * IMAGES, dims);
    let number = size_of::<f32>();
    // The projected points, each pick's projection, and the bank, once more while it is written.
    let kept = settings.ratio * ((compared + 2 * dims) * number) as f64;
    let patch = coreset::memory(compared) as f64 + kept;
    FitMemory {
        bytes: (threads * AT_ONCE * BLOCK * (dims + compared) * number) as u64,
        bytes_per_image: (positions as f64 * patch) as u64,
    }
}

/// The bank does not depend on the number of threads.
pub(super) fn fit(
    shape: [usize; 2],
    settings: &Settings,
    seed: u64,
    features: &dyn FeatureSource,
    threads: usize,
    progress: &Progress,
) -> Result<Statistics, ModelError> {
    check(shape, features)?;
    let patches = features.images() * features.positions();
    let projection = settings
        .projecting
        .projection(patches, features.dims(), seed);
    let points = points(features, projection.as_ref(), threads)?;
    let start = Stream::new(seed, "patchcore.start").below(0, patches);
    let picks = select(
        &points,
        start,
        kept(patches, settings.ratio),
        threads,
        progress,
    );
    drop(points);
    let bank = bank(features, &picks)?;
    Ok(bank.into_statistics(features.images()))
}

fn check([positions, dims]: [usize; 2], features: &dyn FeatureSource) -> Result<(), ModelError> {
    let fail = |problem: String| {
        Err(ModelError::Fit {
            class: CLASS,
            problem,
        })
    };
    if features.images() == 0 {
        return fail("there are no normal training images".to_owned());
    }
    if [features.positions(), features.dims()] != [positions, dims] {
        return fail(format!(
            "the features have {} positions of {} dimensions, the model has {positions} of {dims}",
            features.positions(),
            features.dims()
        ));
    }
    match u32::try_from(features.images().saturating_mul(positions)) {
        Ok(patches) if patches < u32::MAX => Ok(()),
        _ => fail(format!(
            "{} images have more than 2^32 patches; train on fewer",
            features.images()
        )),
    }
}

/// All patches, projected if that is asked for.
fn points(
    features: &dyn FeatureSource,
    projection: Option<&Projection>,
    threads: usize,
) -> Result<Points, ModelError> {
    let (patches, dims) = (features.images() * features.positions(), features.dims());
    let compared = projection.map_or(dims, Projection::outputs);
    let mut points = Points::new(patches, compared);
    let mut blocks: Vec<_> = points.blocks_mut().collect();
    let pieces = blocks.chunks_mut(AT_ONCE).enumerate();
    let buffers = || (vec![0.0; AT_ONCE * BLOCK * dims], vec![0.0; compared]);
    parallel::for_each(
        threads,
        pieces,
        buffers,
        |(rows, projected), (piece, blocks)| {
            let first = piece * AT_ONCE * BLOCK;
            let count = (blocks.len() * BLOCK).min(patches - first);
            let rows = &mut rows[..count * dims];
            read_rows(features, CLASS, first..first + count, rows)?;
            for (i, row) in rows.chunks_exact(dims).enumerate() {
                let point = match projection {
                    Some(projection) => {
                        projection.apply(row, projected);
                        &projected[..]
                    }
                    None => row,
                };
                blocks[i / BLOCK].set(i % BLOCK, point);
            }
            Ok(())
        },
    )?;
    drop(blocks);
    Ok(points)
}

/// The picked patches as they were.
fn bank(features: &dyn FeatureSource, picks: &[usize]) -> Result<Bank, ModelError> {
    let dims = features.dims();
    let mut rows: Arc<[f32]> = std::iter::repeat_n(0.0, picks.len() * dims).collect();
    for (&pick, row) in picks
        .iter()
        .zip(Arc::make_mut(&mut rows).chunks_exact_mut(dims))
    {
        read_rows(features, CLASS, pick..pick + 1, row)?;
    }
    Ok(Bank {
        rows: Tensor::new([picks.len(), dims], rows)?,
    })
}

#[cfg(test)]
mod tests {
    use super::kept;
    use crate::patchcore::projection::components;

    #[test]
    fn banks_and_projections_have_the_reference_s_sizes() {
        assert_eq!(kept(78_400, 0.1), 7_840);
        assert_eq!((kept(7, 0.5), kept(3, 0.1), kept(5, 1.0)), (3, 1, 5));
        assert_eq!(
            (components(78_400), components(2_000), components(7)),
            (278, 187, 48)
        );
    }
}
