//! One operation of ours as one ONNX operator with its attributes and small integer operands.

use bytes::Bytes;

use super::names::Names;
use super::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, ATTRIBUTE_STRING, AttributeProto, FLOAT, INT64,
    NodeProto, TensorProto,
};
use crate::graph::{Graph, Node};
use crate::op::{Binary, Compare, Interpolation, Op, PadMode, Pool2d, Reduce, Unary};
use crate::shape::Dim;

/// Writes one node after the other.
pub(super) struct Writer<'a> {
    pub graph: &'a Graph,
    pub batch: Option<usize>,
    pub names: &'a mut Names,
    pub initializers: &'a mut Vec<TensorProto>,
    pub nodes: &'a mut Vec<NodeProto>,
}

impl Writer<'_> {
    pub(super) fn node(mut self, node: &Node) {
        let mut inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|v| self.names.of(*v).to_owned())
            .collect();
        let (op_type, attributes) = self.operator(node, &mut inputs);
        let outputs: Vec<String> = node
            .outputs
            .iter()
            .map(|v| self.names.of(*v).to_owned())
            .collect();
        self.nodes.push(NodeProto {
            input: inputs,
            name: outputs[0].clone(),
            output: outputs,
            op_type: op_type.to_owned(),
            attribute: attributes,
        });
    }

    /// The operator and its attributes; operands that ONNX wants as tensors are added to `inputs`.
    fn operator(
        &mut self,
        node: &Node,
        inputs: &mut Vec<String>,
    ) -> (&'static str, Vec<AttributeProto>) {
        match &node.op {
            // Neither becomes a node: the file lists them as inputs and initializers.
            Op::Input | Op::Constant { .. } => ("Identity", vec![]),
            Op::Conv2d(conv) => (
                "Conv",
                vec![
                    ints("strides", &conv.stride),
                    ints("pads", &conv.padding),
                    ints("dilations", &conv.dilation),
                    int("group", conv.groups),
                ],
            ),
            Op::ConvTranspose2d(conv) => {
                let [vertical, horizontal] = conv.padding;
                (
                    "ConvTranspose",
                    vec![
                        ints("strides", &conv.stride),
                        ints("pads", &[vertical, horizontal, vertical, horizontal]),
                        ints("output_padding", &conv.output_padding),
                        int("group", conv.groups),
                    ],
                )
            }
            Op::BatchNorm { eps } => ("BatchNormalization", vec![float("epsilon", *eps)]),
            Op::LayerNorm { eps } => ("LayerNormalization", vec![float("epsilon", *eps)]),
            Op::InstanceNorm { eps } => ("InstanceNormalization", vec![float("epsilon", *eps)]),
            Op::Unary(unary) => (unary_operator(*unary), vec![]),
            Op::Clip { min, max } => {
                for limit in [min, max] {
                    inputs.push(limit.map(|v| self.scalar(v)).unwrap_or_default());
                }
                ("Clip", vec![])
            }
            Op::Binary(binary) => (binary_operator(*binary), vec![]),
            Op::Compare(Compare::Less) => ("Less", vec![]),
            Op::Compare(Compare::Greater) => ("Greater", vec![]),
            Op::Compare(Compare::Equal) => ("Equal", vec![]),
            Op::Where => ("Where", vec![]),
            Op::ToFloat => ("Cast", vec![int("to", FLOAT as usize)]),
            Op::MaxPool2d(pool) => ("MaxPool", pool_attributes(pool)),
            Op::AvgPool2d(pool) => {
                let mut attributes = pool_attributes(pool);
                attributes.push(int("count_include_pad", 1));
                ("AveragePool", attributes)
            }
            Op::MatMul => ("MatMul", vec![]),
            Op::Transpose { perm } => ("Transpose", vec![ints("perm", perm)]),
            Op::Reshape => {
                let dims = self.graph.shape(node.outputs[0]).dims();
                let target: Vec<i64> = dims.iter().map(|d| self.extent(*d)).collect();
                inputs.push(self.integers("shape", &target));
                ("Reshape", vec![])
            }
            Op::Concat { axis } => ("Concat", vec![int("axis", *axis)]),
            Op::Slice { axis, start, end } => {
                for (what, n) in [("start", start), ("end", end), ("axis", axis)] {
                    inputs.push(self.integers(what, &[*n as i64]));
                }
                ("Slice", vec![])
            }
            Op::Gather { axis, indices } => {
                let indices: Vec<i64> = indices.iter().map(|i| *i as i64).collect();
                inputs.push(self.integers("indices", &indices));
                ("Gather", vec![int("axis", *axis)])
            }
            Op::Take => ("Gather", vec![int("axis", 0)]),
            Op::TakeAlong { axis } => ("GatherElements", vec![int("axis", *axis)]),
            Op::Resize {
                interpolation,
                size,
            } => {
                self.resize_operands(node, *size, inputs);
                ("Resize", resize_attributes(*interpolation))
            }
            Op::Pad { mode, padding } => {
                let [top, left, bottom, right] = padding.map(|n| n as i64);
                inputs.push(self.integers("pads", &[0, 0, top, left, 0, 0, bottom, right]));
                let mode = match mode {
                    PadMode::Zero => "constant",
                    PadMode::Reflect => "reflect",
                };
                ("Pad", vec![string("mode", mode)])
            }
            Op::Reduce {
                reduce,
                axes,
                keep_dims,
            } => {
                let mut attributes = vec![int("keepdims", usize::from(*keep_dims))];
                let operator = match reduce {
                    // Of the four only the sum takes its axes as an operand in opset 17.
                    Reduce::Sum => {
                        let axes: Vec<i64> = axes.iter().map(|a| *a as i64).collect();
                        inputs.push(self.integers("axes", &axes));
                        return ("ReduceSum", attributes);
                    }
                    Reduce::Mean => "ReduceMean",
                    Reduce::Max => "ReduceMax",
                    Reduce::Min => "ReduceMin",
                };
                attributes.push(ints("axes", axes));
                (operator, attributes)
            }
            Op::Softmax { axis } => ("Softmax", vec![int("axis", *axis)]),
            Op::LogSoftmax { axis } => ("LogSoftmax", vec![int("axis", *axis)]),
            Op::TopK { axis, k, largest } => {
                inputs.push(self.integers("k", &[*k as i64]));
                let largest = int("largest", usize::from(*largest));
                ("TopK", vec![int("axis", *axis), largest, int("sorted", 1)])
            }
            Op::ArgReduce {
                axis,
                largest,
                keep_dims,
            } => (
                if *largest { "ArgMax" } else { "ArgMin" },
                vec![int("axis", *axis), int("keepdims", usize::from(*keep_dims))],
            ),
            Op::SpaceToDepth { block } => ("SpaceToDepth", vec![int("blocksize", *block)]),
        }
    }

    fn extent(&self, dim: Dim) -> i64 {
        match (dim, self.batch) {
            (Dim::Fixed(n), _) | (Dim::Batch, Some(n)) => n as i64,
            (Dim::Batch, None) => -1,
        }
    }

    /// Sizes say exactly what is meant, but they cannot leave a symbolic batch open; scales can.
    fn resize_operands(&mut self, node: &Node, size: [usize; 2], inputs: &mut Vec<String>) {
        let dims = self.graph.shape(node.outputs[0]).dims().to_vec();
        let extents: Vec<i64> = dims.iter().map(|d| self.extent(*d)).collect();
        inputs.push(String::new());
        if extents.contains(&-1) {
            let from = self.graph.shape(node.inputs[0]).dims();
            let old = |axis: usize| from[axis].at(1);
            let scales = [1.0, 1.0, scale(old(2), size[0]), scale(old(3), size[1])];
            inputs.push(self.floats("scales", &scales));
        } else {
            inputs.push(String::new());
            inputs.push(self.integers("sizes", &extents));
        }
    }

    fn scalar(&mut self, value: f32) -> String {
        self.operand("limit", vec![], FLOAT, value.to_le_bytes().to_vec())
    }

    fn floats(&mut self, what: &str, values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.operand(what, vec![values.len() as i64], FLOAT, bytes)
    }

    fn integers(&mut self, what: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.operand(what, vec![values.len() as i64], INT64, bytes)
    }

    fn operand(&mut self, what: &str, dims: Vec<i64>, data_type: i32, bytes: Vec<u8>) -> String {
        let name = self
            .names
            .free(&format!("{what} {}", self.initializers.len()));
        self.initializers.push(TensorProto {
            dims,
            data_type,
            name: name.clone(),
            raw_data: Bytes::from(bytes),
            ..TensorProto::default()
        });
        name
    }
}

