//! What can be wrong with a model's parameters, weights or statistics.

use graph::GraphError;

use crate::backbones::{self, Layer};

/// An error of building, fitting or loading a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("unknown model `{class}`; known: {known}")]
    UnknownModel { class: String, known: String },
    #[error("the model {class} is known but not built yet; built: {built}")]
    NotBuilt { class: &'static str, built: String },
    #[error("{class}: {name}: {problem}")]
    Argument {
        class: &'static str,
        name: String,
        problem: String,
    },
    #[error("unknown backbone `{name}`; known: {known}")]
    UnknownBackbone { name: String, known: String },
    #[error("the backbone {name} is known but not built yet; built: {built}")]
    BackboneNotBuilt { name: String, built: String },
    #[error(
        "weights from a URI are known but not built yet; say {network}, and bring them with \
         `ctl weights import FILE --backbone {network}`"
    )]
    BackboneAtUri { network: String },
    #[error("{backbone} has no layer `{layer}`; its layers: {}", layer_list(.layers))]
    UnknownLayer {
        /// Where the name was given.
        parameter: &'static str,
        backbone: &'static str,
        layer: String,
        layers: Vec<Layer>,
    },
    #[error("these are not the weights of {backbone}: tensor `{tensor}` {problem}")]
    Weights {
        backbone: &'static str,
        tensor: String,
        problem: String,
    },
    #[error("{class}: {problem}")]
    Fit {
        class: &'static str,
        problem: String,
    },
    #[error("the statistics do not fit the model: {problem}")]
    Statistics { problem: String },
    #[error("the image size {height} x {width} is too small: {reason}")]
    ImageSize {
        height: usize,
        width: usize,
        reason: String,
    },
    #[error(
        "no {} x {} can be cut out of images of {} x {}; make center_crop smaller, or image_size larger",
        crop[0], crop[1], size[0], size[1]
    )]
    Crop {
        /// Height, width of the middle that the model is to see.
        crop: [usize; 2],
        /// Height, width to which images are resized.
        size: [usize; 2],
    },
    #[error("cannot read the features")]
    Features(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot build the model's graph")]
    Graph(#[from] GraphError),
}

impl ModelError {
    /// The parameter that is wrong, for whoever knows where it was written.
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::Argument { name, .. } => Some(name),
            Self::UnknownBackbone { .. }
            | Self::BackboneNotBuilt { .. }
            | Self::BackboneAtUri { .. } => Some("backbone"),
            Self::UnknownLayer { parameter, .. } => Some(parameter),
            _ => None,
        }
    }

    /// The name that is not known, with all names that would be.
    pub fn unknown_name(&self) -> Option<(&str, Vec<String>)> {
        match self {
            Self::UnknownBackbone { name, .. } => Some((
                name,
                backbones::names()
                    .chain(backbones::NOT_BUILT.iter().copied())
                    .map(str::to_owned)
                    .collect(),
            )),
            Self::UnknownLayer { layer, layers, .. } => {
                let names = layers
                    .iter()
                    .flat_map(|layer| [Some(layer.name.clone()), layer.alias.clone()]);
                Some((layer, names.flatten().collect()))
            }
            _ => None,
        }
    }
}

fn layer_list(layers: &[Layer]) -> String {
    let known = layers.iter().map(|layer| match &layer.alias {
        Some(alias) => format!("{} (= {alias})", layer.name),
        None => layer.name.clone(),
    });
    known.collect::<Vec<_>>().join(", ")
}
