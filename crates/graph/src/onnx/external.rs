//! Which files an ONNX file of another program needs beside it.

use std::collections::BTreeSet;

use prost::{DecodeError, Message};

/// Names of the files that hold constants of the model, as it has them: whoever opens it decides where they may lie.
pub fn external_files(model: &[u8]) -> Result<BTreeSet<String>, DecodeError> {
    let model = Model::decode(model)?;
    let mut files = BTreeSet::new();
    if let Some(graph) = &model.graph {
        graph.add_to(&mut files);
    }
    for function in &model.functions {
        function
            .node
            .iter()
            .for_each(|node| node.add_to(&mut files));
        let defaults = &function.attribute_proto;
        defaults
            .iter()
            .for_each(|attribute| attribute.add_to(&mut files));
    }
    Ok(files)
}

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(message, repeated, tag = "7")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "11")]
    attribute_proto: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializer: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "5")]
    t: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    g: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<Graph>,
    #[prost(message, optional, tag = "22")]
    sparse_tensor: Option<SparseTensor>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
struct SparseTensor {
    #[prost(message, optional, tag = "1")]
    values: Option<Tensor>,
    #[prost(message, optional, tag = "2")]
    indices: Option<Tensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<super::proto::StringPair>,
}

impl Graph {
    fn add_to(&self, files: &mut BTreeSet<String>) {
        self.node.iter().for_each(|node| node.add_to(files));
        self.initializer
            .iter()
            .for_each(|tensor| tensor.add_to(files));
        let sparse = &self.sparse_initializer;
        sparse.iter().for_each(|tensor| tensor.add_to(files));
    }
}

impl Node {
    fn add_to(&self, files: &mut BTreeSet<String>) {
        self.attribute
            .iter()
            .for_each(|attribute| attribute.add_to(files));
    }
}

impl Attribute {
    fn add_to(&self, files: &mut BTreeSet<String>) {
        self.t
            .iter()
            .chain(&self.tensors)
            .for_each(|tensor| tensor.add_to(files));
        self.g
            .iter()
            .chain(&self.graphs)
            .for_each(|graph| graph.add_to(files));
        let sparse = self.sparse_tensor.iter().chain(&self.sparse_tensors);
        sparse.for_each(|tensor| tensor.add_to(files));
    }
}

impl SparseTensor {
    fn add_to(&self, files: &mut BTreeSet<String>) {
        let tensors = self.values.iter().chain(&self.indices);
        tensors.for_each(|tensor| tensor.add_to(files));
    }
}

impl Tensor {
    fn add_to(&self, files: &mut BTreeSet<String>) {
        let locations = self
            .external_data
            .iter()
            .filter(|pair| pair.key == "location");
        files.extend(locations.map(|pair| pair.value.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::StringPair;

    #[test]
    fn files_are_found_wherever_a_constant_may_be() {
        let tensor = |file: &str| Tensor {
            external_data: [("location", file), ("offset", "0")]
                .map(|(key, value)| StringPair {
                    key: key.to_owned(),
                    value: value.to_owned(),
                })
                .into(),
        };
        let graph = |file: &str| Graph {
            initializer: vec![tensor(file)],
            ..Graph::default()
        };
        let sparse = |values: &str, indices: &str| SparseTensor {
            values: Some(tensor(values)),
            indices: Some(tensor(indices)),
        };
        let attribute = Attribute {
            t: Some(tensor("a")),
            g: Some(graph("b")),
            tensors: vec![tensor("c")],
            graphs: vec![graph("d")],
            sparse_tensor: Some(sparse("e", "f")),
            sparse_tensors: vec![sparse("g", "h")],
        };
        let node = |attribute: &Attribute| Node {
            attribute: vec![attribute.clone()],
        };
        let nested = Attribute {
            g: Some(Graph {
                node: vec![node(&attribute)],
                initializer: vec![tensor("i"), tensor("a"), Tensor::default()],
                sparse_initializer: vec![sparse("j", "k")],
            }),
            ..Attribute::default()
        };
        let function = Function {
            node: vec![node(&Attribute {
                t: Some(tensor("l")),
                ..Attribute::default()
            })],
            attribute_proto: vec![Attribute {
                t: Some(tensor("../m")),
                ..Attribute::default()
            }],
        };
        let model = Model {
            graph: Some(Graph {
                node: vec![node(&nested)],
                ..Graph::default()
            }),
            functions: vec![function],
        };
        let bytes = model.encode_to_vec();
        let found = external_files(&bytes).unwrap();
        let expected = [
            "../m", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l",
        ];
        assert!(found.iter().map(String::as_str).eq(expected), "{found:?}");
        for end in [1, bytes.len() / 2, bytes.len() - 1] {
            assert!(external_files(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
