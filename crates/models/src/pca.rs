//! Principal components of the images' features: the directions in which normal images differ most.

use std::sync::Arc;

use graph::Tensor;

use crate::eigen::eigen;
use crate::{FeatureSource, ModelError, Progress, Statistics, parallel, read_rows};

/// How many components are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Keep {
    /// The fewest that have this share of the variance together.
    Share(f64),
    Count(usize),
}

/// Below this share of the largest deviation a component is rounding of f32 features.
const NOISE: f64 = 1e-6;

/// Rows of a matrix of products that a thread makes at once.
const ROWS: usize = 8;

/// Components of vectors of `dims` numbers.
#[derive(Debug, Clone)]
pub(crate) struct Components {
    /// [dims]
    pub mean: Tensor,
    /// [components, dims], of length 1 each, orthogonal to each other.
    pub directions: Tensor,
    /// Singular values of the centred vectors, the largest first.
    pub spreads: Vec<f64>,
}

/// Features of the images as vectors [images, positions * dims], less their mean.
pub(crate) struct Centred {
    images: usize,
    dims: usize,
    mean: Tensor,
    rows: Vec<f32>,
}

/// Products of the components of so many vectors of `dims` numbers: a matrix of the smaller order, and its eigenvectors in f64,
/// which take about five times its order's cube: reduction to three diagonals, rotations until they are one, and the vectors of these.
pub(crate) fn work(dims: f64, images: f64) -> f64 {
    let order = dims.min(images);
    dims * images * order + 2.0 * 5.0 * order * order * order
}

/// Bytes that learning takes for each of about so many images with vectors of `dims` numbers.
pub(crate) fn memory(dims: usize, images: usize) -> u64 {
    // The vectors, as many components at most, and a row of products and of its eigenvectors.
    let order = dims.min(images);
    (2 * dims * size_of::<f32>() + 2 * order * order / images.max(1) * size_of::<f64>()) as u64
}

impl Centred {
    /// `chosen`: the images, in ascending order.
    pub fn read(
        features: &dyn FeatureSource,
        class: &'static str,
        chosen: &[usize],
    ) -> Result<Self, ModelError> {
        let (positions, dims) = (features.positions(), features.positions() * features.dims());
        let mut rows = vec![0.0; chosen.len() * dims];
        let mut sums = vec![0.0; dims];
        for (&image, row) in chosen.iter().zip(rows.chunks_exact_mut(dims)) {
            read_rows(
                features,
                class,
                image * positions..(image + 1) * positions,
                row,
            )?;
            for (sum, &value) in sums.iter_mut().zip(&*row) {
                *sum += f64::from(value);
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= chosen.len() as f64);
        for row in rows.chunks_exact_mut(dims) {
            for (value, mean) in row.iter_mut().zip(&sums) {
                *value = (f64::from(*value) - mean) as f32;
            }
        }
        let mean: Vec<f32> = sums.iter().map(|&mean| mean as f32).collect();
        Ok(Self {
            images: chosen.len(),
            dims,
            mean: Tensor::new([dims], mean)?,
            rows,
        })
    }

    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.rows.chunks_exact(self.dims)
    }

    /// `None` if all vectors are equal, or absurdly large.
    pub fn components(
        &self,
        keep: Keep,
        threads: usize,
        progress: &Progress,
    ) -> Result<Option<Components>, ModelError> {
        // Of images or of dimensions, whichever are fewer: both have the same eigenvalues.
        let order = self.images.min(self.dims);
        let products = if order == self.images {
            self.products_of_images(threads)?
        } else {
            self.products_of_dims(threads)?
        };
        progress(1, 2);
        let Some(found) = eigen(products, order) else {
            return Ok(None);
        };
        let kept = kept(&found.values, keep);
        if kept == 0 {
            return Ok(None);
        }
        let vectors = found.vectors.chunks_exact(order).take(kept);
        let mut directions: Arc<[f32]> = std::iter::repeat_n(0.0, kept * self.dims).collect();
        let pieces = vectors.zip(Arc::make_mut(&mut directions).chunks_exact_mut(self.dims));
        parallel::for_each(threads, pieces, Vec::new, |sums, (vector, out)| {
            self.direction(vector, sums, out);
            Ok(())
        })?;
        progress(2, 2);
        Ok(Some(Components {
            mean: self.mean.clone(),
            directions: Tensor::new([kept, self.dims], directions)?,
            spreads: found.values[..kept]
                .iter()
                .map(|value| value.sqrt())
                .collect(),
        }))
    }

