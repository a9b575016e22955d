//! Operations on images: pools, padding, resizing.

use super::Builder;
use super::convolution::window;
use crate::GraphError;
use crate::graph::{Kind, Value};
use crate::op::{Interpolation, Op, PadMode, Pool2d};
use crate::shape::Shape;

impl Builder {
    /// The largest of each window.
    pub fn max_pool2d(&mut self, x: Value, pool: Pool2d) -> Result<Value, GraphError> {
        let shape = self.pooled("max_pool2d", x, pool)?;
        Ok(self.push(Op::MaxPool2d(pool), &[x], shape, Kind::Float))
    }

    /// The mean of each window, padding counted as zeros.
    pub fn avg_pool2d(&mut self, x: Value, pool: Pool2d) -> Result<Value, GraphError> {
        let shape = self.pooled("avg_pool2d", x, pool)?;
        Ok(self.push(Op::AvgPool2d(pool), &[x], shape, Kind::Float))
    }

    /// To height and width `size`: output i takes input floor(i * in / out).
    ///
    /// Where an extent is no multiple of the old one this is a gather, since engines round the ratio differently.
    pub fn resize_nearest(&mut self, x: Value, size: [usize; 2]) -> Result<Value, GraphError> {
        const OP: &str = "resize_nearest";
        let (_, _, h, w) = self.image(OP, x)?;
        self.target(OP, x, size)?;
        if size[0].is_multiple_of(h) && size[1].is_multiple_of(w) {
            return self.resize(OP, x, Interpolation::Nearest, size);
        }
        let picks = |from: usize, to: usize| (0..to).map(|i| i * from / to).collect::<Vec<_>>();
        let rows = self.gather(x, 2, &picks(h, size[0]))?;
        self.gather(rows, 3, &picks(w, size[1]))
    }

    /// To height and width `size` by linear interpolation without a filter against aliasing.
    pub fn resize_bilinear(
        &mut self,
        x: Value,
        size: [usize; 2],
        align_corners: bool,
    ) -> Result<Value, GraphError> {
        self.resize(
            "resize_bilinear",
            x,
            Interpolation::Bilinear { align_corners },
            size,
        )
    }

    /// To height and width `size` by cubic interpolation (a = -0.75) without a filter against aliasing.
    pub fn resize_bicubic(
        &mut self,
        x: Value,
        size: [usize; 2],
        align_corners: bool,
    ) -> Result<Value, GraphError> {
        self.resize(
            "resize_bicubic",
            x,
            Interpolation::Bicubic { align_corners },
            size,
        )
    }

    /// Mirrors the image at its borders; `padding` at top, left, bottom, right.
    pub fn pad_reflect(&mut self, x: Value, padding: [usize; 4]) -> Result<Value, GraphError> {
        const OP: &str = "pad_reflect";
        let (_, _, h, w) = self.image(OP, x)?;
        if padding[0].max(padding[2]) >= h || padding[1].max(padding[3]) >= w {
            return Err(self.bad(
                OP,
                &[x],
                format!("padding {padding:?} must be smaller than the image"),
            ));
        }
        self.pad(OP, x, PadMode::Reflect, padding)
    }

    /// Zeros around the image; `padding` at top, left, bottom, right.
    pub fn pad_zero(&mut self, x: Value, padding: [usize; 4]) -> Result<Value, GraphError> {
        self.pad("pad_zero", x, PadMode::Zero, padding)
    }

    /// Blocks of `block` x `block` pixels become channels; the block's offset is the outer part of the channel.
    pub fn space_to_depth(&mut self, x: Value, block: usize) -> Result<Value, GraphError> {
        const OP: &str = "space_to_depth";
        let (n, c, h, w) = self.image(OP, x)?;
        if block == 0 || h % block != 0 || w % block != 0 {
            return Err(self.bad(
                OP,
                &[x],
                format!("the image does not fall into blocks of {block}"),
            ));
        }
        let shape = Shape(vec![
            n,
            (c * block * block).into(),
            (h / block).into(),
            (w / block).into(),
        ]);
        Ok(self.push(Op::SpaceToDepth { block }, &[x], shape, Kind::Float))
    }

    fn pooled(&self, op: &'static str, x: Value, pool: Pool2d) -> Result<Shape, GraphError> {
        let (n, c, h, w) = self.image(op, x)?;
        let Pool2d {
            kernel,
            stride,
            padding,
        } = pool;
        if kernel.contains(&0) || stride.contains(&0) {
            return Err(self.bad(op, &[x], format!("kernel and stride start at 1: {pool:?}")));
        }
        // A window of nothing but padding has no maximum.
        if (0..2).any(|a| padding[a] >= kernel[a] || padding[a + 2] >= kernel[a]) {
            return Err(self.bad(
                op,
                &[x],
                format!("padding must be smaller than the kernel: {pool:?}"),
            ));
        }
        let height = window(h, kernel[0], stride[0], [padding[0], padding[2]], 1);
        let width = window(w, kernel[1], stride[1], [padding[1], padding[3]], 1);
        match (height, width) {
            (Some(height), Some(width)) => {
                Ok(Shape(vec![n, c.into(), height.into(), width.into()]))
            }
            _ => Err(self.bad(
                op,
                &[x],
                format!("the window is larger than the padded image: {pool:?}"),
            )),
        }
    }

    fn target(&self, op: &'static str, x: Value, size: [usize; 2]) -> Result<(), GraphError> {
        if size.contains(&0) {
            return Err(self.bad(op, &[x], format!("size {size:?} holds no pixel")));
        }
        Ok(())
    }

    fn resize(
        &mut self,
        op: &'static str,
        x: Value,
        interpolation: Interpolation,
        size: [usize; 2],
    ) -> Result<Value, GraphError> {
        let (n, c, h, w) = self.image(op, x)?;
        self.target(op, x, size)?;
        if [h, w] == size {
            return Ok(x);
        }
        let shape = Shape(vec![n, c.into(), size[0].into(), size[1].into()]);
        Ok(self.push(
            Op::Resize {
                interpolation,
                size,
            },
            &[x],
            shape,
            Kind::Float,
        ))
    }

    fn pad(
        &mut self,
        op: &'static str,
        x: Value,
        mode: PadMode,
        padding: [usize; 4],
    ) -> Result<Value, GraphError> {
        let (n, c, h, w) = self.image(op, x)?;
        if padding == [0; 4] {
            return Ok(x);
        }
        let height = h + padding[0] + padding[2];
        let width = w + padding[1] + padding[3];
        let shape = Shape(vec![n, c.into(), height.into(), width.into()]);
        Ok(self.push(Op::Pad { mode, padding }, &[x], shape, Kind::Float))
    }
}