/// The smallest float not below to / from, so that floor(from * scale) is `to` however a reader rounds.
pub(super) fn scale(from: usize, to: usize) -> f32 {
    let exact = to as f64 / from as f64;
    let rounded = exact as f32;
    if f64::from(rounded) < exact {
        rounded.next_up()
    } else {
        rounded
    }
}

fn unary_operator(unary: Unary) -> &'static str {
    match unary {
        Unary::Relu => "Relu",
        Unary::Sqrt => "Sqrt",
        Unary::Exp => "Exp",
        Unary::Log => "Log",
        Unary::Neg => "Neg",
        Unary::Abs => "Abs",
        Unary::Sigmoid => "Sigmoid",
        Unary::Tanh => "Tanh",
        Unary::Erf => "Erf",
    }
}

fn binary_operator(binary: Binary) -> &'static str {
    match binary {
        Binary::Add => "Add",
        Binary::Sub => "Sub",
        Binary::Mul => "Mul",
        Binary::Div => "Div",
        Binary::Min => "Min",
        Binary::Max => "Max",
        Binary::Pow => "Pow",
    }
}

fn pool_attributes(pool: &Pool2d) -> Vec<AttributeProto> {
    vec![
        ints("kernel_shape", &pool.kernel),
        ints("strides", &pool.stride),
        ints("pads", &pool.padding),
    ]
}

