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
];

/// The network of that name or alias.
pub fn find(name: &str) -> Result<&'static Architecture, ModelError> {
    let found = ARCHITECTURES
        .iter()
        .find(|a| a.name == name || a.aliases.contains(&name));
    found.ok_or_else(|| {
        let names = ARCHITECTURES
            .iter()
            .flat_map(|a| std::iter::once(a.name).chain(a.aliases.iter().copied()));
        ModelError::UnknownBackbone {
            name: name.to_owned(),
            known: names.collect::<Vec<_>>().join(", "),
        }
    })
}

#[cfg(test)]
mod tests;
