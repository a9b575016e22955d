//! DFM: what the principal components of normal features cannot express, or what is unlikely in them; see README.md.

mod fit;
mod graph;
mod head;
mod params;
mod statistics;

use ::graph::Graph;
use serde_json::{Map, Value};

use crate::arguments::Arguments;
use crate::transform::whole;
use crate::{
    BackboneUse, FeatureSource, FitMemory, InputSize, MapFinish, Model, ModelError, Progress,
    Scorer, Start, StateDict, Statistics, Transform, Upsampling, Work,
};
use head::Head;
use params::{ScoreType, Settings};
use statistics::Subspace;

pub use params::PARAMS;

const CLASS: &str = "Dfm";

/// Height, width if the job does not say.
const DEFAULT_SIZE: [usize; 2] = [256, 256];

/// DFM with its parameters set.
pub struct Dfm {
    settings: Settings,
    transform: Transform,
    seed: u64,
}

impl Dfm {
    /// Everything that is wrong with the parameters is in the error; `unreadable` names those of which that is known.
    pub fn read(
        init_args: &Map<String, Value>,
        unreadable: &[&str],
        input: InputSize,
        seed: u64,
    ) -> Result<Self, Vec<ModelError>> {
        let mut arguments = Arguments::new(CLASS, PARAMS, init_args, unreadable);
        let transform = arguments.transform(input.transform(DEFAULT_SIZE, whole));
        let settings = Settings::read(&mut arguments, transform);
        let (settings, transform) = arguments.finish(settings.zip(transform))?;
        Ok(Self {
            settings,
            transform,
            seed,
        })
    }

    /// Height, width of the pooled map.
    fn grid(&self) -> [usize; 2] {
        let grid = self.settings.extractor.grid(self.transform.output());
        grid.map(|side| side / self.settings.pooling)
    }

    fn subspace(&self, statistics: &Statistics) -> Result<Subspace, ModelError> {
        let [positions, dims] = self.feature_shape()?;
        Subspace::read(statistics, positions * dims)
    }
}

impl Model for Dfm {
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
        let [height, width] = self.grid();
        Ok([height * width, self.settings.extractor.channels()])
    }

    fn fit_memory(&self, _: usize) -> Result<FitMemory, ModelError> {
        Ok(fit::memory(self.feature_shape()?))
    }

    fn work(&self, images: u64) -> Result<Work, ModelError> {
        Ok(fit::work(self.feature_shape()?, images))
    }

    fn map(&self) -> Option<MapFinish> {
        (self.settings.score_type == ScoreType::Fre).then(|| MapFinish {
            grid: self.grid(),
            size: self.transform.output(),
            upsampling: Upsampling::Bilinear,
            blur: None,
        })
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
        fit::fit(
            self.feature_shape()?,
            &self.settings,
            features,
            threads,
            progress,
        )
    }

    fn inference_graph(
        &self,
        weights: &StateDict,
        statistics: &Statistics,
    ) -> Result<Graph, ModelError> {
        graph::inference(self, weights, &self.subspace(statistics)?)
    }

    fn scorer(&self, statistics: &Statistics) -> Result<Box<dyn Scorer>, ModelError> {
        let subspace = self.subspace(statistics)?;
        Ok(Box::new(Head::new(
            subspace,
            self.settings.score_type,
            self.grid(),
        )))
    }
}

#[cfg(test)]
mod tests;
