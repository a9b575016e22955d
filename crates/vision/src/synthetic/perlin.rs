//! Gradient noise (Perlin, "Improving Noise", SIGGRAPH 2002) as Anomalib generates it.

use std::f64::consts::{SQRT_2, TAU};

/// Noise over a rectangle of pixels, cut into cells with a random gradient at each of their corners.
pub(super) struct Perlin {
    /// Cells that a pixel is long, along each axis.
    step: [f64; 2],
    /// Cells along each axis.
    cells: [usize; 2],
    /// Unit vectors, `(cells[0] + 1) * (cells[1] + 1)`, row by row.
    gradients: Vec<[f64; 2]>,
}

impl Perlin {
    /// `size` and `cells`: rows and columns. `turns`: each corner's angle in whole turns, row by row.
    pub fn new(size: [usize; 2], cells: [usize; 2], mut turns: impl FnMut() -> f64) -> Self {
        let corners = (cells[0] + 1) * (cells[1] + 1);
        let gradient = |turn: f64| [(TAU * turn).cos(), (TAU * turn).sin()];
        Self {
            step: [0, 1].map(|axis| cells[axis] as f64 / size[axis] as f64),
            cells,
            gradients: (0..corners).map(|_| gradient(turns())).collect(),
        }
    }

    /// The noise at a pixel, or between pixels: about -1 to 1, and 0 at every corner of a cell. Row and column must lie in the
    /// rectangle.
    pub fn at(&self, row: f64, column: f64) -> f64 {
        let place = [row * self.step[0], column * self.step[1]];
        let cell = [0, 1].map(|axis| (place[axis] as usize).min(self.cells[axis] - 1));
        let within = [0, 1].map(|axis| place[axis] - cell[axis] as f64);
        let corner = |down: usize, right: usize| {
            let index = (cell[0] + down) * (self.cells[1] + 1) + cell[1] + right;
            let [vertical, horizontal] = self.gradients[index];
            (within[0] - down as f64) * vertical + (within[1] - right as f64) * horizontal
        };
        let [down, right] = within.map(fade);
        let mix = |from: f64, to: f64, share: f64| from + share * (to - from);
        let left_edge = mix(corner(0, 0), corner(1, 0), down);
        let right_edge = mix(corner(0, 1), corner(1, 1), down);
        SQRT_2 * mix(left_edge, right_edge, right)
    }
}

fn fade(t: f64) -> f64 {
    t * t * t * (t * (6.0 * t - 15.0) + 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Golden;

    #[test]
    fn the_noise_is_that_of_anomalib() {
        let golden = Golden::open("perlin");
        for (name, size, cells) in [
            ("32x32_res4x4", [32, 32], [4, 4]),
            ("32x64_res2x8", [32, 64], [2, 8]),
            ("16x16_res1x1", [16, 16], [1, 1]),
        ] {
            let mut turns = golden.doubles(&format!("{name}/uniform")).into_iter();
            let noise = Perlin::new(size, cells, || turns.next().unwrap());
            let expected = golden.doubles(&format!("{name}/noise"));
            assert_eq!(expected.len(), size[0] * size[1]);
            for (index, expected) in expected.into_iter().enumerate() {
                let (row, column) = (index / size[1], index % size[1]);
                let found = noise.at(row as f64, column as f64);
                assert!(
                    (found - expected).abs() < 1e-9,
                    "{name} at {row}, {column}: {found} is not {expected}"
                );
            }
        }
    }
}
