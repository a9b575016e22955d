//! Executions of graphs: one trait, three native libraries behind it.
//!
//! | choice | library | how it gets the graph |
//! | --- | --- | --- |
//! | `torch-cpu` | libtorch, linked to programs that call `engines_torch::link` | node by node, freeing each value at its last use |
//! | `torch-cuda` | the same, and its CUDA half, loaded when first used | the same way, on the first GPU that the process sees |
//! | `onnxruntime` | ONNX Runtime, opened when first used | the graph's ONNX form, in memory |
//! | `openvino` | OpenVINO, opened when first used | the graph's ONNX form, in memory |
//!
//! All compute in f32 unless they are asked for another precision that they have, one thread a session. What the contract suite (`tests/contract`) holds about bits, each
//! engine compared with itself: at one batch size an image has the same bits at every place, beside any others, in
//! a padded tail, and with two sessions at work. With ONNX Runtime and OpenVINO a network's bits are also the same
//! at batch 1 and 8; with libtorch they are not.

mod cpu;
mod engine;
mod error;
mod image_model;
mod library;
mod ports;
mod probe;

#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "openvino")]
mod openvino;

pub use cpu::cpu_features;
pub use engine::{CPU, Choice, CompileOptions, Compiled, Engine, Precision, Session};
pub use error::EngineError;
pub use image_model::{ImageModel, ImageSession, Output};
pub use ports::{PortSize, Ports};
pub use probe::{EngineInfo, Torch, has_torch_file, link_torch, open, probe};
