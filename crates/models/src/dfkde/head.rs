//! Scoring without an engine: an execution of the inference graph from features on, held to it by a test.

use super::density::{Density, scaled};
use super::params::Scaling;
use super::{MIDDLE, STEEPNESS};
use crate::{Scored, Scorer};

/// DFKDE's scoring head.
pub struct Head {
    density: Density,
    scaling: Scaling,
}

impl Head {
    pub(super) fn new(density: Density, scaling: Scaling) -> Self {
        Self { density, scaling }
    }

    pub(super) fn log_density(&self, features: &[f32]) -> f32 {
        let components = &self.density.components;
        let coordinates = components.coordinates(&components.centre(features));
        let point = scaled(coordinates, self.scaling, self.density.scale);
        self.density.log_density(&point)
    }
}

/// How likely it is that an image is anomalous, given the logarithm of its density.
pub(super) fn probability(log_density: f32) -> f32 {
    1.0 / (1.0 + (STEEPNESS * (log_density - MIDDLE)).exp())
}

impl Scorer for Head {
    fn image(&self, features: &[f32], _: Vec<f32>) -> Scored {
        Scored::Score(probability(self.log_density(features)))
    }
}
