//! One operation of a graph as calls of libtorch.

use graph::{
    Binary, Compare, Dim, Graph, Interpolation, Node, Op, PadMode, Pool2d, Reduce, Unary, Value,
};
use tch::{Device, Kind, TchError, Tensor};

type Result<T> = std::result::Result<T, TchError>;

/// The value, which the order of nodes promises to be there.
pub(super) fn operand(values: &[Option<Tensor>], value: Value) -> Result<&Tensor> {
    let missing = || TchError::Shape(format!("value {} was not computed", value.index()));
    values
        .get(value.index())
        .and_then(Option::as_ref)
        .ok_or_else(missing)
}

/// The node's outputs at the given batch size; without one, as libtorch finds it.
pub(super) fn execute(
    graph: &Graph,
    node: &Node,
    batch: Option<usize>,
    values: &[Option<Tensor>],
) -> Result<Vec<Tensor>> {
    if let Op::TopK { axis, k, largest } = &node.op {
        let (top, indices) =
            operand(values, node.inputs[0])?.f_topk(*k as i64, *axis as i64, *largest, true)?;
        return Ok(vec![top, indices]);
    }
    Ok(vec![single(graph, node, batch, values)?])
}

fn single(
    graph: &Graph,
    node: &Node,
    batch: Option<usize>,
    values: &[Option<Tensor>],
) -> Result<Tensor> {
    let at = |i: usize| match node.inputs.get(i) {
        Some(value) => operand(values, *value).map(Some),
        None => Ok(None),
    };
    let x = match node.inputs.first() {
        Some(value) => operand(values, *value)?,
        None => return Err(TchError::Shape("an operation without operands".to_owned())),
    };
    let second =
        || at(1)?.ok_or_else(|| TchError::Shape("the second operand is missing".to_owned()));
    match &node.op {
        Op::Input | Op::Constant { .. } | Op::TopK { .. } => Ok(x.shallow_clone()),
        Op::Conv2d(conv) => {
            let (x, padding) = symmetric(x, conv.padding, 0.0)?;
            x.f_conv2d(
                second()?,
                at(2)?,
                ints(&conv.stride),
                padding,
                ints(&conv.dilation),
                conv.groups as i64,
            )
        }
        Op::ConvTranspose2d(conv) => x.f_conv_transpose2d(
            second()?,
            at(2)?,
            ints(&conv.stride),
            ints(&conv.padding),
            ints(&conv.output_padding),
            conv.groups as i64,
            [1, 1],
        ),
        Op::BatchNorm { eps } => x.f_batch_norm(
            at(1)?,
            at(2)?,
            at(3)?,
            at(4)?,
            false,
            0.0,
            f64::from(*eps),
            false,
        ),
        Op::LayerNorm { eps } => {
            let last = x.size().last().copied().unwrap_or(1);
            x.f_layer_norm([last], at(1)?, at(2)?, f64::from(*eps), false)
        }
        Op::InstanceNorm { eps } => x.f_instance_norm(
            at(1)?,
            at(2)?,
            None,
            None,
            true,
            0.0,
            f64::from(*eps),
            false,
        ),
        Op::Unary(unary) => elementwise(*unary, x),
        Op::Clip { min, max } => {
            let (min, max) = (min.map(f64::from), max.map(f64::from));
            match (min, max) {
                (Some(min), Some(max)) => x.f_clamp(min, max),
                (Some(min), None) => x.f_clamp_min(min),
                (None, Some(max)) => x.f_clamp_max(max),
                (None, None) => Ok(x.shallow_clone()),
            }
        }
        Op::Binary(binary) => combine(*binary, x, second()?),
        Op::Compare(Compare::Less) => x.f_lt_tensor(second()?),
        Op::Compare(Compare::Greater) => x.f_gt_tensor(second()?),
        Op::Compare(Compare::Equal) => x.f_eq_tensor(second()?),
        Op::Where => {
            let otherwise =
                at(2)?.ok_or_else(|| TchError::Shape("the third operand is missing".to_owned()))?;
            second()?.f_where_self(x, otherwise)
        }
        Op::ToFloat => x.f_to_kind(Kind::Float),
        Op::MaxPool2d(pool) => {
            let (x, padding) = pooled(x, pool, f64::NEG_INFINITY)?;
            x.f_max_pool2d(
                ints(&pool.kernel),
                ints(&pool.stride),
                padding,
                [1, 1],
                false,
            )
        }
        Op::AvgPool2d(pool) => {
            let (x, padding) = pooled(x, pool, 0.0)?;
            x.f_avg_pool2d(
                ints(&pool.kernel),
                ints(&pool.stride),
                padding,
                false,
                true,
                None,
            )
        }
        Op::MatMul => {
            let batched = |input: usize| graph.shape(node.inputs[input]).has_batch();
            matmul(x, second()?, batch, (batched(0), batched(1)))
        }
        Op::Transpose { perm } => x.f_permute(ints(perm)),
        Op::Reshape => x.f_reshape(extents(graph.shape(node.outputs[0]).dims(), batch)),
        Op::Concat { axis } => {
            let parts: Result<Vec<&Tensor>> =
                node.inputs.iter().map(|v| operand(values, *v)).collect();
            Tensor::f_cat(&parts?, *axis as i64)
        }
        Op::Slice { axis, start, end } => {
            x.f_narrow(*axis as i64, *start as i64, (end - start) as i64)
        }
        Op::Gather { axis, indices } => {
            x.f_index_select(*axis as i64, &positions(indices, x.device())?)
        }
        Op::Take => {
            let rows = x.f_index_select(0, &second()?.f_reshape([-1])?)?;
            rows.f_reshape(extents(graph.shape(node.outputs[0]).dims(), batch))
        }
        Op::TakeAlong { axis } => x.f_gather(*axis as i64, second()?, false),
        Op::Resize {
            interpolation,
            size,
        } => match interpolation {
            Interpolation::Nearest => x.f_upsample_nearest2d(ints(size), None, None),
            Interpolation::Bilinear { align_corners } => {
                x.f_upsample_bilinear2d(ints(size), *align_corners, None, None)
            }
            Interpolation::Bicubic { align_corners } => {
                x.f_upsample_bicubic2d(ints(size), *align_corners, None, None)
            }
        },
        Op::Pad { mode, padding } => {
            let sides = sides(*padding);
            match mode {
                PadMode::Zero => x.f_constant_pad_nd(sides),
                PadMode::Reflect => x.f_reflection_pad2d(sides),
            }
        }
        Op::Reduce {
            reduce,
            axes,
            keep_dims,
        } => {
            let axes = ints(axes);
            match reduce {
                Reduce::Sum => x.f_sum_dim_intlist(axes.as_slice(), *keep_dims, None::<Kind>),
                Reduce::Mean => x.f_mean_dim(axes.as_slice(), *keep_dims, None::<Kind>),
                Reduce::Max => x.f_amax(axes, *keep_dims),
                Reduce::Min => x.f_amin(axes, *keep_dims),
            }
        }
        Op::Softmax { axis } => x.f_softmax(*axis as i64, None::<Kind>),
        Op::LogSoftmax { axis } => x.f_log_softmax(*axis as i64, None::<Kind>),
        Op::ArgReduce {
            axis,
            largest,
            keep_dims,
        } => match largest {
            true => x.f_argmax(*axis as i64, *keep_dims),
            false => x.f_argmin(*axis as i64, *keep_dims),
        },
        Op::SpaceToDepth { block } => space_to_depth(graph, node, *block, batch, x),
    }
}

