//! Matrix products.

use super::Builder;
use crate::GraphError;
use crate::graph::{Kind, Value};
use crate::op::Op;
use crate::shape::Shape;

impl Builder {
    /// Matrix product over the last two axes; the axes before them broadcast.
    pub fn matmul(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        const OP: &str = "matmul";
        self.floats(OP, &[a, b])?;
        let expected = "[.., m, k] and [.., k, n] whose leading axes broadcast and in which the batch is no matrix axis";
        let misfit = || self.misfit(OP, &[a, b], expected);
        let (left, right) = (self.shape_of(a), self.shape_of(b));
        if left.rank() < 2 || right.rank() < 2 {
            return Err(misfit());
        }
        let (lead_a, matrix_a) = left.0.split_at(left.rank() - 2);
        let (lead_b, matrix_b) = right.0.split_at(right.rank() - 2);
        // An image's row of [N, k] times a fixed matrix stays that image's; the batch as inner axis would mix.
        let inner = matrix_a[1]
            .fixed()
            .filter(|k| matrix_b[0].fixed() == Some(*k));
        if inner.is_none() || matrix_b[1].fixed().is_none() {
            return Err(misfit());
        }
        let mut shape = Shape(lead_a.to_vec())
            .broadcast(&Shape(lead_b.to_vec()))
            .ok_or_else(misfit)?;
        shape.0.extend([matrix_a[0], matrix_b[1]]);
        if !shape.batch_leads() {
            return Err(misfit());
        }
        Ok(self.push(Op::MatMul, &[a, b], shape, Kind::Float))
    }
}
