//! The first operations of every graph: the image input and its normalization.

use graph::{Builder, Dim, Tensor, Value};

use crate::ModelError;

/// Statistics of ImageNet's RGB values in [0, 1], with which the backbones' weights were trained.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The input `image` [N, 3, H, W] in [0, 1], normalized as for ImageNet.
pub(crate) fn imagenet_image(builder: &mut Builder, size: [usize; 2]) -> Result<Value, ModelError> {
    let image = builder.input(
        "image",
        &[
            Dim::Batch,
            Dim::Fixed(3),
            Dim::Fixed(size[0]),
            Dim::Fixed(size[1]),
        ],
    )?;
    let mean = builder.constant(
        "normalize.mean",
        Tensor::new([1, 3, 1, 1], IMAGENET_MEAN.to_vec())?,
    )?;
    let std = builder.constant(
        "normalize.std",
        Tensor::new([1, 3, 1, 1], IMAGENET_STD.to_vec())?,
    )?;
    let centred = builder.sub(image, mean)?;
    Ok(builder.div(centred, std)?)
}
