//! Dropping what no output needs.

use crate::graph::Graph;
use crate::op::Op;

/// The graph without nodes that no output depends on. Inputs stay, since callers bind them by position.
pub fn drop_dead(graph: &Graph) -> Graph {
    let mut needed = vec![false; graph.values.len()];
    for port in &graph.outputs {
        needed[port.value.index()] = true;
    }
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in graph.nodes.iter().rev() {
        if matches!(node.op, Op::Input) || node.outputs.iter().any(|v| needed[v.index()]) {
            for value in &node.inputs {
                needed[value.index()] = true;
            }
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    Graph {
        nodes,
        values: graph.values.clone(),
        inputs: graph.inputs.clone(),
        outputs: graph.outputs.clone(),
    }
}
