//! Measures the choice of PatchCore's memory bank, beside what memory itself allows: one JSON line.
//!
//! `coreset [POINTS] [noise]`: of so many points (160,000) of 512 dimensions the tenth that greedy k-centre picks, on all
//! cores. The points are like patches of images: a smooth walk through few dimensions, seen in many, with a little noise;
//! `noise` asks for nothing but noise, where everything is as far from everything and no comparison can be spared. Making
//! them does not count.
//!
//! The plain form compares every point with every pick in a pass over all points: `plain_bytes` from memory. `bandwidth` is
//! what all cores read of the same points side by side, `plain_s` what those passes would take at that rate, if they did
//! nothing else. `cpu_s` is what the process ran: where others use the processor, `s` is more than its share of the cores.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use models::{InputSize, MemoryFeatures};
use serde_json::json;

type Failed = Box<dyn std::error::Error>;

const DIMS: usize = 512;

/// Of which the points are made.
const LATENT: usize = 12;

/// Patches of an image of 320 x 320 at the layer's stride of 32.
const POSITIONS: usize = 100;

/// Passes over the points, of which the fastest counts.
const PASSES: usize = 5;

fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_noise = words.iter().any(|word| word == "noise");
    let points = words.iter().find(|word| *word != "noise");
    let points: usize = points.map_or(Ok(160_000), |word| word.parse())?;
    let images = points.div_ceil(POSITIONS);
    let points = images * POSITIONS;
    let threads = std::thread::available_parallelism()?.get();

    let args = json!({"backbone": "resnet18", "layers": ["layer4"], "coreset_sampling_ratio": 0.1, "projection": "never"});
    let args = args.as_object().ok_or("no parameters")?;
    // Cropped to 320 x 320.
    let model = models::build("Patchcore", args, InputSize::resized([366, 366]), 0)?;
    if model.feature_shape()? != [POSITIONS, DIMS] {
        return Err("the layer's map has another shape".into());
    }
    let values = if is_noise {
        noise(points)
    } else {
        walk(points)
    };
    let bandwidth = bandwidth(&values, threads);
    let features = MemoryFeatures::new(POSITIONS, DIMS, values).ok_or("not whole images")?;

    let (start, ran) = (Instant::now(), cpu()?);
    let statistics = model.fit(&features, threads, &|_, _| {})?;
    let (took, ran) = (start.elapsed(), cpu()?.saturating_sub(ran));

    let picks = points / 10;
    let plain = picks as f64 * (points * DIMS * size_of::<f32>()) as f64;
    let line = json!({
        "points": points,
        "dims": DIMS,
        "picks": picks,
        "kind": if is_noise { "noise" } else { "walk" },
        "threads": threads,
        "s": rounded(took.as_secs_f64()),
        "cpu_s": rounded(ran.as_secs_f64()),
        "plain_bytes": plain,
        "bandwidth_gb_s": rounded(bandwidth / 1e9),
        "plain_s": rounded(plain / bandwidth),
        "tensors": statistics.len(),
        "peak_rss_mib": peak_mib()?,
    });
    println!("{line}");
    Ok(())
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Bytes a second.
fn bandwidth(values: &[f32], threads: usize) -> f64 {
    let share = values.len().div_ceil(threads);
    let pass = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for share in values.chunks(share) {
                scope.spawn(|| {
                    // As bits, since sums of floats may not be taken in any order.
                    let bits = share.iter().map(|value| value.to_bits());
                    black_box(bits.fold(0, u32::wrapping_add))
                });
            }
        });
        start.elapsed()
    };
    let fastest = (0..PASSES).map(|_| pass()).min().unwrap_or_default();
    size_of_val(values) as f64 / fastest.as_secs_f64()
}

fn noise(points: usize) -> Vec<f32> {
    let mut random = Random(1);
    (0..points * DIMS).map(|_| random.share()).collect()
}

/// Neighbours are alike, as patches beside each other are; another image begins elsewhere.
fn walk(points: usize) -> Vec<f32> {
    let mut random = Random(2);
    let seen: Vec<f32> = (0..LATENT * DIMS).map(|_| random.share() - 0.5).collect();
    let mut values = Vec::with_capacity(points * DIMS);
    let mut place = [0.0; LATENT];
    for point in 0..points {
        let step = if point % POSITIONS == 0 { 2.0 } else { 0.5 };
        for latent in &mut place {
            *latent = (*latent + step * (random.share() - 0.5)).clamp(-1.0, 1.0);
        }
        for dim in 0..DIMS {
            let row = seen[dim * LATENT..(dim + 1) * LATENT].iter();
            let value: f32 = row.zip(&place).map(|(seen, latent)| seen * latent).sum();
            // As behind a rectifier.
            values.push(value.max(0.0) + 0.02 * random.share());
        }
    }
    values
}

/// splitmix64.
struct Random(u64);

impl Random {
    /// In [0, 1).
    fn share(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 40) as f32 / (1u32 << 24) as f32
    }
}

/// What the process's threads, all of which have ended but this one, ran so far.
fn cpu() -> Result<Duration, Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().ok_or("no stat")?;
    // utime and stime, in hundredths of a second on every Linux.
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks: Vec<u64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

fn peak_mib() -> Result<u64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.ok_or("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<u64>()? / 1024)
}
