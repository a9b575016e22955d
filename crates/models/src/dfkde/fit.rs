//! How DFKDE learns: principal components of all training images' features, and the density in them.

use super::CLASS;
use super::density::{Density, learn, length, scaled};
use super::params::{Scaling, Settings};
use crate::pca::{self, Centred, Keep};
use crate::{FeatureSource, FitMemory, ModelError, Progress, Statistics, Stream, Work};

/// Images of which the memory of learning is told: products of all pairs of them are held.
const IMAGES: usize = 1_000;

pub(super) fn memory(dims: usize, settings: &Settings) -> FitMemory {
    // Coordinates, scaled ones and points.
    let coordinates = 3 * settings.components * size_of::<f32>();
    FitMemory {
        bytes: 0,
        bytes_per_image: pca::memory(dims, IMAGES) + coordinates as u64,
    }
}

pub(super) fn work(dims: usize, settings: &Settings, images: u64) -> Work {
    let (dims, images) = (dims as f64, images as f64);
    let components = settings.components as f64;
    Work {
        fit: pca::work(dims, images),
        score: components * (dims + images.min(settings.max_points as f64)),
    }
}

/// Does not depend on the number of threads.
pub(super) fn fit(
    settings: &Settings,
    seed: u64,
    features: &dyn FeatureSource,
    threads: usize,
    progress: &Progress,
) -> Result<Statistics, ModelError> {
    let (images, wanted) = (features.images(), settings.components);
    let fail = |problem: String| ModelError::Fit {
        class: CLASS,
        problem,
    };
    let dims = settings.extractor.channels();
    if [features.positions(), features.dims()] != [1, dims] {
        return Err(fail(format!(
            "the features have {} positions of {} dimensions, the model has 1 of {dims}",
            features.positions(),
            features.dims()
        )));
    }
    let chosen = Stream::new(seed, "dfkde.points").choose(settings.max_points, images);
    if chosen.len() <= wanted {
        return Err(fail(format!(
            "n_pca_components is {wanted}, which needs more normal training images than that; there are {}",
            chosen.len()
        )));
    }
    let centred = Centred::read(features, CLASS, &chosen)?;
    let few = || {
        fail(format!(
            "the features of the training images differ in fewer than {wanted} ways; ask for fewer n_pca_components"
        ))
    };
    let components = centred
        .components(Keep::Count(wanted), threads, progress)?
        .filter(|components| components.count() == wanted)
        .ok_or_else(few)?;
    let rows: Vec<Vec<f32>> = centred
        .rows()
        .map(|row| components.coordinates(row))
        .collect();
    let scale = match settings.scaling {
        Scaling::Scale => rows.iter().map(|row| length(row)).fold(0.0, f32::max),
        Scaling::Norm => 1.0,
    };
    let rows: Vec<Vec<f32>> = rows
        .into_iter()
        .map(|row| scaled(row, settings.scaling, scale))
        .collect();
    let density: Density = learn(components, scale, &rows).ok_or_else(few)?;
    Ok(density.into_statistics(images))
}
