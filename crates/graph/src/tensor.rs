//! Dense f32 tensors in row-major order, cheap to clone, as graphs and state dictionaries hold them.

use std::fmt;
use std::sync::Arc;

use crate::GraphError;

/// A dense tensor. Cloning shares the data.
///
/// `data.len()` is the product of `shape`; [`Tensor::new`] checks it, and so does the builder when a tensor
/// becomes a constant.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first. Empty for a scalar.
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub data: Arc<[f32]>,
}

impl Tensor {
    /// A tensor of `shape` over `data`; an error if the element counts differ.
    pub fn new(
        shape: impl Into<Vec<usize>>,
        data: impl Into<Arc<[f32]>>,
    ) -> Result<Self, GraphError> {
        let tensor = Tensor {
            shape: shape.into(),
            data: data.into(),
        };
        tensor.check()?;
        Ok(tensor)
    }

    /// A tensor without axes.
    pub fn scalar(value: f32) -> Self {
        Tensor {
            shape: Vec::new(),
            data: Arc::from([value]),
        }
    }

    /// A tensor with one axis.
    pub fn vector(data: impl Into<Arc<[f32]>>) -> Self {
        let data = data.into();
        Tensor {
            shape: vec![data.len()],
            data,
        }
    }

    /// The extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The same elements under another shape of the same element count.
    pub fn reshaped(&self, shape: impl Into<Vec<usize>>) -> Result<Self, GraphError> {
        Tensor::new(shape, Arc::clone(&self.data))
    }

    pub(crate) fn check(&self) -> Result<(), GraphError> {
        let wanted = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if wanted == Some(self.data.len()) {
            Ok(())
        } else {
            Err(GraphError::TensorLength {
                shape: self.shape.clone(),
                len: self.data.len(),
            })
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape)
    }
}
