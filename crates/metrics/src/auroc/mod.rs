//! AUROC: the chance that an anomalous item scores above a normal one, a tie counting half.
//!
//! The area under the ROC curve by the trapezoid rule is the same number (Hanley and McNeil, 1982). Counted in
//! integers and divided once, so that it does not depend on the order or grouping of the items. Unlike Anomalib 1.0.1,
//! no sigmoid is put over scores, so that those far above one do not tie.
//!
//! Interval: method 5 of Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney
//! statistic, part 2", Statistics in Medicine 25 (2006): the score-type inversion of Hanley and McNeil's variance. It
//! stays within 0 and 1 and keeps a width at AUROC 1, where DeLong's has none.

#[cfg(test)]
mod tests;

use crate::ordered::Below;
use crate::{Interval, Step, Totals, Undefined, Z_95};

/// Twice the number of pairs in which the anomalous item wins.
#[derive(Debug, Default)]
pub(crate) struct RankSum(u128);

impl RankSum {
    #[inline]
    pub(crate) fn step(&mut self, below: Below, step: Step) {
        let wins = 2 * u128::from(below.normal) + u128::from(step.normal);
        self.0 += wins * u128::from(step.anomalous);
    }

    pub(crate) fn finish(self, totals: Totals) -> Result<f64, Undefined> {
        if totals.is_empty() {
            return Err(Undefined::Empty);
        }
        if totals.normal == 0 || totals.anomalous == 0 {
            return Err(Undefined::OneClass);
        }
        let pairs = u128::from(totals.normal) * u128::from(totals.anomalous);
        Ok(self.0 as f64 / pairs as f64 / 2.0)
    }
}

/// 95 %, for independent items of both classes.
pub fn interval(auroc: f64, totals: Totals) -> Interval {
    Interval {
        low: end(auroc, 0.0, totals),
        high: end(auroc, 1.0, totals),
    }
}

/// The parameter between the estimate and `extreme` that lies just 1.96 of its own standard errors from the estimate.
fn end(estimate: f64, extreme: f64, totals: Totals) -> f64 {
    let (mut inside, mut outside) = (estimate, extreme);
    // Halving 60 times leaves nothing above the precision of an f64 in [0, 1].
    for _ in 0..60 {
        let middle = 0.5 * (inside + outside);
        if (middle - estimate).abs() <= Z_95 * variance(middle, totals).sqrt() {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    inside
}

/// Hanley and McNeil's, with Newcombe's symmetric sample size in both terms.
fn variance(theta: f64, totals: Totals) -> f64 {
    let (m, n) = (totals.normal as f64, totals.anomalous as f64);
    let others = (m + n) / 2.0 - 1.0;
    theta * (1.0 - theta) * (1.0 + others * ((1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta)))
        / (m * n)
}
