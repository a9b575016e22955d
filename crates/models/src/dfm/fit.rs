//! How DFM learns: the principal components of all training images' features.

use super::CLASS;
use super::params::Settings;
use super::statistics::Subspace;
use crate::pca::{self, Centred, Keep};
use crate::{FeatureSource, FitMemory, ModelError, Progress, Statistics, Work};

/// Images of which the memory of learning is told: products of all pairs of them are held.
const IMAGES: usize = 1_000;

pub(super) fn memory([positions, dims]: [usize; 2]) -> FitMemory {
    FitMemory {
        bytes: 0,
        bytes_per_image: pca::memory(positions * dims, IMAGES),
    }
}

/// With as many components as there are images.
pub(super) fn work([positions, dims]: [usize; 2], images: u64) -> Work {
    let (length, images) = ((positions * dims) as f64, images as f64);
    Work {
        fit: pca::work(length, images),
        // There and back.
        score: 2.0 * length * images.min(length),
    }
}

/// Does not depend on the number of threads.
pub(super) fn fit(
    [positions, dims]: [usize; 2],
    settings: &Settings,
    features: &dyn FeatureSource,
    threads: usize,
    progress: &Progress,
) -> Result<Statistics, ModelError> {
    let images = features.images();
    let fail = |problem: String| ModelError::Fit {
        class: CLASS,
        problem,
    };
    if images < 2 {
        return Err(fail(format!(
            "components need at least 2 normal training images, there {} {images}",
            if images == 1 { "is" } else { "are" }
        )));
    }
    if [features.positions(), features.dims()] != [positions, dims] {
        return Err(fail(format!(
            "the features have {} positions of {} dimensions, the model has {positions} of {dims}",
            features.positions(),
            features.dims()
        )));
    }
    let all: Vec<usize> = (0..images).collect();
    let centred = Centred::read(features, CLASS, &all)?;
    let components = centred
        .components(Keep::Share(settings.level), threads, progress)?
        .ok_or_else(|| {
            fail("the features of all training images are equal, or absurdly large".to_owned())
        })?;
    Ok(Subspace::new(components, images).into_statistics(images))
}
