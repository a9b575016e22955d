//! Convolutions and the norms that follow them.

use super::Builder;
use crate::GraphError;
use crate::graph::{Kind, Value};
use crate::op::{Conv2d, ConvTranspose2d, Op};
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;

/// The learned values of a batch norm, each one number a channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    /// Scale.
    pub weight: Value,
    /// Shift.
    pub bias: Value,
    /// Running mean.
    pub mean: Value,
    /// Running variance.
    pub var: Value,
}

impl Builder {
    /// Convolution of images with `weight` `[out, in / groups, kh, kw]` and `bias` `[out]`.
    pub fn conv2d(
        &mut self,
        x: Value,
        weight: Value,
        bias: Option<Value>,
        attributes: Conv2d,
    ) -> Result<Value, GraphError> {
        const OP: &str = "conv2d";
        let operands: Vec<Value> = [x, weight].into_iter().chain(bias).collect();
        self.floats(OP, &operands)?;
        let (n, channels, h, w) = self.image(OP, x)?;
        let Conv2d {
            stride,
            padding,
            dilation,
            groups,
        } = attributes;
        if groups == 0 || stride.contains(&0) || dilation.contains(&0) {
            return Err(self.bad(
                OP,
                &operands,
                format!("stride, dilation and groups start at 1: {attributes:?}"),
            ));
        }
        let expected = format!(
            "weight [out, {channels} / {groups}, height, width] with out a multiple of {groups}"
        );
        let Some((Dim::Fixed(out), inner, kh, kw)) = self.shape_of(weight).nchw() else {
            return Err(self.misfit(OP, &operands, expected));
        };
        if inner.checked_mul(groups) != Some(channels) || out % groups != 0 || out == 0 {
            return Err(self.misfit(OP, &operands, expected));
        }
        self.per_channel(OP, &operands, &operands[2..], out)?;
        let height = window(h, kh, stride[0], [padding[0], padding[2]], dilation[0]);
        let width = window(w, kw, stride[1], [padding[1], padding[3]], dilation[1]);
        let (Some(height), Some(width)) = (height, width) else {
            return Err(self.bad(OP, &operands, "the kernel is larger than the padded image"));
        };
        let shape = Shape(vec![n, out.into(), height.into(), width.into()]);
        Ok(self.push(Op::Conv2d(attributes), &operands, shape, Kind::Float))
    }

    /// Transposed convolution of images with `weight` `[in, out / groups, kh, kw]` and `bias` `[out]`.
    pub fn conv_transpose2d(
        &mut self,
        x: Value,
        weight: Value,
        bias: Option<Value>,
        attributes: ConvTranspose2d,
    ) -> Result<Value, GraphError> {
        const OP: &str = "conv_transpose2d";
        let operands: Vec<Value> = [x, weight].into_iter().chain(bias).collect();
        self.floats(OP, &operands)?;
        let (n, channels, h, w) = self.image(OP, x)?;
        let ConvTranspose2d {
            stride,
            padding,
            output_padding,
            groups,
        } = attributes;
        if groups == 0
            || stride.contains(&0)
            || output_padding[0] >= stride[0]
            || output_padding[1] >= stride[1]
        {
            return Err(self.bad(
                OP,
                &operands,
                format!("stride and groups start at 1, output padding is below the stride: {attributes:?}"),
            ));
        }
        let expected = format!(
            "weight [{channels}, out / {groups}, height, width] with {channels} a multiple of {groups}"
        );
        let Some((Dim::Fixed(inputs), per_group, kh, kw)) = self.shape_of(weight).nchw() else {
            return Err(self.misfit(OP, &operands, expected));
        };
        if inputs != channels || channels % groups != 0 || per_group == 0 {
            return Err(self.misfit(OP, &operands, expected));
        }
        let out = per_group * groups;
        self.per_channel(OP, &operands, &operands[2..], out)?;
        let extent = |size: usize, kernel: usize, axis: usize| {
            ((size - 1) * stride[axis] + kernel + output_padding[axis])
                .checked_sub(2 * padding[axis])
                .filter(|n| *n > 0)
        };
        let (Some(height), Some(width)) = (extent(h, kh, 0), extent(w, kw, 1)) else {
            return Err(self.bad(OP, &operands, "the padding cuts everything off"));
        };
        let shape = Shape(vec![n, out.into(), height.into(), width.into()]);
        Ok(self.push(
            Op::ConvTranspose2d(attributes),
            &operands,
            shape,
            Kind::Float,
        ))
    }

