//! The counter-based numbers of the golden sets: weights and inputs without files.

use graph::Tensor;
use models::{StateDict, backbones};

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Number `i` of a name, uniform in [0, 1).
pub fn uniform(name: &str, seed: u64, i: u64) -> f64 {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, |h: u64, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3)
    });
    let mut z = (hash ^ seed.wrapping_mul(GOLDEN)).wrapping_add((i + 1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / (1u64 << 24) as f64
}

pub fn tensor(name: &str, shape: &[usize], seed: u64) -> Tensor {
    let fan_in: usize = shape.iter().skip(1).product();
    let leaf = name.rsplit('.').next().unwrap_or(name);
    let value = |i| {
        let u = uniform(name, seed, i);
        let value = match leaf {
            "running_mean" => 0.2 * (u - 0.5),
            "running_var" => 0.5 + u,
            _ if shape.len() > 1 => (2.0 * u - 1.0) * (3.0 / fan_in as f64).sqrt(),
            "weight" => 0.5 + u,
            _ => 0.2 * (u - 0.5),
        };
        value as f32
    };
    let count: usize = shape.iter().product();
    Tensor::new(shape, (0..count as u64).map(value).collect::<Vec<_>>())
        .expect("as many values as the shape says")
}

/// A backbone's tensors by the formula.
pub fn weights(backbone: &str) -> StateDict {
    let tensors = backbones::find(backbone).expect("known").tensors();
    tensors
        .into_iter()
        .map(|(name, shape)| (name.clone(), tensor(&name, &shape, 0)))
        .collect()
}

#[test]
fn the_formula_gives_its_published_values() {
    let data = super::golden("formula");
    let mut checked = 0;
    for (key, expected) in data {
        let parts: Vec<&str> = key.split('/').collect();
        let seed = parts[2]
            .trim_start_matches("seed")
            .parse()
            .expect("a number");
        let actual = match parts[0] {
            "tensor" => tensor(parts[1], expected.shape(), seed),
            "input" => {
                let values: Vec<f32> = (0..expected.len() as u64)
                    .map(|i| (4.0 * uniform(parts[1], seed, i) - 2.0) as f32)
                    .collect();
                Tensor::new(expected.shape(), values).expect("fits")
            }
            _ => Tensor::new(
                expected.shape(),
                (0..expected.len() as u64)
                    .map(|i| uniform(parts[1], seed, i) as f32)
                    .collect::<Vec<_>>(),
            )
            .expect("fits"),
        };
        assert_eq!(actual, expected, "{key}");
        checked += 1;
    }
    assert_eq!(checked, 8);
}
