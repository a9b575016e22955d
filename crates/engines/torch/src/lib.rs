//! libtorch, on the CPU or on a GPU: interprets graphs node by node, freeing each value at its last use.
//!
//! Its CPU half is linked, so it is resolved before `main`: the program's rpath or its parent's `LD_LIBRARY_PATH`
//! decides which one it is.

mod cuda;
mod file;
mod operation;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use engines::{CompileOptions, Compiled, Engine, EngineError, Ports, Precision, Session};
use graph::{Graph, Op};
use tch::{Device, Kind, TchError, Tensor};

/// The version whose C++ interface the bindings were built for; another one would not have linked.
const VERSION: &str = "2.11.0";

/// Links libtorch to the program that calls this and lets `engines::open` find it.
///
/// This is a crate of its own because a program is linked to libtorch as soon as it holds any code that could call
/// it, which costs each start a quarter of a second and 110 MiB; a program without this call does not have it.
pub fn link() {
    engines::link_torch(engines::Torch {
        cpu: || Box::new(Torch { place: Place::CPU }),
        cuda: || {
            let place = cuda::open()?;
            Ok(Box::new(Torch { place }))
        },
    });
}

/// Where libtorch computes, and how that is called.
#[derive(Clone, Copy)]
struct Place {
    engine: &'static str,
    device: Device,
}

impl Place {
    const CPU: Place = Place {
        engine: "torch-cpu",
        device: Device::Cpu,
    };

    fn failed(self, what: impl Into<String>) -> impl FnOnce(TchError) -> EngineError {
        move |error| EngineError::native(self.engine, what, error)
    }

    /// The tensor there: itself, where it is there already, else a copy.
    fn bring(self, tensor: Tensor) -> Result<Tensor, TchError> {
        match self.device {
            Device::Cpu => Ok(tensor),
            device => tensor.f_to(device),
        }
    }
}

struct Torch {
    place: Place,
}

impl Engine for Torch {
    fn name(&self) -> &'static str {
        self.place.engine
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn native_file(&self) -> Option<PathBuf> {
        None
    }

    fn devices(&self) -> Vec<String> {
        match self.place.device {
            Device::Cuda(_) => cuda::devices(),
            _ => vec![engines::CPU.to_owned()],
        }
    }

    fn device(&self) -> String {
        match self.place.device {
            Device::Cuda(number) => cuda::name(number),
            _ => engines::CPU.to_owned(),
        }
    }

    fn compile(
        &self,
        graph: &Graph,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError> {
        let ports = Ports::new(self.name(), graph, options, &[Precision::F32])?;
        let graph = Arc::new(graph.clone());
        Ok(Box::new(TorchCompiled {
            constants: Mutex::new(constants(&graph, self.place)?),
            last_uses: Arc::new(graph.last_uses()),
            graph,
            place: self.place,
            ports,
            batch: options.batch,
        }))
    }

    fn compile_file(
        &self,
        file: &Path,
        graph: &Graph,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError> {
        let ports = Ports::new(self.name(), graph, options, &[Precision::F32])?;
        file::open(file, self.place, ports)
    }

    fn write_file(&self, graph: &Graph, file: &Path) -> Result<(), EngineError> {
        file::write(graph, file)
    }
}

struct TorchCompiled {
    /// On a GPU copies that all sessions share, else views of the graph's: dropped before it, never written to.
    constants: Mutex<Vec<Option<Tensor>>>,
    graph: Arc<Graph>,
    last_uses: Arc<Vec<usize>>,
    place: Place,
    ports: Ports,
    batch: usize,
}

impl Compiled for TorchCompiled {
    fn session(&self) -> Result<Box<dyn Session>, EngineError> {
        let constants = self.constants.lock();
        let constants = constants.unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(TorchSession {
            constants: constants.iter().map(another).collect(),
            graph: Arc::clone(&self.graph),
            last_uses: Arc::clone(&self.last_uses),
            place: self.place,
            ports: self.ports.clone(),
            batch: self.batch,
        }))
    }
}

struct TorchSession {
    /// Those of the compiled graph.
    constants: Vec<Option<Tensor>>,
    graph: Arc<Graph>,
    last_uses: Arc<Vec<usize>>,
    place: Place,
    ports: Ports,
    batch: usize,
}

impl Session for TorchSession {
    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [Vec<f32>]) -> Result<(), EngineError> {
        self.ports.check(inputs, outputs)?;
        one_thread();
        let _no_gradients = tch::no_grad_guard();
        let place = self.place;
        let mut values: Vec<Option<Tensor>> = self.constants.iter().map(another).collect();
        for (port, data) in self.graph.inputs().iter().zip(inputs) {
            let shape = self.graph.shape(port.value).at(self.batch);
            let tensor = borrowed(data, &shape)
                .and_then(|tensor| place.bring(tensor))
                .map_err(place.failed(format!("input {:?}", port.name)))?;
            values[port.value.index()] = Some(tensor);
        }
        let batch = Some(self.batch);
        interpret(&self.graph, &self.last_uses, place, batch, &mut values)?;
        for (port, output) in self.graph.outputs().iter().zip(outputs) {
            let len = output.len();
            let copied = operation::operand(&values, port.value)
                .and_then(|tensor| tensor.f_contiguous())
                .and_then(|tensor| tensor.f_copy_data(output, len));
            copied.map_err(place.failed(format!("output {:?}", port.name)))?;
        }
        Ok(())
    }
}