fn elementwise(unary: Unary, x: &Tensor) -> Result<Tensor> {
    match unary {
        Unary::Relu => x.f_relu(),
        Unary::Sqrt => x.f_sqrt(),
        Unary::Exp => x.f_exp(),
        Unary::Log => x.f_log(),
        Unary::Neg => x.f_neg(),
        Unary::Abs => x.f_abs(),
        Unary::Sigmoid => x.f_sigmoid(),
        Unary::Tanh => x.f_tanh(),
        Unary::Erf => x.f_erf(),
    }
}

fn combine(binary: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match binary {
        Binary::Add => a.f_add(b),
        Binary::Sub => a.f_sub(b),
        Binary::Mul => a.f_mul(b),
        Binary::Div => a.f_div(b),
        Binary::Min => a.f_minimum(b),
        Binary::Max => a.f_maximum(b),
        Binary::Pow => a.f_pow(b),
    }
}

/// How libtorch adds up a row of a product depends on the rows beside it, and on some processors on where in memory it lies. The
/// products of images are each computed on its own, from operands that begin where the allocator puts them: their bits depend
/// on no other image and no place. `batched`: which of the operands has images.
fn matmul(a: &Tensor, b: &Tensor, batch: Option<usize>, batched: (bool, bool)) -> Result<Tensor> {
    let images = match batch {
        Some(images) if images > 1 && batched != (false, false) => images as i64,
        _ => return a.f_matmul(b),
    };
    let of_image = |image| match batched {
        (true, true) => a
            .f_narrow_copy(0, image, 1)?
            .f_matmul(&b.f_narrow_copy(0, image, 1)?),
        (true, false) => a.f_narrow_copy(0, image, 1)?.f_matmul(b),
        (false, _) => a.f_matmul(&b.f_narrow_copy(0, image, 1)?),
    };
    let products: Result<Vec<Tensor>> = (0..images).map(of_image).collect();
    Tensor::f_cat(&products?, 0)
}

