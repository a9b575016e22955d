//! ONNX Runtime: opened at run time, one session of one thread for each of ours.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use graph::Graph;
use ort::environment::Environment;
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use crate::image_model::image_size;
use crate::ports::{Ports, has_precision};
use crate::{
    CPU, CompileOptions, Compiled, Engine, EngineError, ImageModel, ImageSession, Output,
    Precision, Session, library,
};

const NAME: &str = "onnxruntime";
const FILE: &str = "libonnxruntime.so";

/// ONNX Runtime, loaded.
pub(crate) struct OnnxRuntime {
    loaded: Arc<Loaded>,
}

/// The library can be loaded once in a process.
struct Loaded {
    path: PathBuf,
    environment: Environment,
}

impl OnnxRuntime {
    pub(crate) fn open() -> Result<Self, EngineError> {
        static LOADED: OnceLock<Arc<Loaded>> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let _alone = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = LOADED.get() {
            return Ok(OnnxRuntime {
                loaded: Arc::clone(loaded),
            });
        }
        let path = library::find(NAME, FILE)?;
        let failed = |message: String| EngineError::Load {
            engine: NAME,
            path: path.clone(),
            message,
        };
        let environment = ort::init_from(&path)
            .map_err(|e| failed(e.to_string()))?
            .with_telemetry(false)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let loaded = Arc::new(Loaded { path, environment });
        let loaded = Arc::clone(LOADED.get_or_init(|| loaded));
        Ok(OnnxRuntime { loaded })
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &'static str {
        NAME
    }

    /// The file's name ends with the version: of the file that a link leads to or, in a copy that has followed its links, of
    /// the same file beside it.
    fn version(&self) -> String {
        let version = |file: &Path| {
            let name = file.file_name()?.to_str()?;
            let (_, version) = name.split_once(".so.")?;
            Some(version.to_owned())
        };
        let path = &self.loaded.path;
        let linked = path.canonicalize().ok();
        let size = |file: &Path| Some(file.metadata().ok()?.len());
        let twin = || {
            let beside = path.parent()?.read_dir().ok()?.flatten();
            let mut beside = beside.map(|entry| entry.path()).filter(|file| {
                let name = file.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with(FILE)) && size(file) == size(path)
            });
            beside.find_map(|file| version(&file))
        };
        let found = linked.as_deref().and_then(version).or_else(twin);
        found.unwrap_or_else(|| "unknown".to_owned())
    }

    fn native_file(&self) -> Option<PathBuf> {
        Some(self.loaded.path.clone())
    }

    fn compile(
        &self,
        graph: &Graph,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError> {
        let ports = Ports::new(NAME, graph, options, &[Precision::F32])?;
        let onnx = graph::onnx::write(graph, Some(options.batch)).map_err(|source| {
            EngineError::Graph {
                engine: NAME,
                source,
            }
        })?;
        self.made_ready(From::Memory(onnx), ports)
    }

    fn compile_file(
        &self,
        file: &Path,
        graph: &Graph,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError> {
        self.made_ready(
            From::File(file.to_owned()),
            Ports::new(NAME, graph, options, &[Precision::F32])?,
        )
    }

    fn open_file(
        &self,
        file: &Path,
        options: &CompileOptions,
    ) -> Result<Box<dyn ImageModel>, EngineError> {
        has_precision(NAME, CPU, options.precision, &[Precision::F32])?;
        let from = From::File(file.to_owned());
        let build = |_| build(&self.loaded.environment, &from);
        let sessions: Vec<_> = (0..options.sessions.max(1))
            .map(build)
            .collect::<Result<_, _>>()?;
        let (inputs, outputs) = match sessions.first() {
            Some(session) => (session.inputs(), session.outputs()),
            None => (&[][..], &[][..]),
        };
        let extents = |input: &Outlet| match input.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                // An open extent is negative.
                let extents = shape.iter().map(|extent| usize::try_from(*extent).ok());
                (*ty == TensorElementType::Float32, extents.collect())
            }
            _ => (false, Vec::new()),
        };
        let (is_f32, extents) = inputs.first().map(extents).unwrap_or_default();
        Ok(Box::new(OnnxFile {
            image_size: image_size(NAME, inputs.len(), is_f32, &extents)?,
            names: outputs
                .iter()
                .map(|output| output.name().to_owned())
                .collect(),
            free: Arc::new(Mutex::new(sessions)),
        }))
    }
}

/// All sessions are made when the file is opened, which may be gone later; they are handed out and come back.
struct OnnxFile {
    image_size: Option<[usize; 2]>,
    names: Vec<String>,
    free: Arc<Mutex<Vec<ort::session::Session>>>,
}

impl ImageModel for OnnxFile {
    fn image_size(&self) -> Option<[usize; 2]> {
        self.image_size
    }

    fn output_names(&self) -> &[String] {
        &self.names
    }

