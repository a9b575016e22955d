//! AUPR: the area under the precision-recall curve.
//!
//! Every score that occurs is a threshold: precision is the share of anomalous items among those at or above it, recall the
//! share of all anomalous items that are. The points are joined by straight lines, from recall 0 with precision 1 on
//! (scikit-learn's convention); the value of random scores is the share of anomalous items. Items that tie are one point.
//!
//! Anomalib 1.0.1 cannot construct its AUPR. What its code is written to give (its documents' 0.4899 among it) sorts the
//! points by recall so that points of equal recall come in the wrong order: 0.952 for scores that separate the classes
//! perfectly. Here that is 1, and the documents' example is 0.3899; a test shows the step between the two.

#[cfg(test)]
mod tests;

use crate::ordered::Below;
use crate::{Step, Totals, Undefined};

/// The area so far, from recall 1 on downwards.
#[derive(Debug)]
pub(crate) struct Precisions {
    totals: Totals,
    /// In units of one anomalous item's recall.
    area: f64,
}

impl Precisions {
    pub(crate) fn new(totals: Totals) -> Self {
        Self { totals, area: 0.0 }
    }

    /// Steps without an anomalous item can be left out: recall does not change there.
    #[inline]
    pub(crate) fn step(&mut self, below: Below, step: Step) {
        let mut above = below;
        above.add(step);
        let sides = self.precision(below) + self.precision(above);
        self.area += step.anomalous as f64 * sides / 2.0;
    }

    #[inline]
    fn precision(&self, below: Below) -> f64 {
        let found = self.totals.anomalous - below.anomalous;
        let predicted = found + (self.totals.normal - below.normal);
        if predicted == 0 {
            1.0
        } else {
            found as f64 / predicted as f64
        }
    }

    /// Undefined without an anomalous item: there is no recall.
    pub(crate) fn finish(self) -> Result<f64, Undefined> {
        if self.totals.is_empty() {
            return Err(Undefined::Empty);
        }
        if self.totals.anomalous == 0 {
            return Err(Undefined::OneClass);
        }
        // Rounding of the sum must not lift a perfect score above one.
        Ok((self.area / self.totals.anomalous as f64).min(1.0))
    }
}
