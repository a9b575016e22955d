//! Which of a graph's numbers may lose digits.

use std::collections::HashSet;

use graph::{Op, rewrite};

use crate::{Model, ModelError, Start, StateDict};

/// Names, in the inference graph with its batch norms folded, of the backbone's kernels: nearly all of its numbers. Nothing
/// that the model has learned is among them, and no other operand.
pub fn kernels(model: &dyn Model, weights: &StateDict) -> Result<HashSet<String>, ModelError> {
    let seen = rewrite::fold_batch_norm(&model.feature_graph(Start::Image(weights))?);
    let kernels: HashSet<_> = seen
        .nodes()
        .iter()
        .filter(|node| matches!(node.op, Op::Conv2d(_)))
        .filter_map(|node| node.inputs.get(1).copied())
        .collect();
    let named = seen.nodes().iter().filter_map(|node| match &node.op {
        Op::Constant { name, .. } if kernels.contains(&node.outputs[0]) => Some(name.clone()),
        _ => None,
    });
    Ok(named.collect())
}
