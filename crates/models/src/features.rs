//! Where features come from while a model learns: read piece by piece, so that they need not fit in memory.

use std::ops::Range;

use crate::ModelError;

/// Features [images, positions, dims] of the training images, in a fixed order.
pub trait FeatureSource: Sync {
    fn images(&self) -> usize;

    fn positions(&self) -> usize;

    fn dims(&self) -> usize;

    /// Fills `out` with [images, positions, dims] of the given ranges, row-major. Called from several threads.
    fn read(
        &self,
        images: Range<usize>,
        positions: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Fills `out` with [rows, dims], where row r is position r mod positions of image r / positions. Values that are not finite
/// are an error that names their place.
pub(crate) fn read_rows(
    features: &dyn FeatureSource,
    class: &'static str,
    rows: Range<usize>,
    out: &mut [f32],
) -> Result<(), ModelError> {
    let (positions, dims) = (features.positions(), features.dims());
    let (mut row, mut rest) = (rows.start, &mut *out);
    while row < rows.end {
        let (image, position) = (row / positions, row % positions);
        let count = (positions - position).min(rows.end - row);
        let (here, after) = rest.split_at_mut(count * dims);
        features
            .read(image..image + 1, position..position + count, here)
            .map_err(ModelError::Features)?;
        (row, rest) = (row + count, after);
    }
    match out.iter().position(|value| !value.is_finite()) {
        Some(bad) => {
            let row = rows.start + bad / dims;
            Err(ModelError::Fit {
                class,
                problem: format!(
                    "the features of image {} at position {} are not finite; are these the right weights?",
                    row / positions,
                    row % positions
                ),
            })
        }
        None => Ok(()),
    }
}

/// Features that do fit in memory.
pub struct MemoryFeatures {
    images: usize,
    positions: usize,
    dims: usize,
    data: Vec<f32>,
}

impl MemoryFeatures {
    /// `data` holds [images, positions, dims]; `None` if its length does not fit.
    pub fn new(positions: usize, dims: usize, data: Vec<f32>) -> Option<Self> {
        let image = positions.checked_mul(dims).filter(|&n| n > 0)?;
        data.len().is_multiple_of(image).then_some(Self {
            images: data.len() / image,
            positions,
            dims,
            data,
        })
    }
}

impl FeatureSource for MemoryFeatures {
    fn images(&self) -> usize {
        self.images
    }

    fn positions(&self) -> usize {
        self.positions
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn read(
        &self,
        images: Range<usize>,
        positions: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let length = positions.len() * self.dims;
        for (image, out) in images.zip(out.chunks_exact_mut(length)) {
            let start = (image * self.positions + positions.start) * self.dims;
            out.copy_from_slice(&self.data[start..start + length]);
        }
        Ok(())
    }
}
