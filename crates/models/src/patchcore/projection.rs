//! The sparse random projection in which patches are compared while some are chosen.

use crate::Stream;

/// Allowed distortion of distances, as in the reference.
const EPS: f64 = 0.9;

/// When to project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Projecting {
    /// Where the projection has fewer dimensions: otherwise it costs time and memory, and approximates what is there.
    Auto,
    Always,
    Never,
}

/// A matrix of few entries of one size (Li, Hastie, Church: Very Sparse Random Projections, 2006).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Projection {
    /// For each output, its inputs with their factors.
    rows: Vec<Vec<(u32, f32)>>,
}

/// Dimensions that keep distances among so many points (Johnson and Lindenstrauss): 4 ln n / (eps²/2 - eps³/3).
pub(super) fn components(points: usize) -> usize {
    let bound = 4.0 * (points as f64).ln() / (EPS * EPS / 2.0 - EPS * EPS * EPS / 3.0);
    (bound as usize).max(1)
}

impl Projecting {
    /// Dimensions in which points of so many dimensions are compared.
    pub(super) fn dims(self, points: usize, dims: usize) -> usize {
        match self {
            Self::Auto => components(points).min(dims),
            Self::Always => components(points),
            Self::Never => dims,
        }
    }

    /// `None`: points are compared as they are.
    pub(super) fn projection(self, points: usize, dims: usize, seed: u64) -> Option<Projection> {
        let projected = self.dims(points, dims);
        let needed = self == Self::Always || projected < dims;
        needed.then(|| Projection::random(projected, dims, seed))
    }
}

impl Projection {
    /// Each entry is not 0 with the probability 1/√dims, and then ± the fourth root of dims over the root of outputs, so
    /// that lengths are kept on average.
    fn random(outputs: usize, dims: usize, seed: u64) -> Self {
        let stream = Stream::new(seed, "patchcore.projection");
        let density = 1.0 / (dims as f64).sqrt();
        let factor = ((1.0 / density).sqrt() / (outputs as f64).sqrt()) as f32;
        let entry = |output: usize, input: usize| {
            let index = 2 * (output * dims + input) as u64;
            let kept = f64::from(stream.uniform(index)) < density;
            let sign = if stream.bits(index + 1) >> 63 == 0 {
                factor
            } else {
                -factor
            };
            kept.then_some((input as u32, sign))
        };
        let row = |output| (0..dims).filter_map(|input| entry(output, input)).collect();
        Self {
            rows: (0..outputs).map(row).collect(),
        }
    }

    /// From a matrix [outputs, dims] with its zeros.
    #[cfg(test)]
    pub(super) fn dense(matrix: &[f32], dims: usize) -> Self {
        let entry =
            |(input, &factor): (usize, &f32)| (factor != 0.0).then_some((input as u32, factor));
        let row = |row: &[f32]| row.iter().enumerate().filter_map(entry).collect();
        Self {
            rows: matrix.chunks_exact(dims).map(row).collect(),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.rows.len()
    }

    /// `out` has the length of the outputs.
    pub(super) fn apply(&self, point: &[f32], out: &mut [f32]) {
        for (out, row) in out.iter_mut().zip(&self.rows) {
            *out = row
                .iter()
                .map(|&(input, factor)| point[input as usize] * factor)
                .sum();
        }
    }
}
