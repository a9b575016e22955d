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
        let mut problems = Vec::new();
        match Self::check(args, &[], seed, &mut problems) {
            Some(settings) if problems.is_empty() => Ok(settings),
            // Nothing comes of it only where something was said.
            _ => Err(problems
                .into_iter()
                .next()
                .unwrap_or_else(|| wrong("init_args", "they cannot be used"))),
        }
    }

    /// Tells everything that is wrong. `unreadable` names parameters whose values are known to be wrong already: what
    /// depends on them is not judged.
    pub(super) fn check(
        args: &Map<String, Value>,
        unreadable: &[&str],
        seed: u64,
        problems: &mut Vec<ModelError>,
    ) -> Option<Self> {
        if let Some(name) = args
            .keys()
            .find(|name| PARAMS.iter().all(|param| param.name != **name))
        {
            let known: Vec<&str> = PARAMS.iter().map(|param| param.name).collect();
            problems.push(wrong(
                name,
                format!("unknown parameter; known: {}", known.join(", ")),
            ));
        }
        let readable = |name: &str| !unreadable.contains(&name);
        let backbone = told(readable("backbone"), || backbone(args), problems);
        let names = told(readable("layers"), || layer_names(args), problems);
        let pre_trained = told(readable("pre_trained"), || pre_trained(args), problems);
        let count = told(readable("n_features"), || count(args), problems);
        let indices = told(readable("channel_indices"), || indices(args), problems);
        if let (Some(Some(count)), Some(Some(indices))) = (count, &indices)
            && count != indices.len()
        {
            let there = indices.len();
            problems.push(wrong(
                "channel_indices",
                format!("there are {there} of them, but n_features says otherwise"),
            ));
        }
        let backbone = backbone?;
        let layers = layers(backbone, &names?, problems)?;
        let total = layers.iter().map(|layer| layer.channels).sum();
        let channels = match channels(backbone.name, total, count?, indices?, seed) {
            Ok(channels) => channels,
            Err(problem) => {
                problems.push(problem);
                return None;
            }
        };
        Some(Self {
            backbone,
            layers,
            pre_trained: pre_trained?,
            channels,
        })
    }
}

/// The value, or `None` after telling what is wrong with it.
fn told<T>(
    readable: bool,
    read: impl FnOnce() -> Result<T, ModelError>,
    problems: &mut Vec<ModelError>,
) -> Option<T> {
    match readable.then(read)? {
        Ok(value) => Some(value),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn given<'a>(args: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    args.get(name).filter(|value| !value.is_null())
}

fn backbone(args: &Map<String, Value>) -> Result<&'static Architecture, ModelError> {
    match given(args, "backbone") {
        None => backbones::find("resnet18"),
        Some(value) => backbones::find(
            value
                .as_str()
                .ok_or_else(|| wrong("backbone", "expected a name"))?,
        ),
    }
}

fn layer_names(args: &Map<String, Value>) -> Result<Vec<String>, ModelError> {
    match given(args, "layers") {
        None => Ok(["layer1", "layer2", "layer3"].map(str::to_owned).into()),
        Some(value) => list(value, |item| item.as_str().map(str::to_owned))
            .ok_or_else(|| wrong("layers", "expected a list of names")),
    }
}

fn pre_trained(args: &Map<String, Value>) -> Result<bool, ModelError> {
    match given(args, "pre_trained") {
        None => Ok(true),
        Some(value) => value
            .as_bool()
            .ok_or_else(|| wrong("pre_trained", "expected true or false")),
    }
}

fn count(args: &Map<String, Value>) -> Result<Option<usize>, ModelError> {
    let positive = |value| {
        index(value)
            .filter(|&n| n > 0)
            .ok_or_else(|| wrong("n_features", "expected a positive integer"))
    };
    given(args, "n_features").map(positive).transpose()
}

/// Without repetitions; whether the layers have them is not known here.
fn indices(args: &Map<String, Value>) -> Result<Option<Vec<usize>>, ModelError> {
    let Some(value) = given(args, "channel_indices") else {
        return Ok(None);
    };
    let indices = list(value, index)
        .ok_or_else(|| wrong("channel_indices", "expected a list of integers from 0"))?;
    let mut sorted = indices.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(wrong(
            "channel_indices",
            format!("{} is there twice", pair[0]),
        )),
        None => Ok(Some(indices)),
    }
}

fn layers(
    backbone: &Architecture,
    names: &[String],
    problems: &mut Vec<ModelError>,
) -> Option<Vec<Layer>> {
    let before = problems.len();
    let mut layers: Vec<Layer> = Vec::with_capacity(names.len());
    for name in names {
        match backbone.layer(name) {
            Ok(layer) if layers.contains(&layer) => {
                problems.push(wrong("layers", format!("`{}` is there twice", layer.name)));
            }
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        }
    }
    (problems.len() == before).then_some(layers)
}

fn channels(
    backbone: &str,
    total: usize,
    count: Option<usize>,
    indices: Option<Vec<usize>>,
    seed: u64,
) -> Result<Vec<usize>, ModelError> {
    if let Some(indices) = indices {
        return match indices.iter().find(|&&index| index >= total) {
            Some(outside) => Err(wrong(
                "channel_indices",
                format!("{outside} is outside of the layers' {total} channels (counted from 0)"),
            )),
            None => Ok(indices),
        };
    }
    let default = || {
        DEFAULT_FEATURES
            .iter()
            .find(|(name, _)| *name == backbone)
            .map(|&(_, count)| count)
    };
    match count.or_else(default) {
        None => Err(wrong(
            "n_features",
            format!(
                "{backbone} has no default; give a number up to {total}, the channels of the layers"
            ),
        )),
        Some(default) if default > total && count.is_none() => Err(wrong(
            "n_features",
            format!(
                "null means {default} channels for {backbone}, but the layers have {total}; give a number up to that"
            ),
        )),
        Some(count) if count > total => Err(wrong(
            "n_features",
            format!("{count} channels are asked for, but the layers have {total}"),
        )),
        Some(count) => Ok(Stream::new(seed, "padim.channels").choose(count, total)),
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
