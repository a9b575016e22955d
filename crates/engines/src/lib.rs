//! Executions of graphs: one trait, three native engines behind it.
//!
//! | choice | library | how it gets the graph |
//! | --- | --- | --- |
//! | `torch-cpu` | libtorch, linked to programs that call `engines_torch::link` | node by node, freeing each value at its last use |
//! | `onnxruntime` | ONNX Runtime, opened when first used | the graph's ONNX form, in memory |
//! | `openvino` | OpenVINO, opened when first used | the graph's ONNX form, in memory |
//!
//! All compute in f32. For ONNX Runtime and OpenVINO the contract suite (`tests/contract.rs`) holds that an image
//! has the same bits at every batch position, in a padded tail and with several sessions at work; libtorch
//! promises that only for equal batch shapes.

mod cpu;
mod engine;
mod error;
mod library;
mod ports;
mod probe;

#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "openvino")]
mod openvino;

pub use cpu::cpu_features;
pub use engine::{Choice, CompileOptions, Compiled, Engine, Session};
pub use error::EngineError;
pub use ports::{PortSize, Ports};
pub use probe::{EngineInfo, link_torch, open, probe};
