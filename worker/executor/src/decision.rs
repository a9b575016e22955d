//! How a run decides at one level: its threshold and which split chose it, by what its scores are normalized.

use ::package::{Bounds, ChosenOn, Distribution, Scale};
use data::Split;
use job::resolved::{Normalization, ThresholdSpec};
use metrics::{
    AtRate, FalsePositiveRate, MinMax, Origin, RawScore, ScoreDistribution, SplitRole, Threshold,
    Undefined, manual_threshold::manual_threshold, normalize,
};
use plan::PlannedRun;

use crate::{
    error::TaskError,
    level::{Level, asked},
    packages::Opened,
};

/// What a trained package brings along for one level.
#[derive(Debug, Clone, Default)]
pub struct Given {
    pub threshold: Option<::package::Threshold>,
    pub scale: Option<Scale>,
}

impl Given {
    pub fn image(package: &Opened) -> Self {
        Self {
            threshold: package.thresholds().image.clone(),
            scale: package.normalization().image,
        }
    }

    pub fn pixel(package: &Opened) -> Self {
        Self {
            threshold: package.thresholds().pixel.clone(),
            scale: package.normalization().pixel,
        }
    }
}

/// By what raw scores become 0 to 1, around a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    Range(MinMax),
    Distribution(ScoreDistribution),
}

impl From<Scale> for Scaling {
    fn from(scale: Scale) -> Self {
        match scale {
            Scale::Range(Bounds { min, max }) => Self::Range(MinMax { min, max }),
            Scale::Distribution(Distribution { mean, std }) => {
                Self::Distribution(ScoreDistribution { mean, std })
            }
        }
    }
}

impl From<Scaling> for Scale {
    fn from(scaling: Scaling) -> Self {
        match scaling {
            Scaling::Range(MinMax { min, max }) => Self::Range(Bounds { min, max }),
            Scaling::Distribution(ScoreDistribution { mean, std }) => {
                Self::Distribution(Distribution { mean, std })
            }
        }
    }
}

/// The threshold and scaling of one level.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Or why there is none.
    pub threshold: Result<Threshold, Undefined>,
    /// The word of the column `threshold_split`: what chose the threshold.
    pub chosen_by: &'static str,
    /// Or why there is none; no word where none was asked for.
    pub scaling: Result<Scaling, Option<Undefined>>,
    /// What the threshold stands on, where it is that of a false-positive rate.
    pub at_rate: Option<AtRate>,
}

