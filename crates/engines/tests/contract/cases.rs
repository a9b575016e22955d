//! The table of operations: each a small graph from one input to one output.

use graph::{
    BatchNorm, Builder, Conv2d, ConvTranspose2d, Dim, Graph, GraphError, Pool2d, Tensor, Value,
};

use crate::values::tensor;

type Build = fn(&mut Builder, Value) -> Result<Value, GraphError>;

pub struct Case {
    pub name: &'static str,
    /// Of one image.
    pub input: &'static [usize],
    build: Build,
}

impl Case {
    pub fn graph(&self) -> Graph {
        let mut b = Builder::new();
        let mut dims = vec![Dim::Batch];
        dims.extend(self.input.iter().copied().map(Dim::Fixed));
        let built = b.input("x", &dims).and_then(|x| {
            let y = (self.build)(&mut b, x)?;
            b.output("y", y)
        });
        built.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        b.finish().expect("there is an output")
    }

    pub fn image_len(&self) -> usize {
        self.input.iter().product()
    }
}

const IMAGE: &[usize] = &[6, 12, 10];
const ROWS: &[usize] = &[7, 9];

fn constant(b: &mut Builder, key: u64, shape: &[usize]) -> Result<Value, GraphError> {
    b.constant(&format!("c{key}"), tensor(key, shape, 1.0))
}

/// Positive numbers.
fn positive(b: &mut Builder, key: u64, shape: &[usize]) -> Result<Value, GraphError> {
    let t = tensor(key, shape, 1.0);
    let data: Vec<f32> = t.data().iter().map(|v| v.abs() + 0.3).collect();
    b.constant(&format!("c{key}"), Tensor::new(shape, data)?)
}

macro_rules! cases {
    ($($name:literal, $input:expr, |$b:ident, $x:ident| $body:expr;)*) => {
        pub const CASES: &[Case] = &[
            $(Case { name: $name, input: $input, build: |$b, $x| $body },)*
        ];
    };
}

