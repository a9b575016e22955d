//! The closed set of operations, with their attributes.

use crate::tensor::Tensor;

/// A convolution's attributes; the default is stride 1, no padding, no dilation, one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Vertical, horizontal.
    pub stride: [usize; 2],
    /// Zeros added at top, left, bottom, right.
    pub padding: [usize; 4],
    /// Vertical, horizontal distance between taps.
    pub dilation: [usize; 2],
    /// Channel groups; the number of channels for a depthwise convolution.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Conv2d {
            stride: [1, 1],
            padding: [0; 4],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

/// A transposed convolution's attributes (PyTorch's meaning of each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose2d {
    /// Vertical, horizontal.
    pub stride: [usize; 2],
    /// Rows and columns cut off on both sides.
    pub padding: [usize; 2],
    /// Rows and columns added at the bottom and right.
    pub output_padding: [usize; 2],
    /// Channel groups.
    pub groups: usize,
}

impl Default for ConvTranspose2d {
    fn default() -> Self {
        ConvTranspose2d {
            stride: [1, 1],
            padding: [0; 2],
            output_padding: [0; 2],
            groups: 1,
        }
    }
}

/// A pool's window. Average pools count padding as zeros, as PyTorch does by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Height, width.
    pub kernel: [usize; 2],
    /// Vertical, horizontal.
    pub stride: [usize; 2],
    /// Added at top, left, bottom, right.
    pub padding: [usize; 4],
}

impl Pool2d {
    /// The same window with as much padding at the bottom and right as PyTorch's `ceil_mode` adds for an image
    /// of `size`. Right for maximum pools; an average pool in ceil mode divides by fewer elements.
    pub fn ceil_mode(mut self, size: [usize; 2]) -> Self {
        for (axis, size) in size.into_iter().enumerate() {
            let (before, stride) = (self.padding[axis], self.stride[axis].max(1));
            let padded = size + before + self.padding[axis + 2];
            let span = padded.saturating_sub(self.kernel[axis]);
            let mut last = span.div_ceil(stride) * stride;
            // A window must start inside the image or its leading padding.
            if last >= size + before {
                last -= stride;
            }
            self.padding[axis + 2] += (last + self.kernel[axis]).saturating_sub(padded);
        }
        self
    }
}

/// Elementwise functions of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// max(x, 0)
    Relu,
    /// square root
    Sqrt,
    /// e^x
    Exp,
    /// natural logarithm
    Log,
    /// -x
    Neg,
    /// |x|
    Abs,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// hyperbolic tangent
    Tanh,
    /// Gauss error function
    Erf,
}

/// Elementwise functions of two broadcast operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b
    Div,
    /// the smaller
    Min,
    /// the larger
    Max,
    /// a to the power of b
    Pow,
}

/// Elementwise comparisons of two broadcast operands, of floats or of indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// a < b
    Less,
    /// a > b
    Greater,
    /// a = b
    Equal,
}

/// How axes are reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// Sum.
    Sum,
    /// Arithmetic mean.
    Mean,
    /// Largest.
    Max,
    /// Smallest.
    Min,
}

/// How an image is brought to another size; none of them filters against aliasing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Output i takes input floor(i * in / out).
    Nearest,
    /// Between the two nearest; `align_corners` puts the corner samples' centres on each other.
    Bilinear {
        /// PyTorch's `align_corners`.
        align_corners: bool,
    },
    /// Keys' cubic with a = -0.75.
    Bicubic {
        /// PyTorch's `align_corners`.
        align_corners: bool,
    },
}

/// What lies outside of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// Zeros.
    Zero,
    /// The image mirrored at its border row, which is not repeated.
    Reflect,
}

