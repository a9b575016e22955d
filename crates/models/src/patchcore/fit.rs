//! How PatchCore learns: of all patches of all training images those that a coreset keeps.

use std::ops::Range;
use std::sync::Arc;

use graph::Tensor;

use super::CLASS;
use super::coreset::{self, BLOCK, Points, cover, select};
use super::params::Settings;
use super::projection::Projection;
use super::statistics::Bank;
use crate::{
    FeatureSource, FitMemory, ModelError, Progress, Statistics, Stream, Work, parallel, read_rows,
};

/// Blocks of points that a thread reads at once.
const AT_ONCE: usize = 16;

/// Images of which the memory of learning is told: what a projection keeps grows with the logarithm of their number.
const IMAGES: usize = 1_000;

/// Patches that parts of a train set keep together, as a multiple of those that the bank keeps of these.
const OVERSAMPLING: usize = 4;

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
    let buffers = threads * AT_ONCE * BLOCK * (dims + compared) * number;
    let point = coreset::memory(compared);
    let (at_once, each) = match settings.budget {
        Some(budget) => (budget * (point + size_of::<usize>()), 0),
        None => (0, point),
    };
    FitMemory {
        bytes: (buffers + at_once) as u64,
        bytes_per_image: (positions as f64 * (each as f64 + kept)) as u64,
    }
}

/// As if no comparison could be spared, which depends on the images.
pub(super) fn work([positions, dims]: [usize; 2], settings: &Settings, images: u64) -> Work {
    let patches = positions.saturating_mul(images as usize);
    let compared = settings.projecting.dims(patches, dims) as f64;
    let bank = kept(patches, settings.ratio);
    let comparisons = match settings.budget.filter(|budget| *budget < patches) {
        None => patches as f64 * bank as f64,
        Some(budget) => {
            let parts = patches.div_ceil(budget);
            let merged = merged(bank, budget, parts) as f64;
            patches as f64 * merged / parts as f64 + merged * bank as f64
        }
    };
    Work {
        fit: comparisons * compared,
        score: (positions * dims) as f64 * bank as f64,
    }
}

/// Patches that all parts keep together. Each keeps something: what is far from all that is kept could be anywhere else.
fn merged(count: usize, budget: usize, parts: usize) -> usize {
    let wanted = count.saturating_mul(OVERSAMPLING);
    wanted.min(budget).max(count).max(parts)
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
    let choice = Choice {
        features,
        projection: projection.as_ref(),
        starts: Stream::new(seed, "patchcore.start"),
        threads,
        progress,
    };
    let wanted = kept(patches, settings.ratio);
    let (picks, coverage) = match settings.budget.filter(|budget| *budget < patches) {
        None => (choice.of_all(patches, wanted)?, None),
        Some(budget) => {
            let (picks, radius) = choice.within(budget, patches, wanted)?;
            (picks, Some(radius))
        }
    };
    let bank = bank(features, &picks)?;
    Ok(bank.into_statistics(features.images(), coverage))
}

/// Patches that are compared with each other.
enum Patches<'a> {
    Neighbours(Range<usize>),
    Chosen(&'a [usize]),
}

impl Patches<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Neighbours(range) => range.len(),
            Self::Chosen(chosen) => chosen.len(),
        }
    }

    fn patch(&self, index: usize) -> usize {
        match self {
            Self::Neighbours(range) => range.start + index,
            Self::Chosen(chosen) => chosen[index],
        }
    }

    /// Those of the given places, row by row.
    fn read(
        &self,
        features: &dyn FeatureSource,
        places: Range<usize>,
        rows: &mut [f32],
    ) -> Result<(), ModelError> {
        match self {
            Self::Neighbours(range) => {
                let patches = range.start + places.start..range.start + places.end;
                read_rows(features, CLASS, patches, rows)
            }
            Self::Chosen(chosen) => {
                let rows = rows.chunks_exact_mut(features.dims());
                chosen[places]
                    .iter()
                    .zip(rows)
                    .try_for_each(|(&patch, row)| read_rows(features, CLASS, patch..patch + 1, row))
            }
        }
    }
}

