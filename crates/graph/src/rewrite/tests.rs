//! Rewrites keep outputs and drop exactly what may go. (That folded graphs compute the same is shown on engines.)

use super::{drop_dead, fold_batch_norm};
use crate::{BatchNorm, Builder, Conv2d, Dim, Graph, Op, Tensor, Value};

fn names(graph: &Graph) -> Vec<&'static str> {
    let ops = graph.nodes().iter().map(|n| n.op.name());
    ops.filter(|n| *n != "constant").collect()
}

/// input -> conv (1 to 2 channels, no bias) -> norm; returns the convolution's and the norm's value.
fn conv_and_norm(b: &mut Builder) -> (Value, Value) {
    let dims = [Dim::Batch, 1.into(), 4.into(), 4.into()];
    let x = b.input("x", &dims).unwrap();
    let mut vector =
        |name: &str, values: [f32; 2]| b.constant(name, Tensor::vector(values)).unwrap();
    let norm = BatchNorm {
        weight: vector("scale", [2.0, 1.0]),
        bias: vector("shift", [0.5, -1.0]),
        mean: vector("mean", [1.0, 0.0]),
        var: vector("var", [3.0, 0.0]),
    };
    let weight = Tensor::new([2, 1, 1, 1], vec![4.0, 8.0]).unwrap();
    let weight = b.constant("weight", weight).unwrap();
    let y = b.conv2d(x, weight, None, Conv2d::default()).unwrap();
    (y, b.batch_norm(y, norm, 1.0).unwrap())
}

#[test]
fn a_norm_after_a_convolution_becomes_its_weight_and_bias() {
    let mut b = Builder::new();
    let (_, z) = conv_and_norm(&mut b);
    b.output("z", z).unwrap();
    let folded = fold_batch_norm(&b.finish().unwrap());
    assert_eq!(names(&folded), ["input", "conv2d"]);
    let constants: Vec<&[f32]> = folded.constants().map(|(_, t)| t.data()).collect();
    // By hand: factors 2 / sqrt(3 + 1) = 1 and 1 / sqrt(0 + 1) = 1; bias (0 - 1) * 1 + 0.5 and (0 - 0) * 1 - 1.
    assert_eq!(constants, [&[4.0, 8.0][..], &[-0.5, -1.0]]);
}

#[test]
fn a_convolution_that_others_see_keeps_its_norm() {
    let mut b = Builder::new();
    let (y, z) = conv_and_norm(&mut b);
    b.output("z", z).unwrap();
    b.output("before", y).unwrap();
    let folded = fold_batch_norm(&b.finish().unwrap());
    assert_eq!(names(&folded), ["input", "conv2d", "batch_norm"]);
}

#[test]
fn dead_nodes_and_constants_go_and_inputs_stay() {
    let mut b = Builder::new();
    let x = b.input("x", &[Dim::Batch, 3.into()]).unwrap();
    let unused = b.input("unused", &[Dim::Batch, 3.into()]).unwrap();
    let dead = b.add_scalar(unused, 3.0).unwrap();
    b.exp(dead).unwrap();
    let (_, places) = b.top_k(x, 1, 2, true).unwrap();
    let y = b.to_float(places).unwrap();
    b.output("y", y).unwrap();
    let graph = drop_dead(&b.finish().unwrap());
    assert_eq!(names(&graph), ["input", "input", "top_k", "to_float"]);
    assert_eq!(graph.constants().count(), 0);
    assert_eq!(graph.inputs().len(), 2);
}

#[test]
fn constants_are_shared_by_rewrites() {
    let mut b = Builder::new();
    let x = b.input("x", &[Dim::Batch, 2.into()]).unwrap();
    let tensor = Tensor::vector([1.0, 2.0]);
    let c = b.constant("c", tensor.clone()).unwrap();
    let y = b.add(x, c).unwrap();
    b.output("y", y).unwrap();
    let graph = fold_batch_norm(&b.finish().unwrap());
    let kept = graph.nodes().iter().find_map(|n| match &n.op {
        Op::Constant { tensor, .. } => Some(tensor),
        _ => None,
    });
    assert!(std::sync::Arc::ptr_eq(&kept.unwrap().data, &tensor.data));
}
