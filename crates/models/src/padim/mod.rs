//! PaDiM: a Gaussian of backbone features at each position of the image; see README.md.

mod fit;
mod graph;
mod head;
mod lanes;
mod params;
mod solve;
mod statistics;

use ::graph::Graph;
use serde_json::{Map, Value};

use crate::blur::kernel_size;
use crate::{
    BackboneUse, FeatureSource, MapFinish, Model, ModelError, Progress, Scorer, StateDict,
    Statistics, Transform,
};
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
    /// Height, width of the input.
    size: [usize; 2],
    seed: u64,
}

impl Padim {
    pub fn new(
        init_args: &Map<String, Value>,
        image_size: Option<[usize; 2]>,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let size = image_size.unwrap_or(DEFAULT_SIZE);
        check_size(size)?;
        Ok(Self {
            settings: Settings::read(init_args, seed)?,
            size,
            seed,
        })
    }

    /// Everything that is wrong with the parameters beside what is known to be: `unreadable` names those.
    pub(crate) fn problems(
        init_args: &Map<String, Value>,
        unreadable: &[&str],
        image_size: Option<[usize; 2]>,
    ) -> Vec<ModelError> {
        let mut problems = Vec::new();
        problems.extend(check_size(image_size.unwrap_or(DEFAULT_SIZE)).err());
        // What is right does not depend on the seed.
        Settings::check(init_args, unreadable, 0, &mut problems);
        problems
    }

    /// The chosen channels, counted over the layers in their order.
    pub fn channels(&self) -> &[usize] {
        &self.settings.channels
    }

    /// Height, width of the grid of positions: the first layer's map.
    fn grid(&self) -> [usize; 2] {
        // Each strided step of these networks rounds up.
        let stride = self.settings.layers.first().map_or(1, |layer| layer.stride);
        self.size.map(|side| side.div_ceil(stride))
    }

    fn gaussians(&self, statistics: &Statistics) -> Result<Gaussians, ModelError> {
        let gaussians = Gaussians::read(statistics)?;
        if gaussians.channels != self.settings.channels {
            return Err(settings_mismatch(
                "they were learned from other channels".to_owned(),
            ));
        }
        let ours = self.grid();
        if gaussians.grid != ours {
            let text = |[height, width]: [usize; 2]| format!("{height} x {width}");
            return Err(settings_mismatch(format!(
                "they were learned on a grid of {} positions, and images of {} pixels have {}",
                text(gaussians.grid),
                text(self.size),
                text(ours)
            )));
        }
        Ok(gaussians)
    }
}

fn check_size(size: [usize; 2]) -> Result<(), ModelError> {
    let half = kernel_size(graph::SIGMA) / 2;
    if size.iter().all(|&side| side > half) {
        return Ok(());
    }
    Err(ModelError::ImageSize {
        height: size[0],
        width: size[1],
        reason: format!(
            "the anomaly map's blur reflects {half} pixels at each edge and needs sides of at least {}",
            half + 1
        ),
    })
}

fn settings_mismatch(problem: String) -> ModelError {
    ModelError::Statistics { problem }
}

impl Model for Padim {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn backbone(&self) -> Option<BackboneUse> {
        let layers = self
            .settings
            .layers
            .iter()
            .map(|layer| layer.name.clone())
            .collect();
        Some(BackboneUse {
            name: self.settings.backbone.name,
            layers,
            pre_trained: self.settings.pre_trained,
        })
    }

    fn random_weights(&self) -> Result<StateDict, ModelError> {
        Ok(self.settings.backbone.random_weights(self.seed))
    }

    fn preprocess(&self) -> Transform {
        Transform {
            size: self.size,
            crop: None,
        }
    }

    fn feature_shape(&self) -> Result<[usize; 2], ModelError> {
        let [height, width] = self.grid();
        Ok([height * width, self.settings.channels.len()])
    }

    fn fit_memory(&self, threads: usize) -> Option<u64> {
        let [positions, dims] = self.feature_shape().ok()?;
        Some(fit::memory(positions, dims, threads))
    }

    fn feature_graph(&self, weights: &StateDict) -> Result<Graph, ModelError> {
        graph::features(self, weights)
    }

    fn fit(
        &self,
        features: &dyn FeatureSource,
        threads: usize,
        progress: &Progress,
    ) -> Result<Statistics, ModelError> {
        fit::fit(
            self.grid(),
            &self.settings.channels,
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
        graph::inference(self, weights, &self.gaussians(statistics)?)
    }

    fn scorer(&self, statistics: &Statistics) -> Result<Box<dyn Scorer>, ModelError> {
        let finish = MapFinish {
            size: self.size,
            sigma: graph::SIGMA,
            kernel: kernel_size(graph::SIGMA),
        };
        Ok(Box::new(Head::new(self.gaussians(statistics)?, finish)))
    }
}

#[cfg(test)]
mod tests;