/// libtorch's own order puts the channel outside of the block's offset, ONNX's inside.
fn space_to_depth(
    graph: &Graph,
    node: &Node,
    block: usize,
    batch: Option<usize>,
    x: &Tensor,
) -> Result<Tensor> {
    let shape = extents(graph.shape(node.inputs[0]).dims(), batch);
    let block = block as i64;
    let [n, c, h, w] = [0, 1, 2, 3].map(|i| shape.get(i).copied().unwrap_or(1));
    x.f_reshape([n, c, h / block, block, w / block, block])?
        .f_permute([0, 3, 5, 1, 2, 4])?
        .f_reshape(extents(graph.shape(node.outputs[0]).dims(), batch))
}

/// A shape as libtorch takes it: -1 where the batch is whatever it is.
fn extents(dims: &[Dim], batch: Option<usize>) -> Vec<i64> {
    let extent = |dim: &Dim| match (dim, batch) {
        (Dim::Batch, None) => -1,
        (dim, batch) => dim.at(batch.unwrap_or(1)) as i64,
    };
    dims.iter().map(extent).collect()
}

/// libtorch pads both sides alike; what does not fit that is padded beforehand.
fn symmetric(x: &Tensor, padding: [usize; 4], fill: f64) -> Result<(Tensor, [i64; 2])> {
    let [top, left, bottom, right] = padding;
    if (top, left) == (bottom, right) {
        return Ok((x.shallow_clone(), [top as i64, left as i64]));
    }
    Ok((x.f_pad(sides(padding), "constant", fill)?, [0, 0]))
}

/// As `symmetric`; libtorch also limits a pool's own padding to half its kernel.
fn pooled(x: &Tensor, pool: &Pool2d, fill: f64) -> Result<(Tensor, [i64; 2])> {
    let small = (0..2).all(|axis| 2 * pool.padding[axis] <= pool.kernel[axis]);
    if small {
        return symmetric(x, pool.padding, fill);
    }
    Ok((x.f_pad(sides(pool.padding), "constant", fill)?, [0, 0]))
}

/// libtorch's order: left, right, top, bottom.
fn sides([top, left, bottom, right]: [usize; 4]) -> [i64; 4] {
    [left, right, top, bottom].map(|n| n as i64)
}

const _: () = assert!(
    size_of::<usize>() == size_of::<i64>(),
    "positions are lent as they are"
);

/// A tensor over the positions themselves. (To a record a tensor that is filled from here would be one of zeros; one that
/// is lent its elements is a constant.) It must not outlive them. On another device it is a copy.
fn positions(indices: &[usize], device: Device) -> Result<Tensor> {
    // SAFETY: so many numbers of 64 bits, each far below the sign bit, since they are places in a tensor; the graph, which
    // holds them, outlives every use of the result, and nothing writes to it.
    let lent = unsafe {
        Tensor::f_from_blob(
            indices.as_ptr().cast(),
            &[indices.len() as i64],
            &[1],
            Kind::Int64,
            Device::Cpu,
        )
    }?;
    match device {
        Device::Cpu => Ok(lent),
        other => lent.f_to(other),
    }
}

fn ints(values: &[usize]) -> Vec<i64> {
    values.iter().map(|v| *v as i64).collect()
}
