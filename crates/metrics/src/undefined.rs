//! Why a metric has no value.

/// A typed reason in place of a number; the word is what result rows store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    /// Nothing was scored.
    #[error("empty: no item was scored")]
    Empty,
    /// All items are normal, or all are anomalous, and the metric needs both (or needs anomalous ones).
    #[error("one_class: all scored items are of one class")]
    OneClass,
    /// Every image has a defect, and the metric compares with images that have none.
    #[error("no_normal_image: every scored image has a defect")]
    NoNormalImage,
    /// No normal item was scored, and the threshold is made from them.
    #[error("no_normal_item: nothing normal was scored")]
    NoNormalItem,
    /// One pixel of an image without a defect is more than the highest false-positive rate of the metric.
    #[error(
        "too_few_pixels: the images without a defect have too few pixels for the false-positive rate of the metric"
    )]
    TooFewPixels,
    /// A pixel metric without any mask.
    #[error("no_mask: no image of the split has a ground-truth mask")]
    NoMask,
    /// A pixel metric of a model that scores images only.
    #[error("no_map: the model says nothing of single pixels")]
    NoMap,
    /// A decision was asked for, but the threshold it needs is itself undefined.
    #[error("no_threshold: there is no threshold to decide by")]
    NoThreshold,
    /// Scores at or below 0, where their logarithms are asked for.
    #[error("not_positive: normal scores of 0 or less have no logarithm")]
    NotPositive,
}

impl Undefined {
    /// The word in result tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::OneClass => "one_class",
            Self::NoNormalImage => "no_normal_image",
            Self::NoNormalItem => "no_normal_item",
            Self::TooFewPixels => "too_few_pixels",
            Self::NoMask => "no_mask",
            Self::NoMap => "no_map",
            Self::NoThreshold => "no_threshold",
            Self::NotPositive => "not_positive",
        }
    }
}
