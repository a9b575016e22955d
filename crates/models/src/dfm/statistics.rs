//! What DFM learns, under the names and shapes in which a package stores it.

use graph::Tensor;

use crate::pca::Components;
use crate::{ModelError, Statistics};

/// Where normal images lie.
#[derive(Debug, Clone)]
pub(super) struct Subspace {
    pub components: Components,
    /// Standard deviation along each component.
    pub deviations: Tensor,
}

impl Subspace {
    pub(super) fn new(components: Components, images: usize) -> Self {
        let root = (images as f64).sqrt();
        let deviations: Vec<f32> = components
            .spreads
            .iter()
            .map(|spread| (spread / root) as f32)
            .collect();
        Self {
            components,
            deviations: Tensor::vector(deviations),
        }
    }

    pub(super) fn into_statistics(self, images: usize) -> Statistics {
        Statistics::from([
            ("mean".to_owned(), self.components.mean),
            ("components".to_owned(), self.components.directions),
            ("deviations".to_owned(), self.deviations),
            // Whole numbers below 2^24 are exact in f32.
            ("images".to_owned(), Tensor::vector(vec![images as f32])),
        ])
    }

    /// Refuses what was not learned from vectors of `dims` numbers.
    pub(super) fn read(statistics: &Statistics, dims: usize) -> Result<Self, ModelError> {
        let components = Components::read(statistics, dims)?;
        let count = components.count();
        match statistics.get("deviations") {
            Some(deviations) if deviations.shape() == [count] => Ok(Self {
                deviations: deviations.clone(),
                components,
            }),
            _ => Err(ModelError::Statistics {
                problem: format!(
                    "`deviations` is not there, or not one for each of {count} components"
                ),
            }),
        }
    }

    /// What all likelihoods have in common: 2 Σ ln of the deviations.
    pub(super) fn constant(&self) -> f32 {
        let logs = self.deviations.data().iter().map(|&v| f64::from(v).ln());
        (2.0 * logs.sum::<f64>()) as f32
    }
}