fn resize_attributes(interpolation: Interpolation) -> Vec<AttributeProto> {
    let coordinates = |align_corners: bool| {
        let how = if align_corners {
            "align_corners"
        } else {
            "half_pixel"
        };
        string("coordinate_transformation_mode", how)
    };
    match interpolation {
        Interpolation::Nearest => vec![
            string("mode", "nearest"),
            string("coordinate_transformation_mode", "asymmetric"),
            string("nearest_mode", "floor"),
        ],
        Interpolation::Bilinear { align_corners } => {
            vec![string("mode", "linear"), coordinates(align_corners)]
        }
        Interpolation::Bicubic { align_corners } => vec![
            string("mode", "cubic"),
            coordinates(align_corners),
            float("cubic_coeff_a", -0.75),
        ],
    }
}

/// A node that is no operation of the graph.
pub(super) fn node(
    op_type: &str,
    input: Vec<String>,
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        input,
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: op_type.to_owned(),
        attribute,
    }
}

pub(super) fn cast(from: String, to: String, kind: i32) -> NodeProto {
    node("Cast", vec![from], &to, vec![int("to", kind as usize)])
}

fn attribute(name: &str, r#type: i32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type,
        ..AttributeProto::default()
    }
}

pub(super) fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto {
        i: Some(value as i64),
        ..attribute(name, ATTRIBUTE_INT)
    }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        ints: values.iter().map(|v| *v as i64).collect(),
        ..attribute(name, ATTRIBUTE_INTS)
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: Some(value),
        ..attribute(name, ATTRIBUTE_FLOAT)
    }
}

pub(super) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: Some(value.as_bytes().to_vec()),
        ..attribute(name, ATTRIBUTE_STRING)
    }
}
