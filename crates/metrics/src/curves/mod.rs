//! Curves for drawing: few points, which joined by straight lines show the curve of all scores.
//!
//! Every score that occurs is a threshold and gives a point. Only anomalous items bend a curve: between two of them it is
//! a level or an upright line, so that two points an anomalous score are all there is to know. What a pass keeps of them is
//! bounded ([`Sketch`]), and what is left at its end are the [`CURVE_POINTS`] that matter most ([`thin`]).

#[cfg(test)]
mod tests;
mod thin;

use crate::aupimo::{FprBounds, MeanPimo};
use crate::ordered::Below;
use crate::{Step, Totals, Undefined};
pub(crate) use thin::{Sketch, thin};

/// Points that a curve has at most.
pub const CURVE_POINTS: usize = 240;

/// A point (x, y), or why there is no curve; in ascending order of x.
pub type Points = Result<Vec<[f64; 2]>, Undefined>;

/// The curves of one level of one split.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Share of anomalous items at or above a score, over that of normal ones: from (0, 0) to (1, 1).
    pub roc: Points,
    /// Share of anomalous items among those at or above a score, over the share of all anomalous ones that are: from (0, 1)
    /// to recall 1 at the lowest score, as AUPR counts.
    pub precision_recall: Points,
    /// Mean share of a defect region at or above a score, over the share of normal pixels: from (0, 0) to (1, 1).
    pub pro: Points,
    /// Mean share of an image's defect at or above a score, over the mean share of an image without a defect that is:
    /// between the bounds of AUPIMO, both included.
    pub pimo: Points,
}

/// Takes the steps with anomalous items, in ascending order.
#[derive(Debug)]
pub(crate) struct CurvePass {
    totals: Totals,
    roc: Sketch,
    precision_recall: Sketch,
    pro: Sketch,
    pimo: MeanPimo,
}

impl CurvePass {
    pub(crate) fn new(totals: Totals, bounds: FprBounds) -> Self {
        let mut pass = Self {
            totals,
            roc: Sketch::default(),
            precision_recall: Sketch::default(),
            pro: Sketch::default(),
            pimo: MeanPimo::new(totals, bounds),
        };
        pass.points(Below::default());
        pass
    }

    pub(crate) fn step(&mut self, below: Below, step: Step) {
        let mut above = below;
        above.add(step);
        self.points(below);
        self.points(above);
    }

    /// Of the threshold above all that is below.
    fn points(&mut self, below: Below) {
        let all = self.totals;
        if all.anomalous == 0 {
            return;
        }
        let (alarms, found) = (all.normal - below.normal, all.anomalous - below.anomalous);
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        let recall = share(found, all.anomalous);
        let precision = match found + alarms {
            0 => 1.0,
            called => share(found, called),
        };
        self.precision_recall.push([recall, precision]);
        if all.normal > 0 {
            let rate = share(alarms, all.normal);
            self.roc.push([rate, recall]);
            let overlap = 1.0 - below.overlap.mean(all.regions);
            self.pro.push([rate, overlap]);
        }
        self.pimo.point(below);
    }

    pub(crate) fn finish(self) -> Curves {
        let totals = self.totals;
        let drawn = |sketch: Sketch, end: [f64; 2], is_defined: bool| {
            if totals.is_empty() {
                Err(Undefined::Empty)
            } else if is_defined {
                Ok(thin(&sketch.finish(end), CURVE_POINTS))
            } else {
                Err(Undefined::OneClass)
            }
        };
        let has_defect = totals.anomalous > 0;
        let has_both = has_defect && totals.normal > 0;
        Curves {
            roc: drawn(self.roc, [0.0, 0.0], has_both),
            precision_recall: drawn(self.precision_recall, [0.0, 1.0], has_defect),
            pro: drawn(self.pro, [0.0, 0.0], has_both),
            pimo: self.pimo.finish(),
        }
    }
}
