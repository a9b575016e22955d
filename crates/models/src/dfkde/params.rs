//! DFKDE's parameters: every one of the reference.

use params::{Default, Kind, Param};

use crate::arguments::Arguments;
use crate::extractor::{Extractor, PRE_TRAINED, backbone_param};

/// In the order of the reference.
pub const PARAMS: &[Param] = &[
    backbone_param("\"resnet18\""),
    Param::new(
        "layers",
        Kind::List(&Kind::Text),
        Default::Json("[\"layer4\"]"),
        "layers of the backbone; the means of their channels are the features of an image",
    ),
    PRE_TRAINED,
    Param::new(
        "n_pca_components",
        Kind::Int { min: 1, max: 4096 },
        Default::Json("16"),
        "principal components in which the density is estimated; more training images than that are needed",
    ),
    Param::new(
        "feature_scaling_method",
        Kind::Enum(&["norm", "scale"]),
        Default::Json("\"scale\""),
        "each image's components to length 1 (norm), or all divided by the largest length in training (scale)",
    ),
    Param::new(
        "max_training_points",
        Kind::Int {
            min: 2,
            max: 16_777_215,
        },
        Default::Json("40000"),
        "of more training images that many are chosen by the seed",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scaling {
    /// Each image's components to length 1.
    Norm,
    /// All by the largest length in training.
    Scale,
}

/// DFKDE's parameters after every check.
pub(super) struct Settings {
    pub extractor: Extractor,
    pub components: usize,
    pub scaling: Scaling,
    pub max_points: usize,
}

impl Settings {
    pub(super) fn read(arguments: &mut Arguments) -> Option<Self> {
        let extractor = Extractor::read(arguments);
        let components = arguments.whole("n_pca_components");
        let scaling = arguments.word(
            "feature_scaling_method",
            &[("norm", Scaling::Norm), ("scale", Scaling::Scale)],
        );
        let max_points = arguments.whole("max_training_points");
        let (extractor, components) = (extractor?, components?);
        let channels = extractor.channels();
        if components > channels {
            arguments.wrong(
                "n_pca_components",
                format!(
                    "{components} components are asked for, but the layers have {channels} channels"
                ),
            );
        }
        Some(Self {
            extractor,
            components,
            scaling: scaling?,
            max_points: max_points?,
        })
    }
}
