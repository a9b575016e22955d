//! Reductions, the softmax family and searches for extremes, all within one image.

use super::Builder;
use crate::GraphError;
use crate::graph::{Kind, Node, Value};
use crate::op::{Op, Reduce};
use crate::shape::{Dim, Shape};

impl Builder {
    /// Sums over axes that are not the batch.
    pub fn reduce_sum(
        &mut self,
        x: Value,
        axes: &[usize],
        keep_dims: bool,
    ) -> Result<Value, GraphError> {
        self.reduce("reduce_sum", Reduce::Sum, x, axes, keep_dims)
    }

    /// Means over axes that are not the batch.
    pub fn reduce_mean(
        &mut self,
        x: Value,
        axes: &[usize],
        keep_dims: bool,
    ) -> Result<Value, GraphError> {
        self.reduce("reduce_mean", Reduce::Mean, x, axes, keep_dims)
    }

    /// The largest over axes that are not the batch.
    pub fn reduce_max(
        &mut self,
        x: Value,
        axes: &[usize],
        keep_dims: bool,
    ) -> Result<Value, GraphError> {
        self.reduce("reduce_max", Reduce::Max, x, axes, keep_dims)
    }

    /// The smallest over axes that are not the batch.
    pub fn reduce_min(
        &mut self,
        x: Value,
        axes: &[usize],
        keep_dims: bool,
    ) -> Result<Value, GraphError> {
        self.reduce("reduce_min", Reduce::Min, x, axes, keep_dims)
    }

    /// e^x divided by its sum along an axis.
    pub fn softmax(&mut self, x: Value, axis: usize) -> Result<Value, GraphError> {
        const OP: &str = "softmax";
        self.floats(OP, &[x])?;
        self.own_axis(OP, x, axis)?;
        let shape = self.shape_of(x).clone();
        Ok(self.push(Op::Softmax { axis }, &[x], shape, Kind::Float))
    }

    /// Logarithm of the softmax.
    pub fn log_softmax(&mut self, x: Value, axis: usize) -> Result<Value, GraphError> {
        const OP: &str = "log_softmax";
        self.floats(OP, &[x])?;
        self.own_axis(OP, x, axis)?;
        let shape = self.shape_of(x).clone();
        Ok(self.push(Op::LogSoftmax { axis }, &[x], shape, Kind::Float))
    }

    /// The `k` largest (or smallest) along an axis in order, and where they are: (values, indices).
    pub fn top_k(
        &mut self,
        x: Value,
        axis: usize,
        k: usize,
        largest: bool,
    ) -> Result<(Value, Value), GraphError> {
        const OP: &str = "top_k";
        self.floats(OP, &[x])?;
        let extent = self.own_axis(OP, x, axis)?;
        if k == 0 || k > extent {
            return Err(self.bad(OP, &[x], format!("k = {k} is not within 1..={extent}")));
        }
        let mut shape = self.shape_of(x).clone();
        shape.0[axis] = Dim::Fixed(k);
        let values = self.value(shape.clone(), Kind::Float);
        let indices = self.value(shape, Kind::Index);
        self.nodes.push(Node {
            op: Op::TopK { axis, k, largest },
            inputs: vec![x],
            outputs: vec![values, indices],
        });
        Ok((values, indices))
    }

    /// Where the largest along an axis is.
    pub fn arg_max(&mut self, x: Value, axis: usize, keep_dims: bool) -> Result<Value, GraphError> {
        self.arg_reduce("arg_max", x, axis, true, keep_dims)
    }

    /// Where the smallest along an axis is.
    pub fn arg_min(&mut self, x: Value, axis: usize, keep_dims: bool) -> Result<Value, GraphError> {
        self.arg_reduce("arg_min", x, axis, false, keep_dims)
    }

    fn arg_reduce(
        &mut self,
        op: &'static str,
        x: Value,
        axis: usize,
        largest: bool,
        keep_dims: bool,
    ) -> Result<Value, GraphError> {
        self.floats(op, &[x])?;
        self.own_axis(op, x, axis)?;
        let shape = reduced(self.shape_of(x), &[axis], keep_dims);
        let op = Op::ArgReduce {
            axis,
            largest,
            keep_dims,
        };
        Ok(self.push(op, &[x], shape, Kind::Index))
    }

    fn reduce(
        &mut self,
        op: &'static str,
        reduce: Reduce,
        x: Value,
        axes: &[usize],
        keep_dims: bool,
    ) -> Result<Value, GraphError> {
        self.floats(op, &[x])?;
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.is_empty() || sorted.len() != axes.len() {
            return Err(self.bad(
                op,
                &[x],
                format!("axes {axes:?} must be different and at least one"),
            ));
        }
        for &axis in &sorted {
            self.own_axis(op, x, axis)?;
        }
        let shape = reduced(self.shape_of(x), &sorted, keep_dims);
        let op = Op::Reduce {
            reduce,
            axes: sorted,
            keep_dims,
        };
        Ok(self.push(op, &[x], shape, Kind::Float))
    }
}

fn reduced(shape: &Shape, axes: &[usize], keep_dims: bool) -> Shape {
    let dims = shape.0.iter().enumerate();
    Shape(
        dims.filter_map(|(i, d)| match axes.contains(&i) {
            false => Some(*d),
            true if keep_dims => Some(Dim::Fixed(1)),
            true => None,
        })
        .collect(),
    )
}
