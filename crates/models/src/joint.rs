//! One pass over a backbone for several models: the maps of all layers that any of them takes.

use std::collections::BTreeSet;
use std::ops::Range;

use graph::{Builder, Graph};

use crate::backbones::{self, Architecture, Layer};
use crate::input::imagenet_image;
use crate::{BackboneUse, ModelError, StateDict};

/// Layers of a backbone whose maps are computed together, for images of one size. Models go on from the maps
/// ([`crate::Start::Maps`]).
pub struct JointPass {
    backbone: &'static Architecture,
    /// In the network's order.
    layers: Vec<Layer>,
    /// Height, width of the images.
    size: [usize; 2],
}

impl JointPass {
    /// Every layer that one of these takes, in the network's order. They must be of one backbone.
    pub fn layers<'a>(uses: impl IntoIterator<Item = &'a BackboneUse>) -> Vec<String> {
        let mut wanted = BTreeSet::new();
        let mut backbone = "";
        for one in uses {
            backbone = one.name;
            wanted.extend(&one.layers);
        }
        let layers = backbones::find(backbone).map_or(Vec::new(), Architecture::layers);
        let names = layers.into_iter().map(|layer| layer.name);
        names.filter(|name| wanted.contains(name)).collect()
    }

    pub fn new(backbone: &str, layers: &[String], size: [usize; 2]) -> Result<Self, ModelError> {
        let backbone = backbones::find(backbone)?;
        let layer = |name: &String| {
            backbone
                .layer(name)
                .ok_or_else(|| ModelError::UnknownLayer {
                    parameter: "layers",
                    backbone: backbone.name,
                    layer: name.clone(),
                    layers: backbone.layers(),
                })
        };
        Ok(Self {
            layers: layers.iter().map(layer).collect::<Result<_, _>>()?,
            backbone,
            size,
        })
    }

    /// Input `image` [N, 3, H, W] in [0, 1]; an output for each layer, of its name, [N, channels, height, width].
    pub fn graph(&self, weights: &StateDict) -> Result<Graph, ModelError> {
        let mut builder = Builder::new();
        let image = imagenet_image(&mut builder, self.size)?;
        let maps = self
            .backbone
            .emit(&mut builder, image, weights, &self.layers)?;
        for (layer, map) in self.layers.iter().zip(maps) {
            builder.output(&layer.name, map)?;
        }
        Ok(builder.finish()?)
    }

    /// Numbers in one image's map of each layer.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.layers.iter().map(|layer| {
            let [height, width] = layer.map_size(self.size);
            layer.channels * height * width
        })
    }

    /// Where a model's maps lie when those of all layers lie one after the other, in the order in which the model takes them;
    /// `None` if one of them is not there.
    pub fn places(&self, of: &BackboneUse) -> Option<Vec<Range<usize>>> {
        let mut places = Vec::new();
        let mut first = 0;
        for (layer, length) in self.layers.iter().zip(self.lengths()) {
            places.push((&layer.name, first..first + length));
            first += length;
        }
        let place = |name| {
            let (_, place) = places.iter().find(|(layer, _)| *layer == name)?;
            Some(place.clone())
        };
        of.layers.iter().map(place).collect()
    }
}
