//! The frozen network that a model looks through: its parameters, and the first operations of the model's graphs.

use graph::{Builder, Dim, Value};
use params::{Default, Kind, Param};

use crate::arguments::Arguments;
use crate::backbones::{self, Architecture, Layer};
use crate::input::imagenet_image;
use crate::{BackboneUse, ModelError, Start};

/// A backbone and the layers whose maps a model takes.
pub(crate) struct Extractor {
    pub backbone: &'static Architecture,
    /// At least one, none twice.
    pub layers: Vec<Layer>,
    pub pre_trained: bool,
}

/// The parameter `backbone` with its default as JSON.
pub(crate) const fn backbone_param(default: &'static str) -> Param {
    Param::new(
        "backbone",
        Kind::Text,
        Default::Json(default),
        "network whose feature maps are used: mobilenet_v2, efficientnet_lite0, resnet18, resnet34, resnet50 or wide_resnet50_2, or timm's name of it",
    )
}

/// The parameter `pre_trained`.
pub(crate) const PRE_TRAINED: Param = Param::new(
    "pre_trained",
    Kind::Bool,
    Default::Json("true"),
    "weights from the weights folder; otherwise random ones from the seed, which make sense in tests only",
);

impl Extractor {
    /// Reads `backbone`, `pre_trained` and the layers, which are the list `layers`.
    pub fn read(arguments: &mut Arguments) -> Option<Self> {
        let backbone = read_backbone(arguments);
        let names = arguments.names("layers");
        let pre_trained = arguments.flag("pre_trained");
        let layers = read_layers(arguments, backbone?, "layers", &names?)?;
        Some(Self {
            backbone: backbone?,
            layers,
            pre_trained: pre_trained?,
        })
    }

    /// Reads `backbone`, `pre_trained` and the one layer, which is the text `layer`.
    pub fn read_one_layer(arguments: &mut Arguments) -> Option<Self> {
        let backbone = read_backbone(arguments);
        let name = arguments.text("layer");
        let pre_trained = arguments.flag("pre_trained");
        let layers = read_layers(arguments, backbone?, "layer", &[name?])?;
        Some(Self {
            backbone: backbone?,
            layers,
            pre_trained: pre_trained?,
        })
    }

    pub fn used(&self) -> BackboneUse {
        BackboneUse {
            name: self.backbone.name,
            layers: self.layers.iter().map(|layer| layer.name.clone()).collect(),
            pre_trained: self.pre_trained,
        }
    }

    /// Channels of all layers together.
    pub fn channels(&self) -> usize {
        self.layers.iter().map(|layer| layer.channels).sum()
    }

    /// Height, width of the first layer's map for an image of `size`.
    pub fn grid(&self, size: [usize; 2]) -> [usize; 2] {
        self.layers
            .first()
            .map_or(size, |layer| layer.map_size(size))
    }

    /// The layers' maps for an image of `size`, in their order: what the network makes of the graph's input `image`, or
    /// inputs themselves, each named like its layer.
    pub fn emit(
        &self,
        builder: &mut Builder,
        size: [usize; 2],
        start: Start<'_>,
    ) -> Result<Vec<Value>, ModelError> {
        match start {
            Start::Image(weights) => {
                let image = imagenet_image(builder, size)?;
                self.backbone.emit(builder, image, weights, &self.layers)
            }
            Start::Maps => {
                let input = |layer: &Layer| {
                    let [height, width] = layer.map_size(size);
                    let dims = [
                        Dim::Batch,
                        layer.channels.into(),
                        height.into(),
                        width.into(),
                    ];
                    Ok(builder.input(&layer.name, &dims)?)
                };
                self.layers.iter().map(input).collect()
            }
        }
    }
}

fn read_backbone(arguments: &mut Arguments) -> Option<&'static Architecture> {
    let name = arguments.text("backbone")?;
    backbones::find(&name)
        .map_err(|problem| arguments.problems.push(problem))
        .ok()
}

fn read_layers(
    arguments: &mut Arguments,
    backbone: &Architecture,
    parameter: &'static str,
    names: &[String],
) -> Option<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::with_capacity(names.len());
    for name in names {
        match backbone.layer(name) {
            Some(layer) if layers.contains(&layer) => {
                arguments.wrong(parameter, format!("`{}` is there twice", layer.name));
            }
            Some(layer) => layers.push(layer),
            None => arguments.problems.push(ModelError::UnknownLayer {
                parameter,
                backbone: backbone.name,
                layer: name.clone(),
                layers: backbone.layers(),
            }),
        }
    }
    (layers.len() == names.len()).then_some(layers)
}

/// Height, width of a map [N, C, H, W].
pub(crate) fn map_size(builder: &Builder, map: Value) -> Result<[usize; 2], ModelError> {
    let dims = builder.dims(map)?;
    // Images have fixed sides throughout.
    Ok([dims[2].at(1), dims[3].at(1)])
}

/// [N, dims, height, width] to [N, positions, dims].
pub(crate) fn by_position(builder: &mut Builder, map: Value) -> Result<Value, ModelError> {
    let [height, width] = map_size(builder, map)?;
    let dims = builder.dims(map)?[1];
    let flat = builder.reshape(map, &[Dim::Batch, dims, Dim::Fixed(height * width)])?;
    Ok(builder.transpose(flat, &[0, 2, 1])?)
}
