//! A network with everything that scoring needs: mean and std, inverted residuals, gather, whitening by position,
//! upsampling with aligned corners, reflected blur, top-k.

use graph::rewrite::fold_batch_norm;
use graph::{BatchNorm, Builder, Conv2d, Dim, Graph, GraphError, Tensor, Value};

use crate::values::{all, difference, noise, run, tensor};

pub const SIZE: usize = 32;
pub const IMAGE: usize = 3 * SIZE * SIZE;

#[test]
fn a_scoring_network_agrees_with_torch_and_with_itself_folded() {
    let engines = all();
    let graph = scoring_network().unwrap();
    let folded = fold_batch_norm(&graph);
    assert!(folded.nodes().iter().all(|n| n.op.name() != "batch_norm"));
    let (reference, _) = engines.split_first().expect("one engine is built");
    for batch in [1, 8] {
        let x = noise(5, batch * IMAGE);
        let expected = run(reference.as_ref(), &graph, batch, &[&x]);
        for engine in &engines {
            for (what, graph) in [("as built", &graph), ("folded", &folded)] {
                let got = run(engine.as_ref(), graph, batch, &[&x]);
                for (port, (a, b)) in graph.outputs().iter().zip(expected.iter().zip(&got)) {
                    let off = difference(a, b);
                    println!(
                        "{} {what}, batch {batch}, {}: {off:.1e}",
                        engine.name(),
                        port.name
                    );
                    assert!(
                        off < 1e-4,
                        "{} {what}, batch {batch}, {}: {off:e}",
                        engine.name(),
                        port.name
                    );
                }
            }
        }
    }
}

pub fn scoring_network() -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let image = b.input("image", &[Dim::Batch, 3.into(), SIZE.into(), SIZE.into()])?;
    let mean = b.constant("mean", Tensor::new([3, 1, 1], vec![0.485, 0.456, 0.406])?)?;
    let std = b.constant("std", Tensor::new([3, 1, 1], vec![0.229, 0.224, 0.225])?)?;
    let centred = b.sub(image, mean)?;
    let x = b.div(centred, std)?;
    let stem = conv(&mut b, x, 3, 16, 3, 2, 1)?;
    let stem = b.clip(stem, 0.0, 6.0)?;
    let first = inverted_residual(&mut b, stem, 16, 24, 2)?;
    let second = inverted_residual(&mut b, first, 24, 24, 1)?;
    let second = b.add(first, second)?;
    let deep = inverted_residual(&mut b, second, 24, 32, 2)?;
    let up = b.resize_nearest(deep, [SIZE / 4, SIZE / 4])?;
    let features = b.concat(&[second, up], 1)?;
    let picked: Vec<usize> = (0..20).map(|i| (i * 37) % 56).collect();
    let features = b.gather(features, 1, &picked)?;

    let positions = SIZE * SIZE / 16;
    let rows = b.transpose(features, &[0, 2, 3, 1])?;
    let rows = b.reshape(rows, &[Dim::Batch, positions.into(), 20.into()])?;
    let means = b.constant("means", tensor(50, &[positions, 20], 0.3))?;
    let whitening = b.constant("whitening", tensor(51, &[positions, 20, 20], 0.5))?;
    let delta = b.sub(rows, means)?;
    let delta = b.reshape(delta, &[Dim::Batch, positions.into(), 1.into(), 20.into()])?;
    let white = b.matmul(delta, whitening)?;
    let squared = b.mul(white, white)?;
    let squared = b.reduce_sum(squared, &[2, 3], false)?;
    let distance = b.sqrt(squared)?;
    let (top, _) = b.top_k(distance, 1, 3, true)?;
    b.output("top", top)?;

    let side = SIZE / 4;
    let map = b.reshape(distance, &[Dim::Batch, 1.into(), side.into(), side.into()])?;
    let map = b.resize_bilinear(map, [SIZE, SIZE], true)?;
    let map = b.pad_reflect(map, [4; 4])?;
    let taps = b.constant("blur", Tensor::new([1, 1, 9, 9], vec![1.0 / 81.0; 81])?)?;
    let map = b.conv2d(map, taps, None, Conv2d::default())?;
    b.output("anomaly_map", map)?;
    let score = b.reduce_max(map, &[1, 2, 3], false)?;
    b.output("pred_score", score)?;
    b.finish()
}

fn inverted_residual(
    b: &mut Builder,
    x: Value,
    from: usize,
    to: usize,
    stride: usize,
) -> Result<Value, GraphError> {
    let wide = conv(b, x, from, 4 * from, 1, 1, 1)?;
    let wide = b.clip(wide, 0.0, 6.0)?;
    let deep = conv(b, wide, 4 * from, 4 * from, 3, stride, 4 * from)?;
    let deep = b.clip(deep, 0.0, 6.0)?;
    conv(b, deep, 4 * from, to, 1, 1, 1)
}

fn conv(
    b: &mut Builder,
    x: Value,
    from: usize,
    to: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
) -> Result<Value, GraphError> {
    // The value's own number keeps names and noise of the layers apart.
    let key = x.index() as u64 + 100;
    let fan_in = (from / groups * kernel * kernel) as f32;
    let weight = tensor(
        key,
        &[to, from / groups, kernel, kernel],
        (6.0 / fan_in).sqrt(),
    );
    let weight = b.constant(&format!("layer {key} weight"), weight)?;
    let attributes = Conv2d {
        stride: [stride; 2],
        padding: [kernel / 2; 4],
        dilation: [1; 2],
        groups,
    };
    let y = b.conv2d(x, weight, None, attributes)?;
    let mut part = |name: &str, salt: u64, positive: bool| {
        let data: Vec<f32> = noise(key * 8 + salt, to)
            .into_iter()
            .map(|v| if positive { v.abs() + 0.5 } else { v * 0.2 })
            .collect();
        b.constant(&format!("layer {key} {name}"), Tensor::vector(data))
    };
    let norm = BatchNorm {
        weight: part("scale", 1, true)?,
        bias: part("shift", 2, false)?,
        mean: part("mean", 3, false)?,
        var: part("var", 4, true)?,
    };
    b.batch_norm(y, norm, 1e-5)
}
