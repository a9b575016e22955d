//! OpenVINO: opened at run time; a small network is compiled for each session, a larger one for all with as many streams; one request a session.

mod copies;
mod file;
mod handle;

use std::env;
use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use graph::Graph;
use openvino_sys as sys;

use crate::ports::{PortSize, Ports, has_precision};
use crate::{
    CompileOptions, Compiled, Engine, EngineError, ImageModel, Precision, Session, library,
};
use copies::Copies;
use handle::{CompiledModel, Core, Model, Request, Tensor, checked};

const NAME: &str = "openvino";
const FILE: &str = "libopenvino_c.so";
const PROCESSOR: &str = "CPU";
const PRECISION_HINT: &str = "INFERENCE_PRECISION_HINT";

/// Up to this size each session has a copy of the model. OpenVINO hands an inference to the thread of a stream if a model has several, and
/// the calling thread waits: a wake-up each way, and more threads than cores in between, for some 10 ms of arithmetic. With one
/// stream the calling thread computes. Larger networks take long enough, and their numbers too much memory.
const COPIED_BYTES: u64 = 16 << 20;

/// OpenVINO with the device that it computes on, loaded.
pub(crate) struct OpenVino {
    path: PathBuf,
    core: Core,
    device: CString,
}

/// By OpenVINO's names: `CPU`, which it is without, `GPU`, `NPU`, also with a number, or `AUTO`, which leaves it to OpenVINO.
const DEVICE_VARIABLE: &str = "NIGHTSHIFT_OPENVINO_DEVICE";
const AUTO: &str = "AUTO";

impl OpenVino {
    pub(crate) fn open() -> Result<Self, EngineError> {
        // `load_from` checks and sets a global without holding it in between.
        static LOADING: Mutex<()> = Mutex::new(());
        let _alone = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        let path = library::find(NAME, FILE)?;
        sys::library::load_from(&path).map_err(|message| EngineError::Load {
            engine: NAME,
            path: path.clone(),
            message,
        })?;
        let mut core = ptr::null_mut();
        // SAFETY: the library is loaded; `core` is written on success only, which `checked` reports.
        checked("starting", unsafe { sys::ov_core_create(&mut core) })?;
        let core = Core(core);
        let device = chosen_device(&core)?;
        Ok(OpenVino { path, core, device })
    }

    /// As in result rows.
    fn device_name(&self) -> String {
        self.device.to_string_lossy().to_ascii_lowercase()
    }

    fn read(&self, onnx: &[u8]) -> Result<Model, EngineError> {
        let mut model = ptr::null_mut();
        // SAFETY: the buffer outlives the call, which copies what it keeps; no separate weights.
        let status = unsafe {
            sys::ov_core_read_model_from_memory_buffer(
                self.core.0,
                onnx.as_ptr().cast(),
                onnx.len(),
                ptr::null(),
                &mut model,
            )
        };
        checked("reading the graph", status)?;
        Ok(Model(model))
    }

    /// An ONNX file, or one of OpenVINO's own with its numbers beside it.
    fn read_file(&self, file: &Path) -> Result<Model, EngineError> {
        let path = CString::new(file.as_os_str().as_bytes())
            .map_err(|e| EngineError::native(NAME, "reading a file", e))?;
        let mut model = ptr::null_mut();
        // SAFETY: the path outlives the call; without a second path the numbers are looked for beside the file.
        let status =
            unsafe { sys::ov_core_read_model(self.core.0, path.as_ptr(), ptr::null(), &mut model) };
        checked("reading a file", status)?;
        Ok(Model(model))
    }
}

/// The one that the environment names, if there is such.
fn chosen_device(core: &Core) -> Result<CString, EngineError> {
    let wanted = env::var(DEVICE_VARIABLE).unwrap_or_default();
    let wanted = match wanted.trim().to_ascii_uppercase() {
        empty if empty.is_empty() => PROCESSOR.to_owned(),
        named => named,
    };
    let found = core.devices()?;
    let name =
        CString::new(wanted.as_str()).map_err(|e| EngineError::native(NAME, "starting", e))?;
    let is_there = match wanted.as_str() {
        // Not a device, but a plugin that chooses one.
        AUTO => core.property(&name, c"SUPPORTED_PROPERTIES").is_ok(),
        _ => found
            .iter()
            .any(|one| *one == wanted || one.split('.').next() == Some(&wanted)),
    };
    if is_there {
        return Ok(name);
    }
    Err(EngineError::NoDevice {
        engine: NAME,
        wanted,
        found,
    })
}

/// Of a model's file and of the numbers beside it.
fn bytes_of(file: &Path) -> u64 {
    let numbers = file.with_extension("bin");
    let both = [file, &numbers].map(|path| path.metadata().map_or(0, |metadata| metadata.len()));
    both.iter().sum()
}