    /// [images, images], the lower triangle.
    fn products_of_images(&self, threads: usize) -> Result<Vec<f64>, ModelError> {
        let n = self.images;
        let row = |i: usize| &self.rows[i * self.dims..(i + 1) * self.dims];
        square(n, threads, |i, out| {
            for (j, out) in out[..=i].iter_mut().enumerate() {
                *out = dot_f64(row(i), row(j));
            }
        })
    }

    /// [dims, dims], the lower triangle.
    fn products_of_dims(&self, threads: usize) -> Result<Vec<f64>, ModelError> {
        square(self.dims, threads, |i, out| {
            for row in self.rows() {
                let factor = f64::from(row[i]);
                for (out, &value) in out[..=i].iter_mut().zip(row) {
                    *out += factor * f64::from(value);
                }
            }
        })
    }

    /// The unit vector that an eigenvector of either matrix of products stands for.
    fn direction(&self, vector: &[f64], sums: &mut Vec<f64>, out: &mut [f32]) {
        sums.clear();
        if self.images <= self.dims {
            sums.resize(self.dims, 0.0);
            for (row, factor) in self.rows().zip(vector) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += factor * f64::from(value);
                }
            }
        } else {
            sums.extend_from_slice(vector);
        }
        let length = sums.iter().map(|v| v * v).sum::<f64>().sqrt();
        for (out, sum) in out.iter_mut().zip(&*sums) {
            *out = (sum / length) as f32;
        }
    }
}

fn kept(variances: &[f64], keep: Keep) -> usize {
    let largest = variances.first().copied().unwrap_or(0.0);
    let real = variances
        .iter()
        .take_while(|value| **value > largest * NOISE * NOISE)
        .count();
    match keep {
        Keep::Count(count) => count.min(real),
        Keep::Share(share) => {
            let total: f64 = variances[..real].iter().sum();
            let mut sum = 0.0;
            let reached = variances[..real].iter().position(|value| {
                sum += value;
                sum >= share * total
            });
            reached.map_or(real, |last| last + 1)
        }
    }
}

/// A matrix [n, n], row by row.
fn square(
    n: usize,
    threads: usize,
    row: impl Fn(usize, &mut [f64]) + Sync,
) -> Result<Vec<f64>, ModelError> {
    let mut matrix = vec![0.0; n * n];
    let pieces = matrix.chunks_mut(ROWS * n).enumerate();
    parallel::for_each(
        threads,
        pieces,
        || (),
        |(), (piece, rows)| {
            for (i, out) in rows.chunks_exact_mut(n).enumerate() {
                row(piece * ROWS + i, out);
            }
            Ok(())
        },
    )?;
    Ok(matrix)
}

/// Sums side by side, which the compiler keeps in registers.
const SUMS: usize = 16;

