//! The names that tensors of a backbone have in this system: timm's, whichever layout a file uses.

use crate::{StateDict, WeightsError};

/// Backbones whose layouts are known, under their names here.
pub const BACKBONES: &[&str] = &[
    "efficientnet_lite0",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "wide_resnet50_2",
];

/// Blocks in each stage of MobileNetV2 1.0.
const MOBILENET_V2_STAGES: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];
/// Blocks in each stage of EfficientNet-Lite0.
const EFFICIENTNET_LITE0_STAGES: [usize; 7] = [1, 2, 2, 3, 3, 4, 1];

/// The name here of a backbone that job files may call otherwise.
pub fn backbone_name(name: &str) -> Result<&'static str, WeightsError> {
    let wanted = match name {
        "mobilenetv2_100" => "mobilenet_v2",
        "tf_efficientnet_lite0" => "efficientnet_lite0",
        other => other,
    };
    let known = BACKBONES.iter().find(|known| **known == wanted).copied();
    known.ok_or_else(|| WeightsError::UnknownBackbone {
        name: name.to_owned(),
        known: BACKBONES.join(", "),
    })
}

/// A layout: from a file's name to the canonical one, `None` if the layout has no such name.
type Rename = fn(&str) -> Option<String>;

/// Renames a file's tensors to timm's names. A name that the file's layout does not have is an error: the file then is
/// of another network.
pub fn canonical_names(backbone: &str, state: StateDict) -> Result<StateDict, WeightsError> {
    let backbone = backbone_name(backbone)?;
    let state = without_prefix(state);
    let rename = layout(backbone, &state);
    let mut renamed = StateDict::new();
    for (name, tensor) in state {
        match rename(&name) {
            Some(canonical) => renamed.insert(canonical, tensor),
            None => {
                return Err(WeightsError::UnknownName {
                    backbone,
                    tensor: name,
                });
            }
        };
    }
    Ok(renamed)
}

/// Whether a file may as well be of timm's own `efficientnet_lite0`, which has the tensors of `tf_efficientnet_lite0` but
/// other numbers: it pads symmetrically, and its batch norms have another epsilon. Ours is the second, for which the shipped
/// weights were trained; their own layout, and timm's full name, leave no doubt.
pub(crate) fn is_of_two_networks(name: &str, state: &StateDict) -> bool {
    let timm = ["conv_stem.weight", "module.conv_stem.weight"];
    name == "efficientnet_lite0" && timm.iter().any(|tensor| state.contains_key(*tensor))
}

/// Training on several devices puts `module.` before every name.
fn without_prefix(state: StateDict) -> StateDict {
    const PREFIX: &str = "module.";
    if !state.keys().all(|name| name.starts_with(PREFIX)) {
        return state;
    }
    state
        .into_iter()
        .map(|(name, tensor)| (name[PREFIX.len()..].to_owned(), tensor))
        .collect()
}

fn layout(backbone: &str, state: &StateDict) -> Rename {
    match backbone {
        "mobilenet_v2" if state.contains_key("features.1.conv.0.0.weight") => {
            |name| mobilenet_v2(name, nested_block)
        }
        "mobilenet_v2" if state.keys().any(|name| name.starts_with("features.")) => {
            |name| mobilenet_v2(name, flat_block)
        }
        "efficientnet_lite0" if state.contains_key("_conv_stem.weight") => efficientnet_lite0,
        "efficientnet_lite0" | "mobilenet_v2" => timm_efficientnet,
        // torchvision and timm agree.
        _ => resnet,
    }
}

fn timm_efficientnet(name: &str) -> Option<String> {
    const ROOTS: [&str; 6] = [
        "conv_stem",
        "bn1",
        "blocks",
        "conv_head",
        "bn2",
        "classifier",
    ];
    ROOTS
        .contains(&name.split('.').next()?)
        .then(|| name.to_owned())
}

fn resnet(name: &str) -> Option<String> {
    const ROOTS: [&str; 7] = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"];
    ROOTS
        .contains(&name.split('.').next()?)
        .then(|| name.to_owned())
}

