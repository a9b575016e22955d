//! What can be read from a network's list of steps: its layers, its tensors, its graph.

use graph::{BatchNorm, Builder, Conv2d, Pool2d, Tensor, Value};

use super::steps::{Conv, NORM_LEAVES, Norm, Step};
use crate::random::Stream;
use crate::{ModelError, StateDict};

/// A network.
pub struct Architecture {
    /// Of the network and its weight file.
    pub name: &'static str,
    /// What job files may also call it.
    pub aliases: &'static [&'static str],
    pub(super) steps: fn() -> Vec<Step>,
}

/// A feature map that a model may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// timm's name.
    pub name: String,
    /// Its name in other implementations.
    pub alias: Option<String>,
    pub channels: usize,
    /// Image pixels a step of the map.
    pub stride: usize,
}

impl Layer {
    /// Height, width of its map for an image of `size`: each strided step of these networks rounds up.
    pub fn map_size(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| side.div_ceil(self.stride))
    }
}

impl Architecture {
    /// All layers, from the image inwards.
    pub fn layers(&self) -> Vec<Layer> {
        let (mut channels, mut stride) = (3, 1);
        let mut layers = Vec::new();
        for step in (self.steps)() {
            match step {
                Step::Conv(conv) => {
                    channels = conv.outputs;
                    stride *= conv.stride;
                }
                Step::MaxPool => stride *= 2,
                Step::Layer { name, alias } => layers.push(Layer {
                    name,
                    alias,
                    channels,
                    stride,
                }),
                Step::Norm(_) | Step::Relu | Step::Relu6 | Step::Fork | Step::Join(_) => {}
            }
        }
        layers
    }

    /// The layer of that name or alias.
    pub fn layer(&self, name: &str) -> Option<Layer> {
        self.layers()
            .into_iter()
            .find(|layer| layer.name == name || layer.alias.as_deref() == Some(name))
    }

    /// Names and shapes of all tensors of the trunk (no classifier).
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = Vec::new();
        for step in (self.steps)() {
            match step {
                Step::Conv(conv) => tensors.push((conv.tensor(), conv.shape())),
                Step::Norm(norm) => tensors.extend(norm.tensors()),
                Step::Join(Some((conv, norm))) => {
                    tensors.push((conv.tensor(), conv.shape()));
                    tensors.extend(norm.tensors());
                }
                Step::Relu
                | Step::Relu6
                | Step::MaxPool
                | Step::Fork
                | Step::Join(None)
                | Step::Layer { .. } => {}
            }
        }
        tensors
    }

    /// Multiplications whose products are added up, from an image of `size` to the deepest of the `wanted` layers: those of
    /// convolutions, beside which the rest is little.
    pub fn products(&self, mut size: [usize; 2], wanted: &[Layer]) -> u64 {
        let (mut missing, mut products) = (wanted.len(), 0);
        for step in (self.steps)() {
            if missing == 0 {
                break;
            }
            match step {
                Step::Conv(conv) => {
                    size = size.map(|side| side.div_ceil(conv.stride));
                    products += conv.products(size);
                }
                Step::MaxPool => size = size.map(|side| side.div_ceil(2)),
                // Its map has the size of what it is added to.
                Step::Join(Some((conv, _))) => products += conv.products(size),
                Step::Layer { name, .. } => {
                    missing -= usize::from(wanted.iter().any(|layer| layer.name == name));
                }
                Step::Norm(_) | Step::Relu | Step::Relu6 | Step::Fork | Step::Join(None) => {}
            }
        }
        products
    }

    /// Weights for `pre_trained: false`: convolutions uniform with variance 2 / fan-in (He et al., arXiv:1502.01852), so
    /// that activations neither vanish nor explode; norms do nothing.
    pub fn random_weights(&self, seed: u64) -> StateDict {
        let tensors = self.tensors().into_iter();
        tensors
            .map(|(name, shape)| {
                let count: usize = shape.iter().product();
                let stream = Stream::new(seed, &name);
                let data: Vec<f32> = match name.rsplit('.').next() {
                    _ if shape.len() == 4 => {
                        let bound = (6.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
                        (0..count as u64)
                            .map(|i| (2.0 * stream.uniform(i) - 1.0) * bound)
                            .collect()
                    }
                    Some("weight" | "running_var") => vec![1.0; count],
                    _ => vec![0.0; count],
                };
                (
                    name,
                    Tensor {
                        shape,
                        data: data.into(),
                    },
                )
            })
            .collect()
    }

    /// Adds the network to a graph, from a normalized image to the deepest of the `wanted` layers; their maps in the
    /// order in which they are wanted.
    pub fn emit(
        &self,
        builder: &mut Builder,
        image: Value,
        weights: &StateDict,
        wanted: &[Layer],
    ) -> Result<Vec<Value>, ModelError> {
        let mut emission = Emission {
            backbone: self.name,
            builder,
            weights,
        };
        let mut found = vec![None; wanted.len()];
        let (mut x, mut fork) = (image, image);
        for step in (self.steps)() {
            if found.iter().all(Option::is_some) {
                break;
            }
            match step {
                Step::Conv(conv) => x = emission.conv(x, &conv)?,
                Step::Norm(norm) => x = emission.norm(x, &norm)?,
                Step::Relu => x = emission.builder.relu(x)?,
                Step::Relu6 => x = emission.builder.clip(x, 0.0, 6.0)?,
                Step::MaxPool => {
                    x = emission.builder.max_pool2d(
                        x,
                        Pool2d {
                            kernel: [3, 3],
                            stride: [2, 2],
                            padding: [1; 4],
                        },
                    )?
                }
                Step::Fork => fork = x,
                Step::Join(None) => x = emission.builder.add(x, fork)?,
                Step::Join(Some((conv, norm))) => {
                    let shortcut = emission.conv(fork, &conv)?;
                    let shortcut = emission.norm(shortcut, &norm)?;
                    x = emission.builder.add(x, shortcut)?;
                }
                Step::Layer { name, .. } => {
                    for (slot, _) in found
                        .iter_mut()
                        .zip(wanted)
                        .filter(|(_, layer)| layer.name == name)
                    {
                        *slot = Some(x);
                    }
                }
            }
        }
        // Each wanted layer came from `layer`, so that it is there.
        Ok(found.into_iter().flatten().collect())
    }
}

