//! From values on a model's grid to the anomaly map: upsampling and Gaussian blur.
//!
//! Both are linear and separable, so one matrix an axis does both: an output reads about ten cells of the grid
//! instead of 33 pixels of the upsampled map.

use crate::resize::Band;

/// How pixels between a grid's cells get their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upsampling {
    /// Pixel i has the value of cell floor(i * cells / pixels).
    Nearest,
    /// Between neighbours, `align_corners = false`.
    Bilinear,
}

/// A Gaussian blur with reflected borders (the edge pixel is not repeated).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blur {
    /// Standard deviation in pixels.
    pub sigma: f64,
    /// Taps along one axis, odd.
    pub kernel: usize,
}

/// Upsampling, followed by a blur if there is one.
#[derive(Debug, Clone)]
pub struct MapFinish {
    grid: [usize; 2],
    vertical: Band,
    horizontal: Band,
}

impl MapFinish {
    /// From a grid of (height, width) to a map of `size`.
    pub fn new(
        grid: [usize; 2],
        size: [usize; 2],
        upsampling: Upsampling,
        blur: Option<Blur>,
    ) -> Self {
        let axis = |from, to| {
            let rows = match upsampling {
                Upsampling::Nearest => nearest(from, to),
                Upsampling::Bilinear => bilinear(from, to),
            };
            Band::new(&match blur {
                Some(blur) => blurred(&rows, blur),
                None => rows,
            })
        };
        Self {
            grid,
            vertical: axis(grid[0], size[0]),
            horizontal: axis(grid[1], size[1]),
        }
    }

    /// Height, width of what a map is made of.
    pub fn grid(&self) -> [usize; 2] {
        self.grid
    }

    /// Values that a map is made of.
    pub fn cells(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// The map of one image, row by row.
    ///
    /// # Panics
    /// If `cells` is not as long as the grid.
    pub fn apply(&self, cells: &[f32]) -> Vec<f32> {
        assert_eq!(
            cells.len(),
            self.cells(),
            "one value for each cell of the grid"
        );
        let (mut wide, mut map) = (Vec::new(), Vec::new());
        self.horizontal.along_lines(cells, self.grid[1], &mut wide);
        self.vertical
            .across_lines(&wide, self.horizontal.len(), &mut map);
        map
    }
}

/// Row `i` holds the weights of the grid's cells in pixel `i`.
fn bilinear(from: usize, to: usize) -> Vec<Vec<f64>> {
    let scale = from as f64 / to as f64;
    let row = |pixel: usize| {
        let at = ((pixel as f64 + 0.5) * scale - 0.5).max(0.0);
        let low = (at as usize).min(from - 1);
        let high = (low + 1).min(from - 1);
        let mut weights = vec![0.0; from];
        weights[low] += 1.0 - (at - low as f64);
        weights[high] += at - low as f64;
        weights
    };
    (0..to).map(row).collect()
}

/// The same for pixels that take the value of one cell.
fn nearest(from: usize, to: usize) -> Vec<Vec<f64>> {
    let row = |pixel: usize| {
        let mut weights = vec![0.0; from];
        weights[pixel * from / to] = 1.0;
        weights
    };
    (0..to).map(row).collect()
}

/// Each row becomes the Gaussian mean of its neighbours.
fn blurred(rows: &[Vec<f64>], Blur { sigma, kernel }: Blur) -> Vec<Vec<f64>> {
    let half = kernel / 2;
    let gauss =
        |offset: usize| (-((offset as f64 - half as f64).powi(2)) / (2.0 * sigma * sigma)).exp();
    let sum: f64 = (0..kernel).map(gauss).sum();
    let row = |pixel: usize| {
        let mut weights = vec![0.0; rows[pixel].len()];
        for offset in 0..kernel {
            let source = reflect(pixel as i64 + offset as i64 - half as i64, rows.len());
            for (weight, value) in weights.iter_mut().zip(&rows[source]) {
                *weight += gauss(offset) / sum * value;
            }
        }
        weights
    };
    (0..rows.len()).map(row).collect()
}

/// The index that a mirror at both ends shows.
fn reflect(index: i64, length: usize) -> usize {
    let period = 2 * (length as i64 - 1);
    if period == 0 {
        return 0;
    }
    let folded = index.rem_euclid(period);
    folded.min(period - folded) as usize
}
