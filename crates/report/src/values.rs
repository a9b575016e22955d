//! What a report is made of.

use std::collections::BTreeMap;

use metrics::Interval;

use crate::curve::PixelCurves;
use crate::picture::Pictured;
use crate::scores::{Cut, Scores};
use crate::search::Search;

#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub job: Job,
    /// In the order in which the table shows them.
    pub runs: Vec<Run>,
    /// Over runs that differ in category and seed alone.
    pub means: Vec<Mean>,
    /// What people must know of the whole job, such as licences and warnings.
    pub notes: Vec<String>,
    /// Of a search: its trials, of which `runs` has none.
    pub search: Option<Search>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: String,
    pub name: String,
    /// `train`, `test`, `benchmark`.
    pub kind: String,
    /// `succeeded`, `failed`...
    pub state: String,
    /// Names and values below the title, such as when it was submitted and which version wrote this.
    pub facts: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub index: u32,
    /// Class of the model and what distinguishes it.
    pub model: String,
    pub dataset: String,
    /// Empty if the dataset has none.
    pub category: String,
    pub seed: u64,
    /// What tells it from the other runs of its model and dataset, for people; empty: nothing.
    pub settings: String,
    pub metrics: BTreeMap<Metric, Measure>,
    pub outcome: Outcome,
}

/// Only a run that reached its end has something to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Finished(Box<Finished>),
    /// Failed, cancelled, or not there yet.
    Unfinished {
        state: String,
        /// Empty: none was told.
        error: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The images have no labels, so that nothing is measured with them, be there any or none.
    pub predicts: bool,
    /// Of the images that the metrics were computed from.
    pub scores: Scores,
    /// Images of these that could not be scored.
    pub unreadable: u64,
    /// `None`: the run decided nothing, or nobody knows by what.
    pub cut: Option<Cut>,
    pub pixels: PixelCurves,
    pub times: Times,
    /// By the image's address: what could be had of those that [`Finished::shown`] names.
    pub pictures: BTreeMap<String, Pictured>,
    /// The values of anomaly maps that these show as nothing and as the strongest colour.
    pub heat: Option<[f32; 2]>,
    /// By the image's address: AUPIMO of single images that have a defect, where it could be computed.
    pub aupimo: BTreeMap<String, f64>,
    pub warnings: Vec<String>,
}

/// Seconds, where they are known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Times {
    pub fit_s: Option<f64>,
    pub test_s: Option<f64>,
    pub images_per_s: Option<f64>,
}

/// A metric of a level; images come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    Image(String),
    Pixel(String),
}

impl Metric {
    pub(crate) fn level(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Pixel(_) => "pixel",
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Image(name) | Self::Pixel(name) => name,
        }
    }
}

/// A metric has a value, or a reason why it has none.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    Known {
        value: f64,
        /// 95 %.
        interval: Option<Interval>,
    },
    Unknown {
        /// The word of the table, or a sentence.
        reason: String,
    },
}

/// The mean of several runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    pub model: String,
    pub dataset: String,
    pub settings: String,
    /// What stands in place of a category, such as `mean of 3`.
    pub name: String,
    pub metrics: BTreeMap<Metric, Measure>,
    pub times: Times,
}

impl Measure {
    pub fn known(value: f64) -> Self {
        Self::Known {
            value,
            interval: None,
        }
    }

    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown {
            reason: reason.into(),
        }
    }

    pub(crate) fn value(&self) -> Option<f64> {
        match self {
            Self::Known { value, .. } => Some(*value),
            Self::Unknown { .. } => None,
        }
    }
}