/// `features.B.…`, B = 0 the stem, 1 to 17 the blocks, 18 the head; `block` names what is inside of a block.
fn mobilenet_v2(name: &str, block: fn(bool, &str) -> Option<&'static str>) -> Option<String> {
    if let Some(leaf) = name.strip_prefix("classifier.1.") {
        return Some(format!("classifier.{leaf}"));
    }
    let (number, rest) = name.strip_prefix("features.")?.split_once('.')?;
    let number: usize = number.parse().ok()?;
    let (position, leaf) = rest.rsplit_once('.')?;
    let (conv, norm) = if number == 0 {
        ("conv_stem", "bn1")
    } else {
        ("conv_head", "bn2")
    };
    match (number, position) {
        (0 | 18, "0") => Some(format!("{conv}.{leaf}")),
        (0 | 18, "1") => Some(format!("{norm}.{leaf}")),
        (1..=17, _) => {
            let (stage, index) = stage_of(&MOBILENET_V2_STAGES, number - 1)?;
            let part = block(number == 1, position.strip_prefix("conv.")?)?;
            Some(format!("blocks.{stage}.{index}.{part}.{leaf}"))
        }
        _ => None,
    }
}

/// torchvision: convolution, norm and activation nested in one item.
fn nested_block(first: bool, position: &str) -> Option<&'static str> {
    // The first block has no expansion.
    let names: &[(&str, &str)] = if first {
        &[
            ("0.0", "conv_dw"),
            ("0.1", "bn1"),
            ("1", "conv_pw"),
            ("2", "bn2"),
        ]
    } else {
        &[
            ("0.0", "conv_pw"),
            ("0.1", "bn1"),
            ("1.0", "conv_dw"),
            ("1.1", "bn2"),
            ("2", "conv_pwl"),
            ("3", "bn3"),
        ]
    };
    names
        .iter()
        .find(|(from, _)| *from == position)
        .map(|&(_, to)| to)
}

/// The widespread stand-alone implementation: everything in one sequence, activations at 2 and 5.
fn flat_block(first: bool, position: &str) -> Option<&'static str> {
    let names: &[(&str, &str)] = if first {
        &[
            ("0", "conv_dw"),
            ("1", "bn1"),
            ("3", "conv_pw"),
            ("4", "bn2"),
        ]
    } else {
        &[
            ("0", "conv_pw"),
            ("1", "bn1"),
            ("3", "conv_dw"),
            ("4", "bn2"),
            ("6", "conv_pwl"),
            ("7", "bn3"),
        ]
    };
    names
        .iter()
        .find(|(from, _)| *from == position)
        .map(|&(_, to)| to)
}

/// `_conv_stem`, `_bn0`, `_blocks.N._expand_conv` and so on, blocks numbered throughout.
fn efficientnet_lite0(name: &str) -> Option<String> {
    let (position, leaf) = name.rsplit_once('.')?;
    let root = match position {
        "_conv_stem" => Some("conv_stem"),
        "_bn0" => Some("bn1"),
        "_conv_head" => Some("conv_head"),
        "_bn1" => Some("bn2"),
        "_fc" => Some("classifier"),
        _ => None,
    };
    if let Some(root) = root {
        return Some(format!("{root}.{leaf}"));
    }
    let (number, part) = position.strip_prefix("_blocks.")?.split_once('.')?;
    let number: usize = number.parse().ok()?;
    let (stage, index) = stage_of(&EFFICIENTNET_LITE0_STAGES, number)?;
    let part = match (number, part) {
        (0, "_depthwise_conv") => "conv_dw",
        (0, "_bn1") => "bn1",
        (0, "_project_conv") => "conv_pw",
        (0, "_bn2") => "bn2",
        (0, _) => return None,
        (_, "_expand_conv") => "conv_pw",
        (_, "_bn0") => "bn1",
        (_, "_depthwise_conv") => "conv_dw",
        (_, "_bn1") => "bn2",
        (_, "_project_conv") => "conv_pwl",
        (_, "_bn2") => "bn3",
        _ => return None,
    };
    Some(format!("blocks.{stage}.{index}.{part}.{leaf}"))
}

/// Stage and place in it of a block numbered throughout.
fn stage_of(stages: &[usize], mut number: usize) -> Option<(usize, usize)> {
    for (stage, &blocks) in stages.iter().enumerate() {
        if number < blocks {
            return Some((stage, number));
        }
        number -= blocks;
    }
    None
}

#[cfg(test)]
mod tests;
