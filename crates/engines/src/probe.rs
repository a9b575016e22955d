//! Opening engines by name, and saying which of them can be opened here.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::{Choice, Engine, EngineError, Precision};

/// What is known about one engine on this machine.
#[derive(Debug)]
pub struct EngineInfo {
    /// `openvino`, `onnxruntime`, `torch-cpu` or `torch-cuda`.
    pub name: &'static str,
    /// The library's version if it could be loaded.
    pub version: Option<String>,
    /// Where it was loaded from.
    pub path: Option<PathBuf>,
    /// What it computes on; nothing if it cannot be used.
    pub devices: Vec<String>,
    /// All devices that the library finds, by its own names.
    pub found_devices: Vec<String>,
    /// Of the numbers that it can compute with.
    pub precisions: Vec<Precision>,
    /// Why it cannot be used.
    pub error: Option<EngineError>,
}

impl EngineInfo {
    /// Whether the engine can be used.
    pub fn found(&self) -> bool {
        self.error.is_none()
    }
}

/// Loads the engine's library, if that has not happened yet in this process.
pub fn open(choice: Choice) -> Result<Box<dyn Engine>, EngineError> {
    match choice.resolved() {
        #[cfg(feature = "openvino")]
        Choice::Auto | Choice::OpenVino => Ok(Box::new(crate::openvino::OpenVino::open()?)),
        #[cfg(not(feature = "openvino"))]
        Choice::Auto | Choice::OpenVino => Err(not_built("openvino", "openvino")),
        #[cfg(feature = "onnxruntime")]
        Choice::OnnxRuntime => Ok(Box::new(crate::onnxruntime::OnnxRuntime::open()?)),
        #[cfg(not(feature = "onnxruntime"))]
        Choice::OnnxRuntime => Err(not_built("onnxruntime", "onnxruntime")),
        torch @ (Choice::TorchCpu | Choice::TorchCuda) => match TORCH.get() {
            Some(linked) if torch == Choice::TorchCpu => Ok((linked.cpu)()),
            Some(linked) => (linked.cuda)(),
            None => Err(EngineError::NotLinked {
                engine: torch.name(),
            }),
        },
    }
}

/// The engines of a program that is linked to libtorch.
pub struct Torch {
    /// It is loaded, or `main` would not have been reached.
    pub cpu: fn() -> Box<dyn Engine>,
    /// Its CUDA half is loaded then.
    pub cuda: fn() -> Result<Box<dyn Engine>, EngineError>,
}

static TORCH: OnceLock<Torch> = OnceLock::new();

/// Lets [`open`] find libtorch; called by `engines_torch::link`.
///
/// libtorch is loaded before `main`, which makes every start slower, so only programs that ask for it have it.
pub fn link_torch(torch: Torch) {
    // The first one stays; there is one libtorch in a process.
    let _ = TORCH.set(torch);
}

#[cfg(not(all(feature = "onnxruntime", feature = "openvino")))]
fn not_built(engine: &'static str, feature: &'static str) -> EngineError {
    EngineError::NotBuilt { engine, feature }
}

/// Whether libtorch, which only the loader opens, lies where the other libraries are.
pub fn has_torch_file() -> bool {
    crate::library::find("torch-cpu", "libtorch_cpu.so").is_ok()
}

/// Tries each engine.
pub fn probe() -> Vec<EngineInfo> {
    Choice::ALL
        .into_iter()
        .map(|(choice, _)| choice)
        .filter(|choice| *choice != Choice::Auto)
        .map(|choice| match open(choice) {
            Ok(engine) => EngineInfo {
                name: choice.name(),
                version: Some(engine.version()),
                path: engine.native_file(),
                devices: engine.devices(),
                found_devices: engine.found_devices(),
                precisions: engine.precisions(),
                error: None,
            },
            Err(error) => EngineInfo {
                name: choice.name(),
                version: None,
                path: None,
                devices: Vec::new(),
                found_devices: Vec::new(),
                precisions: Vec::new(),
                error: Some(error),
            },
        })
        .collect()
}