fn dot_f64(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; SUMS];
    let (a_chunks, b_chunks) = (a.chunks_exact(SUMS), b.chunks_exact(SUMS));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f64 = rest.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..SUMS {
            sums[i] += f64::from(a[i]) * f64::from(b[i]);
        }
    }
    sums.iter().sum::<f64>() + rest
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; SUMS];
    let (a_chunks, b_chunks) = (a.chunks_exact(SUMS), b.chunks_exact(SUMS));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..SUMS {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

impl Components {
    /// `mean` and `components` as packages have them, of vectors of `dims` numbers; the spreads are not stored.
    pub fn read(statistics: &Statistics, dims: usize) -> Result<Self, ModelError> {
        let tensor = |name: &str, fits: &dyn Fn(&[usize]) -> bool| match statistics.get(name) {
            None => Err(format!("`{name}` is missing")),
            Some(tensor) if fits(tensor.shape()) => Ok(tensor.clone()),
            Some(tensor) => Err(format!(
                "`{name}` has the shape {:?}, the model's features are {dims} numbers",
                tensor.shape()
            )),
        };
        let read = || {
            Ok(Self {
                mean: tensor("mean", &|shape| shape == [dims])?,
                directions: tensor(
                    "components",
                    &|shape| matches!(shape, [count, width] if *count > 0 && *width == dims),
                )?,
                spreads: Vec::new(),
            })
        };
        read().map_err(|problem| ModelError::Statistics { problem })
    }

    pub fn count(&self) -> usize {
        self.directions.shape()[0]
    }

    pub fn directions(&self) -> impl Iterator<Item = &[f32]> {
        let dims = self.directions.shape()[1];
        self.directions.data().chunks_exact(dims)
    }

    /// A vector less the mean.
    pub fn centre(&self, vector: &[f32]) -> Vec<f32> {
        let pairs = vector.iter().zip(self.mean.data());
        pairs.map(|(value, mean)| value - mean).collect()
    }

    /// A centred vector's coordinates.
    pub fn coordinates(&self, centred: &[f32]) -> Vec<f32> {
        self.directions()
            .map(|direction| dot(centred, direction))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryFeatures, Stream};

    fn centred(images: usize, dims: usize) -> Centred {
        let stream = Stream::new(7, "rows");
        // Each direction with its own spread.
        let value = |i: usize| 3.0 + (stream.uniform(i as u64) - 0.5) * (1 + i % dims) as f32;
        let data = (0..images * dims).map(value).collect();
        let features = MemoryFeatures::new(1, dims, data).expect("fits");
        let all: Vec<usize> = (0..images).collect();
        Centred::read(&features, "Test", &all).expect("reads")
    }

    #[test]
    fn all_components_together_are_the_vectors() {
        for (images, dims) in [(5, 40), (40, 5), (6, 6), (2, 3)] {
            let centred = centred(images, dims);
            let found = centred.components(Keep::Share(1.0), 2, &|_, _| {});
            let found = found.expect("finite").expect("they differ");
            assert_eq!(found.count(), dims.min(images - 1), "{images} x {dims}");
            for row in centred.rows() {
                let coordinates = found.coordinates(row);
                for (d, &value) in row.iter().enumerate() {
                    let made: f32 = found
                        .directions()
                        .zip(&coordinates)
                        .map(|(direction, y)| direction[d] * y)
                        .sum();
                    assert!((made - value).abs() < 1e-4, "{images} x {dims}");
                }
            }
            let squares: f64 = centred.rows().map(|row| dot_f64(row, row)).sum();
            let spreads: f64 = found.spreads.iter().map(|s| s * s).sum();
            assert!((squares / spreads - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn components_are_kept_by_share_or_count_and_noise_never() {
        let variances = [5.0, 3.0, 1.0, 1.0, 1e-13];
        for (keep, expected) in [
            (Keep::Share(0.5), 1),
            (Keep::Share(0.51), 2),
            (Keep::Share(0.8), 2),
            (Keep::Share(0.9), 3),
            (Keep::Share(1.0), 4),
            (Keep::Count(3), 3),
            (Keep::Count(9), 4),
        ] {
            assert_eq!(kept(&variances, keep), expected, "{keep:?}");
        }
    }

    #[test]
    fn equal_vectors_have_no_components_and_threads_change_nothing() {
        let features = MemoryFeatures::new(1, 4, vec![0.25; 12]).expect("fits");
        let equal = Centred::read(&features, "Test", &[0, 1, 2]).expect("reads");
        let found = equal.components(Keep::Share(0.9), 1, &|_, _| {});
        assert!(found.expect("finite").is_none());
        let centred = centred(30, 70);
        let by = |threads| {
            let found = centred.components(Keep::Count(9), threads, &|_, _| {});
            found.expect("finite").expect("they differ").directions
        };
        assert_eq!(by(1), by(3));
    }
}
