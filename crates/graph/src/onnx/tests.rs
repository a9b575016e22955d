//! What written files hold, read back through the same messages.

use prost::Message;

use super::nodes::scale;
use super::proto::Model;
use super::write;
use crate::{Builder, Dim, Graph, Pool2d, Tensor};

const IMAGE: [Dim; 4] = [Dim::Batch, Dim::Fixed(2), Dim::Fixed(6), Dim::Fixed(5)];

fn read(graph: &Graph, batch: Option<usize>) -> super::proto::GraphProto {
    let bytes = write(graph, batch).unwrap();
    let model = Model::decode(bytes.as_slice()).unwrap();
    assert_eq!(model.opset_import[0].version, 17);
    model.graph.unwrap()
}

#[test]
fn the_batch_is_a_symbol_or_a_number() {
    let mut b = Builder::new();
    let x = b.input("image", &IMAGE).unwrap();
    let flat = b.reshape(x, &[Dim::Batch, 60.into()]).unwrap();
    b.output("flat", flat).unwrap();
    let graph = b.finish().unwrap();
    let first_dim = |g: &super::proto::GraphProto| {
        let tensor = g.input[0].r#type.clone().unwrap().tensor_type.unwrap();
        tensor.shape.unwrap().dim[0].clone()
    };
    let open = read(&graph, None);
    assert_eq!(first_dim(&open).dim_param.as_deref(), Some("N"));
    assert_eq!(&open.initializer[0].raw_data[..8], &(-1i64).to_le_bytes());
    let fixed = read(&graph, Some(5));
    assert_eq!(first_dim(&fixed).dim_value, Some(5));
    assert_eq!(&fixed.initializer[0].raw_data[..8], &5i64.to_le_bytes());
}

#[test]
fn every_output_is_written_under_its_name_even_if_it_is_an_input_a_constant_or_another_output() {
    let mut b = Builder::new();
    let x = b.input("image", &IMAGE).unwrap();
    let c = b.constant("image", Tensor::scalar(2.0)).unwrap();
    let y = b.relu(x).unwrap();
    for (name, value) in [("same", x), ("two", c), ("y", y), ("again", y)] {
        b.output(name, value).unwrap();
    }
    let graph = read(&b.finish().unwrap(), None);
    let produced: Vec<&str> = graph
        .node
        .iter()
        .flat_map(|n| &n.output)
        .map(String::as_str)
        .collect();
    for name in ["same", "two", "y", "again"] {
        assert!(
            produced.contains(&name),
            "{name} is missing from {produced:?}"
        );
    }
    let mut defined: Vec<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    defined.extend(&produced);
    defined.push("image");
    let count = defined.len();
    defined.sort_unstable();
    defined.dedup();
    assert_eq!(defined.len(), count, "a name is defined twice");
}

#[test]
fn zero_valued_attributes_are_present() {
    let mut b = Builder::new();
    let x = b.input("image", &IMAGE).unwrap();
    let m = b.reduce_max(x, &[1], false).unwrap();
    b.output("max", m).unwrap();
    let graph = read(&b.finish().unwrap(), None);
    let keep = graph.node[0]
        .attribute
        .iter()
        .find(|a| a.name == "keepdims")
        .unwrap();
    assert_eq!(keep.i, Some(0));
}

#[test]
fn scales_reach_every_size_when_rounded_down() {
    for from in 1..200usize {
        for to in 1..400usize {
            let s = scale(from, to);
            assert_eq!(
                (from as f32 * s).floor() as usize,
                to,
                "{from} to {to} in f32"
            );
            assert_eq!(
                (from as f64 * f64::from(s)).floor() as usize,
                to,
                "{from} to {to} in f64"
            );
        }
    }
}

#[test]
fn pads_are_written_begin_before_end() {
    let mut b = Builder::new();
    let x = b.input("image", &IMAGE).unwrap();
    let pool = Pool2d {
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 0, 2, 1],
    };
    let y = b.max_pool2d(x, pool).unwrap();
    b.output("y", y).unwrap();
    let graph = read(&b.finish().unwrap(), None);
    let pads = graph.node[0]
        .attribute
        .iter()
        .find(|a| a.name == "pads")
        .unwrap();
    assert_eq!(pads.ints, [1, 0, 2, 1]);
}
