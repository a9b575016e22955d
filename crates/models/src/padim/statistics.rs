//! What PaDiM learns, under the names and shapes in which a package stores it.

use graph::Tensor;

use super::settings_mismatch as mismatch;
use crate::{ModelError, Statistics};

/// One Gaussian for each position of the grid.
///
/// `whitening` is W, the inverse of the lower Cholesky factor of the covariance, so that the squared Mahalanobis distance is
/// |W (x - mean)|²; W is lower triangular, and its rows are stored one after the other without the zeros: half the size of
/// the inverse covariance.
#[derive(Debug, Clone)]
pub(super) struct Gaussians {
    /// Height, width.
    pub grid: [usize; 2],
    /// Over the layers' concatenated channels, in the order of the dimensions.
    pub channels: Vec<usize>,
    /// [positions, dims]
    pub mean: Tensor,
    /// [positions, dims (dims + 1) / 2]
    pub whitening: Tensor,
}

/// Elements of a packed triangular matrix.
pub(super) fn packed(dims: usize) -> usize {
    dims * (dims + 1) / 2
}

impl Gaussians {
    pub(super) fn positions(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    pub(super) fn dims(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn into_statistics(self, images: usize) -> Statistics {
        // Whole numbers below 2^24 are exact in f32.
        let numbers =
            |values: &[usize]| Tensor::vector(values.iter().map(|&v| v as f32).collect::<Vec<_>>());
        Statistics::from([
            ("channels".to_owned(), numbers(&self.channels)),
            ("grid".to_owned(), numbers(&self.grid)),
            ("images".to_owned(), numbers(&[images])),
            ("mean".to_owned(), self.mean),
            ("whitening".to_owned(), self.whitening),
        ])
    }

    pub(super) fn read(statistics: &Statistics) -> Result<Self, ModelError> {
        let tensor = |name: &str| {
            statistics
                .get(name)
                .ok_or_else(|| mismatch(format!("`{name}` is missing")))
        };
        let numbers = |name: &str| {
            let values = tensor(name)?.data().iter();
            let whole =
                |&v: &f32| (v >= 0.0 && v.fract() == 0.0 && v < 16_777_216.0).then_some(v as usize);
            values
                .map(whole)
                .collect::<Option<Vec<usize>>>()
                .ok_or_else(|| {
                    mismatch(format!("`{name}` holds something else than whole numbers"))
                })
        };
        let grid = <[usize; 2]>::try_from(numbers("grid")?)
            .map_err(|_| mismatch("`grid` is not a height and a width".to_owned()))?;
        let (channels, mean, whitening) = (
            numbers("channels")?,
            tensor("mean")?.clone(),
            tensor("whitening")?.clone(),
        );
        let positions = grid[0].saturating_mul(grid[1]);
        for (name, tensor, width) in [
            ("mean", &mean, channels.len()),
            ("whitening", &whitening, packed(channels.len())),
        ] {
            if tensor.shape() != [positions, width] || tensor.is_empty() {
                return Err(mismatch(format!(
                    "`{name}` has the shape {:?} instead of [{positions}, {width}]",
                    tensor.shape()
                )));
            }
        }
        Ok(Self {
            grid,
            channels,
            mean,
            whitening,
        })
    }
}