/// The same tensor once more.
fn another(value: &Option<Tensor>) -> Option<Tensor> {
    value.as_ref().map(Tensor::shallow_clone)
}

/// The graph's constants, at their values' places: views of them on the CPU.
fn constants(graph: &Graph, place: Place) -> Result<Vec<Option<Tensor>>, EngineError> {
    let mut values: Vec<Option<Tensor>> = (0..graph.value_count()).map(|_| None).collect();
    for node in graph.nodes() {
        if let Op::Constant { name, tensor } = &node.op {
            let made = borrowed(tensor.data(), &tensor.shape)
                .and_then(|tensor| place.bring(tensor))
                .map_err(place.failed(format!("constant {name:?}")))?;
            values[node.outputs[0].index()] = Some(made);
        }
    }
    Ok(values)
}

/// Computes the graph's nodes from its inputs and constants; `values` has the outputs afterwards, and nothing else that
/// is not needed any more.
fn interpret(
    graph: &Graph,
    last_uses: &[usize],
    place: Place,
    batch: Option<usize>,
    values: &mut [Option<Tensor>],
) -> Result<(), EngineError> {
    for (position, node) in graph.nodes().iter().enumerate() {
        if matches!(node.op, Op::Input | Op::Constant { .. }) {
            continue;
        }
        let results =
            operation::execute(graph, node, batch, values).map_err(place.failed(node.op.name()))?;
        for (value, result) in node.outputs.iter().zip(results) {
            values[value.index()] = Some(result);
        }
        for value in node.inputs.iter().chain(&node.outputs) {
            if last_uses[value.index()] == position {
                values[value.index()] = None;
            }
        }
    }
    Ok(())
}

/// libtorch keeps its number of threads for each thread; setting it clears a cache, so it is set once.
fn one_thread() {
    thread_local!(static DONE: Cell<bool> = const { Cell::new(false) });
    if !DONE.replace(true) {
        tch::set_num_threads(1);
    }
}

/// A tensor over somebody else's elements. It must not outlive them, and no operation here writes in place.
fn borrowed(data: &[f32], shape: &[usize]) -> Result<Tensor, TchError> {
    let size: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
    let mut strides = vec![1i64; size.len()];
    for axis in (1..size.len()).rev() {
        strides[axis - 1] = strides[axis] * size[axis];
    }
    // SAFETY: the elements are as many as the shape says (checked by the graph and by `Ports`), and every use of
    // the tensor ends before they go: constants with their graph, inputs with the run.
    unsafe {
        Tensor::f_from_blob(
            data.as_ptr().cast(),
            &size,
            &strides,
            Kind::Float,
            Device::Cpu,
        )
    }
}
