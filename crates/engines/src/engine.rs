//! What every engine can do, and the names under which engines are chosen.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use graph::Graph;

use crate::{EngineError, ImageModel};

/// The processors, among devices.
pub const CPU: &str = "cpu";

/// Of the numbers that an engine computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Every engine's.
    #[default]
    F32,
    /// An f32 without the lower 16 of its bits.
    Bf16,
}

impl Precision {
    /// As in job files and result rows; OpenVINO's words are the same.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// A native library that executes graphs.
pub trait Engine: Send + Sync {
    /// As in job files and result rows: `torch-cuda`, `torch-cpu`, `onnxruntime`, `openvino`.
    fn name(&self) -> &'static str;

    /// The library's version.
    fn version(&self) -> String;

    /// The library's file, if the system's loader did not choose it.
    fn native_file(&self) -> Option<PathBuf>;

    /// What it can compute on here: `cpu`, or GPUs such as `cuda:0`, by the numbers that this process sees.
    fn devices(&self) -> Vec<String> {
        vec![CPU.to_owned()]
    }

    /// What it computes on: one of [`Self::devices`].
    fn device(&self) -> String {
        CPU.to_owned()
    }

    /// All devices that the library finds, by its own names, also those that it is not to compute on.
    fn found_devices(&self) -> Vec<String> {
        self.devices()
    }

    /// What the device has instructions for.
    fn precisions(&self) -> Vec<Precision> {
        vec![Precision::F32]
    }

    /// Prepares a graph for one batch size and a number of sessions at work at once.
    fn compile(
        &self,
        graph: &Graph,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError>;

    /// Prepares a file that the graph was written to.
    fn compile_file(
        &self,
        file: &Path,
        graph: &Graph,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError>;

    /// Prepares a model file of another program; the batch is always of one image.
    fn open_file(
        &self,
        _file: &Path,
        _options: &CompileOptions,
    ) -> Result<Box<dyn ImageModel>, EngineError> {
        Err(EngineError::NoModelFiles {
            engine: self.name(),
        })
    }

    /// Writes the graph, for batches of any size, as a file of the library's own.
    fn write_file(&self, _graph: &Graph, _file: &Path) -> Result<(), EngineError> {
        Err(EngineError::NoFiles {
            engine: self.name(),
        })
    }
}

/// A graph made ready by an engine; shared by its sessions.
pub trait Compiled: Send + Sync {
    /// A session of its own buffers. Sessions may run at the same time, each in one thread.
    fn session(&self) -> Result<Box<dyn Session>, EngineError>;
}

/// One stream of inferences, computed by one thread.
pub trait Session: Send {
    /// Computes all outputs. Inputs and outputs are in the graph's order; inputs must hold exactly the compiled
    /// batch, outputs are resized to it.
    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [Vec<f32>]) -> Result<(), EngineError>;
}

/// For what a graph is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// Images in each run. Fixed, since a score's bits may depend on it.
    pub batch: usize,
    /// How many sessions run at once, each with one thread.
    pub sessions: usize,
    /// Of the numbers. An engine that cannot compute so refuses.
    pub precision: Precision,
}

impl Default for CompileOptions {
    fn default() -> Self {
        CompileOptions {
            batch: 1,
            sessions: 1,
            precision: Precision::F32,
        }
    }
}

/// Which engine a job asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Choice {
    /// OpenVINO, which is fastest for frozen networks on a CPU.
    #[default]
    Auto,
    /// OpenVINO.
    OpenVino,
    /// ONNX Runtime.
    OnnxRuntime,
    /// libtorch on the CPU.
    TorchCpu,
    /// libtorch on a GPU.
    TorchCuda,
}

impl Choice {
    /// All choices with their names.
    pub const ALL: [(Choice, &'static str); 5] = [
        (Choice::Auto, "auto"),
        (Choice::OpenVino, "openvino"),
        (Choice::OnnxRuntime, "onnxruntime"),
        (Choice::TorchCpu, "torch-cpu"),
        (Choice::TorchCuda, "torch-cuda"),
    ];

    /// The engine that is meant; never `Auto`.
    pub fn resolved(self) -> Choice {
        match self {
            Choice::Auto => Choice::OpenVino,
            other => other,
        }
    }

    /// As in job files.
    pub fn name(self) -> &'static str {
        match self {
            Choice::Auto => "auto",
            Choice::OpenVino => "openvino",
            Choice::OnnxRuntime => "onnxruntime",
            Choice::TorchCpu => "torch-cpu",
            Choice::TorchCuda => "torch-cuda",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Choice {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Self, EngineError> {
        let known = Choice::ALL.into_iter().find(|(_, n)| *n == name);
        known
            .map(|(choice, _)| choice)
            .ok_or_else(|| EngineError::Unknown {
                name: name.to_owned(),
            })
    }
}
