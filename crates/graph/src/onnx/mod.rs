//! Writing graphs as ONNX files, opset 17, which ONNX Runtime and OpenVINO load.

mod names;
mod nodes;
mod proto;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::GraphError;
use crate::graph::Graph;
use crate::op::Op;
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;
use names::Names;
use nodes::Writer;
use proto::{
    DimensionProto, FLOAT, GraphProto, Model, OperatorSet, ShapeProto, TensorProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The operator set of written files.
pub const OPSET: i64 = 17;
/// The newest IR version that belongs to this opset.
const IR_VERSION: i64 = 8;
/// protobuf's limit is 2 GiB for a message; the rest is for nodes and names.
const MAX_CONSTANT_BYTES: usize = (1 << 31) - (1 << 24);

/// The graph as an ONNX file for a fixed batch, or with the batch as the symbolic dimension `N`.
pub fn write(graph: &Graph, batch: Option<usize>) -> Result<Vec<u8>, GraphError> {
    let bytes = graph.constant_bytes();
    if bytes > MAX_CONSTANT_BYTES {
        return Err(GraphError::TooLarge { bytes });
    }
    let mut names = Names::new(graph);
    let mut initializers = Vec::new();
    let mut nodes = Vec::new();
    for node in graph.nodes() {
        match &node.op {
            Op::Input => {}
            Op::Constant { tensor, .. } => {
                initializers.push(floats(names.of(node.outputs[0]), tensor));
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
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "nightshift".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(GraphProto {
            node: nodes,
            name: "nightshift".to_owned(),
            initializer: initializers,
            input: graph.inputs().iter().map(info).collect(),
            output: graph.outputs().iter().map(info).collect(),
        }),
        opset_import: vec![OperatorSet {
            domain: Some(String::new()),
            version: OPSET,
        }],
    };
    Ok(model.encode_to_vec())
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

/// Lends a tensor's elements to the message, so that large statistics are not copied before they are encoded.
struct Elements(Arc<[f32]>);

impl AsRef<[u8]> for Elements {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

const _: () = assert!(
    cfg!(target_endian = "little"),
    "raw ONNX data is little-endian"
);

fn floats(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        dims: tensor.shape.iter().map(|d| *d as i64).collect(),
        data_type: FLOAT,
        name: name.to_owned(),
        raw_data: Bytes::from_owner(Elements(Arc::clone(&tensor.data))),
    }
}
