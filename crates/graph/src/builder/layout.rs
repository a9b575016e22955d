//! Operations that move elements without computing on them.

use super::Builder;
use crate::GraphError;
use crate::graph::{Kind, Value};
use crate::op::Op;
use crate::shape::{Dim, Shape};

impl Builder {
    /// Output axis i is input axis `perm[i]`; the batch stays axis 0.
    pub fn transpose(&mut self, x: Value, perm: &[usize]) -> Result<Value, GraphError> {
        const OP: &str = "transpose";
        self.check(OP, &[x])?;
        let shape = self.shape_of(x);
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..shape.rank()) {
            return Err(self.bad(OP, &[x], format!("{perm:?} does not name each axis once")));
        }
        let moved = Shape(perm.iter().map(|&i| shape.0[i]).collect());
        if !moved.batch_leads() {
            return Err(self.bad(
                OP,
                &[x],
                format!("{perm:?} moves the batch away from axis 0"),
            ));
        }
        let op = Op::Transpose {
            perm: perm.to_vec(),
        };
        let kind = self.kind_of(x);
        Ok(self.push(op, &[x], moved, kind))
    }

    /// The elements in the same order under another shape; a batch stays axis 0.
    pub fn reshape(&mut self, x: Value, dims: &[Dim]) -> Result<Value, GraphError> {
        const OP: &str = "reshape";
        self.check(OP, &[x])?;
        let shape = Shape(dims.to_vec());
        let old = self.shape_of(x);
        let same_count = old.elements_per_image() == shape.elements_per_image();
        if !same_count || old.has_batch() != shape.has_batch() || !shape.batch_leads() {
            let image = if old.has_batch() {
                " for each image, the batch as axis 0"
            } else {
                ""
            };
            let count = old.elements_per_image();
            return Err(self.bad(
                OP,
                &[x],
                format!("target {shape} must hold {count} elements{image}"),
            ));
        }
        let kind = self.kind_of(x);
        Ok(self.push(Op::Reshape, &[x], shape, kind))
    }

    /// Puts values one after the other along an axis that is not the batch.
    pub fn concat(&mut self, parts: &[Value], axis: usize) -> Result<Value, GraphError> {
        const OP: &str = "concat";
        self.check(OP, parts)?;
        let Some(&first) = parts.first() else {
            return Err(self.bad(OP, parts, "there is nothing to put together"));
        };
        let kind = self.kind_of(first);
        self.of_kind(OP, parts, kind)?;
        let mut shape = self.shape_of(first).clone();
        let mut total = 0;
        for part in parts {
            total += self.own_axis(OP, *part, axis)?;
            let other = self.shape_of(*part);
            let fits = other.rank() == shape.rank()
                && (0..shape.rank()).all(|i| i == axis || other.0[i] == shape.0[i]);
            if !fits {
                return Err(self.misfit(OP, parts, format!("equal extents but for axis {axis}")));
            }
        }
        if let [only] = parts {
            return Ok(*only);
        }
        shape.0[axis] = Dim::Fixed(total);
        Ok(self.push(Op::Concat { axis }, parts, shape, kind))
    }

    /// Entries `start..end` along an axis that is not the batch.
    pub fn slice(
        &mut self,
        x: Value,
        axis: usize,
        start: usize,
        end: usize,
    ) -> Result<Value, GraphError> {
        const OP: &str = "slice";
        self.check(OP, &[x])?;
        let extent = self.own_axis(OP, x, axis)?;
        if start >= end || end > extent {
            return Err(self.bad(
                OP,
                &[x],
                format!("{start}..{end} is empty or outside of axis {axis}"),
            ));
        }
        let mut shape = self.shape_of(x).clone();
        shape.0[axis] = Dim::Fixed(end - start);
        let kind = self.kind_of(x);
        Ok(self.push(Op::Slice { axis, start, end }, &[x], shape, kind))
    }

    /// The named entries along an axis that is not the batch, in the order given.
    pub fn gather(
        &mut self,
        x: Value,
        axis: usize,
        indices: &[usize],
    ) -> Result<Value, GraphError> {
        const OP: &str = "gather";
        self.check(OP, &[x])?;
        let extent = self.own_axis(OP, x, axis)?;
        if indices.is_empty() {
            return Err(self.bad(OP, &[x], "no index is given"));
        }
        if let Some(index) = indices.iter().find(|i| **i >= extent) {
            return Err(self.bad(OP, &[x], format!("index {index} is outside of axis {axis}")));
        }
        let mut shape = self.shape_of(x).clone();
        shape.0[axis] = Dim::Fixed(indices.len());
        let kind = self.kind_of(x);
        let op = Op::Gather {
            axis,
            indices: indices.to_vec(),
        };
        Ok(self.push(op, &[x], shape, kind))
    }

    /// Rows of a `table` without a batch axis, one for each computed index (of `top_k`, `arg_min`, ...).
    pub fn take(&mut self, table: Value, index: Value) -> Result<Value, GraphError> {
        const OP: &str = "take";
        self.floats(OP, &[table])?;
        self.of_kind(OP, &[index], Kind::Index)?;
        self.own_axis(OP, table, 0)?;
        let mut shape = self.shape_of(index).clone();
        shape.0.extend_from_slice(&self.shape_of(table).0[1..]);
        Ok(self.push(Op::Take, &[table, index], shape, Kind::Float))
    }

    /// From each line of `x` along `axis` the entries at computed indices; `index` has x's extents but for `axis`.
    pub fn take_along(&mut self, x: Value, axis: usize, index: Value) -> Result<Value, GraphError> {
        const OP: &str = "take_along";
        self.floats(OP, &[x])?;
        self.of_kind(OP, &[index], Kind::Index)?;
        self.own_axis(OP, x, axis)?;
        let (values, picks) = (self.shape_of(x), self.shape_of(index));
        let fits = values.rank() == picks.rank()
            && (0..values.rank()).all(|i| i == axis || values.0[i] == picks.0[i]);
        if !fits {
            return Err(self.misfit(
                OP,
                &[x, index],
                format!("equal extents but for axis {axis}"),
            ));
        }
        let shape = picks.clone();
        Ok(self.push(Op::TakeAlong { axis }, &[x, index], shape, Kind::Float))
    }
}
