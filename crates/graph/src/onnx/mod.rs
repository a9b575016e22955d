//! Writing graphs as ONNX files, opset 17, which ONNX Runtime and OpenVINO load; and what files of other programs need.

mod any_size;
mod constants;
mod external;
mod names;
mod nodes;
mod opset;
mod proto;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;

use crate::GraphError;
use crate::graph::Graph;
use crate::op::Op;
use crate::shape::{Dim, Shape};
pub use any_size::FromAnySize;
use constants::Constants;
pub use external::external_files;
use names::Names;
use nodes::Writer;
pub use opset::opset;
use proto::{
    DimensionProto, FLOAT, GraphProto, Model, OperatorSet, ShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

/// The operator set of written files.
pub const OPSET: i64 = 17;
/// The newest IR version that belongs to this opset.
const IR_VERSION: i64 = 8;
/// protobuf's limit is 2 GiB for a message; the rest is for nodes and names.
const MAX_CONSTANT_BYTES: usize = (1 << 31) - (1 << 24);

/// How a graph is written.
#[derive(Clone, Default)]
pub struct Form<'a> {
    /// Images in a batch, or the symbolic dimension `N`.
    pub batch: Option<usize>,
    /// Constants of these names are stored in half precision and made 32-bit floats again when the file is loaded. One
    /// with a number that is none in half precision stays as it is.
    pub half: Option<&'a HashSet<String>>,
    /// The first input takes images of any size, which are resized in the file.
    pub any_size: Option<FromAnySize>,
    /// Constants that take more bytes than this together lie in a file of that name beside the first.
    pub beside: Option<(usize, &'a str)>,
}

/// A graph as files.
pub struct Files {
    /// The ONNX file.
    pub model: Vec<u8>,
    /// What the file beside it holds, in pieces; nothing if there is none.
    pub beside: Vec<Bytes>,
}

/// The graph as one ONNX file for a fixed batch, or with the batch as the symbolic dimension `N`.
pub fn write(graph: &Graph, batch: Option<usize>) -> Result<Vec<u8>, GraphError> {
    let form = Form {
        batch,
        ..Form::default()
    };
    Ok(files(graph, &form)?.model)
}

/// The graph as an ONNX file and what lies beside it.
pub fn files(graph: &Graph, form: &Form<'_>) -> Result<Files, GraphError> {
    let bytes = graph.constant_bytes();
    let beside = form.beside.filter(|(most, _)| bytes > *most);
    if beside.is_none() && bytes > MAX_CONSTANT_BYTES {
        return Err(GraphError::TooLarge { bytes });
    }
    let batch = form.batch;
    let mut names = Names::new(graph, form.any_size.is_some());
    let mut constants = Constants::new(form.half, beside.map(|(_, name)| name));
    let mut initializers = Vec::new();
    let mut nodes = Vec::new();
    if let (Some(any_size), Some(port)) = (&form.any_size, graph.inputs().first()) {
        any_size.write(port, &mut names, &mut initializers, &mut nodes);
    }
    for node in graph.nodes() {
        match &node.op {
            Op::Input => {}
            Op::Constant { name, tensor } => {
                let of_file = names.of(node.outputs[0]).to_owned();
                let (initializer, cast) = constants.write(name, of_file, tensor, &mut names);
                initializers.push(initializer);
                nodes.extend(cast);
            }
            _ => Writer {
                graph,
                batch,
                names: &mut names,
                initializers: &mut initializers,
                nodes: &mut nodes,
            }
            .node(node),
        }
    }
    // An output that is also an input, a constant or another output gets a node of its own.
    nodes.extend(names.aliases());
    let info = |port: &crate::graph::Port| value_info(&port.name, graph.shape(port.value), batch);
    let mut inputs: Vec<ValueInfoProto> = graph.inputs().iter().map(info).collect();
    if let (Some(_), Some(input)) = (&form.any_size, inputs.first_mut()) {
        any_size::open(input);
    }
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "nightshift".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(GraphProto {
            node: nodes,
            name: "nightshift".to_owned(),
            initializer: initializers,
            input: inputs,
            output: graph.outputs().iter().map(info).collect(),
        }),
        opset_import: vec![OperatorSet {
            domain: Some(String::new()),
            version: OPSET,
        }],
    };
    Ok(Files {
        model: model.encode_to_vec(),
        beside: constants.beside(),
    })
}

fn value_info(name: &str, shape: &Shape, batch: Option<usize>) -> ValueInfoProto {
    let dimension = |dim: &Dim| match (dim, batch) {
        (&Dim::Fixed(n), _) | (Dim::Batch, Some(n)) => DimensionProto {
            dim_value: Some(n as i64),
            dim_param: None,
        },
        (Dim::Batch, None) => DimensionProto {
            dim_value: None,
            dim_param: Some("N".to_owned()),
        },
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: FLOAT,
                shape: Some(ShapeProto {
                    dim: shape.dims().iter().map(dimension).collect(),
                }),
            }),
        }),
    }
}
