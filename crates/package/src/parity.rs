//! The parity certificate: how far the engines agree about a package, measured on images of its own dataset.

use serde::{Deserialize, Serialize};

/// Up to here two engines agree: the bound that the tests hold every model to, of scores and of maps.
pub const TOLERANCE: f64 = 1e-3;

/// What was compared with what, and what came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    /// On which it was measured: at even distances in uri order among those that were scored.
    pub images: u32,
    /// Images that were chosen and could not be used.
    pub skipped: Vec<Skipped>,
    /// What the others are compared with: the engine that the job's scores are from.
    pub reference: Computer,
    /// Every other engine that there is, in order of its name, and then what jobs may ask for that is less exact: `openvino-bf16`.
    pub engines: Vec<Compared>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    pub uri: String,
    pub reason: String,
}

/// An engine as it computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Computer {
    pub engine: String,
    pub version: String,
    /// `cpu`, or a GPU.
    pub device: String,
    /// Of the numbers that it computed with: `f32`, or `bf16`.
    pub precision: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    pub engine: String,
    pub result: Measured,
}

/// What became of comparing an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    Agreement(Agreement),
    /// It computed something that is no score, or could not compute the model: why.
    Broken(String),
    /// The program that measured does not have it, there was no image, or the evaluation had been tried before: which.
    NotMeasured(String),
}

/// How far an engine agrees with the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    pub version: String,
    pub device: String,
    pub precision: String,
    /// Largest difference of image scores, relative: max |a - b| / max |a|, a being the reference.
    pub score_difference: f64,
    /// And of the pixels of anomaly maps; `null` if the model has none.
    pub map_difference: Option<f64>,
    /// Spearman's, of the scores; `null` where they have no order.
    pub rank_correlation: Option<f64>,
    /// Images that are decided otherwise at the package's image threshold; `null` without one.
    pub flips: Option<u32>,
}

impl Agreement {
    /// Whether scores and maps are within [`TOLERANCE`]. Flips do not count: a threshold that was chosen on scores is one of
    /// them, so that the last bit of that one decides.
    pub fn agrees(&self) -> bool {
        self.differences().all(|difference| difference <= TOLERANCE)
    }

    fn differences(&self) -> impl Iterator<Item = f64> {
        [Some(self.score_difference), self.map_difference]
            .into_iter()
            .flatten()
    }
}

impl Parity {
    /// Whether it computes with numbers like those of the reference, so that the two are to agree.
    pub fn is_as_exact(&self, agreement: &Agreement) -> bool {
        agreement.precision == self.reference.precision
    }

    /// Engines that disagree with the reference or are broken, each with what is wrong.
    pub fn problems(&self) -> Vec<String> {
        let reference = &self.reference.engine;
        let problem = |compared: &Compared| match &compared.result {
            // Of one that is meant to be less exact nobody expects it.
            Measured::Agreement(agreement) if !self.is_as_exact(agreement) => None,
            Measured::Agreement(agreement) if agreement.agrees() => None,
            Measured::Agreement(agreement) => {
                let most = agreement.differences().fold(0.0, f64::max);
                Some(format!(
                    "{} differs from {reference} by {most:.1e} (relative), which is more than {TOLERANCE:e}",
                    compared.engine
                ))
            }
            Measured::Broken(why) => Some(format!("{} is broken: {why}", compared.engine)),
            Measured::NotMeasured(_) => None,
        };
        self.engines.iter().filter_map(problem).collect()
    }

    /// Numbers that serde lets through.
    pub(crate) fn problem(&self) -> Option<String> {
        let wrong = |agreement: &Agreement| {
            let mut differences = agreement.differences();
            let is_difference = |d: f64| d.is_finite() && d >= 0.0;
            !differences.all(is_difference)
                || agreement
                    .rank_correlation
                    .is_some_and(|rank| !(-1.0..=1.0).contains(&rank))
                || agreement.flips.is_some_and(|flips| flips > self.images)
        };
        let compared = self
            .engines
            .iter()
            .find(|compared| match &compared.result {
                Measured::Agreement(agreement) => wrong(agreement),
                Measured::Broken(_) | Measured::NotMeasured(_) => false,
            })?;
        Some(format!(
            "the numbers of {} are none that can be measured on {} images",
            compared.engine, self.images
        ))
    }
}
