//! What can go wrong between a graph and its results.

use std::path::PathBuf;

use graph::GraphError;

/// An error of an engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Not one of the names.
    #[error(
        "unknown engine {name:?}; there are auto, openvino, onnxruntime, torch-cpu, torch-cuda"
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Left out when the program was built.
    #[error(
        "this program was built without the engine {engine}; build it with the cargo feature {feature:?}"
    )]
    NotBuilt {
        /// The engine.
        engine: &'static str,
        /// The feature that has it.
        feature: &'static str,
    },
    /// In the build, but not in this program.
    #[error(
        "{engine} is not linked to this program, which starts faster without it; use the one that has it"
    )]
    NotLinked {
        /// The engine.
        engine: &'static str,
    },
    /// The native library is nowhere.
    #[error(
        "{engine}: found no {file} in {}; run `make setup`, or name its folder with NIGHTSHIFT_NATIVE_DIR; the workers that have it are those with {engine} in `ctl get workers`",
        folders(looked_in)
    )]
    NotFound {
        /// The engine.
        engine: &'static str,
        /// The file looked for.
        file: &'static str,
        /// The folders, in order.
        looked_in: Vec<PathBuf>,
    },
    /// The native library is there and cannot be used.
    #[error("{engine}: cannot load {}: {message}", path.display())]
    Load {
        /// The engine.
        engine: &'static str,
        /// The library.
        path: PathBuf,
        /// What the loader or the library said.
        message: String,
    },
    /// The half of libtorch that computes on GPUs is not there, or cannot be loaded.
    #[error(
        "{engine}: cannot load the CUDA half of libtorch: {message}; `make setup CUDA=1` brings it to the other native libraries"
    )]
    NoCuda {
        /// The engine.
        engine: &'static str,
        /// What the loader said.
        message: String,
    },
    /// There is no GPU, or no driver of one.
    #[error(
        "{engine} finds no GPU: {message}; `nvidia-smi` tells what the driver finds, and CUDA_VISIBLE_DEVICES what of that is shown"
    )]
    NoGpu {
        /// The engine.
        engine: &'static str,
        /// What the library said.
        message: String,
    },
    /// A GPU refused to go on. It does so to everything that the process asks of it from then on.
    #[error("{engine}: {what} failed on the GPU: {message}")]
    Gpu {
        /// The engine.
        engine: &'static str,
        /// What was attempted.
        what: String,
        /// The library's message, first line.
        message: String,
    },
    /// The graph has no ONNX form.
    #[error("{engine}: the graph cannot be written as ONNX")]
    Graph {
        /// The engine.
        engine: &'static str,
        /// Why.
        #[source]
        source: GraphError,
    },
    /// It writes no files.
    #[error("{engine} writes no files")]
    NoFiles {
        /// The engine.
        engine: &'static str,
    },
    /// It reads no files of other programs.
    #[error("{engine} reads no model files of other programs; openvino and onnxruntime do")]
    NoModelFiles {
        /// The engine.
        engine: &'static str,
    },
    /// A file of another program that does not take images.
    #[error("{engine}: its input is no image [N, 3, H, W] of f32, but {found}")]
    NoImageInput {
        /// The engine.
        engine: &'static str,
        /// What it takes.
        found: String,
    },
    /// A file of another program that takes images of a size that no image is made to.
    #[error("{engine}: its input is an image of {height} x {width}; sides are 1 to {most} pixels")]
    ImageSize {
        /// The engine.
        engine: &'static str,
        /// In pixels, like the others.
        height: usize,
        /// As above.
        width: usize,
        /// The longest side.
        most: usize,
    },
    /// The library refused the graph.
    #[error("{engine}: {what} failed: {message}")]
    Native {
        /// The engine.
        engine: &'static str,
        /// What was attempted.
        what: String,
        /// The library's message, first line.
        message: String,
    },
    /// The library got no memory.
    #[error("{engine}: {what} failed for want of memory: {message}")]
    OutOfMemory {
        /// The engine.
        engine: &'static str,
        /// What was attempted.
        what: String,
        /// The library's message, first line.
        message: String,
    },
    /// `run` was called with other buffers than the graph has ports.
    #[error("{engine}: {port} takes {expected}, got {found}")]
    Buffer {
        /// The engine.
        engine: &'static str,
        /// The port, or `inputs` and `outputs` for their number.
        port: String,
        /// Elements or buffers.
        expected: usize,
        /// Elements or buffers.
        found: usize,
    },
    /// `NIGHTSHIFT_OPENVINO_DEVICE` names what is not here.
    #[error(
        "{engine} finds no device {wanted:?} (NIGHTSHIFT_OPENVINO_DEVICE), only {}; its plugin and what that needs belong into the folder of the native libraries",
        some(found)
    )]
    NoDevice {
        /// The engine.
        engine: &'static str,
        /// As asked for.
        wanted: String,
        /// By the library's names.
        found: Vec<String>,
    },
    /// Numbers of another kind than the device has instructions for: emulated they would gain nothing.
    #[error(
        "{engine} cannot compute in {precision} on {device} here, only in {}; leave `precision` out, or let a worker do it whose processor has {precision} instructions (`resources.labels` choose one)",
        present.join(" and ")
    )]
    Precision {
        /// The engine.
        engine: &'static str,
        /// By its name.
        device: String,
        /// As asked for.
        precision: &'static str,
        /// What it has instead.
        present: Vec<&'static str>,
    },
    /// The library took another precision than it was told to.
    #[error("{engine} was to compute in {asked} and would in {found}")]
    OtherPrecision {
        /// The engine.
        engine: &'static str,
        /// As asked for.
        asked: &'static str,
        /// The library's word.
        found: String,
    },
    /// Zero images or zero sessions.
    #[error("{engine}: batch {batch} and sessions {sessions} must both be at least 1")]
    Options {
        /// The engine.
        engine: &'static str,
        /// As asked for.
        batch: usize,
        /// As asked for.
        sessions: usize,
    },
}

