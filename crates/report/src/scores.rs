//! Image scores with their labels, and the threshold that decides.

use metrics::{Asked, Confusion, Origin, RawScore, ScoreCounts, Threshold, Undefined};

use crate::curve::ImageCurves;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    Normal,
    Anomalous,
    /// Nobody has said what the image shows.
    Unknown,
}

impl Truth {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Anomalous => "anomalous",
            Self::Unknown => "unknown",
        }
    }
}

/// One image that has a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The image's address: its identity in the report.
    pub uri: String,
    pub truth: Truth,
    pub score: RawScore,
}

/// The scores of one split of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores(Vec<Scored>);

impl Scores {
    pub fn new(scores: Vec<Scored>) -> Self {
        Self(scores)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Scored> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn of(&self, truth: Truth) -> impl Iterator<Item = &Scored> {
        self.0.iter().filter(move |scored| scored.truth == truth)
    }

    pub(crate) fn labelled(&self) -> impl Iterator<Item = &Scored> {
        self.0
            .iter()
            .filter(|scored| scored.truth != Truth::Unknown)
    }

    pub(crate) fn has_labels(&self) -> bool {
        self.labelled().next().is_some()
    }

    /// How many images have no label, and how many of these are anomalous by the threshold.
    pub(crate) fn unlabelled(&self, cut: Option<&Cut>) -> (u64, Option<u64>) {
        let images = self.of(Truth::Unknown).count() as u64;
        let anomalous = cut.map(|cut| {
            let of_image = |scored: &&Scored| cut.threshold.is_anomalous(scored.score);
            self.of(Truth::Unknown).filter(of_image).count() as u64
        });
        (images, anomalous)
    }

    /// What the metrics are computed from.
    pub(crate) fn counts(&self) -> ScoreCounts {
        let mut counts = ScoreCounts::new();
        for scored in self.labelled() {
            counts.observe(scored.score, scored.truth == Truth::Anomalous);
        }
        counts
    }

    pub(crate) fn curves(&self) -> ImageCurves {
        let asked = Asked {
            curves: true,
            ..Asked::default()
        };
        match self.counts().summary(asked).curves {
            Some(curves) => ImageCurves {
                roc: curves.roc,
                precision_recall: curves.precision_recall,
            },
            None => ImageCurves {
                roc: Err(Undefined::Empty),
                precision_recall: Err(Undefined::Empty),
            },
        }
    }

    pub(crate) fn confusion(&self, cut: &Cut) -> Confusion {
        let summary = self.counts().summary(&[cut.threshold]);
        summary
            .decided
            .first()
            .map_or_else(Confusion::default, |decided| decided.confusion)
    }
}

/// The threshold of a run and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    pub threshold: Threshold,
    /// Whether the run got it with its package: the split that chose it is then one of the training job.
    pub of_package: bool,
}

impl Cut {
    /// From the columns `threshold` and `threshold_split` of the metrics; `None` for what these cannot hold.
    pub fn read(threshold: f64, split: &str) -> Option<Self> {
        let (of_package, origin) = match split.strip_prefix("package:") {
            Some(origin) => (true, origin),
            None => (false, split),
        };
        let threshold = Threshold::restore(threshold as f32, Origin::from_word(origin)?).ok()?;
        Some(Self {
            threshold,
            of_package,
        })
    }

    /// Where it comes from, after `threshold 12.3`.
    pub(crate) fn origin(&self) -> &'static str {
        match (self.threshold.origin(), self.of_package) {
            (Origin::Manual, false) => "given by hand",
            (Origin::Manual, true) => "of the package, given by hand",
            (Origin::Unknown, _) => "of the model file, which does not say what chose it",
            (Origin::ChosenOn(split), false) => match split {
                metrics::SplitRole::Train => "chosen on the training images",
                metrics::SplitRole::Validation => "chosen on the validation images",
                metrics::SplitRole::Test => "chosen on the test images",
            },
            (Origin::ChosenOn(split), true) => match split {
                metrics::SplitRole::Train => "of the package, chosen on its training images",
                metrics::SplitRole::Validation => "of the package, chosen on its validation images",
                metrics::SplitRole::Test => "of the package, chosen on its test images",
            },
        }
    }

    /// The same in a cell.
    pub(crate) fn short(&self) -> &'static str {
        match (self.threshold.origin(), self.of_package) {
            (Origin::Manual, false) => "by hand",
            (Origin::Manual, true) => "package: by hand",
            (Origin::Unknown, _) => "model file: unknown",
            (Origin::ChosenOn(split), false) => split.word(),
            (Origin::ChosenOn(metrics::SplitRole::Train), true) => "package: train",
            (Origin::ChosenOn(metrics::SplitRole::Validation), true) => "package: validation",
            (Origin::ChosenOn(metrics::SplitRole::Test), true) => "package: test",
        }
    }

    /// What one must know before believing numbers at this threshold.
    pub(crate) fn caution(&self) -> Option<&'static str> {
        match (self.threshold.origin(), self.of_package) {
            (Origin::ChosenOn(metrics::SplitRole::Test), true) => Some(
                "The package’s threshold was chosen on test images. If they are those measured here, F1 and the counts of errors look better than they are.",
            ),
            (Origin::ChosenOn(metrics::SplitRole::Test), false) => Some(
                "The threshold was chosen on the very images that are measured here: F1 and the counts of errors look better than they are.",
            ),
            (Origin::Unknown, _) => Some(
                "The model file does not say on which images its threshold was chosen. If they are those measured here, F1 and the counts of errors look better than they are.",
            ),
            _ => None,
        }
    }
}
