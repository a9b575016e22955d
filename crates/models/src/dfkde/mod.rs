//! DFKDE: how dense normal images lie where an image lies; see README.md.

mod density;
mod fit;
mod graph;
mod head;
mod params;

use ::graph::Graph;
use serde_json::{Map, Value};

use crate::arguments::Arguments;
use crate::transform::whole;
use crate::{
    BackboneUse, FeatureSource, FitMemory, InputSize, MapFinish, Model, ModelError, Progress,
    Scorer, Start, StateDict, Statistics, Transform, Work,
};
use density::Density;
use head::Head;
use params::Settings;

pub use params::PARAMS;

const CLASS: &str = "Dfkde";

/// Height, width if the job does not say.
const DEFAULT_SIZE: [usize; 2] = [256, 256];

/// Of the curve from the density's logarithm to a probability, and where it is one half (the reference's constants).
const STEEPNESS: f32 = 0.05;
const MIDDLE: f32 = 12.0;

/// DFKDE with its parameters set.
pub struct Dfkde {
    settings: Settings,
    transform: Transform,
    seed: u64,
}

impl Dfkde {
    /// Everything that is wrong with the parameters is in the error; `unreadable` names those of which that is known.
    pub fn read(
        init_args: &Map<String, Value>,
        unreadable: &[&str],
        input: InputSize,
        seed: u64,
    ) -> Result<Self, Vec<ModelError>> {
        let mut arguments = Arguments::new(CLASS, PARAMS, init_args, unreadable);
        let transform = arguments.transform(input.transform(DEFAULT_SIZE, whole));
        let settings = Settings::read(&mut arguments);
        let (settings, transform) = arguments.finish(settings.zip(transform))?;
        Ok(Self {
            settings,
            transform,
            seed,
        })
    }

    fn density(&self, statistics: &Statistics) -> Result<Density, ModelError> {
        let settings = &self.settings;
        Density::read(
            statistics,
            settings.extractor.channels(),
            settings.components,
        )
    }
}

impl Model for Dfkde {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn backbone(&self) -> Option<BackboneUse> {
        Some(self.settings.extractor.used())
    }

    fn random_weights(&self) -> Result<StateDict, ModelError> {
        Ok(self.settings.extractor.backbone.random_weights(self.seed))
    }

    fn preprocess(&self) -> Transform {
        self.transform
    }

    fn feature_shape(&self) -> Result<[usize; 2], ModelError> {
        Ok([1, self.settings.extractor.channels()])
    }

    fn fit_memory(&self, _: usize) -> Result<FitMemory, ModelError> {
        Ok(fit::memory(
            self.settings.extractor.channels(),
            &self.settings,
        ))
    }

    fn work(&self, images: u64) -> Result<Work, ModelError> {
        let channels = self.settings.extractor.channels();
        Ok(fit::work(channels, &self.settings, images))
    }

    fn map(&self) -> Option<MapFinish> {
        None
    }

    fn feature_graph(&self, start: Start<'_>) -> Result<Graph, ModelError> {
        graph::features(self, start)
    }

    fn fit(
        &self,
        features: &dyn FeatureSource,
        threads: usize,
        progress: &Progress,
    ) -> Result<Statistics, ModelError> {
        fit::fit(&self.settings, self.seed, features, threads, progress)
    }

    fn inference_graph(
        &self,
        weights: &StateDict,
        statistics: &Statistics,
    ) -> Result<Graph, ModelError> {
        graph::inference(self, weights, &self.density(statistics)?)
    }

    fn scorer(&self, statistics: &Statistics) -> Result<Box<dyn Scorer>, ModelError> {
        let density = self.density(statistics)?;
        Ok(Box::new(Head::new(density, self.settings.scaling)))
    }
}

#[cfg(test)]
mod tests;