cases! {
    "conv2d", IMAGE, |b, x| {
        let (w, c) = (constant(b, 1, &[8, 6, 3, 3])?, constant(b, 2, &[8])?);
        b.conv2d(x, w, Some(c), Conv2d { padding: [1; 4], ..Conv2d::default() })
    };
    "conv2d strided, dilated, uneven padding", IMAGE, |b, x| {
        let w = constant(b, 1, &[8, 6, 3, 2])?;
        b.conv2d(x, w, None, Conv2d { stride: [2, 1], padding: [0, 1, 2, 3], dilation: [2, 1], groups: 1 })
    };
    "conv2d depthwise", IMAGE, |b, x| {
        let w = constant(b, 1, &[6, 1, 3, 3])?;
        b.conv2d(x, w, None, Conv2d { stride: [2, 2], padding: [1; 4], groups: 6, ..Conv2d::default() })
    };
    "conv_transpose2d", IMAGE, |b, x| {
        let (w, c) = (constant(b, 1, &[6, 4, 4, 4])?, constant(b, 2, &[4])?);
        let attributes = ConvTranspose2d { stride: [2, 2], padding: [1, 1], output_padding: [1, 0], groups: 1 };
        b.conv_transpose2d(x, w, Some(c), attributes)
    };
    "batch_norm", IMAGE, |b, x| {
        let norm = BatchNorm {
            weight: constant(b, 1, &[6])?,
            bias: constant(b, 2, &[6])?,
            mean: constant(b, 3, &[6])?,
            var: positive(b, 4, &[6])?,
        };
        b.batch_norm(x, norm, 1e-5)
    };
    "layer_norm", ROWS, |b, x| {
        let (w, c) = (constant(b, 1, &[9])?, constant(b, 2, &[9])?);
        b.layer_norm(x, w, c, 1e-6)
    };
    "instance_norm", IMAGE, |b, x| {
        let (w, c) = (constant(b, 1, &[6])?, constant(b, 2, &[6])?);
        b.instance_norm(x, w, c, 1e-5)
    };
    "group_norm", IMAGE, |b, x| {
        let (w, c) = (constant(b, 1, &[6])?, constant(b, 2, &[6])?);
        b.group_norm(x, 3, w, c, 1e-5)
    };
    "relu", IMAGE, |b, x| b.relu(x);
    "sqrt", IMAGE, |b, x| { let p = b.abs(x)?; b.sqrt(p) };
    "exp", IMAGE, |b, x| b.exp(x);
    "log", IMAGE, |b, x| { let a = b.abs(x)?; let p = b.add_scalar(a, 0.1)?; b.log(p) };
    "neg", IMAGE, |b, x| b.neg(x);
    "sigmoid", IMAGE, |b, x| b.sigmoid(x);
    "tanh", IMAGE, |b, x| b.tanh(x);
    "erf", IMAGE, |b, x| b.erf(x);
    "gelu", IMAGE, |b, x| b.gelu(x);
    "silu", IMAGE, |b, x| b.silu(x);
    "clip", IMAGE, |b, x| b.clip(x, -0.25, 0.5);
    "maximum_scalar", IMAGE, |b, x| b.maximum_scalar(x, 0.1);
    "add, broadcast", IMAGE, |b, x| { let c = constant(b, 1, &[6, 1, 1])?; b.add(x, c) };
    "sub, scalar first", IMAGE, |b, x| { let c = b.scalar(1.5)?; b.sub(c, x) };
    "mul", IMAGE, |b, x| b.mul(x, x);
    "div, broadcast", IMAGE, |b, x| { let c = positive(b, 1, &[12, 1])?; b.div(x, c) };
    "minimum", IMAGE, |b, x| { let c = constant(b, 1, IMAGE)?; b.minimum(x, c) };
    "maximum", IMAGE, |b, x| { let c = constant(b, 1, IMAGE)?; b.maximum(x, c) };
    "pow", IMAGE, |b, x| { let a = b.abs(x)?; let c = b.scalar(1.7)?; b.pow(a, c) };
    "less, select", IMAGE, |b, x| {
        let c = constant(b, 1, &[10])?;
        let (below, n) = (b.less(x, c)?, b.neg(x)?);
        b.select(below, n, c)
    };
    "greater, to_float", IMAGE, |b, x| { let z = b.scalar(0.0)?; let g = b.greater(x, z)?; b.to_float(g) };
    "equal", IMAGE, |b, x| { let r = b.relu(x)?; let e = b.equal(x, r)?; b.to_float(e) };
    "max_pool2d", IMAGE, |b, x| b.max_pool2d(x, Pool2d { kernel: [3, 3], stride: [2, 2], padding: [1; 4] });
    "max_pool2d in ceil mode", IMAGE, |b, x| {
        let pool = Pool2d { kernel: [3, 3], stride: [2, 2], padding: [0; 4] };
        b.max_pool2d(x, pool.ceil_mode([12, 10]))
    };
    "avg_pool2d", IMAGE, |b, x| b.avg_pool2d(x, Pool2d { kernel: [3, 3], stride: [1, 1], padding: [1; 4] });
    "avg_pool2d, uneven padding", IMAGE, |b, x| {
        b.avg_pool2d(x, Pool2d { kernel: [3, 2], stride: [2, 2], padding: [1, 0, 2, 1] })
    };
    "matmul, fixed matrix", ROWS, |b, x| { let c = constant(b, 1, &[9, 5])?; b.matmul(x, c) };
    "matmul of vectors", &[9], |b, x| { let c = constant(b, 1, &[9, 5])?; b.matmul(x, c) };
    "matmul, a matrix for each position", &[7, 1, 9], |b, x| { let c = constant(b, 1, &[7, 9, 9])?; b.matmul(x, c) };
    "matmul, both computed", ROWS, |b, x| { let t = b.transpose(x, &[0, 2, 1])?; b.matmul(x, t) };
    "transpose", IMAGE, |b, x| b.transpose(x, &[0, 2, 3, 1]);
    "reshape", IMAGE, |b, x| b.reshape(x, &[Dim::Batch, 4.into(), 180.into()]);
    "concat", IMAGE, |b, x| { let s = b.slice(x, 1, 1, 3)?; b.concat(&[x, s, x], 1) };
    "slice", IMAGE, |b, x| b.slice(x, 2, 3, 11);
    "gather", IMAGE, |b, x| b.gather(x, 1, &[5, 0, 0, 3]);
    "take", ROWS, |b, x| { let table = constant(b, 1, &[9, 4])?; let i = b.arg_max(x, 2, false)?; b.take(table, i) };
    "take_along", ROWS, |b, x| { let i = b.arg_min(x, 1, true)?; b.take_along(x, 1, i) };
    "resize_nearest, twice", IMAGE, |b, x| b.resize_nearest(x, [24, 20]);
    "resize_nearest, uneven", IMAGE, |b, x| b.resize_nearest(x, [29, 7]);
    "resize_bilinear up", IMAGE, |b, x| b.resize_bilinear(x, [25, 31], false);
    "resize_bilinear down", IMAGE, |b, x| b.resize_bilinear(x, [5, 4], false);
    "resize_bilinear, corners aligned", IMAGE, |b, x| b.resize_bilinear(x, [25, 31], true);
    "resize_bicubic", IMAGE, |b, x| b.resize_bicubic(x, [25, 31], false);
    "resize_bicubic, corners aligned", IMAGE, |b, x| b.resize_bicubic(x, [25, 31], true);
    "pad_reflect", IMAGE, |b, x| b.pad_reflect(x, [3, 1, 2, 9]);
    "pad_zero", IMAGE, |b, x| b.pad_zero(x, [3, 1, 2, 9]);
    "reduce_sum", IMAGE, |b, x| b.reduce_sum(x, &[1, 3], false);
    "reduce_mean", IMAGE, |b, x| b.reduce_mean(x, &[2, 3], true);
    "reduce_max", IMAGE, |b, x| b.reduce_max(x, &[1, 2, 3], false);
    "reduce_min", IMAGE, |b, x| b.reduce_min(x, &[3], true);
    "softmax", ROWS, |b, x| b.softmax(x, 1);
    "log_softmax", ROWS, |b, x| b.log_softmax(x, 2);
    "top_k, largest values", ROWS, |b, x| Ok(b.top_k(x, 2, 4, true)?.0);
    "top_k, smallest places", ROWS, |b, x| { let (_, i) = b.top_k(x, 1, 3, false)?; b.to_float(i) };
    "arg_max", IMAGE, |b, x| { let i = b.arg_max(x, 1, false)?; b.to_float(i) };
    "arg_min", IMAGE, |b, x| { let i = b.arg_min(x, 3, true)?; b.to_float(i) };
    "space_to_depth", IMAGE, |b, x| b.space_to_depth(x, 2);
}