    /// Batch norm of inference: (x - mean) / sqrt(var + eps) * weight + bias for each channel (axis 1).
    pub fn batch_norm(&mut self, x: Value, norm: BatchNorm, eps: f32) -> Result<Value, GraphError> {
        const OP: &str = "batch_norm";
        let operands = [x, norm.weight, norm.bias, norm.mean, norm.var];
        self.floats(OP, &operands)?;
        let channels = self.own_axis(OP, x, 1)?;
        self.per_channel(OP, &operands, &operands[1..], channels)?;
        let shape = self.shape_of(x).clone();
        Ok(self.push(Op::BatchNorm { eps }, &operands, shape, Kind::Float))
    }

    /// Norm over the last axis: (x - mean) / sqrt(var + eps) * weight + bias.
    pub fn layer_norm(
        &mut self,
        x: Value,
        weight: Value,
        bias: Value,
        eps: f32,
    ) -> Result<Value, GraphError> {
        const OP: &str = "layer_norm";
        let operands = [x, weight, bias];
        self.floats(OP, &operands)?;
        let last = self.shape_of(x).rank().wrapping_sub(1);
        let width = self.own_axis(OP, x, last)?;
        self.per_channel(OP, &operands, &operands[1..], width)?;
        let shape = self.shape_of(x).clone();
        Ok(self.push(Op::LayerNorm { eps }, &operands, shape, Kind::Float))
    }

    /// Norm of each channel of each image over its own pixels.
    pub fn instance_norm(
        &mut self,
        x: Value,
        weight: Value,
        bias: Value,
        eps: f32,
    ) -> Result<Value, GraphError> {
        const OP: &str = "instance_norm";
        let operands = [x, weight, bias];
        self.floats(OP, &operands)?;
        let (_, channels, _, _) = self.image(OP, x)?;
        self.per_channel(OP, &operands, &operands[1..], channels)?;
        let shape = self.shape_of(x).clone();
        Ok(self.push(Op::InstanceNorm { eps }, &operands, shape, Kind::Float))
    }

    /// Norm of each group of channels of each image; made of an instance norm.
    pub fn group_norm(
        &mut self,
        x: Value,
        groups: usize,
        weight: Value,
        bias: Value,
        eps: f32,
    ) -> Result<Value, GraphError> {
        const OP: &str = "group_norm";
        let operands = [x, weight, bias];
        self.floats(OP, &operands)?;
        let (n, channels, h, w) = self.image(OP, x)?;
        self.per_channel(OP, &operands, &operands[1..], channels)?;
        if groups == 0 || channels % groups != 0 {
            return Err(self.bad(
                OP,
                &operands,
                format!("{channels} channels do not fall into {groups} groups"),
            ));
        }
        let ones = self.constant(&format!("{groups} ones"), Tensor::vector(vec![1.0; groups]))?;
        let zeros = self.constant(
            &format!("{groups} zeros"),
            Tensor::vector(vec![0.0; groups]),
        )?;
        let grouped = self.reshape(
            x,
            &[n, groups.into(), (channels / groups * h).into(), w.into()],
        )?;
        let normed = self.instance_norm(grouped, ones, zeros, eps)?;
        let back = self.reshape(normed, &[n, channels.into(), h.into(), w.into()])?;
        let weight = self.reshape(weight, &[channels.into(), 1.into(), 1.into()])?;
        let bias = self.reshape(bias, &[channels.into(), 1.into(), 1.into()])?;
        let scaled = self.mul(back, weight)?;
        self.add(scaled, bias)
    }

    fn per_channel(
        &self,
        op: &'static str,
        operands: &[Value],
        parameters: &[Value],
        channels: usize,
    ) -> Result<(), GraphError> {
        let wanted = Shape::fixed(&[channels]);
        if parameters.iter().all(|p| *self.shape_of(*p) == wanted) {
            Ok(())
        } else {
            Err(self.misfit(
                op,
                operands,
                format!("one number for each of {channels} channels, {wanted}"),
            ))
        }
    }
}

/// How many windows fit along one axis, if any does.
pub(super) fn window(
    size: usize,
    kernel: usize,
    stride: usize,
    padding: [usize; 2],
    dilation: usize,
) -> Option<usize> {
    let span = kernel
        .checked_sub(1)?
        .checked_mul(dilation)?
        .checked_add(1)?;
    let padded = size.checked_add(padding[0])?.checked_add(padding[1])?;
    Some(padded.checked_sub(span)? / stride + 1)
}
