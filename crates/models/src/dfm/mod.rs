//! DFM: what the principal components of normal features cannot express, or what is unlikely in them; see README.md.

mod fit;
mod graph;
mod head;
mod params;
mod statistics;

use ::graph::Graph;
use serde_json::{Map, Value};

use crate::arguments::Arguments;
use crate::{
    BackboneUse, FeatureSource, FitMemory, MapFinish, Model, ModelError, Progress, Scorer, Start,
    StateDict, Statistics, Transform, Upsampling, Work,
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
    /// Height, width of the input.
    size: [usize; 2],
    seed: u64,
}

impl Dfm {
    /// Everything that is wrong with the parameters is in the error; `unreadable` names those of which that is known.
    pub fn read(
        init_args: &Map<String, Value>,
        unreadable: &[&str],
        image_size: Option<[usize; 2]>,
        seed: u64,
    ) -> Result<Self, Vec<ModelError>> {
        let size = image_size.unwrap_or(DEFAULT_SIZE);
        let mut arguments = Arguments::new(CLASS, PARAMS, init_args, unreadable);
        let settings = Settings::read(&mut arguments, size);
        Ok(Self {
            settings: arguments.finish(settings)?,
            size,
            seed,
        })
    }

    /// Height, width of the pooled map.
    fn grid(&self) -> [usize; 2] {
        let grid = self.settings.extractor.grid(self.size);
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
        Transform {
            size: self.size,
            crop: None,
        }
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
            size: self.size,
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
