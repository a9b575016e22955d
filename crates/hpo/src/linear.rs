//! The little linear algebra that a Gaussian process needs: a Cholesky factor and what is solved with it.

/// The lower factor of a symmetric positive definite matrix, row by row without what is above the diagonal.
#[derive(Debug, Clone)]
pub(crate) struct Cholesky {
    size: usize,
    rows: Vec<f64>,
}

fn start(row: usize) -> usize {
    row * (row + 1) / 2
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // In one fixed order: the same bits on every machine.
    let (mut sums, chunks) = ([0.0; 4], a.len() / 4 * 4);
    for (a, b) in a[..chunks].chunks_exact(4).zip(b[..chunks].chunks_exact(4)) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a[chunks..]
        .iter()
        .zip(&b[chunks..])
        .map(|(a, b)| a * b)
        .sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

impl Cholesky {
    /// Of the matrix whose entry at (row, column), column <= row, is given; `None` if it is not positive definite.
    pub fn of(size: usize, entry: impl Fn(usize, usize) -> f64) -> Option<Self> {
        let mut rows = vec![0.0; start(size)];
        for row in 0..size {
            for column in 0..=row {
                let (above, own) = rows.split_at(start(row));
                let other = if column == row {
                    &own[..column]
                } else {
                    &above[start(column)..start(column) + column]
                };
                let rest = entry(row, column) - dot(&own[..column], other);
                rows[start(row) + column] = if column < row {
                    rest / rows[start(column) + column]
                } else if rest > 0.0 {
                    libm::sqrt(rest)
                } else {
                    return None;
                };
            }
        }
        Some(Self { size, rows })
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.rows[start(row)..=start(row) + row]
    }

    /// Logarithm of the determinant of the matrix.
    pub fn log_determinant(&self) -> f64 {
        let diagonal = (0..self.size).map(|row| libm::log(self.rows[start(row) + row]));
        2.0 * diagonal.sum::<f64>()
    }

    /// Turns b into x with L x = b.
    pub fn solve_lower(&self, b: &mut [f64]) {
        for row in 0..self.size {
            let own = self.row(row);
            let (solved, rest) = b.split_at_mut(row);
            rest[0] = (rest[0] - dot(&own[..row], solved)) / own[row];
        }
    }

    /// Turns b into x with Lᵀ x = b.
    pub fn solve_upper(&self, b: &mut [f64]) {
        for row in (0..self.size).rev() {
            let own = self.row(row);
            let (rest, solved) = b.split_at_mut(row);
            solved[0] /= own[row];
            let value = solved[0];
            rest.iter_mut()
                .zip(own)
                .for_each(|(b, entry)| *b -= entry * value);
        }
    }

    /// The inverse of the matrix, both halves.
    pub fn inverse(&self) -> Vec<Vec<f64>> {
        let column = |at: usize| {
            let mut column = vec![0.0; self.size];
            column[at] = 1.0;
            self.solve_lower(&mut column);
            self.solve_upper(&mut column);
            column
        };
        (0..self.size).map(column).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Cholesky;

    #[test]
    fn solves_what_it_factors() {
        let matrix = [[4.0, 2.0, 0.6], [2.0, 3.0, 0.4], [0.6, 0.4, 2.0]];
        let factor = Cholesky::of(3, |row, column| matrix[row][column]).unwrap();
        let inverse = factor.inverse();
        for (row, entries) in matrix.iter().enumerate() {
            // The inverse is symmetric: its columns are its rows.
            for (column, solved) in inverse.iter().enumerate() {
                let product: f64 = entries.iter().zip(solved).map(|(a, b)| a * b).sum();
                let expected = f64::from(u8::from(row == column));
                assert!(
                    (product - expected).abs() < 1e-12,
                    "{product} at {row}, {column}"
                );
            }
        }
        let determinant: f64 = 4.0 * (3.0 * 2.0 - 0.16) - 2.0 * (4.0 - 0.24) + 0.6 * (0.8 - 1.8);
        assert!((factor.log_determinant() - determinant.ln()).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        assert!(Cholesky::of(2, |row, column| if row == column { 1.0 } else { 2.0 }).is_none());
        assert!(Cholesky::of(1, |_, _| f64::NAN).is_none());
    }
}
