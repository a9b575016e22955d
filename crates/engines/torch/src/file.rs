//! Graphs as TorchScript files: what the interpreter does is recorded once, and saved with the graph's constants.

use std::{
    ffi::{CStr, CString, c_char, c_void},
    marker::PhantomData,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use engines::{Compiled, EngineError, Ports, Session};
use graph::Graph;
use tch::{CModule, IValue, Kind, Tensor};

use crate::{Place, another, borrowed, constants, interpret, one_thread, operation};

/// Where files are written, whatever then computes with them.
const WRITER: Place = Place::CPU;

/// Records the graph at a batch of one; no operation of the record depends on that.
pub(crate) fn write(graph: &Graph, file: &Path) -> Result<(), EngineError> {
    one_thread();
    let _no_gradients = tch::no_grad_guard();
    let mut inputs = Vec::new();
    for port in graph.inputs() {
        let shape: Vec<i64> = graph
            .shape(port.value)
            .at(1)
            .iter()
            .map(|n| *n as i64)
            .collect();
        let zeros = Tensor::f_zeros(shape, (Kind::Float, WRITER.device));
        inputs.push(zeros.map_err(WRITER.failed("making an input"))?);
    }
    let constants = constants(graph, WRITER)?;
    let last_uses = graph.last_uses();
    let record = Record::begin(&inputs)?;
    record.save(&outputs(graph, &last_uses, &constants, &inputs)?, file)
}

unsafe extern "C" {
    fn nightshift_begin_record(inputs: *const *const c_void, count: usize) -> *const c_char;
    fn nightshift_save_record(
        outputs: *const *const c_void,
        count: usize,
        path: *const c_char,
    ) -> *const c_char;
    fn nightshift_abandon_record();
}

/// A record that this thread has open; it ends with it.
struct Record {
    _of_this_thread: PhantomData<*const ()>,
}

impl Record {
    fn begin(inputs: &[Tensor]) -> Result<Self, EngineError> {
        let pointers = pointers(inputs);
        // SAFETY: so many pointers to tensors that outlive the call.
        let why = unsafe { nightshift_begin_record(pointers.as_ptr(), pointers.len()) };
        checked(WRITER.engine, "beginning a record", why)?;
        Ok(Record {
            _of_this_thread: PhantomData,
        })
    }

    fn save(self, outputs: &[Tensor], file: &Path) -> Result<(), EngineError> {
        let what = "writing a file";
        let path = CString::new(file.as_os_str().as_bytes())
            .map_err(|e| EngineError::native(WRITER.engine, what, e))?;
        let pointers = pointers(outputs);
        // SAFETY: as above; the path is a text that outlives the call.
        let why =
            unsafe { nightshift_save_record(pointers.as_ptr(), pointers.len(), path.as_ptr()) };
        checked(WRITER.engine, what, why)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // SAFETY: of no effect where none is open.
        unsafe { nightshift_abandon_record() }
    }
}

fn pointers(tensors: &[Tensor]) -> Vec<*const c_void> {
    let pointer = |tensor: &Tensor| tensor.as_ptr().cast();
    tensors.iter().map(pointer).collect()
}

/// What a function of `bindings.cpp` gave: nothing, or why it failed.
pub(crate) fn checked(
    engine: &'static str,
    what: &str,
    why: *const c_char,
) -> Result<(), EngineError> {
    if why.is_null() {
        return Ok(());
    }
    // SAFETY: a text that ends with zero and lives until the next call in this thread.
    let why = unsafe { CStr::from_ptr(why) }.to_string_lossy();
    Err(EngineError::native(engine, what, why))
}

fn outputs(
    graph: &Graph,
    last_uses: &[usize],
    constants: &[Option<Tensor>],
    inputs: &[Tensor],
) -> Result<Vec<Tensor>, EngineError> {
    let mut values: Vec<Option<Tensor>> = constants.iter().map(another).collect();
    for (port, input) in graph.inputs().iter().zip(inputs) {
        values[port.value.index()] = Some(input.shallow_clone());
    }
    interpret(graph, last_uses, WRITER, None, &mut values)?;
    let output = |port: &graph::Port| {
        operation::operand(&values, port.value)
            .map(Tensor::shallow_clone)
            .map_err(WRITER.failed(format!("output {:?}", port.name)))
    };
    graph.outputs().iter().map(output).collect()
}

pub(crate) fn open(
    file: &Path,
    place: Place,
    ports: Ports,
) -> Result<Box<dyn Compiled>, EngineError> {
    let opened = FileCompiled {
        file: file.to_owned(),
        place,
        ports,
    };
    // A file that libtorch refuses fails here.
    opened.load()?;
    Ok(Box::new(opened))
}

struct FileCompiled {
    file: PathBuf,
    place: Place,
    ports: Ports,
}

impl FileCompiled {
    fn load(&self) -> Result<CModule, EngineError> {
        CModule::load_on_device(&self.file, self.place.device)
            .map_err(self.place.failed("reading a file"))
    }
}

impl Compiled for FileCompiled {
    fn session(&self) -> Result<Box<dyn Session>, EngineError> {
        Ok(Box::new(FileSession {
            module: self.load()?,
            place: self.place,
            ports: self.ports.clone(),
        }))
    }
}

struct FileSession {
    module: CModule,
    place: Place,
    ports: Ports,
}

impl Session for FileSession {
    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [Vec<f32>]) -> Result<(), EngineError> {
        self.ports.check(inputs, outputs)?;
        one_thread();
        let _no_gradients = tch::no_grad_guard();
        let place = self.place;
        let failed = |e: tch::TchError| place.failed("inference")(e);
        let mut given = Vec::with_capacity(inputs.len());
        for (port, data) in self.ports.inputs.iter().zip(inputs) {
            let shape: Vec<usize> = port.shape.iter().map(|n| *n as usize).collect();
            let tensor = borrowed(data, &shape).and_then(|tensor| place.bring(tensor));
            given.push(IValue::Tensor(tensor.map_err(failed)?));
        }
        let results = match self.module.forward_is(&given).map_err(failed)? {
            IValue::Tuple(results) => results,
            one => vec![one],
        };
        for ((port, output), result) in self.ports.outputs.iter().zip(outputs).zip(results) {
            let IValue::Tensor(result) = result else {
                let what = format!("output {:?}", port.name);
                return Err(EngineError::native(place.engine, what, "it is no tensor"));
            };
            if result.numel() != output.len() {
                return Err(EngineError::Buffer {
                    engine: place.engine,
                    port: format!("output {:?}", port.name),
                    expected: output.len(),
                    found: result.numel(),
                });
            }
            let len = output.len();
            let copied = result
                .f_contiguous()
                .and_then(|r| r.f_copy_data(output, len));
            copied.map_err(failed)?;
        }
        Ok(())
    }
}
