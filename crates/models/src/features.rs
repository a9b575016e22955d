//! Where features come from while a model learns: read piece by piece, so that they need not fit in memory.

use std::ops::Range;

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
