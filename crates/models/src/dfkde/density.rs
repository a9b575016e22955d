//! The Gaussian kernel density of normal images, and what DFKDE stores of it.

use graph::Tensor;

use super::params::Scaling;
use crate::pca::Components;
use crate::{ModelError, Statistics};

/// A training point in every kernel's middle; all kernels have the shape of the points' covariance.
#[derive(Debug, Clone)]
pub(super) struct Density {
    pub components: Components,
    /// Components are divided by it before anything else; 1 where each image has its own.
    pub scale: f32,
    /// [components, components]: the inverse of the kernels' covariance is this matrix times its transpose.
    pub transform: Tensor,
    /// Training points times the transform: [points, components].
    pub points: Tensor,
    /// Logarithm of what makes the density's integral 1.
    pub log_norm: f32,
}

/// Lengths below this are not divided by.
pub(super) const TINY: f32 = 1e-12;

/// Components as the density takes them.
pub(super) fn scaled(mut coordinates: Vec<f32>, scaling: Scaling, scale: f32) -> Vec<f32> {
    let by = match scaling {
        Scaling::Scale => scale,
        Scaling::Norm => length(&coordinates).max(TINY),
    };
    coordinates.iter_mut().for_each(|value| *value /= by);
    coordinates
}

pub(super) fn length(coordinates: &[f32]) -> f32 {
    coordinates.iter().map(|v| v * v).sum::<f32>().sqrt()
}

/// `rows` [images, components], scaled. `None` if they have no density: some component is a combination of others.
pub(super) fn learn(components: Components, scale: f32, rows: &[Vec<f32>]) -> Option<Density> {
    let (n, d) = (rows.len(), components.count());
    let factor = (n as f64).powf(-1.0 / (d as f64 + 4.0));
    let inverse = inverse_factor(covariance(rows, d), d)?;
    // The transposed inverse of the covariance's factor, over Scott's bandwidth factor.
    let mut transform = vec![0.0; d * d];
    for r in 0..d {
        for c in 0..=r {
            transform[c * d + r] = inverse[r * d + c] / factor;
        }
    }
    let logs = (0..d).map(|i| transform[i * d + i].ln());
    let log_norm = logs.sum::<f64>() - 0.5 * d as f64 * (2.0 * std::f64::consts::PI).ln();
    let transform: Vec<f32> = transform.iter().map(|&v| v as f32).collect();
    let points: Vec<f32> = rows.iter().flat_map(|row| times(row, &transform)).collect();
    Some(Density {
        components,
        scale,
        transform: Tensor::new([d, d], transform).ok()?,
        points: Tensor::new([n, d], points).ok()?,
        log_norm: log_norm as f32,
    })
}

/// Unbiased.
fn covariance(rows: &[Vec<f32>], d: usize) -> Vec<f64> {
    let n = rows.len() as f64;
    let mean: Vec<f64> = (0..d)
        .map(|i| rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / n)
        .collect();
    let entry = |i: usize, j: usize| {
        let products = rows
            .iter()
            .map(|row| (f64::from(row[i]) - mean[i]) * (f64::from(row[j]) - mean[j]));
        products.sum::<f64>() / (n - 1.0)
    };
    (0..d * d).map(|k| entry(k / d, k % d)).collect()
}

/// The inverse of the lower Cholesky factor; `None` if there is none.
fn inverse_factor(mut matrix: Vec<f64>, d: usize) -> Option<Vec<f64>> {
    let scale = (0..d).map(|i| matrix[i * d + i]).fold(0.0, f64::max);
    for i in 0..d {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i * d + k] * matrix[j * d + k]).sum();
            let rest = matrix[i * d + j] - known;
            matrix[i * d + j] = if i == j {
                // Rounding of f32 components.
                if rest.is_nan() || rest <= 1e-12 * scale {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / matrix[j * d + j]
            };
        }
    }
    let mut inverse = vec![0.0; d * d];
    for c in 0..d {
        for r in c..d {
            let known: f64 = (c..r).map(|k| matrix[r * d + k] * inverse[k * d + c]).sum();
            let one = if r == c { 1.0 } else { 0.0 };
            inverse[r * d + c] = (one - known) / matrix[r * d + r];
        }
    }
    Some(inverse)
}

/// A row times a square matrix.
fn times(row: &[f32], matrix: &[f32]) -> Vec<f32> {
    let d = row.len();
    let column = |c: usize| {
        row.iter()
            .enumerate()
            .map(move |(r, v)| v * matrix[r * d + c])
    };
    (0..d).map(|c| column(c).sum()).collect()
}

impl Density {
    /// Logarithm of the density at a point, its components scaled.
    pub(super) fn log_density(&self, point: &[f32]) -> f32 {
        let z = times(point, self.transform.data());
        let exponents: Vec<f32> = self
            .points
            .data()
            .chunks_exact(z.len())
            .map(|point| {
                let squares = point.iter().zip(&z).map(|(p, z)| (z - p) * (z - p));
                -0.5 * squares.sum::<f32>()
            })
            .collect();
        // Without the largest, far points would have a density of 0 and no logarithm.
        let most = exponents.iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = exponents.iter().map(|e| (e - most).exp()).sum();
        most + sum.ln() + self.log_weight()
    }

    /// Of each kernel.
    pub(super) fn log_weight(&self) -> f32 {
        self.log_norm - (self.points.shape()[0] as f32).ln()
    }

    pub(super) fn into_statistics(self, images: usize) -> Statistics {
        Statistics::from([
            ("mean".to_owned(), self.components.mean),
            ("components".to_owned(), self.components.directions),
            ("scale".to_owned(), Tensor::vector(vec![self.scale])),
            ("transform".to_owned(), self.transform),
            ("points".to_owned(), self.points),
            ("log_norm".to_owned(), Tensor::vector(vec![self.log_norm])),
            // Whole numbers below 2^24 are exact in f32.
            ("images".to_owned(), Tensor::vector(vec![images as f32])),
        ])
    }

    /// Refuses what was not learned from features of `dims` numbers in `count` components.
    pub(super) fn read(
        statistics: &Statistics,
        dims: usize,
        count: usize,
    ) -> Result<Self, ModelError> {
        let components = Components::read(statistics, dims)?;
        let wrong = |problem: String| ModelError::Statistics { problem };
        if components.count() != count {
            return Err(wrong(format!(
                "there are {} components, the model has {count}",
                components.count()
            )));
        }
        let tensor = |name: &str, fits: &dyn Fn(&[usize]) -> bool| match statistics.get(name) {
            None => Err(wrong(format!("`{name}` is missing"))),
            Some(tensor) if fits(tensor.shape()) => Ok(tensor.clone()),
            Some(tensor) => Err(wrong(format!(
                "`{name}` has the shape {:?}, which does not go with {count} components",
                tensor.shape()
            ))),
        };
        let number =
            |name: &str| Ok::<_, ModelError>(tensor(name, &|shape| shape == [1])?.data()[0]);
        Ok(Self {
            scale: number("scale")?,
            transform: tensor("transform", &|shape| shape == [count, count])?,
            points: tensor(
                "points",
                &|shape| matches!(shape, [points, width] if *points > 0 && *width == count),
            )?,
            log_norm: number("log_norm")?,
            components,
        })
    }
}