/// How patches are chosen.
struct Choice<'a> {
    features: &'a dyn FeatureSource,
    projection: Option<&'a Projection>,
    starts: Stream,
    threads: usize,
    progress: &'a Progress<'a>,
}

impl Choice<'_> {
    /// Greedy k-centre over all patches.
    fn of_all(&self, patches: usize, count: usize) -> Result<Vec<usize>, ModelError> {
        let points = self.points(&Patches::Neighbours(0..patches))?;
        let start = self.starts.below(0, patches);
        Ok(select(&points, start, count, self.threads, self.progress))
    }

    /// Merge-reduce: of each part of at most `budget` patches some are kept, and of these `count` are picked; with how far a
    /// patch is from its nearest pick at most (what it is from its part's, and this from the picks; compared as they are, so
    /// after the projection).
    ///
    /// All parts together keep what the budget allows, up to [`OVERSAMPLING`] times what is picked in the end.
    fn within(
        &self,
        budget: usize,
        patches: usize,
        count: usize,
    ) -> Result<(Vec<usize>, f32), ModelError> {
        let parts = patches.div_ceil(budget);
        let merged = merged(count, budget, parts);
        let steps = (merged + if merged > count { count } else { 0 }) as u64;
        let bound = |part: usize, of: usize| (of as u128 * part as u128 / parts as u128) as usize;
        let (mut chosen, mut farthest) = (Vec::with_capacity(merged), 0.0_f32);
        for part in 0..parts {
            let of_part = bound(part, patches)..bound(part + 1, patches);
            let wanted = bound(part + 1, merged) - bound(part, merged);
            let before = chosen.len() as u64;
            let told = move |done: u64, _: u64| (self.progress)((before + done).min(steps), steps);
            let (picks, radius) = self.cover(
                &Patches::Neighbours(of_part),
                part as u64 + 1,
                wanted,
                &told,
            )?;
            chosen.extend(picks);
            farthest = farthest.max(radius);
        }
        if chosen.len() <= count {
            return Ok((chosen, farthest));
        }
        // In the order of the patches: neighbours are alike, and wait together.
        chosen.sort_unstable();
        let before = chosen.len() as u64;
        let told = move |done: u64, _: u64| (self.progress)((before + done).min(steps), steps);
        let (picks, radius) = self.cover(&Patches::Chosen(&chosen), 0, count, &told)?;
        Ok((picks, farthest + radius))
    }

    fn cover(
        &self,
        patches: &Patches<'_>,
        draw: u64,
        count: usize,
        told: &Progress,
    ) -> Result<(Vec<usize>, f32), ModelError> {
        let points = self.points(patches)?;
        let start = self.starts.below(draw, patches.len());
        let (picks, radius) = cover(&points, start, count, self.threads, told);
        let picks = picks.into_iter().map(|pick| patches.patch(pick)).collect();
        Ok((picks, radius))
    }

    /// Projected if that is asked for.
    fn points(&self, patches: &Patches<'_>) -> Result<Points, ModelError> {
        let (count, dims) = (patches.len(), self.features.dims());
        let compared = self.projection.map_or(dims, Projection::outputs);
        let mut points = Points::new(count, compared);
        let mut blocks: Vec<_> = points.blocks_mut().collect();
        let pieces = blocks.chunks_mut(AT_ONCE).enumerate();
        let buffers = || (vec![0.0; AT_ONCE * BLOCK * dims], vec![0.0; compared]);
        parallel::for_each(
            self.threads,
            pieces,
            buffers,
            |(rows, projected), (piece, blocks)| {
                let first = piece * AT_ONCE * BLOCK;
                let here = (blocks.len() * BLOCK).min(count - first);
                let rows = &mut rows[..here * dims];
                patches.read(self.features, first..first + here, rows)?;
                for (i, row) in rows.chunks_exact(dims).enumerate() {
                    let point = match self.projection {
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
