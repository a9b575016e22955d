//! DFM's parameters: every one of the reference.

use params::{Default, Kind, Param};

use crate::Transform;
use crate::arguments::Arguments;
use crate::extractor::{Extractor, PRE_TRAINED, backbone_param};

/// In the order of the reference.
pub const PARAMS: &[Param] = &[
    backbone_param("\"resnet50\""),
    Param::new(
        "layer",
        Kind::Text,
        Default::Json("\"layer3\""),
        "layer of the backbone",
    ),
    PRE_TRAINED,
    Param::new(
        "pooling_kernel_size",
        Kind::Int { min: 1, max: 1024 },
        Default::Json("4"),
        "side of the squares of the layer's map whose means are taken",
    ),
    Param::new(
        "pca_level",
        Kind::Float { min: 0.0, max: 1.0 },
        Default::Json("0.97"),
        "share of the variance of normal images that the kept components have; above 0",
    ),
    Param::new(
        "score_type",
        Kind::Enum(&["fre", "nll"]),
        Default::Json("\"fre\""),
        "what is unusual: what the components cannot express (fre; has anomaly maps), or what is unlikely in them (nll; image scores only)",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScoreType {
    /// Feature reconstruction error.
    Fre,
    /// Negative log-likelihood.
    Nll,
}

/// DFM's parameters after every check.
pub(super) struct Settings {
    /// With one layer.
    pub extractor: Extractor,
    pub pooling: usize,
    pub level: f64,
    pub score_type: ScoreType,
}

impl Settings {
    pub(super) fn read(arguments: &mut Arguments, transform: Option<Transform>) -> Option<Self> {
        let extractor = Extractor::read_one_layer(arguments);
        let pooling = arguments.whole("pooling_kernel_size");
        let level = arguments.read("pca_level", |value| {
            value.as_f64().filter(|level| *level > 0.0)
        });
        let score_type = arguments.word(
            "score_type",
            &[("fre", ScoreType::Fre), ("nll", ScoreType::Nll)],
        );
        let (extractor, pooling) = (extractor?, pooling?);
        let seen = transform.map(|transform| extractor.grid(transform.output()));
        if let Some([height, width]) = seen
            && pooling > height.min(width)
        {
            arguments.wrong(
                "pooling_kernel_size",
                format!("it is {pooling}, but the layer's map is {height} x {width}"),
            );
        }
        Some(Self {
            extractor,
            pooling,
            level: level?,
            score_type: score_type?,
        })
    }
}
