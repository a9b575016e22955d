//! Convolutional networks by name: their named layers, their tensors and their graph.
//!
//! A network is a row of [`ARCHITECTURES`]: a table that becomes a list of steps. Tensor names are timm's.

mod efficientnet;
mod network;
mod resnet;
mod steps;

pub use network::{Architecture, Layer};

use crate::ModelError;

/// All networks, sorted by name. A new one is a row here and a table in its family's file.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "efficientnet_lite0",
        aliases: &["tf_efficientnet_lite0"],
        steps: efficientnet::lite0,
    },
    Architecture {
        name: "mobilenet_v2",
        aliases: &["mobilenetv2_100"],
        steps: efficientnet::mobilenet_v2,
    },
    Architecture {
        name: "resnet18",
        aliases: &[],
        steps: resnet::resnet18,
    },
    Architecture {
        name: "resnet34",
        aliases: &[],
        steps: resnet::resnet34,
    },
    Architecture {
        name: "resnet50",
        aliases: &[],
        steps: resnet::resnet50,
    },
    Architecture {
        name: "wide_resnet50_2",
        aliases: &[],
        steps: resnet::wide_resnet50_2,
    },
];

/// Networks that the reference's models or documents name, and that are not built yet. Sorted.
pub const NOT_BUILT: &[&str] = &[
    "cait_m48_448",
    "cait_s24_224",
    "deit_base_distilled_patch16_384",
    "efficientnet_b5",
    "mcait",
    "mobilenetv3_large_100",
    "resnet101",
    "resnet152",
    "resnext101_32x8d",
    "resnext50_32x4d",
    "vgg19_bn",
    "wide_resnet101_2",
];

/// Separates a network from the place of its weights in the reference's names.
const AT_URI: &str = "__AT__";

/// Every name that a job file may use.
pub fn names() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES
        .iter()
        .flat_map(|a| std::iter::once(a.name).chain(a.aliases.iter().copied()))
}

/// The network of that name or alias.
pub fn find(name: &str) -> Result<&'static Architecture, ModelError> {
    let found = ARCHITECTURES
        .iter()
        .find(|a| a.name == name || a.aliases.contains(&name));
    if let Some(found) = found {
        return Ok(found);
    }
    let built = names().collect::<Vec<_>>().join(", ");
    let not_built = ModelError::BackboneNotBuilt {
        name: name.to_owned(),
        built: built.clone(),
    };
    match name.split_once(AT_URI) {
        Some((network, _)) if find(network).is_ok() => Err(ModelError::BackboneAtUri {
            network: network.to_owned(),
        }),
        Some(_) => Err(not_built),
        None if NOT_BUILT.contains(&name) => Err(not_built),
        None => Err(ModelError::UnknownBackbone {
            name: name.to_owned(),
            known: built,
        }),
    }
}

#[cfg(test)]
mod tests;
