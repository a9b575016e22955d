//! PatchCore: distances to a memory bank of normal patches; see README.md.

#[cfg(target_arch = "x86_64")]
mod bytes;
mod coreset;
mod fit;
mod graph;
mod head;
mod nearest;
mod params;
mod plain;
mod projection;
mod statistics;
#[cfg(target_arch = "x86_64")]
mod tiles;
#[cfg(target_arch = "x86_64")]
mod vnni;

use ::graph::Graph;
use serde_json::{Map, Value};

use crate::arguments::Arguments;
use crate::blur::{self, BLUR};
use crate::{
    BackboneUse, FeatureSource, FitMemory, InputSize, MapFinish, Model, ModelError, Progress,
    Scorer, Start, StateDict, Statistics, Transform, Upsampling, Work,
};
use head::Head;
use params::Settings;
use statistics::Bank;

pub use params::PARAMS;

const CLASS: &str = "Patchcore";

/// Height, width of resized images if the job does not say.
const DEFAULT_SIZE: [usize; 2] = [256, 256];

/// PatchCore with its parameters set.
pub struct Patchcore {
    settings: Settings,
    transform: Transform,
    seed: u64,
}

/// 224 of 256, as in the paper and the reference, where the job says nothing else.
fn crop(resized: [usize; 2]) -> [usize; 2] {
    resized.map(|side| side * 224 / 256)
}

impl Patchcore {
    /// Everything that is wrong with the parameters is in the error; `unreadable` names those of which that is known.
    pub fn read(
        init_args: &Map<String, Value>,
        unreadable: &[&str],
        input: InputSize,
        seed: u64,
    ) -> Result<Self, Vec<ModelError>> {
        let mut arguments = Arguments::new(CLASS, PARAMS, init_args, unreadable);
        let transform = arguments.transform(input.transform(DEFAULT_SIZE, crop));
        let settings = Settings::read(&mut arguments);
        blur::check_size(transform, &mut arguments);
        let (settings, transform) = arguments.finish(settings.zip(transform))?;
        Ok(Self {
            settings,
            transform,
            seed,
        })
    }

    /// Height, width of the grid of patches: the first layer's map.
    fn grid(&self) -> [usize; 2] {
        self.settings.extractor.grid(self.transform.output())
    }

    fn bank(&self, statistics: &Statistics) -> Result<Bank, ModelError> {
        Bank::read(statistics, self.settings.extractor.channels())
    }
}

impl Model for Patchcore {
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

    fn fit_memory(&self, threads: usize) -> Result<FitMemory, ModelError> {
        Ok(fit::memory(self.feature_shape()?, &self.settings, threads))
    }

    fn work(&self, images: u64) -> Result<Work, ModelError> {
        Ok(fit::work(self.feature_shape()?, &self.settings, images))
    }

    fn map(&self) -> Option<MapFinish> {
        Some(MapFinish {
            grid: self.grid(),
            size: self.transform.output(),
            upsampling: Upsampling::Nearest,
            blur: Some(BLUR),
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
            self.seed,
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
        graph::inference(self, weights, &self.bank(statistics)?)
    }

    fn scorer(&self, statistics: &Statistics) -> Result<Box<dyn Scorer>, ModelError> {
        let bank = self.bank(statistics)?;
        Ok(Box::new(Head::new(
            bank,
            self.settings.neighbors,
            self.grid(),
        )))
    }
}

#[cfg(test)]
mod tests;
