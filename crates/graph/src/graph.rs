//! The finished graph: nodes in an order in which each can be computed.

use crate::op::Op;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// A handle of one value of one graph.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Value(pub(crate) u32);

impl Value {
    /// Position in tables over all values of the graph.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the elements of a value are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// 32-bit floats.
    Float,
    /// 64-bit positions along an axis.
    Index,
    /// Truth values.
    Bool,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Float => "floats",
            Kind::Index => "indices",
            Kind::Bool => "truth values",
        }
    }
}

/// What is known about a value without computing it.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueInfo {
    /// Extents.
    pub shape: Shape,
    /// Element kind.
    pub kind: Kind,
}

/// One operation at work. Every value is the output of exactly one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Operands.
    pub inputs: Vec<Value>,
    /// One, or two for `top_k`.
    pub outputs: Vec<Value>,
}

/// A value under a name: an input or an output of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Unique among the graph's inputs or outputs.
    pub name: String,
    /// The value, always floats.
    pub value: Value,
}

/// A model's computation, independent of any engine.
///
/// Nodes are topologically sorted, constants share their data, inputs and outputs hold floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Vec<ValueInfo>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
}

impl Graph {
    /// All nodes; operands come before their users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The inputs, in the order in which they were made.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs, in the order in which they were named.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The output of that name.
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|port| port.name == name)
    }

    /// Number of values; `Value::index` is below it.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// Shape and kind of a value of this graph.
    pub fn info(&self, value: Value) -> &ValueInfo {
        &self.values[value.index()]
    }

    /// Shape of a value of this graph.
    pub fn shape(&self, value: Value) -> &Shape {
        &self.values[value.index()].shape
    }

    /// Size of all constants, each shared one once.
    pub fn constant_bytes(&self) -> usize {
        self.constants().map(|(_, t)| t.len() * 4).sum()
    }

    /// The constants with their names.
    pub fn constants(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Constant { name, tensor } => Some((name.as_str(), tensor)),
            _ => None,
        })
    }

    /// For each value, the node that uses it last: after it, an interpreter may free the value.
    /// Outputs have `usize::MAX`; a value that nobody uses has the node that made it.
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![0; self.values.len()];
        for (position, node) in self.nodes.iter().enumerate() {
            for value in node.outputs.iter().chain(&node.inputs) {
                last[value.index()] = position;
            }
        }
        for port in &self.outputs {
            last[port.value.index()] = usize::MAX;
        }
        last
    }
}
