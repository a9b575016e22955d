//! What can be wrong with a graph while it is built, rewritten or written.

use crate::shape::Shape;

/// An error of building or writing a graph.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// Operands do not fit the operation.
    #[error("{op}: operands {} do not fit; expected {expected}", list(operands))]
    Shape {
        /// The operation, as its builder method is called.
        op: &'static str,
        /// The operands' shapes, in order.
        operands: Vec<Shape>,
        /// What would have been accepted.
        expected: String,
    },
    /// An attribute is out of range for these operands.
    #[error("{op}: {problem} (operands {})", list(operands))]
    Argument {
        /// The operation, as its builder method is called.
        op: &'static str,
        /// The operands' shapes, in order.
        operands: Vec<Shape>,
        /// What is wrong, with the value at fault.
        problem: String,
    },
    /// An operand holds another kind of element than the operation takes.
    #[error("{op}: operand {position} holds {found}, expected {expected}")]
    Kind {
        /// The operation, as its builder method is called.
        op: &'static str,
        /// Which operand, counted from 0.
        position: usize,
        /// What it holds.
        found: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A handle of another builder.
    #[error("{op}: operand {position} is not a value of this builder")]
    UnknownValue {
        /// The operation, as its builder method is called.
        op: &'static str,
        /// Which operand, counted from 0.
        position: usize,
    },
    /// Two inputs, outputs or different constants of one name.
    #[error("{what} {name:?} is defined twice; names must be unique within a graph")]
    DuplicateName {
        /// `input`, `output` or `constant`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A tensor's shape and its number of elements disagree.
    #[error("a tensor of shape {shape:?} cannot hold {len} elements")]
    TensorLength {
        /// The shape.
        shape: Vec<usize>,
        /// The number of elements given.
        len: usize,
    },
    /// `finish` without any `output`.
    #[error("the graph has no output; name at least one with Builder::output")]
    NoOutput,
    /// The ONNX file would pass the format's limit.
    #[error(
        "the graph's constants take {bytes} bytes, more than the 2 GiB that one ONNX file can hold"
    )]
    TooLarge {
        /// Size of all constants.
        bytes: usize,
    },
}

fn list(shapes: &[Shape]) -> String {
    let shapes: Vec<String> = shapes.iter().map(Shape::to_string).collect();
    shapes.join(", ")
}