impl Engine for OpenVino {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        let mut version = sys::ov_version_t {
            buildNumber: ptr::null(),
            description: ptr::null(),
        };
        // SAFETY: on success the strings are valid until `ov_version_free`.
        unsafe {
            if sys::ov_get_openvino_version(&mut version) != sys::ov_status_e::OK
                || version.buildNumber.is_null()
            {
                return "unknown".to_owned();
            }
            let text = CStr::from_ptr(version.buildNumber)
                .to_string_lossy()
                .into_owned();
            sys::ov_version_free(&mut version);
            text
        }
    }

    fn native_file(&self) -> Option<PathBuf> {
        Some(self.path.clone())
    }

    fn devices(&self) -> Vec<String> {
        vec![self.device_name()]
    }

    fn device(&self) -> String {
        self.device_name()
    }

    fn found_devices(&self) -> Vec<String> {
        self.core.devices().unwrap_or_default()
    }

    /// Without instructions OpenVINO would emulate bf16 or take another precision: both are no help.
    fn precisions(&self) -> Vec<Precision> {
        let capabilities = self
            .core
            .property(&self.device, c"OPTIMIZATION_CAPABILITIES");
        let has_bf16 =
            capabilities.is_ok_and(|words| words.split_whitespace().any(|w| w == "BF16"));
        let bf16 = has_bf16.then_some(Precision::Bf16);
        [Precision::F32].into_iter().chain(bf16).collect()
    }

    fn compile(
        &self,
        graph: &Graph,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError> {
        let ports = Ports::new(NAME, graph, options, &self.precisions())?;
        let onnx = graph::onnx::write(graph, Some(options.batch)).map_err(|source| {
            EngineError::Graph {
                engine: NAME,
                source,
            }
        })?;
        let (model, bytes) = (self.read(&onnx)?, onnx.len() as u64);
        drop(onnx);
        self.made_ready(&model, bytes, ports, options)
    }

    fn compile_file(
        &self,
        file: &Path,
        graph: &Graph,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError> {
        let ports = Ports::new(NAME, graph, options, &self.precisions())?;
        self.made_ready(&self.read_file(file)?, bytes_of(file), ports, options)
    }

    fn open_file(
        &self,
        file: &Path,
        options: &CompileOptions,
    ) -> Result<Box<dyn ImageModel>, EngineError> {
        has_precision(
            NAME,
            &self.device_name(),
            options.precision,
            &self.precisions(),
        )?;
        let model = self.read_file(file)?;
        let (image_size, names) = file::ports(&model)?;
        let copies = self.copies(&model, bytes_of(file), options)?;
        Ok(Box::new(file::OpenVinoFile::new(copies, image_size, names)))
    }
}

impl OpenVino {
    fn made_ready(
        &self,
        model: &Model,
        bytes: u64,
        ports: Ports,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError> {
        Ok(Box::new(OpenVinoCompiled {
            copies: self.copies(model, bytes, options)?,
            ports,
        }))
    }

    /// A model's copy for each session, or one for all; `bytes`: of its file.
    fn copies(
        &self,
        model: &Model,
        bytes: u64,
        options: &CompileOptions,
    ) -> Result<Copies, EngineError> {
        let is_copied = self.is_processor() && bytes <= COPIED_BYTES;
        let (copies, streams) = match is_copied {
            true => (options.sessions, 1),
            false => (1, options.sessions),
        };
        let one = || self.compiled(model, streams, options.precision);
        thread::scope(|scope| {
            let others: Vec<_> = (1..copies).map(|_| scope.spawn(one)).collect();
            let first = one()?;
            let others = others.into_iter().map(|other| {
                other
                    .join()
                    .unwrap_or_else(|panic| panic::resume_unwind(panic))
            });
            Ok(Copies::new(first, others.collect::<Result<_, _>>()?))
        })
    }

    fn is_processor(&self) -> bool {
        self.device.to_bytes() == PROCESSOR.as_bytes()
    }

    fn compiled(
        &self,
        model: &Model,
        streams: usize,
        precision: Precision,
    ) -> Result<CompiledModel, EngineError> {
        let hint = if streams == 1 {
            "LATENCY"
        } else {
            "THROUGHPUT"
        };
        let streams = streams.to_string();
        let of_all = [
            ("PERFORMANCE_HINT", hint),
            // Without it CPUs with bf16 units compute in bf16, off by a percent.
            (PRECISION_HINT, precision.name()),
        ];
        // Other devices know none of these.
        let of_processors = [
            ("NUM_STREAMS", streams.as_str()),
            // One thread a stream.
            ("INFERENCE_NUM_THREADS", &streams),
            // Decoding threads share the cores.
            ("ENABLE_CPU_PINNING", "NO"),
        ];
        let of_processors = of_processors.into_iter().filter(|_| self.is_processor());
        let properties: Vec<(CString, CString)> = of_all
            .into_iter()
            .chain(of_processors)
            .filter_map(|(key, value)| Some((CString::new(key).ok()?, CString::new(value).ok()?)))
            .collect();
        let properties: Vec<sys::ov_property_t> = properties
            .iter()
            .map(|(key, value)| sys::ov_property_t {
                key: key.as_ptr(),
                value: value.as_ptr().cast(),
            })
            .collect();
        let mut compiled = ptr::null_mut();
        // SAFETY: model and core are alive, the properties outlive the call.
        let status = unsafe {
            sys::ov_core_compile_model_props(
                self.core.0,
                model.0,
                self.device.as_ptr(),
                properties.len(),
                properties.as_ptr(),
                &mut compiled,
            )
        };
        checked("compiling the graph", status)?;
        let compiled = CompiledModel(compiled);
        // A hint may be passed over in silence.
        let found = compiled.property(PRECISION_HINT)?;
        if found != precision.name() {
            return Err(EngineError::OtherPrecision {
                engine: NAME,
                asked: precision.name(),
                found,
            });
        }
        Ok(compiled)
    }
}

struct OpenVinoCompiled {
    copies: Copies,
    ports: Ports,
}

impl Compiled for OpenVinoCompiled {
    fn session(&self) -> Result<Box<dyn Session>, EngineError> {
        let compiled = self.copies.next();
        Ok(Box::new(OpenVinoSession {
            request: compiled.request()?,
            names: self.names(compiled)?,
            ports: self.ports.clone(),
            _compiled: Arc::clone(compiled),
        }))
    }
}

impl OpenVinoCompiled {
    /// What the compiled model knows each input by. OpenVINO leaves out inputs that no output needs, such as a layer of which no
    /// channel is chosen, so that places do not tell which is which. Empty: there is one, and it is needed.
    fn names(&self, compiled: &CompiledModel) -> Result<Vec<Option<CString>>, EngineError> {
        if self.ports.inputs.len() < 2 {
            return Ok(Vec::new());
        }
        let named = |port: &PortSize| {
            let name = CString::new(port.name.as_str()).ok()?;
            let mut found = ptr::null_mut();
            // SAFETY: the compiled model and the name are alive; what is found is freed at once.
            unsafe {
                let status =
                    sys::ov_compiled_model_input_by_name(compiled.0, name.as_ptr(), &mut found);
                if status != sys::ov_status_e::OK {
                    return None;
                }
                sys::ov_output_const_port_free(found);
            }
            Some(name)
        };
        let names: Vec<Option<CString>> = self.ports.inputs.iter().map(named).collect();
        let mut size = 0;
        // SAFETY: the compiled model is alive.
        checked("counting the inputs", unsafe {
            sys::ov_compiled_model_inputs_size(compiled.0, &mut size)
        })?;
        let known = names.iter().flatten().count();
        if known != size {
            return Err(EngineError::Buffer {
                engine: NAME,
                port: "the number of inputs that are known by name".to_owned(),
                expected: size,
                found: known,
            });
        }
        Ok(names)
    }
}

struct OpenVinoSession {
    // Dropped before the model it belongs to.
    request: Request,
    /// See [`OpenVinoCompiled::names`].
    names: Vec<Option<CString>>,
    ports: Ports,
    _compiled: Arc<CompiledModel>,
}

impl Session for OpenVinoSession {
    /// The request reads the caller's inputs and writes into the caller's outputs, without copies of ours.
    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [Vec<f32>]) -> Result<(), EngineError> {
        self.ports.check(inputs, outputs)?;
        // Alive until the inference is over.
        let mut bound = Vec::with_capacity(inputs.len() + outputs.len());
        for (index, (port, data)) in self.ports.inputs.iter().zip(inputs).enumerate() {
            // SAFETY (cast to mut): an input tensor is only read.
            let tensor = wrap(port, data.as_ptr().cast_mut().cast())?;
            // SAFETY: request and tensor are alive; the request shares ownership of the tensor object.
            checked("setting an input", unsafe {
                match self.names.get(index) {
                    None => sys::ov_infer_request_set_input_tensor_by_index(
                        self.request.0,
                        index,
                        tensor.0,
                    ),
                    Some(Some(name)) => {
                        sys::ov_infer_request_set_tensor(self.request.0, name.as_ptr(), tensor.0)
                    }
                    // Nobody reads it.
                    Some(None) => continue,
                }
            })?;
            bound.push(tensor);
        }
        for (index, (port, data)) in self.ports.outputs.iter().zip(outputs).enumerate() {
            let tensor = wrap(port, data.as_mut_ptr().cast())?;
            // SAFETY: as above; the buffer has exactly the port's length.
            checked("setting an output", unsafe {
                sys::ov_infer_request_set_output_tensor_by_index(self.request.0, index, tensor.0)
            })?;
            bound.push(tensor);
        }
        // SAFETY: all buffers are alive during this synchronous call. Those that the request still names after it
        // are replaced by the next run before they are used.
        checked("inference", unsafe {
            sys::ov_infer_request_infer(self.request.0)
        })
    }
}

fn wrap(port: &PortSize, data: *mut c_void) -> Result<Tensor, EngineError> {
    handle::wrap(&port.shape, data)
}
