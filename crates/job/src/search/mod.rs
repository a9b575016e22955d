//! Jobs of kind `hpo`: which parameters are searched, how, and by which metric.

mod dimensions;
mod read;

use hpo::{Goal, Point, Search};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::resolved::{MeasuredOn, ModelSource, RunSpec};
pub(crate) use read::{METHODS, read};

/// What a job of kind hpo searches. Its one run is what all trials have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSpec {
    pub objective: Objective,
    /// The best parameters are fitted once more at the end, and measured on the split `test`.
    pub refit: bool,
    /// Names of dimensions are paths in a run: `model.init_args.NAME` or `data.init_args.NAME`.
    pub by: Search,
}

/// The metric that trials are compared by, measured on the split `validation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// `image` or `pixel`.
    pub level: String,
    /// Canonical name.
    pub metric: String,
}

impl std::fmt::Display for Objective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.level, self.metric)
    }
}

impl SearchSpec {
    /// A trial at this point with this share of the training images.
    pub fn trial(&self, template: &RunSpec, point: &Point, share: f64) -> RunSpec {
        RunSpec {
            measured_on: MeasuredOn::Validation,
            train_share: (share < 1.0).then_some(share),
            // Of trials nobody keeps the package.
            parity: 0,
            ..self.at(template, point)
        }
    }

    /// The run that is measured on test images, at the best point.
    pub fn refitted(&self, template: &RunSpec, point: &Point) -> RunSpec {
        RunSpec {
            chosen_on: Some(MeasuredOn::Validation),
            ..self.at(template, point)
        }
    }

    fn at(&self, template: &RunSpec, point: &Point) -> RunSpec {
        let mut run = template.clone();
        for (path, value) in self.by.space.values(point) {
            if let Some(place) = parameter(&mut run, path) {
                *place = value.clone();
            }
            run.axes.insert(path.to_owned(), value);
        }
        run
    }

    /// Runs at the ends of all ranges and with all values, as far as there are not too many.
    pub fn corners(&self, template: &RunSpec) -> Vec<RunSpec> {
        let points = self.by.space.corners(MOST_CORNERS);
        points
            .iter()
            .map(|point| self.at(template, point))
            .collect()
    }

    /// Whether a value is better than another one.
    pub fn is_better(&self, value: f64, than: f64) -> bool {
        match self.by.goal {
            Goal::Maximize => value > than,
            Goal::Minimize => value < than,
        }
    }
}

/// Combinations that are looked at before anything runs.
pub(crate) const MOST_CORNERS: usize = 256;

/// What stands at a dimension's path.
pub(crate) fn parameter<'r>(run: &'r mut RunSpec, path: &str) -> Option<&'r mut Json> {
    let (class, name) = path.split_once(".init_args.")?;
    match (class, &mut run.model) {
        ("model", ModelSource::Train(model)) => model.init_args.get_mut(name),
        ("data", _) => run.data.init_args.get_mut(name),
        _ => None,
    }
}
