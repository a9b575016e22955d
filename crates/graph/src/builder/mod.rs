//! Building a graph operation by operation, each checked when it is added.
//!
//! Every method returns the new value or an error naming the operation, the operands' shapes and what was
//! expected. No operation mixes entries along the batch axis.

mod convolution;
mod elementwise;
mod image;
mod layout;
mod products;
mod reduction;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::GraphError;
use crate::graph::{Graph, Kind, Node, Port, Value, ValueInfo};
use crate::op::Op;
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;

pub use convolution::BatchNorm;

/// A graph under construction.
#[derive(Default)]
pub struct Builder {
    nodes: Vec<Node>,
    values: Vec<ValueInfo>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    constants: HashMap<String, Value>,
}

impl Builder {
    /// An empty graph.
    pub fn new() -> Self {
        Builder::default()
    }

    /// A graph input of floats.
    pub fn input(&mut self, name: &str, dims: &[Dim]) -> Result<Value, GraphError> {
        const OP: &str = "input";
        let shape = Shape(dims.to_vec());
        if self
            .inputs
            .iter()
            .chain(&self.outputs)
            .any(|port| port.name == name)
        {
            return Err(GraphError::DuplicateName {
                what: "input",
                name: name.to_owned(),
            });
        }
        if !shape.batch_leads() || dims.contains(&Dim::Fixed(0)) {
            return Err(GraphError::Shape {
                op: OP,
                operands: vec![shape],
                expected: "the batch only as axis 0 and no empty axis".to_owned(),
            });
        }
        let value = self.push(Op::Input, &[], shape, Kind::Float);
        self.inputs.push(Port {
            name: name.to_owned(),
            value,
        });
        Ok(value)
    }

    /// A tensor known now. The same name may come again with the same tensor and gives the same value.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Result<Value, GraphError> {
        tensor.check()?;
        if tensor.is_empty() {
            return Err(GraphError::Shape {
                op: "constant",
                operands: vec![Shape::fixed(&tensor.shape)],
                expected: format!("at least one element in {name:?}"),
            });
        }
        if let Some(&known) = self.constants.get(name) {
            let same = self.constant_of(known).is_some_and(|t| {
                t.shape == tensor.shape
                    && t.data
                        .iter()
                        .map(|v| v.to_bits())
                        .eq(tensor.data.iter().map(|v| v.to_bits()))
            });
            return if same {
                Ok(known)
            } else {
                Err(GraphError::DuplicateName {
                    what: "constant",
                    name: name.to_owned(),
                })
            };
        }
        let shape = Shape::fixed(&tensor.shape);
        let op = Op::Constant {
            name: name.to_owned(),
            tensor,
        };
        let value = self.push(op, &[], shape, Kind::Float);
        self.constants.insert(name.to_owned(), value);
        Ok(value)
    }

    /// A constant without axes, named after itself.
    pub fn scalar(&mut self, value: f32) -> Result<Value, GraphError> {
        self.constant(&format!("scalar {value:?}"), Tensor::scalar(value))
    }

    /// Names a value of floats as an output of the graph.
    pub fn output(&mut self, name: &str, value: Value) -> Result<(), GraphError> {
        self.floats("output", &[value])?;
        // Engines know values by name, so an output cannot share an input's.
        let mut named = self.outputs.iter().chain(&self.inputs);
        if named.any(|port| port.name == name) {
            return Err(GraphError::DuplicateName {
                what: "output",
                name: name.to_owned(),
            });
        }
        self.outputs.push(Port {
            name: name.to_owned(),
            value,
        });
        Ok(())
    }

    /// The finished graph.
    pub fn finish(self) -> Result<Graph, GraphError> {
        if self.outputs.is_empty() {
            return Err(GraphError::NoOutput);
        }
        Ok(Graph {
            nodes: self.nodes,
            values: self.values,
            inputs: self.inputs,
            outputs: self.outputs,
        })
    }

    /// The shape of a value of this builder.
    pub fn shape(&self, value: Value) -> Result<&Shape, GraphError> {
        self.check("shape", &[value])?;
        Ok(&self.values[value.index()].shape)
    }

    /// The extents of a value, with the batch as `Dim::Batch`.
    pub fn dims(&self, value: Value) -> Result<&[Dim], GraphError> {
        self.shape(value).map(Shape::dims)
    }

    fn constant_of(&self, value: Value) -> Option<&Tensor> {
        self.nodes
            .iter()
            .find(|node| node.outputs.contains(&value))
            .and_then(|node| match &node.op {
                Op::Constant { tensor, .. } => Some(tensor),
                _ => None,
            })
    }

    fn push(&mut self, op: Op, inputs: &[Value], shape: Shape, kind: Kind) -> Value {
        let value = self.value(shape, kind);
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            outputs: vec![value],
        });
        value
    }

    fn value(&mut self, shape: Shape, kind: Kind) -> Value {
        let value = Value(self.values.len() as u32);
        self.values.push(ValueInfo { shape, kind });
        value
    }

    fn check(&self, op: &'static str, operands: &[Value]) -> Result<(), GraphError> {
        match operands.iter().position(|v| v.index() >= self.values.len()) {
            Some(position) => Err(GraphError::UnknownValue { op, position }),
            None => Ok(()),
        }
    }

    /// Operands must be of one kind.
    fn of_kind(&self, op: &'static str, operands: &[Value], kind: Kind) -> Result<(), GraphError> {
        self.check(op, operands)?;
        for (position, value) in operands.iter().enumerate() {
            let found = self.values[value.index()].kind;
            if found != kind {
                return Err(GraphError::Kind {
                    op,
                    position,
                    found: found.name(),
                    expected: kind.name(),
                });
            }
        }
        Ok(())
    }

    fn floats(&self, op: &'static str, operands: &[Value]) -> Result<(), GraphError> {
        self.of_kind(op, operands, Kind::Float)
    }

    fn kind_of(&self, value: Value) -> Kind {
        self.values[value.index()].kind
    }

    fn shape_of(&self, value: Value) -> &Shape {
        &self.values[value.index()].shape
    }

    fn misfit(
        &self,
        op: &'static str,
        operands: &[Value],
        expected: impl Into<String>,
    ) -> GraphError {
        GraphError::Shape {
            op,
            operands: operands.iter().map(|v| self.shape_of(*v).clone()).collect(),
            expected: expected.into(),
        }
    }

    fn bad(&self, op: &'static str, operands: &[Value], problem: impl Into<String>) -> GraphError {
        GraphError::Argument {
            op,
            operands: operands.iter().map(|v| self.shape_of(*v).clone()).collect(),
            problem: problem.into(),
        }
    }

    /// The extent of an axis that is there and is not the batch.
    fn own_axis(&self, op: &'static str, x: Value, axis: usize) -> Result<usize, GraphError> {
        match self.shape_of(x).0.get(axis) {
            Some(Dim::Fixed(n)) => Ok(*n),
            Some(Dim::Batch) => Err(self.bad(
                op,
                &[x],
                format!("axis {axis} is the batch, whose entries stay apart"),
            )),
            None => Err(self.bad(op, &[x], format!("there is no axis {axis}"))),
        }
    }

    fn image(&self, op: &'static str, x: Value) -> Result<(Dim, usize, usize, usize), GraphError> {
        self.floats(op, &[x])?;
        self.shape_of(x)
            .nchw()
            .ok_or_else(|| self.misfit(op, &[x], "images [N, channels, height, width]"))
    }
}