    fn session(&self) -> Result<Box<dyn ImageSession>, EngineError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let session = free.pop().ok_or_else(|| {
            EngineError::native(NAME, "making a session", "all of them are at work")
        })?;
        Ok(Box::new(OnnxFileSession {
            session: Some(session),
            free: Arc::clone(&self.free),
        }))
    }
}

struct OnnxFileSession {
    /// Until it is dropped.
    session: Option<ort::session::Session>,
    free: Arc<Mutex<Vec<ort::session::Session>>>,
}

impl Drop for OnnxFileSession {
    fn drop(&mut self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.session.take());
    }
}

impl ImageSession for OnnxFileSession {
    fn run(
        &mut self,
        image: &[f32],
        [height, width]: [usize; 2],
    ) -> Result<Vec<Output>, EngineError> {
        let failed = |e: ort::Error| EngineError::native(NAME, "inference", e);
        let Some(session) = &mut self.session else {
            return Err(EngineError::native(
                NAME,
                "inference",
                "the session is gone",
            ));
        };
        let tensor = TensorRef::from_array_view(([1, 3, height, width], image)).map_err(failed)?;
        let results = session.run(ort::inputs![tensor]).map_err(failed)?;
        let mut outputs = Vec::new();
        for (name, value) in results.iter() {
            if value.dtype().tensor_type() != Some(TensorElementType::Float32) {
                continue;
            }
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed)?;
            let extents = shape
                .iter()
                .map(|extent| usize::try_from(*extent).unwrap_or(0));
            outputs.push(Output {
                name: name.to_owned(),
                shape: extents.collect(),
                values: values.to_vec(),
            });
        }
        Ok(outputs)
    }
}

impl OnnxRuntime {
    fn made_ready(&self, from: From, ports: Ports) -> Result<Box<dyn Compiled>, EngineError> {
        let compiled = OnnxCompiled {
            loaded: Arc::clone(&self.loaded),
            from,
            ports,
            first: Mutex::new(None),
        };
        // The first session is made now, so that a graph the library refuses fails here.
        let first = build(&compiled.loaded.environment, &compiled.from)?;
        *compiled
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(first);
        Ok(Box::new(compiled))
    }
}

/// Where the graph's ONNX form is.
enum From {
    Memory(Vec<u8>),
    File(PathBuf),
}

struct OnnxCompiled {
    loaded: Arc<Loaded>,
    from: From,
    ports: Ports,
    first: Mutex<Option<ort::session::Session>>,
}

fn build(environment: &Environment, from: &From) -> Result<ort::session::Session, EngineError> {
    let failed = |message: String| EngineError::native(NAME, "compiling the graph", message);
    let mut builder = ort::session::Session::builder(environment)
        .map_err(|e| failed(e.to_string()))?
        .with_intra_threads(1)
        .map_err(|e| failed(e.to_string()))?
        .with_inter_threads(1)
        .map_err(|e| failed(e.to_string()))?
        .with_intra_op_spinning(false)
        .map_err(|e| failed(e.to_string()))?
        .with_inter_op_spinning(false)
        .map_err(|e| failed(e.to_string()))?;
    match from {
        From::Memory(onnx) => builder.commit_from_memory(onnx),
        From::File(file) => builder.commit_from_file(file),
    }
    .map_err(|e| failed(e.to_string()))
}

impl Compiled for OnnxCompiled {
    /// `ort`'s sessions run one at a time, so each of ours has its own; each holds its own constants.
    fn session(&self) -> Result<Box<dyn Session>, EngineError> {
        let first = self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let session = match first {
            Some(session) => session,
            None => build(&self.loaded.environment, &self.from)?,
        };
        Ok(Box::new(OnnxSession {
            session,
            ports: self.ports.clone(),
        }))
    }
}

struct OnnxSession {
    session: ort::session::Session,
    ports: Ports,
}

impl Session for OnnxSession {
    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [Vec<f32>]) -> Result<(), EngineError> {
        self.ports.check(inputs, outputs)?;
        let failed = |e: ort::Error| EngineError::native(NAME, "inference", e);
        let mut named = Vec::with_capacity(inputs.len());
        for (port, data) in self.ports.inputs.iter().zip(inputs) {
            let tensor =
                TensorRef::from_array_view((port.shape.as_slice(), *data)).map_err(failed)?;
            named.push((port.name.as_str(), tensor));
        }
        let results = self.session.run(named).map_err(failed)?;
        for (port, output) in self.ports.outputs.iter().zip(outputs) {
            let value = &results[port.name.as_str()];
            let (_, data) = value.try_extract_tensor::<f32>().map_err(failed)?;
            if data.len() != output.len() {
                return Err(EngineError::Buffer {
                    engine: NAME,
                    port: format!("output {:?}", port.name),
                    expected: output.len(),
                    found: data.len(),
                });
            }
            output.copy_from_slice(data);
        }
        Ok(())
    }
}