impl EngineError {
    /// A failed call of a native library.
    pub fn native(
        engine: &'static str,
        what: impl Into<String>,
        message: impl std::fmt::Display,
    ) -> Self {
        // Native messages carry C++ stacks after the first line.
        let message = message.to_string();
        let first = message
            .lines()
            .find(|l| !l.trim().is_empty())
            .unwrap_or("no message");
        let (what, first) = (what.into(), first.trim().to_owned());
        // Native libraries have no other way to say it.
        if NO_MEMORY.iter().any(|words| message.contains(words)) {
            return EngineError::OutOfMemory {
                engine,
                what,
                message: first,
            };
        }
        if GPU_FAILED.iter().any(|words| message.contains(words)) {
            return EngineError::Gpu {
                engine,
                what,
                message: first,
            };
        }
        EngineError::Native {
            engine,
            what,
            message: first,
        }
    }
}

/// Of CUDA's runtime and libraries, as torch tells them.
const GPU_FAILED: [&str; 4] = [
    "CUDA error",
    "CUDA driver error",
    "cuDNN error",
    "CUDNN_STATUS",
];

/// Of C++'s allocator, of torch's (two versions; for GPUs), and of ONNX Runtime's.
const NO_MEMORY: [&str; 5] = [
    "CUDA out of memory",
    "bad_alloc",
    "can't allocate memory",
    "not enough memory",
    "Failed to allocate memory",
];

/// All of them, or that there is none.
fn some(words: &[String]) -> String {
    match words {
        [] => "none".to_owned(),
        words => words.join(", "),
    }
}

fn folders(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    paths.join(", ")
}

#[cfg(test)]
mod tests {
    use super::EngineError;

    #[test]
    fn a_library_without_memory_is_told_from_one_with_a_fault() {
        for message in [
            "std::bad_alloc",
            "Check 'false' failed at core.cpp:108:\nException: std::bad_alloc",
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes",
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 15.77 GiB",
        ] {
            let error = EngineError::native("openvino", "inference", message);
            assert!(matches!(error, EngineError::OutOfMemory { .. }), "{error}");
        }
        let error = EngineError::native("openvino", "inference", "unsupported operation");
        assert!(matches!(error, EngineError::Native { .. }), "{error}");
    }

    #[test]
    fn a_gpu_that_refuses_to_go_on_is_told_from_a_fault_of_the_library() {
        for message in [
            "CUDA error: an illegal memory access was encountered",
            "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
            "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        ] {
            let error = EngineError::native("torch-cuda", "conv2d", message);
            assert!(matches!(error, EngineError::Gpu { .. }), "{error}");
        }
    }
}
