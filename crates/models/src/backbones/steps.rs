//! What a network consists of, as a list that graph, tensors and layers are all read from.

/// One step; each takes the value of the step before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Conv(Conv),
    Norm(Norm),
    Relu,
    Relu6,
    /// 3x3, stride 2, padding 1.
    MaxPool,
    /// Remembers the current value for the next [`Step::Join`].
    Fork,
    /// Adds the remembered value, through a convolution and a norm where shapes differ.
    Join(Option<(Conv, Norm)>),
    /// The current value is a layer that models may ask for.
    Layer {
        name: String,
        alias: Option<String>,
    },
}

/// A square convolution without bias.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Conv {
    /// Of its tensor, without `.weight`.
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub groups: usize,
    pub padding: Padding,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Padding {
    /// Half of the kernel on each side.
    Centred,
    /// TensorFlow's SAME: as much as makes the output ceil(size / stride), the odd one at the bottom and right.
    Same,
}

impl Padding {
    /// Zeros before and after an axis of `size`.
    pub(super) fn of(self, size: usize, kernel: usize, stride: usize) -> [usize; 2] {
        match self {
            Self::Centred => [kernel / 2; 2],
            Self::Same => {
                let total = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
                [total / 2, total - total / 2]
            }
        }
    }
}

/// A batch norm with running statistics.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Norm {
    /// Of its tensors, without `.weight` and the like.
    pub name: String,
    pub channels: usize,
    pub eps: f32,
}

/// Endings of a norm's tensors, in the order of `graph::BatchNorm`.
pub(super) const NORM_LEAVES: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];
