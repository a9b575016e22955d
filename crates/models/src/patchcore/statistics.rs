//! What PatchCore learns, under the names and shapes in which a package stores it.

use graph::Tensor;

use crate::{ModelError, Statistics};

/// The patches that stand for everything normal.
#[derive(Debug, Clone)]
pub(super) struct Bank {
    /// [rows, dims], in the order in which they were picked.
    pub rows: Tensor,
}

impl Bank {
    /// `coverage`: how far a patch of the train set is from the bank at most, where the bank was chosen part by part.
    pub(super) fn into_statistics(self, images: usize, coverage: Option<f32>) -> Statistics {
        let mut statistics = Statistics::from([
            ("bank".to_owned(), self.rows),
            // Whole numbers below 2^24 are exact in f32.
            ("images".to_owned(), Tensor::vector(vec![images as f32])),
        ]);
        statistics.extend(coverage.map(|most| ("coverage".to_owned(), Tensor::vector(vec![most]))));
        statistics
    }

    /// Refuses a bank of patches of other than `dims` dimensions.
    pub(super) fn read(statistics: &Statistics, dims: usize) -> Result<Self, ModelError> {
        let problem = match statistics.get("bank") {
            None => "`bank` is missing".to_owned(),
            Some(rows) => match rows.shape() {
                [count, width] if *width == dims && *count > 0 => {
                    return Ok(Self { rows: rows.clone() });
                }
                shape => {
                    format!(
                        "`bank` has the shape {shape:?}, the model's patches have {dims} dimensions"
                    )
                }
            },
        };
        Err(ModelError::Statistics { problem })
    }

    pub(super) fn count(&self) -> usize {
        self.rows.shape()[0]
    }

    pub(super) fn dims(&self) -> usize {
        self.rows.shape()[1]
    }

    pub(super) fn row(&self, index: usize) -> &[f32] {
        &self.rows.data()[index * self.dims()..(index + 1) * self.dims()]
    }
}
