//! PatchCore's parameters: every one of the reference, and two of ours.

use params::{Default, Kind, Param};
use serde_json::Value;

use super::projection::Projecting;
use crate::arguments::Arguments;
use crate::extractor::{Extractor, PRE_TRAINED, backbone_param};

/// In the order of the reference.
pub const PARAMS: &[Param] = &[
    backbone_param("\"wide_resnet50_2\""),
    Param::new(
        "layers",
        Kind::List(&Kind::Text),
        Default::Json("[\"layer2\", \"layer3\"]"),
        "layers of the backbone; the first one's map sets the grid, the others are enlarged to it",
    ),
    PRE_TRAINED,
    Param::new(
        "coreset_sampling_ratio",
        Kind::Float { min: 0.0, max: 1.0 },
        Default::Json("0.1"),
        "share of all training patches that the memory bank keeps; above 0, and at least one patch is kept",
    ),
    Param::new(
        "num_neighbors",
        Kind::Int {
            min: 1,
            max: 65_536,
        },
        Default::Json("9"),
        "patches of the memory bank by which an image's score is weighted; 1: the largest patch distance itself",
    ),
    Param::new(
        "projection",
        Kind::Enum(&["auto", "always", "never"]),
        Default::Json("\"auto\""),
        "whether patches are chosen by their random projection: where that makes them smaller, always (as the reference), or never (ours)",
    ),
    Param::new(
        "coreset_budget",
        Kind::Nullable(&Kind::Int {
            min: 64,
            max: u32::MAX as i64,
        }),
        Default::Json("null"),
        "patches in memory while the bank is chosen; of more, the bank is chosen from what is kept of each part of them; null: all",
    ),
];

/// PatchCore's parameters after every check.
pub(super) struct Settings {
    pub extractor: Extractor,
    pub ratio: f64,
    pub neighbors: usize,
    pub projecting: Projecting,
    /// Patches that are compared with each other at once.
    pub budget: Option<usize>,
}

impl Settings {
    pub(super) fn read(arguments: &mut Arguments) -> Option<Self> {
        let extractor = Extractor::read(arguments);
        let ratio = arguments.read("coreset_sampling_ratio", |value| {
            value.as_f64().filter(|ratio| *ratio > 0.0)
        });
        let neighbors = arguments.whole("num_neighbors");
        let projecting = arguments.word(
            "projection",
            &[
                ("auto", Projecting::Auto),
                ("always", Projecting::Always),
                ("never", Projecting::Never),
            ],
        );
        let budget = arguments.read("coreset_budget", |value| match value {
            Value::Null => Some(None),
            value => value.as_u64().map(|budget| Some(budget as usize)),
        });
        Some(Self {
            budget: budget?,
            extractor: extractor?,
            ratio: ratio?,
            neighbors: neighbors?,
            projecting: projecting?,
        })
    }
}
