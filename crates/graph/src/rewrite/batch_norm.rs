//! Folding batch norms into the convolutions before them.

use std::collections::HashMap;

use super::drop_dead;
use crate::graph::{Graph, Node, Value};
use crate::op::Op;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// The graph with each batch norm of constants that alone follows a convolution of constants made part of it:
/// weight * s and (bias - mean) * s + shift with s = scale / sqrt(var + eps), computed in f64 and rounded once.
pub fn fold_batch_norm(graph: &Graph) -> Graph {
    let mut folded = graph.clone();
    let constants: HashMap<Value, (String, Tensor)> = graph
        .nodes
        .iter()
        .filter_map(|node| match &node.op {
            Op::Constant { name, tensor } => {
                Some((node.outputs[0], (name.clone(), tensor.clone())))
            }
            _ => None,
        })
        .collect();
    let mut uses = vec![0usize; graph.values.len()];
    for value in graph.nodes.iter().flat_map(|n| &n.inputs) {
        uses[value.index()] += 1;
    }
    for port in &graph.outputs {
        uses[port.value.index()] += 1;
    }
    let producers: HashMap<Value, usize> = graph
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(i, n)| n.outputs.iter().map(move |v| (*v, i)))
        .collect();

    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let fold = plan(graph, node, &constants, &uses, &producers);
        let Some((conv, name, weight, bias)) = fold else {
            nodes.push(node.clone());
            continue;
        };
        let mut operands = vec![conv.inputs[0]];
        for (part, tensor) in [("weight", weight), ("bias", bias)] {
            let value = Value(folded.values.len() as u32);
            folded.values.push(crate::graph::ValueInfo {
                shape: Shape::fixed(&tensor.shape),
                kind: crate::graph::Kind::Float,
            });
            nodes.push(Node {
                op: Op::Constant {
                    name: format!("{name} with batch norm: {part}"),
                    tensor,
                },
                inputs: Vec::new(),
                outputs: vec![value],
            });
            operands.push(value);
        }
        nodes.push(Node {
            op: conv.op.clone(),
            inputs: operands,
            outputs: node.outputs.clone(),
        });
    }
    folded.nodes = nodes;
    drop_dead(&folded)
}

/// The convolution before a batch norm with its folded weight and bias, if the two can become one.
fn plan<'g>(
    graph: &'g Graph,
    norm: &Node,
    constants: &HashMap<Value, (String, Tensor)>,
    uses: &[usize],
    producers: &HashMap<Value, usize>,
) -> Option<(&'g Node, String, Tensor, Tensor)> {
    let Op::BatchNorm { eps } = norm.op else {
        return None;
    };
    let conv = &graph.nodes[*producers.get(&norm.inputs[0])?];
    if !matches!(conv.op, Op::Conv2d(_)) || uses[norm.inputs[0].index()] != 1 {
        return None;
    }
    let (name, weight) = constants.get(&conv.inputs[1])?;
    let bias = match conv.inputs.get(2) {
        Some(value) => Some(&constants.get(value)?.1),
        None => None,
    };
    let parameter = |i: usize| constants.get(&norm.inputs[i]).map(|(_, t)| t.data());
    let (scale, shift, mean, var) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
    let factors: Vec<f64> = (0..scale.len())
        .map(|c| f64::from(scale[c]) / (f64::from(var[c]) + f64::from(eps)).sqrt())
        .collect();
    let per_channel = weight.len() / factors.len();
    let folded_weight: Vec<f32> = weight
        .data()
        .chunks_exact(per_channel)
        .zip(&factors)
        .flat_map(|(taps, s)| taps.iter().map(move |w| (f64::from(*w) * s) as f32))
        .collect();
    let folded_bias: Vec<f32> = (0..factors.len())
        .map(|c| {
            let before = bias.map_or(0.0, |b| f64::from(b.data()[c]));
            ((before - f64::from(mean[c])) * factors[c] + f64::from(shift[c])) as f32
        })
        .collect();
    let weight = Tensor::new(weight.shape.clone(), folded_weight).ok()?;
    // Named after the norm's own bias as well: one weight may be shared by several convolutions.
    let name = format!("{name}, {}", constants.get(&norm.inputs[2])?.0);
    Some((conv, name, weight, Tensor::vector(folded_bias)))
}
