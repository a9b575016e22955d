//! PaDiM's parameters: every one of the reference, and one of ours.

use params::{Default, Kind, Param};
use serde_json::{Map, Value};

use super::CLASS;
use crate::backbones::{self, Architecture, Layer};
use crate::{ModelError, Stream};

/// In the order of the reference.
pub const PARAMS: &[Param] = &[
    Param::new(
        "backbone",
        Kind::Text,
        Default::Json("\"resnet18\""),
        "network whose feature maps are used: mobilenet_v2, efficientnet_lite0, resnet18 or resnet34, or timm's name of it",
    ),
    Param::new(
        "layers",
        Kind::List(&Kind::Text),
        Default::Json("[\"layer1\", \"layer2\", \"layer3\"]"),
        "layers of the backbone; the first one's map sets the grid, the others are enlarged to it",
    ),
    Param::new(
        "pre_trained",
        Kind::Bool,
        Default::Json("true"),
        "weights from the weights folder; otherwise random ones from the seed, which make sense in tests only",
    ),
    Param::new(
        "n_features",
        Kind::Nullable(&Kind::Int {
            min: 1,
            max: 65_536,
        }),
        Default::Json("null"),
        "channels chosen at random from all layers; null: 100 for resnet18, or as many as channel_indices has; other backbones must say",
    ),
    Param::new(
        "channel_indices",
        Kind::Nullable(&Kind::List(&Kind::Int {
            min: 0,
            max: 65_535,
        })),
        Default::Json("null"),
        "channels to use, counted over the layers in their order; null: chosen by the seed (ours; the reference chooses unseeded)",
    ),
];

/// Channels that the paper and the reference use.
const DEFAULT_FEATURES: &[(&str, usize)] = &[("resnet18", 100)];

/// PaDiM's parameters after every check.
pub(super) struct Settings {
    pub backbone: &'static Architecture,
    pub layers: Vec<Layer>,
    pub pre_trained: bool,
    /// Over the layers' concatenated channels.
    pub channels: Vec<usize>,
}

impl Settings {
    pub(super) fn read(args: &Map<String, Value>, seed: u64) -> Result<Self, ModelError> {
        if let Some(name) = args
            .keys()
            .find(|name| PARAMS.iter().all(|param| param.name != **name))
        {
            let known: Vec<&str> = PARAMS.iter().map(|param| param.name).collect();
            return Err(wrong(
                name,
                format!("unknown parameter; known: {}", known.join(", ")),
            ));
        }
        let value = |name: &str| args.get(name).filter(|value| !value.is_null());
        let backbone = match value("backbone") {
            None => backbones::find("resnet18")?,
            Some(value) => backbones::find(
                value
                    .as_str()
                    .ok_or_else(|| wrong("backbone", "expected a name"))?,
            )?,
        };
        let layers = match value("layers") {
            None => vec![
                "layer1".to_owned(),
                "layer2".to_owned(),
                "layer3".to_owned(),
            ],
            Some(value) => list(value, |item| item.as_str().map(str::to_owned))
                .ok_or_else(|| wrong("layers", "expected a list of names"))?,
        };
        let layers = layers
            .iter()
            .map(|name| backbone.layer(name))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(layer) = layers
            .iter()
            .enumerate()
            .find_map(|(i, layer)| layers[..i].contains(layer).then_some(layer))
        {
            return Err(wrong("layers", format!("`{}` is there twice", layer.name)));
        }
        let pre_trained = match value("pre_trained") {
            None => true,
            Some(value) => value
                .as_bool()
                .ok_or_else(|| wrong("pre_trained", "expected true or false"))?,
        };
        let total = layers.iter().map(|layer| layer.channels).sum();
        let channels = channels(args, backbone.name, total, seed)?;
        Ok(Self {
            backbone,
            layers,
            pre_trained,
            channels,
        })
    }
}

fn channels(
    args: &Map<String, Value>,
    backbone: &str,
    total: usize,
    seed: u64,
) -> Result<Vec<usize>, ModelError> {
    let value = |name: &str| args.get(name).filter(|value| !value.is_null());
    let count = match value("n_features") {
        None => None,
        Some(value) => Some(
            index(value)
                .filter(|&n| n > 0)
                .ok_or_else(|| wrong("n_features", "expected a positive integer"))?,
        ),
    };
    let Some(given) = value("channel_indices") else {
        let default = || {
            DEFAULT_FEATURES
                .iter()
                .find(|(name, _)| *name == backbone)
                .map(|&(_, count)| count.min(total))
        };
        let count = count.or_else(default).ok_or_else(|| wrong("n_features", format!("{backbone} has no default; give a number up to {total}, the channels of the layers")))?;
        if count > total {
            return Err(wrong(
                "n_features",
                format!("{count} channels are asked for, but the layers have {total}"),
            ));
        }
        return Ok(Stream::new(seed, "padim.channels").choose(count, total));
    };
    let given = list(given, index)
        .ok_or_else(|| wrong("channel_indices", "expected a list of integers from 0"))?;
    if count.is_some_and(|count| count != given.len()) {
        return Err(wrong(
            "channel_indices",
            format!(
                "there are {} of them, but n_features says otherwise",
                given.len()
            ),
        ));
    }
    if let Some(outside) = given.iter().find(|&&index| index >= total) {
        return Err(wrong(
            "channel_indices",
            format!("{outside} is outside of the layers' {total} channels (counted from 0)"),
        ));
    }
    let mut sorted = given.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(wrong(
            "channel_indices",
            format!("{} is there twice", pair[0]),
        )),
        None => Ok(given),
    }
}

fn list<T>(value: &Value, item: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let items: Vec<T> = value.as_array()?.iter().map(item).collect::<Option<_>>()?;
    (!items.is_empty()).then_some(items)
}

fn index(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| usize::try_from(n).ok())
}

fn wrong(name: &str, problem: impl Into<String>) -> ModelError {
    ModelError::Argument {
        class: CLASS,
        name: name.to_owned(),
        problem: problem.into(),
    }
}
