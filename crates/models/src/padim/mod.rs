//! PaDiM: a Gaussian of backbone features at each position of the image; see README.md.

#[cfg(target_arch = "x86_64")]
mod bf16;
mod fit;
mod graph;
mod head;
mod layout;
mod params;
mod side_by_side;
mod solve;
mod statistics;

use ::graph::Graph;
use serde_json::{Map, Value};

use crate::arguments::Arguments;
use crate::blur::{self, BLUR};
use crate::transform::whole;
use crate::{
    BackboneUse, FeatureSource, FitMemory, InputSize, MapFinish, Model, ModelError, Progress,
    Scorer, Start, StateDict, Statistics, Transform, Upsampling, Work,
};
use layout::{Layout, Seen};
use params::Settings;
use statistics::Gaussians;

pub use head::Head;
pub use params::PARAMS;

const CLASS: &str = "Padim";

/// Height, width if the job does not say.
const DEFAULT_SIZE: [usize; 2] = [256, 256];

/// PaDiM with its parameters set.
pub struct Padim {
    settings: Settings,
    transform: Transform,
    seed: u64,
}

impl Padim {
    /// Everything that is wrong with the parameters is in the error; `unreadable` names those of which that is known.
    pub fn read(
        init_args: &Map<String, Value>,
        unreadable: &[&str],
        input: InputSize,
        seed: u64,
    ) -> Result<Self, Vec<ModelError>> {
        let mut arguments = Arguments::new(CLASS, PARAMS, init_args, unreadable);
        let transform = arguments.transform(input.transform(DEFAULT_SIZE, whole));
        let settings = Settings::read(&mut arguments, seed);
        blur::check_size(transform, &mut arguments);
        let (settings, transform) = arguments.finish(settings.zip(transform))?;
        Ok(Self {
            settings,
            transform,
            seed,
        })
    }

    /// The chosen channels, counted over the layers in their order.
    pub fn channels(&self) -> &[usize] {
        &self.settings.channels
    }

    fn layout(&self) -> Layout {
        let Settings {
            extractor,
            channels,
        } = &self.settings;
        Layout::new(&extractor.layers, channels, self.transform.output())
    }

    fn gaussians(&self, statistics: &Statistics) -> Result<Gaussians, ModelError> {
        let gaussians = Gaussians::read(statistics)?;
        if gaussians.channels != self.settings.channels {
            return Err(settings_mismatch(
                "they were learned from other channels".to_owned(),
            ));
        }
        let ours = self.layout().grid();
        if gaussians.grid != ours {
            let text = |[height, width]: [usize; 2]| format!("{height} x {width}");
            return Err(settings_mismatch(format!(
                "they were learned on a grid of {} positions, and images of {} pixels have {}",
                text(gaussians.grid),
                text(self.transform.output()),
                text(ours)
            )));
        }
        Ok(gaussians)
    }
}

fn settings_mismatch(problem: String) -> ModelError {
    ModelError::Statistics { problem }
}

impl Model for Padim {
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
        Ok([self.layout().len(), 1])
    }

    fn fit_memory(&self, threads: usize) -> Result<FitMemory, ModelError> {
        let layout = self.layout();
        Ok(FitMemory {
            bytes: fit::memory(layout.positions(), layout.dims(), threads),
            bytes_per_image: 0,
        })
    }

    fn work(&self, images: u64) -> Result<Work, ModelError> {
        let layout = self.layout();
        let [positions, dims] = [layout.positions(), layout.dims()].map(|number| number as f64);
        // Half of a symmetric matrix; its inverse's root, both in f64.
        let products = images as f64 * dims * dims / 2.0 + dims * dims * dims;
        Ok(Work {
            fit: 2.0 * positions * products,
            score: positions * dims * dims / 2.0,
        })
    }

    fn map(&self) -> Option<MapFinish> {
        Some(MapFinish {
            grid: self.layout().grid(),
            size: self.transform.output(),
            upsampling: Upsampling::Bilinear,
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
        let layout = self.layout();
        fit::check(&layout, features)?;
        let seen = Seen {
            features,
            layout: &layout,
        };
        fit::fit(
            layout.grid(),
            &self.settings.channels,
            &seen,
            threads,
            progress,
        )
    }

    fn inference_graph(
        &self,
        weights: &StateDict,
        statistics: &Statistics,
    ) -> Result<Graph, ModelError> {
        graph::inference(self, weights, &self.gaussians(statistics)?)
    }

    fn scorer(&self, statistics: &Statistics) -> Result<Box<dyn Scorer>, ModelError> {
        Ok(Box::new(Head::new(
            self.gaussians(statistics)?,
            self.layout(),
        )))
    }
}

#[cfg(test)]
mod tests;
