//! How a run decides at one level: its threshold and which split chose it, its normalization bounds.

use ::package::{Bounds, ChosenOn};
use data::Split;
use job::resolved::{Normalization, ThresholdSpec};
use metrics::{
    AtRate, FalsePositiveRate, MinMax, Origin, RawScore, SplitRole, Threshold, Undefined,
    manual_threshold::manual_threshold, normalize,
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
    pub bounds: Option<Bounds>,
}

impl Given {
    pub fn image(package: &Opened) -> Self {
        Self {
            threshold: package.thresholds().image.clone(),
            bounds: package.normalization().image,
        }
    }

    pub fn pixel(package: &Opened) -> Self {
        Self {
            threshold: package.thresholds().pixel.clone(),
            bounds: package.normalization().pixel,
        }
    }
}

/// The threshold and bounds of one level.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Or why there is none.
    pub threshold: Result<Threshold, Undefined>,
    /// The word of the column `threshold_split`: what chose the threshold.
    pub chosen_by: &'static str,
    pub bounds: Option<MinMax>,
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
    let bounds = match (run.spec.normalization, given) {
        (Normalization::None, _) => None,
        // A package's scores are normalized as when it was made, so that they compare over all its uses.
        (Normalization::MinMax, Some(given)) => given.bounds.map(|bounds| MinMax {
            min: bounds.min,
            max: bounds.max,
        }),
        (Normalization::MinMax, None) => seen.and_then(|summary| summary.min_max.ok()),
    };
    Ok(Decision {
        threshold,
        chosen_by,
        bounds,
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
            // Nothing chooses a threshold on training images; packages have no word for it.
            Origin::ChosenOn(SplitRole::Train) => return None,
        };
        Some(::package::Threshold {
            value: threshold.value(),
            chosen_on,
        })
    }

    pub fn bounds_for_package(&self) -> Option<Bounds> {
        self.bounds.map(|bounds| Bounds {
            min: bounds.min,
            max: bounds.max,
        })
    }

    /// 0 to 1 with 0.5 at the threshold; null without bounds or threshold.
    pub fn normalized(&self, score: RawScore) -> Option<f32> {
        Some(normalize(score, self.threshold.ok()?, self.bounds?))
    }

    /// A score at the threshold counts as anomalous; null without one.
    pub fn is_anomalous(&self, score: RawScore) -> Option<bool> {
        Some(self.threshold.ok()?.is_anomalous(score))
    }
}
