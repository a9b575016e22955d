//! Measures three engines in one process: loading, memory, and whether they slow each other down.
//!
//! `together` runs all; `together NAME` one; `together nothing` only starts.

use std::time::Instant;

use engines::{Choice, CompileOptions, Session, open};
use graph::{Builder, Conv2d, Dim, Graph, GraphError, Tensor};

const SIZE: usize = 256;
const ROUNDS: usize = 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    engines_torch::link();
    let only = std::env::args().nth(1);
    if only.as_deref() == Some("nothing") {
        return Ok(());
    }
    let graph = network()?;
    let image = vec![0.5f32; 3 * SIZE * SIZE];
    println!("start: {} MiB", resident_mib());
    let mut sessions: Vec<(&str, Box<dyn Session>)> = Vec::new();
    for (choice, name) in [
        (Choice::OpenVino, "openvino"),
        (Choice::OnnxRuntime, "onnxruntime"),
        (Choice::TorchCpu, "torch-cpu"),
    ] {
        if only.as_deref().is_some_and(|o| o != name) {
            continue;
        }
        let start = Instant::now();
        let engine = open(choice)?;
        let loaded = start.elapsed();
        let compiled = engine.compile(&graph, &CompileOptions::default())?;
        let mut session = compiled.session()?;
        let ready = start.elapsed();
        let mut outputs = vec![Vec::new()];
        session.run(&[&image], &mut outputs)?;
        println!(
            "{name}: loaded {loaded:.1?}, ready {ready:.1?}, first run {:.1?}, {} MiB",
            start.elapsed() - ready,
            resident_mib()
        );
        sessions.push((name, session));
    }
    // Alone: one engine after the other. Interleaved: an image each in turn, in one thread.
    for (name, session) in &mut sessions {
        println!("{name} alone: {:.2} ms", median(session.as_mut(), &image)?);
    }
    if sessions.len() > 1 {
        let mut times = vec![Vec::new(); sessions.len()];
        for _ in 0..ROUNDS {
            for ((_, session), times) in sessions.iter_mut().zip(&mut times) {
                times.push(once(session.as_mut(), &image)?);
            }
        }
        for ((name, _), times) in sessions.iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            println!("{name} interleaved: {:.2} ms", times[times.len() / 2]);
        }
    }
    println!("end: {} MiB", resident_mib());
    Ok(())
}

fn median(session: &mut dyn Session, image: &[f32]) -> Result<f64, Box<dyn std::error::Error>> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(once(session, image)?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn once(session: &mut dyn Session, image: &[f32]) -> Result<f64, Box<dyn std::error::Error>> {
    let mut outputs = vec![Vec::new()];
    let start = Instant::now();
    session.run(&[image], &mut outputs)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn resident_mib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    pages * 4096 / (1 << 20)
}

/// MobileNetV2's first blocks, with constant weights.
fn network() -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let mut x = b.input("image", &[Dim::Batch, 3.into(), SIZE.into(), SIZE.into()])?;
    let layers = [
        (3, 32, 3, 2, 1),
        (32, 32, 3, 1, 32),
        (32, 16, 1, 1, 1),
        (16, 96, 1, 1, 1),
        (96, 96, 3, 2, 96),
        (96, 24, 1, 1, 1),
        (24, 144, 1, 1, 1),
        (144, 144, 3, 2, 144),
        (144, 32, 1, 1, 1),
        (32, 192, 1, 1, 1),
        (192, 192, 3, 2, 192),
        (192, 64, 1, 1, 1),
    ];
    for (number, (from, to, kernel, stride, groups)) in layers.into_iter().enumerate() {
        let shape = [to, from / groups, kernel, kernel];
        let count = shape.iter().product();
        let data: Vec<f32> = (0..count)
            .map(|i| ((i * 7919 % 101) as f32 - 50.0) / 400.0)
            .collect();
        let weight = b.constant(&format!("layer {number}"), Tensor::new(shape, data)?)?;
        let attributes = Conv2d {
            stride: [stride; 2],
            padding: [kernel / 2; 4],
            dilation: [1; 2],
            groups,
        };
        x = b.conv2d(x, weight, None, attributes)?;
        x = b.clip(x, 0.0, 6.0)?;
    }
    b.output("features", x)?;
    b.finish()
}
