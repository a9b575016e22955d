//! The names of values in a file: ports keep theirs, constants theirs where free, everything else is numbered.

use std::collections::HashSet;

use super::proto::NodeProto;
use crate::graph::{Graph, Value};
use crate::op::Op;

pub(super) struct Names {
    of_value: Vec<String>,
    taken: HashSet<String>,
    /// Output port, and the value's name where it could not take the port's.
    aliases: Vec<(String, String)>,
}

impl Names {
    /// `inputs_apart`: the first input's value is not the input of the file, but made from it.
    pub(super) fn new(graph: &Graph, inputs_apart: bool) -> Self {
        let ports = graph.inputs().iter().chain(graph.outputs());
        let mut names = Names {
            of_value: vec![String::new(); graph.value_count()],
            taken: ports.map(|p| p.name.clone()).collect(),
            aliases: Vec::new(),
        };
        for port in graph.inputs() {
            names.of_value[port.value.index()] = port.name.clone();
        }
        if let Some(port) = graph.inputs().first().filter(|_| inputs_apart) {
            names.of_value[port.value.index()] =
                names.free(&format!("{} as the model sees it", port.name));
        }
        for node in graph.nodes() {
            if let Op::Constant { name, .. } = &node.op {
                names.of_value[node.outputs[0].index()] = names.free(name);
            }
        }
        for port in graph.outputs() {
            let slot = &mut names.of_value[port.value.index()];
            if slot.is_empty() {
                *slot = port.name.clone();
            }
        }
        for index in 0..names.of_value.len() {
            if names.of_value[index].is_empty() {
                names.of_value[index] = names.free(&format!("value {index}"));
            }
        }
        for port in graph.outputs() {
            let name = names.of(port.value);
            if name != port.name {
                names.aliases.push((port.name.clone(), name.to_owned()));
            }
        }
        names
    }

    pub(super) fn of(&self, value: Value) -> &str {
        &self.of_value[value.index()]
    }

    /// A name nothing else has, like `wish`.
    pub(super) fn free(&mut self, wish: &str) -> String {
        let mut name = wish.to_owned();
        while name.is_empty() || !self.taken.insert(name.clone()) {
            name.push('\'');
        }
        name
    }

    pub(super) fn aliases(&self) -> impl Iterator<Item = NodeProto> {
        self.aliases.iter().map(|(port, value)| NodeProto {
            input: vec![value.clone()],
            output: vec![port.clone()],
            name: format!("{port} <- {value}"),
            op_type: "Identity".to_owned(),
            attribute: Vec::new(),
        })
    }
}
