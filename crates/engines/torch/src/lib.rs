//! libtorch on the CPU: interprets graphs node by node, freeing each value at its last use.
//!
//! libtorch is linked, so it is resolved before `main`: the program's rpath or its parent's `LD_LIBRARY_PATH`
//! decides which one it is.

mod file;
mod operation;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engines::{CompileOptions, Compiled, Engine, EngineError, Ports, Precision, Session};
use graph::{Graph, Op};
use tch::{Device, Kind, TchError, Tensor};

const NAME: &str = "torch-cpu";
/// The version whose C++ interface the bindings were built for; another one would not have linked.
const VERSION: &str = "2.11.0";

/// Links libtorch to the program that calls this and lets `engines::open` find it.
///
/// This is a crate of its own because a program is linked to libtorch as soon as it holds any code that could call
/// it, which costs each start a quarter of a second and 110 MiB; a program without this call does not have it.
pub fn link() {
    engines::link_torch(|| Box::new(Torch));
}

/// libtorch's CPU half.
struct Torch;

impl Engine for Torch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn native_file(&self) -> Option<PathBuf> {
        None
    }

    fn compile(
        &self,
        graph: &Graph,
        options: &CompileOptions,
    ) -> Result<Box<dyn Compiled>, EngineError> {
        let ports = Ports::new(NAME, graph, options, &[Precision::F32])?;
        Ok(Box::new(TorchCompiled {
            last_uses: Arc::new(graph.last_uses()),
            graph: Arc::new(graph.clone()),
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
        file::open(file, Ports::new(NAME, graph, options, &[Precision::F32])?)
    }

    fn write_file(&self, graph: &Graph, file: &Path) -> Result<(), EngineError> {
        file::write(graph, file)
    }
}

struct TorchCompiled {
    graph: Arc<Graph>,
    last_uses: Arc<Vec<usize>>,
    ports: Ports,
    batch: usize,
}

impl Compiled for TorchCompiled {
    fn session(&self) -> Result<Box<dyn Session>, EngineError> {
        let values = constants(&self.graph)?;
        Ok(Box::new(TorchSession {
            constants: values,
            graph: Arc::clone(&self.graph),
            last_uses: Arc::clone(&self.last_uses),
            ports: self.ports.clone(),
            batch: self.batch,
        }))
    }
}

struct TorchSession {
    /// Views of the graph's constants: dropped before the graph, never written to.
    constants: Vec<Option<Tensor>>,
    graph: Arc<Graph>,
    last_uses: Arc<Vec<usize>>,
    ports: Ports,
    batch: usize,
}

impl Session for TorchSession {
    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [Vec<f32>]) -> Result<(), EngineError> {
        self.ports.check(inputs, outputs)?;
        one_thread();
        let _no_gradients = tch::no_grad_guard();
        let mut values: Vec<Option<Tensor>> = self
            .constants
            .iter()
            .map(|c| c.as_ref().map(Tensor::shallow_clone))
            .collect();
        for (port, data) in self.graph.inputs().iter().zip(inputs) {
            let shape = self.graph.shape(port.value).at(self.batch);
            let tensor = borrowed(data, &shape)
                .map_err(|e| EngineError::native(NAME, format!("input {:?}", port.name), e))?;
            values[port.value.index()] = Some(tensor);
        }
        interpret(&self.graph, &self.last_uses, Some(self.batch), &mut values)?;
        for (port, output) in self.graph.outputs().iter().zip(outputs) {
            let len = output.len();
            let copied = operation::operand(&values, port.value)
                .and_then(|tensor| tensor.f_contiguous())
                .and_then(|tensor| tensor.f_copy_data(output, len));
            copied.map_err(|e| EngineError::native(NAME, format!("output {:?}", port.name), e))?;
        }
        Ok(())
    }
}

/// Views of the graph's constants, at their values' places.
fn constants(graph: &Graph) -> Result<Vec<Option<Tensor>>, EngineError> {
    let mut values: Vec<Option<Tensor>> = (0..graph.value_count()).map(|_| None).collect();
    for node in graph.nodes() {
        if let Op::Constant { name, tensor } = &node.op {
            let made = borrowed(tensor.data(), &tensor.shape)
                .map_err(|e| EngineError::native(NAME, format!("constant {name:?}"), e))?;
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
    batch: Option<usize>,
    values: &mut [Option<Tensor>],
) -> Result<(), EngineError> {
    for (position, node) in graph.nodes().iter().enumerate() {
        if matches!(node.op, Op::Input | Op::Constant { .. }) {
            continue;
        }
        let results = operation::execute(graph, node, batch, values)
            .map_err(|e| EngineError::native(NAME, node.op.name(), e))?;
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
