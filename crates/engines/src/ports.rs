//! Sizes of a compiled graph's inputs and outputs, and the check of the buffers given to a run.

use graph::{Graph, Port};

use crate::{CPU, CompileOptions, EngineError, Precision};

/// The ports of a compiled graph, for those who implement an engine.
#[derive(Clone, Debug)]
pub struct Ports {
    /// For messages.
    pub engine: &'static str,
    /// In the graph's order.
    pub inputs: Vec<PortSize>,
    /// In the graph's order.
    pub outputs: Vec<PortSize>,
}

/// One input or output at the compiled batch size.
#[derive(Clone, Debug)]
pub struct PortSize {
    /// As in the graph.
    pub name: String,
    /// Extents, as the native libraries take them.
    pub shape: Vec<i64>,
    /// Number of elements.
    pub len: usize,
}

impl Ports {
    /// The ports for a batch; zero images or sessions are an error, and so is a precision that is not among these.
    pub fn new(
        engine: &'static str,
        graph: &Graph,
        options: &CompileOptions,
        precisions: &[Precision],
    ) -> Result<Self, EngineError> {
        let CompileOptions {
            batch,
            sessions,
            precision,
        } = *options;
        has_precision(engine, CPU, precision, precisions)?;
        if batch == 0 || sessions == 0 {
            return Err(EngineError::Options {
                engine,
                batch,
                sessions,
            });
        }
        let size = |port: &Port| {
            let shape = graph.shape(port.value);
            PortSize {
                name: port.name.clone(),
                shape: shape.at(batch).into_iter().map(|n| n as i64).collect(),
                len: shape.len(batch),
            }
        };
        Ok(Ports {
            engine,
            inputs: graph.inputs().iter().map(size).collect(),
            outputs: graph.outputs().iter().map(size).collect(),
        })
    }

    /// Checks the buffers and brings the outputs to size.
    pub fn check(&self, inputs: &[&[f32]], outputs: &mut [Vec<f32>]) -> Result<(), EngineError> {
        let mismatch = |port: &str, expected: usize, found: usize| EngineError::Buffer {
            engine: self.engine,
            port: port.to_owned(),
            expected,
            found,
        };
        if inputs.len() != self.inputs.len() {
            return Err(mismatch(
                "the number of inputs",
                self.inputs.len(),
                inputs.len(),
            ));
        }
        if outputs.len() != self.outputs.len() {
            return Err(mismatch(
                "the number of outputs",
                self.outputs.len(),
                outputs.len(),
            ));
        }
        for (port, given) in self.inputs.iter().zip(inputs) {
            if given.len() != port.len {
                return Err(mismatch(
                    &format!("input {:?}", port.name),
                    port.len,
                    given.len(),
                ));
            }
        }
        for (port, given) in self.outputs.iter().zip(outputs) {
            given.resize(port.len, 0.0);
        }
        Ok(())
    }
}

/// An error unless the precision is one of those that there are.
pub(crate) fn has_precision(
    engine: &'static str,
    device: &str,
    precision: Precision,
    present: &[Precision],
) -> Result<(), EngineError> {
    if present.contains(&precision) {
        return Ok(());
    }
    Err(EngineError::Precision {
        engine,
        device: device.to_owned(),
        precision: precision.name(),
        present: present.iter().map(|one| one.name()).collect(),
    })
}