/// A threshold or why there is none, and the word of the column `threshold_split`.
type Worded = (Result<Threshold, Undefined>, &'static str);

/// The threshold that no split chooses; `None` if the job wants one chosen.
pub fn given_threshold(
    spec: ThresholdSpec,
    given: Option<&Given>,
) -> Result<Option<Worded>, TaskError> {
    match spec {
        ThresholdSpec::Manual { value } => {
            // The reader has checked the range.
            let threshold = manual_threshold(value).map_err(|_| Undefined::NoThreshold);
            Ok(Some((threshold, "manual")))
        }
        ThresholdSpec::Package => from_package(given).map(Some),
        ThresholdSpec::F1Adaptive | ThresholdSpec::FalsePositiveRate { .. } => Ok(None),
    }
}

/// Only the split that the dataset keeps for it chooses a threshold; that split's name goes into every row.
pub fn decide(
    run: &PlannedRun,
    spec: ThresholdSpec,
    level: &dyn Level,
    given: Option<&Given>,
) -> Result<Decision, TaskError> {
    let dataset = data::build(&run.spec.data.class_path, &run.spec.data.init_args)?;
    let chooser = dataset
        .threshold_split()
        .and_then(|split| Some((split, role(split)?)));
    // All is asked for here already, so that the same split's metrics need no second pass.
    let asked = asked(run)?;
    let seen = chooser
        .map(|(split, _)| level.summary(split, asked))
        .transpose()?;
    // What is missing in another split is no word about the split that is measured.
    let here = |reason, role| match role {
        SplitRole::Test => reason,
        SplitRole::Train | SplitRole::Validation => Undefined::NoThreshold,
    };
    let mut at_rate = None;
    let (threshold, chosen_by) = match (given_threshold(spec, given)?, spec, chooser) {
        (Some(given), _, _) => given,
        (None, _, None) => (Err(Undefined::NoThreshold), "none"),
        (None, ThresholdSpec::FalsePositiveRate { rate }, Some((split, role))) => {
            let rate = FalsePositiveRate::new(rate)
                .ok_or_else(|| TaskError::Assignment(format!("false-positive rate {rate}")))?;
            let found = level.at_rate(split, rate)?;
            at_rate = found.ok();
            let threshold = found.map(|found| found.threshold(role));
            (
                threshold.map_err(|reason| here(reason, role)),
                split.as_str(),
            )
        }
        (None, _, Some((split, role))) => {
            let best = seen
                .as_ref()
                .map_or(Err(Undefined::NoThreshold), |summary| summary.best_f1)
                .map_err(|reason| here(reason, role));
            (best.map(|best| best.threshold(role)), split.as_str())
        }
    };
    let scaling = match (run.spec.normalization, given) {
        (Normalization::None, _) => Err(None),
        // A package's scores are normalized as when it was made, so that they compare over all its uses.
        (Normalization::MinMax | Normalization::Cdf, Some(given)) => {
            given.scale.map(Scaling::from).ok_or(None)
        }
        (Normalization::MinMax, None) => {
            let range = seen.map(|summary| summary.min_max);
            range
                .unwrap_or(Err(Undefined::Empty))
                .map(Scaling::Range)
                .map_err(Some)
        }
        (Normalization::Cdf, None) => {
            let found = level.distribution()?;
            found.map(Scaling::Distribution).map_err(Some)
        }
    };
    Ok(Decision {
        threshold,
        chosen_by,
        scaling,
        at_rate,
    })
}

fn role(split: Split) -> Option<SplitRole> {
    match split {
        Split::Train => None,
        Split::Validation => Some(SplitRole::Validation),
        Split::Test => Some(SplitRole::Test),
    }
}

/// A package's threshold with the word for what chose it there: on test images it flatters, wherever it is used.
fn from_package(given: Option<&Given>) -> Result<Worded, TaskError> {
    let given = given.ok_or_else(|| {
        TaskError::Assignment("a threshold from a package, but no package".to_owned())
    })?;
    let Some(threshold) = &given.threshold else {
        return Ok((Err(Undefined::NoThreshold), "none"));
    };
    let (origin, word) = match threshold.chosen_on {
        ChosenOn::Validation => (
            Origin::ChosenOn(SplitRole::Validation),
            "package:validation",
        ),
        ChosenOn::Test => (Origin::ChosenOn(SplitRole::Test), "package:test"),
        ChosenOn::Manual => (Origin::Manual, "package:manual"),
        ChosenOn::Unknown => (Origin::Unknown, "package:unknown"),
    };
    let threshold = Threshold::restore(threshold.value, origin).map_err(|_| Undefined::NoThreshold);
    Ok((threshold, word))
}

impl Decision {
    pub fn threshold_for_package(&self) -> Option<::package::Threshold> {
        let threshold = self.threshold.as_ref().ok()?;
        let chosen_on = match threshold.origin() {
            Origin::Manual => ChosenOn::Manual,
            Origin::ChosenOn(SplitRole::Validation) => ChosenOn::Validation,
            Origin::ChosenOn(SplitRole::Test) => ChosenOn::Test,
            // Nothing chooses a threshold on training images, and no model file is trained: packages have neither.
            Origin::ChosenOn(SplitRole::Train) | Origin::Unknown => return None,
        };
        Some(::package::Threshold {
            value: threshold.value(),
            chosen_on,
        })
    }

    pub fn scale_for_package(&self) -> Option<Scale> {
        self.scaling.ok().map(Scale::from)
    }

    /// 0 to 1 with 0.5 at the threshold; null without scaling or threshold.
    pub fn normalized(&self, score: RawScore) -> Option<f32> {
        let threshold = self.threshold.ok()?;
        Some(match self.scaling.ok()? {
            Scaling::Range(range) => normalize(score, threshold, range),
            Scaling::Distribution(distribution) => distribution.cdf(score, threshold),
        })
    }

    /// A score at the threshold counts as anomalous; null without one.
    pub fn is_anomalous(&self, score: RawScore) -> Option<bool> {
        Some(self.threshold.ok()?.is_anomalous(score))
    }
}