/// An operation. Operands are the node's inputs, in the order given here.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A graph input.
    Input,
    /// A tensor known when the graph is built; its name is unique among constants.
    Constant {
        /// Under which the constant is found in exports.
        name: String,
        /// Shared, never copied by rewrites that leave it alone.
        tensor: Tensor,
    },
    /// x, weight `[out, in / groups, kh, kw]` and perhaps bias `[out]`.
    Conv2d(Conv2d),
    /// x, weight `[in, out / groups, kh, kw]` and perhaps bias `[out]`.
    ConvTranspose2d(ConvTranspose2d),
    /// x, weight, bias, mean, var: (x - mean) / sqrt(var + eps) * weight + bias for each channel (axis 1).
    BatchNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// x, weight, bias: normalised over the last axis.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// x `[N, C, H, W]`, weight `[C]`, bias `[C]`: normalised over the image, for each channel.
    InstanceNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// x.
    Unary(Unary),
    /// x: limited to what is given.
    Clip {
        /// Lower limit.
        min: Option<f32>,
        /// Upper limit.
        max: Option<f32>,
    },
    /// a, b.
    Binary(Binary),
    /// a, b: a truth value.
    Compare(Compare),
    /// condition, a, b: a where the condition holds, else b.
    Where,
    /// An index or truth value as a float.
    ToFloat,
    /// x.
    MaxPool2d(Pool2d),
    /// x.
    AvgPool2d(Pool2d),
    /// a, b: over the last two axes, the others broadcast.
    MatMul,
    /// x.
    Transpose {
        /// Output axis i is input axis `perm[i]`.
        perm: Vec<usize>,
    },
    /// x: the elements in the same order under the output's shape.
    Reshape,
    /// Two or more.
    Concat {
        /// Axis along which they are put one after the other.
        axis: usize,
    },
    /// x.
    Slice {
        /// Axis.
        axis: usize,
        /// First.
        start: usize,
        /// One past the last.
        end: usize,
    },
    /// x.
    Gather {
        /// Axis.
        axis: usize,
        /// Which entries, in the output's order.
        indices: Vec<usize>,
    },
    /// table [rows, ...], index [...]: the rows of a table without a batch axis.
    Take,
    /// x, index of the same rank: the entry of each line along `axis`.
    TakeAlong {
        /// Axis.
        axis: usize,
    },
    /// x [N, C, H, W].
    Resize {
        /// How.
        interpolation: Interpolation,
        /// Height, width.
        size: [usize; 2],
    },
    /// x [N, C, H, W].
    Pad {
        /// With what.
        mode: PadMode,
        /// At top, left, bottom, right.
        padding: [usize; 4],
    },
    /// x.
    Reduce {
        /// How.
        reduce: Reduce,
        /// Sorted, never the batch.
        axes: Vec<usize>,
        /// Whether reduced axes stay with extent 1.
        keep_dims: bool,
    },
    /// x.
    Softmax {
        /// Axis.
        axis: usize,
    },
    /// x.
    LogSoftmax {
        /// Axis.
        axis: usize,
    },
    /// x: two outputs, the values in order and their indices.
    TopK {
        /// Axis.
        axis: usize,
        /// How many.
        k: usize,
        /// The largest, or else the smallest.
        largest: bool,
    },
    /// x: the index of the extreme; which one among equals is the engine's choice.
    ArgReduce {
        /// Axis.
        axis: usize,
        /// Of the largest, or else the smallest.
        largest: bool,
        /// Whether the axis stays with extent 1.
        keep_dims: bool,
    },
    /// x [N, C, H, W] to [N, C * block^2, H / block, W / block]; the block's offset is the outer part of the channel.
    SpaceToDepth {
        /// Edge length of a block.
        block: usize,
    },
}

impl Op {
    /// The builder's name of the operation, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Constant { .. } => "constant",
            Op::Conv2d(_) => "conv2d",
            Op::ConvTranspose2d(_) => "conv_transpose2d",
            Op::BatchNorm { .. } => "batch_norm",
            Op::LayerNorm { .. } => "layer_norm",
            Op::InstanceNorm { .. } => "instance_norm",
            Op::Unary(u) => u.name(),
            Op::Clip { .. } => "clip",
            Op::Binary(b) => b.name(),
            Op::Compare(c) => c.name(),
            Op::Where => "where",
            Op::ToFloat => "to_float",
            Op::MaxPool2d(_) => "max_pool2d",
            Op::AvgPool2d(_) => "avg_pool2d",
            Op::MatMul => "matmul",
            Op::Transpose { .. } => "transpose",
            Op::Reshape => "reshape",
            Op::Concat { .. } => "concat",
            Op::Slice { .. } => "slice",
            Op::Gather { .. } => "gather",
            Op::Take => "take",
            Op::TakeAlong { .. } => "take_along",
            Op::Resize { .. } => "resize",
            Op::Pad { .. } => "pad",
            Op::Reduce { .. } => "reduce",
            Op::Softmax { .. } => "softmax",
            Op::LogSoftmax { .. } => "log_softmax",
            Op::TopK { .. } => "top_k",
            Op::ArgReduce { largest: true, .. } => "arg_max",
            Op::ArgReduce { largest: false, .. } => "arg_min",
            Op::SpaceToDepth { .. } => "space_to_depth",
        }
    }
}

impl Unary {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unary::Relu => "relu",
            Unary::Sqrt => "sqrt",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Sigmoid => "sigmoid",
            Unary::Tanh => "tanh",
            Unary::Erf => "erf",
        }
    }
}

impl Binary {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Min => "min",
            Binary::Max => "max",
            Binary::Pow => "pow",
        }
    }
}

impl Compare {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Compare::Less => "less",
            Compare::Greater => "greater",
            Compare::Equal => "equal",
        }
    }
}
