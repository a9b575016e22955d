//! Computation graphs of models: built with checked shapes, rewritten, and written as ONNX; no engine in here.
//!
//! A model says once, with a [`Builder`], how an image becomes a score. The `engines` crate executes the [`Graph`].

mod builder;
mod error;
mod graph;
pub mod onnx;
mod op;
pub mod rewrite;
mod shape;
mod tensor;

pub use builder::{BatchNorm, Builder};
pub use error::GraphError;
pub use graph::{Graph, Kind, Node, Port, Value, ValueInfo};
pub use op::{
    Binary, Compare, Conv2d, ConvTranspose2d, Interpolation, Op, PadMode, Pool2d, Reduce, Unary,
};
pub use shape::{Dim, Shape};
pub use tensor::Tensor;
