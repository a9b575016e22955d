//! Graphs as TorchScript files: what the interpreter does is recorded once, and saved with the graph's constants.

use std::path::{Path, PathBuf};

use engines::{Compiled, EngineError, Ports, Session};
use graph::Graph;
use tch::{CModule, IValue, Kind, Tensor};

use crate::{NAME, borrowed, constants, interpret, one_thread, operation};

/// Records the graph at a batch of one; no operation of the record depends on that.
pub(crate) fn write(graph: &Graph, file: &Path) -> Result<(), EngineError> {
    one_thread();
    let _no_gradients = tch::no_grad_guard();
    let native = |what: &str, e: tch::TchError| EngineError::native(NAME, what, e);
    let mut inputs = Vec::new();
    for port in graph.inputs() {
        let shape: Vec<i64> = graph
            .shape(port.value)
            .at(1)
            .iter()
            .map(|n| *n as i64)
            .collect();
        let zeros = Tensor::f_zeros(shape, (Kind::Float, tch::Device::Cpu));
        inputs.push(zeros.map_err(|e| native("making an input", e))?);
    }
    let values = constants(graph)?;
    let last_uses = graph.last_uses();
    let mut failed = None;
    let mut record = |inputs: &[Tensor]| {
        let recorded = outputs(graph, &last_uses, &values, inputs);
        recorded.unwrap_or_else(|error| {
            failed = Some(error);
            // Something that can be recorded: the record is thrown away.
            inputs.iter().map(Tensor::shallow_clone).collect()
        })
    };
    let module = CModule::create_by_tracing("nightshift", "forward", &inputs, &mut record);
    match failed {
        Some(error) => Err(error),
        None => module
            .and_then(|module| module.save(file))
            .map_err(|e| native("writing a file", e)),
    }
}

fn outputs(
    graph: &Graph,
    last_uses: &[usize],
    constants: &[Option<Tensor>],
    inputs: &[Tensor],
) -> Result<Vec<Tensor>, EngineError> {
    let clone = |value: &Option<Tensor>| value.as_ref().map(Tensor::shallow_clone);
    let mut values: Vec<Option<Tensor>> = constants.iter().map(clone).collect();
    for (port, input) in graph.inputs().iter().zip(inputs) {
        values[port.value.index()] = Some(input.shallow_clone());
    }
    interpret(graph, last_uses, None, &mut values)?;
    let output = |port: &graph::Port| {
        operation::operand(&values, port.value)
            .map(Tensor::shallow_clone)
            .map_err(|e| EngineError::native(NAME, format!("output {:?}", port.name), e))
    };
    graph.outputs().iter().map(output).collect()
}

pub(crate) fn open(file: &Path, ports: Ports) -> Result<Box<dyn Compiled>, EngineError> {
    let opened = FileCompiled {
        file: file.to_owned(),
        ports,
    };
    // A file that libtorch refuses fails here.
    opened.load()?;
    Ok(Box::new(opened))
}

struct FileCompiled {
    file: PathBuf,
    ports: Ports,
}

impl FileCompiled {
    fn load(&self) -> Result<CModule, EngineError> {
        CModule::load(&self.file).map_err(|e| EngineError::native(NAME, "reading a file", e))
    }
}

impl Compiled for FileCompiled {
    fn session(&self) -> Result<Box<dyn Session>, EngineError> {
        Ok(Box::new(FileSession {
            module: self.load()?,
            ports: self.ports.clone(),
        }))
    }
}

struct FileSession {
    module: CModule,
    ports: Ports,
}

impl Session for FileSession {
    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [Vec<f32>]) -> Result<(), EngineError> {
        self.ports.check(inputs, outputs)?;
        one_thread();
        let _no_gradients = tch::no_grad_guard();
        let failed = |e: tch::TchError| EngineError::native(NAME, "inference", e);
        let mut given = Vec::with_capacity(inputs.len());
        for (port, data) in self.ports.inputs.iter().zip(inputs) {
            let shape: Vec<usize> = port.shape.iter().map(|n| *n as usize).collect();
            given.push(IValue::Tensor(borrowed(data, &shape).map_err(failed)?));
        }
        let results = match self.module.forward_is(&given).map_err(failed)? {
            IValue::Tuple(results) => results,
            one => vec![one],
        };
        for ((port, output), result) in self.ports.outputs.iter().zip(outputs).zip(results) {
            let IValue::Tensor(result) = result else {
                let what = format!("output {:?}", port.name);
                return Err(EngineError::native(NAME, what, "it is no tensor"));
            };
            if result.numel() != output.len() {
                return Err(EngineError::Buffer {
                    engine: NAME,
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
