//! Opening engines by name, and saying which of them can be opened here.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::{Choice, Engine, EngineError, Precision};

/// What is known about one engine on this machine.
#[derive(Debug)]
pub struct EngineInfo {
    /// `openvino`, `onnxruntime` or `torch-cpu`.
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
        Choice::TorchCpu => match TORCH.get() {
            Some(open) => Ok(open()),
            None => Err(EngineError::NotLinked {
                engine: "torch-cpu",
            }),
        },
    }
}

static TORCH: OnceLock<fn() -> Box<dyn Engine>> = OnceLock::new();

/// Lets [`open`] find libtorch; called by `engines_torch::link`.
///
/// libtorch is loaded before `main`, which makes every start slower, so only programs that ask for it have it.
pub fn link_torch(open: fn() -> Box<dyn Engine>) {
    // The first one stays; there is one libtorch in a process.
    let _ = TORCH.set(open);
}

#[cfg(not(all(feature = "onnxruntime", feature = "openvino")))]
fn not_built(engine: &'static str, feature: &'static str) -> EngineError {
    EngineError::NotBuilt { engine, feature }
}

/// Tries each engine.
pub fn probe() -> Vec<EngineInfo> {
    [Choice::OpenVino, Choice::OnnxRuntime, Choice::TorchCpu]
        .into_iter()
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