impl Conv {
    /// `size`: height, width of its output.
    fn products(&self, [height, width]: [usize; 2]) -> u64 {
        let weights: usize = self.shape().iter().product();
        (height * width * weights) as u64
    }

    fn tensor(&self) -> String {
        format!("{}.weight", self.name)
    }

    fn shape(&self) -> Vec<usize> {
        vec![
            self.outputs,
            self.inputs / self.groups,
            self.kernel,
            self.kernel,
        ]
    }
}

impl Norm {
    fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        NORM_LEAVES
            .iter()
            .map(|leaf| (format!("{}.{leaf}", self.name), vec![self.channels]))
    }
}

struct Emission<'a> {
    backbone: &'static str,
    builder: &'a mut Builder,
    weights: &'a StateDict,
}

impl Emission<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Value, ModelError> {
        let fail = |problem: String| ModelError::Weights {
            backbone: self.backbone,
            tensor: name.to_owned(),
            problem,
        };
        let tensor = self
            .weights
            .get(name)
            .ok_or_else(|| fail("is missing".to_owned()))?;
        if tensor.shape() != shape {
            return Err(fail(format!(
                "has the shape {:?} instead of {shape:?}",
                tensor.shape()
            )));
        }
        Ok(self.builder.constant(name, tensor.clone())?)
    }

    fn conv(&mut self, x: Value, conv: &Conv) -> Result<Value, ModelError> {
        let weight = self.tensor(&conv.tensor(), &conv.shape())?;
        let (mut before, mut after) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            let size = self
                .builder
                .dims(x)?
                .get(2 + axis)
                .and_then(|dim| dim.fixed())
                .unwrap_or(1);
            [before[axis], after[axis]] = conv.padding.of(size, conv.kernel, conv.stride);
        }
        let attributes = Conv2d {
            stride: [conv.stride; 2],
            padding: [before[0], before[1], after[0], after[1]],
            dilation: [1, 1],
            groups: conv.groups,
        };
        Ok(self.builder.conv2d(x, weight, None, attributes)?)
    }

    fn norm(&mut self, x: Value, norm: &Norm) -> Result<Value, ModelError> {
        let mut leaf = |leaf: &str| self.tensor(&format!("{}.{leaf}", norm.name), &[norm.channels]);
        let [weight, bias, mean, var] = NORM_LEAVES;
        let values = BatchNorm {
            weight: leaf(weight)?,
            bias: leaf(bias)?,
            mean: leaf(mean)?,
            var: leaf(var)?,
        };
        Ok(self.builder.batch_norm(x, values, norm.eps)?)
    }
}
