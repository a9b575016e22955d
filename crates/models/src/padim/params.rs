//! PaDiM's parameters: every one of the reference, and one of ours.

use params::{Default, Kind, Param};
use serde_json::Value;

use crate::Stream;
use crate::arguments::{Arguments, index, list};
use crate::extractor::{Extractor, PRE_TRAINED, backbone_param};

/// In the order of the reference.
pub const PARAMS: &[Param] = &[
    backbone_param("\"resnet18\""),
    Param::new(
        "layers",
        Kind::List(&Kind::Text),
        Default::Json("[\"layer1\", \"layer2\", \"layer3\"]"),
        "layers of the backbone; the first one's map sets the grid, the others are enlarged to it",
    ),
    PRE_TRAINED,
    Param::new(
        "n_features",
        Kind::Nullable(&Kind::Int {
            min: 1,
            max: 65_536,
        }),
        Default::Json("null"),
        "channels chosen at random from all layers; null: 100 for resnet18, 550 for wide_resnet50_2, or as many as channel_indices has; other backbones must say",
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
const DEFAULT_FEATURES: &[(&str, usize)] = &[("resnet18", 100), ("wide_resnet50_2", 550)];

/// PaDiM's parameters after every check.
pub(super) struct Settings {
    pub extractor: Extractor,
    /// Over the layers' concatenated channels.
    pub channels: Vec<usize>,
}

impl Settings {
    pub(super) fn read(arguments: &mut Arguments, seed: u64) -> Option<Self> {
        let extractor = Extractor::read(arguments);
        let count = arguments.read("n_features", optional(index));
        let indices = arguments.read("channel_indices", optional(|value| list(value, index)));
        if let Some(Some(indices)) = &indices {
            check_indices(arguments, indices, count.flatten());
        }
        let (extractor, count, indices) = (extractor?, count?, indices?);
        let channels = match indices {
            Some(indices) => within(arguments, indices, extractor.channels()),
            None => choose(arguments, &extractor, count, seed),
        }?;
        Some(Self {
            extractor,
            channels,
        })
    }
}

/// A value that may be null.
fn optional<T>(read: impl FnOnce(&Value) -> Option<T>) -> impl FnOnce(&Value) -> Option<Option<T>> {
    |value| {
        if value.is_null() {
            Some(None)
        } else {
            read(value).map(Some)
        }
    }
}

/// What is wrong with channels in themselves; whether the layers have them is not known here.
fn check_indices(arguments: &mut Arguments, indices: &[usize], count: Option<usize>) {
    let mut sorted = indices.to_vec();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        arguments.wrong("channel_indices", format!("{} is there twice", pair[0]));
    }
    let there = indices.len();
    if count.is_some_and(|count| count != there) {
        arguments.wrong(
            "channel_indices",
            format!("there are {there} of them, but n_features says otherwise"),
        );
    }
}

fn within(arguments: &mut Arguments, indices: Vec<usize>, total: usize) -> Option<Vec<usize>> {
    match indices.iter().find(|&&index| index >= total) {
        Some(outside) => {
            arguments.wrong(
                "channel_indices",
                format!("{outside} is outside of the layers' {total} channels (counted from 0)"),
            );
            None
        }
        None => Some(indices),
    }
}

fn choose(
    arguments: &mut Arguments,
    extractor: &Extractor,
    count: Option<usize>,
    seed: u64,
) -> Option<Vec<usize>> {
    let (backbone, total) = (extractor.backbone.name, extractor.channels());
    let default = || {
        DEFAULT_FEATURES
            .iter()
            .find(|(name, _)| *name == backbone)
            .map(|&(_, count)| count)
    };
    let problem = match count.or_else(default) {
        None => format!(
            "{backbone} has no default; give a number up to {total}, the channels of the layers"
        ),
        Some(default) if default > total && count.is_none() => format!(
            "null means {default} channels for {backbone}, but the layers have {total}; give a number up to that"
        ),
        Some(count) if count > total => {
            format!("{count} channels are asked for, but the layers have {total}")
        }
        Some(count) => return Some(Stream::new(seed, "padim.channels").choose(count, total)),
    };
    arguments.wrong("n_features", problem);
    None
}
