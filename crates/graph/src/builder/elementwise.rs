//! Operations on elements, with numpy's broadcasting.

use super::Builder;
use crate::GraphError;
use crate::graph::{Kind, Value};
use crate::op::{Binary, Compare, Op, Unary};

impl Builder {
    /// max(x, 0)
    pub fn relu(&mut self, x: Value) -> Result<Value, GraphError> {
        self.unary(Unary::Relu, x)
    }

    /// Square root.
    pub fn sqrt(&mut self, x: Value) -> Result<Value, GraphError> {
        self.unary(Unary::Sqrt, x)
    }

    /// e^x
    pub fn exp(&mut self, x: Value) -> Result<Value, GraphError> {
        self.unary(Unary::Exp, x)
    }

    /// Natural logarithm.
    pub fn log(&mut self, x: Value) -> Result<Value, GraphError> {
        self.unary(Unary::Log, x)
    }

    /// -x
    pub fn neg(&mut self, x: Value) -> Result<Value, GraphError> {
        self.unary(Unary::Neg, x)
    }

    /// |x|
    pub fn abs(&mut self, x: Value) -> Result<Value, GraphError> {
        self.unary(Unary::Abs, x)
    }

    /// 1 / (1 + e^-x)
    pub fn sigmoid(&mut self, x: Value) -> Result<Value, GraphError> {
        self.unary(Unary::Sigmoid, x)
    }

    /// Hyperbolic tangent.
    pub fn tanh(&mut self, x: Value) -> Result<Value, GraphError> {
        self.unary(Unary::Tanh, x)
    }

    /// Gauss error function.
    pub fn erf(&mut self, x: Value) -> Result<Value, GraphError> {
        self.unary(Unary::Erf, x)
    }

    /// The exact GELU, x * (1 + erf(x / sqrt 2)) / 2.
    pub fn gelu(&mut self, x: Value) -> Result<Value, GraphError> {
        let scaled = self.mul_scalar(x, std::f32::consts::FRAC_1_SQRT_2)?;
        let erf = self.erf(scaled)?;
        let one_plus = self.add_scalar(erf, 1.0)?;
        let product = self.mul(x, one_plus)?;
        self.mul_scalar(product, 0.5)
    }

    /// x * sigmoid(x)
    pub fn silu(&mut self, x: Value) -> Result<Value, GraphError> {
        let gate = self.sigmoid(x)?;
        self.mul(x, gate)
    }

    /// x limited to [min, max].
    pub fn clip(&mut self, x: Value, min: f32, max: f32) -> Result<Value, GraphError> {
        self.clip_to(x, Some(min), Some(max))
    }

    /// max(x, v)
    pub fn maximum_scalar(&mut self, x: Value, v: f32) -> Result<Value, GraphError> {
        self.clip_to(x, Some(v), None)
    }

    /// a + b
    pub fn add(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.binary(Binary::Add, a, b)
    }

    /// a - b
    pub fn sub(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.binary(Binary::Sub, a, b)
    }

    /// a * b
    pub fn mul(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.binary(Binary::Mul, a, b)
    }

    /// a / b
    pub fn div(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.binary(Binary::Div, a, b)
    }

    /// The smaller of a and b.
    pub fn minimum(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.binary(Binary::Min, a, b)
    }

    /// The larger of a and b.
    pub fn maximum(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.binary(Binary::Max, a, b)
    }

    /// a to the power of b.
    pub fn pow(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.binary(Binary::Pow, a, b)
    }

    /// x + v
    pub fn add_scalar(&mut self, x: Value, v: f32) -> Result<Value, GraphError> {
        let v = self.scalar(v)?;
        self.add(x, v)
    }

    /// x * v
    pub fn mul_scalar(&mut self, x: Value, v: f32) -> Result<Value, GraphError> {
        let v = self.scalar(v)?;
        self.mul(x, v)
    }

    /// Where a < b.
    pub fn less(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.compare(Compare::Less, a, b)
    }

    /// Where a > b.
    pub fn greater(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.compare(Compare::Greater, a, b)
    }

    /// Where a = b.
    pub fn equal(&mut self, a: Value, b: Value) -> Result<Value, GraphError> {
        self.compare(Compare::Equal, a, b)
    }

    /// a where the condition holds, b elsewhere; all three broadcast.
    pub fn select(&mut self, condition: Value, a: Value, b: Value) -> Result<Value, GraphError> {
        const OP: &str = "where";
        self.of_kind(OP, &[condition], Kind::Bool)?;
        self.floats(OP, &[a, b])?;
        let operands = [condition, a, b];
        let shape = self
            .shape_of(a)
            .broadcast(self.shape_of(b))
            .and_then(|s| s.broadcast(self.shape_of(condition)))
            .ok_or_else(|| self.misfit(OP, &operands, "shapes that broadcast"))?;
        Ok(self.push(Op::Where, &operands, shape, Kind::Float))
    }

    /// Indices as floats (exact up to 2^24), truth values as 1 and 0.
    pub fn to_float(&mut self, x: Value) -> Result<Value, GraphError> {
        self.check("to_float", &[x])?;
        if self.kind_of(x) == Kind::Float {
            return Ok(x);
        }
        let shape = self.shape_of(x).clone();
        Ok(self.push(Op::ToFloat, &[x], shape, Kind::Float))
    }

    fn unary(&mut self, unary: Unary, x: Value) -> Result<Value, GraphError> {
        self.floats(unary.name(), &[x])?;
        let shape = self.shape_of(x).clone();
        Ok(self.push(Op::Unary(unary), &[x], shape, Kind::Float))
    }

    fn clip_to(
        &mut self,
        x: Value,
        min: Option<f32>,
        max: Option<f32>,
    ) -> Result<Value, GraphError> {
        const OP: &str = "clip";
        self.floats(OP, &[x])?;
        // Written so that a NaN limit is refused, too.
        let ordered = min.unwrap_or(f32::NEG_INFINITY) <= max.unwrap_or(f32::INFINITY);
        if !ordered {
            return Err(self.bad(
                OP,
                &[x],
                format!("the limits {min:?} and {max:?} are not in order"),
            ));
        }
        let shape = self.shape_of(x).clone();
        Ok(self.push(Op::Clip { min, max }, &[x], shape, Kind::Float))
    }

    fn binary(&mut self, binary: Binary, a: Value, b: Value) -> Result<Value, GraphError> {
        let op = binary.name();
        self.floats(op, &[a, b])?;
        let shape = self
            .shape_of(a)
            .broadcast(self.shape_of(b))
            .ok_or_else(|| self.misfit(op, &[a, b], "shapes that broadcast"))?;
        Ok(self.push(Op::Binary(binary), &[a, b], shape, Kind::Float))
    }

    fn compare(&mut self, compare: Compare, a: Value, b: Value) -> Result<Value, GraphError> {
        let op = compare.name();
        self.floats(op, &[a, b])?;
        let shape = self
            .shape_of(a)
            .broadcast(self.shape_of(b))
            .ok_or_else(|| self.misfit(op, &[a, b], "shapes that broadcast"))?;
        Ok(self.push(Op::Compare(compare), &[a, b], shape, Kind::Bool))
    }
}
