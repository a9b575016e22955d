//! Engines under test, reproducible numbers, and how results are compared.

use engines::{Choice, CompileOptions, Engine, EngineError, open};
use graph::{Graph, Tensor};

/// The engines that this build has, torch first: it is what the others are compared with. On GPUs only where there is one.
pub fn all() -> Vec<Box<dyn Engine>> {
    engines_torch::link();
    let on_cpu = [Choice::TorchCpu, Choice::OnnxRuntime, Choice::OpenVino];
    on_cpu
        .into_iter()
        .chain([Choice::TorchCuda])
        .filter_map(|choice| match open(choice) {
            Err(EngineError::NotBuilt { .. }) => None,
            Err(EngineError::NoCuda { .. } | EngineError::NoGpu { .. }) => None,
            other => Some(other.expect("the engine opens; `make setup` brings the libraries")),
        })
        .collect()
}

/// Engines that give an image the same bits in batches of different sizes.
///
/// Not libtorch: its kernels choose their blocking by the shape of the whole batch.
pub fn batch_size_independent() -> Vec<Box<dyn Engine>> {
    all()
        .into_iter()
        .filter(|e| !e.name().starts_with("torch"))
        .collect()
}

/// Numbers in [-1, 1) that depend on nothing but `key` and the position (splitmix64's finaliser).
pub fn noise(key: u64, len: usize) -> Vec<f32> {
    let at = |i: u64| {
        let mut z = (key << 32)
            .wrapping_add(i)
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len as u64).map(at).collect()
}

/// A tensor of noise, scaled.
pub fn tensor(key: u64, shape: &[usize], scale: f32) -> Tensor {
    let data: Vec<f32> = noise(key, shape.iter().product())
        .into_iter()
        .map(|v| v * scale)
        .collect();
    Tensor::new(shape, data).expect("the count fits")
}

/// Compiles, runs once, returns all outputs.
pub fn run(engine: &dyn Engine, graph: &Graph, batch: usize, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
    let options = CompileOptions {
        batch,
        ..CompileOptions::default()
    };
    let compiled = engine
        .compile(graph, &options)
        .unwrap_or_else(|e| panic!("{e}"));
    let mut session = compiled.session().unwrap_or_else(|e| panic!("{e}"));
    let mut outputs = vec![Vec::new(); graph.outputs().len()];
    session
        .run(inputs, &mut outputs)
        .unwrap_or_else(|e| panic!("{e}"));
    outputs
}

/// max |a - b| / max |a|
pub fn difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0f64, |m, v| m.max(f64::from(v.abs())));
    let off = a.iter().zip(b).fold(0f64, |m, (a, b)| {
        // A NaN on one side only must not vanish in `max`.
        let d = f64::from((a - b).abs());
        if d.is_nan() && !(a.is_nan() && b.is_nan()) {
            f64::INFINITY
        } else {
            m.max(d)
        }
    });
    if off == 0.0 { 0.0 } else { off / largest }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}
