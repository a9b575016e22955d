//! AUROC: the chance that an anomalous item scores above a normal one, a tie counting half.
//!
//! The area under the ROC curve by the trapezoid rule is the same number (Hanley and McNeil, 1982). Counted in
//! integers and divided once, so that it does not depend on the order or grouping of the items. Unlike Anomalib 1.0.1,
//! no sigmoid is put over scores, so that those far above one do not tie.

mod interval;
#[cfg(test)]
mod tests;

use crate::ordered::Below;
use crate::{Interval, RawScores, ScoreCounts, Step, Totals, Undefined};
use interval::{Placements, interval};

/// The 95 % confidence interval of the AUROC of some items' raw scores: that of a [`Summary`](crate::Summary).
///
/// At each end, DeLong's on the scale of the logit or Newcombe's, whichever reaches further; where DeLong's variance is
/// nothing, as at AUROC 0 and 1, Newcombe's. Undefined where the AUROC is.
///
/// # Panics
/// If the lengths differ.
pub fn auroc_interval(scores: RawScores, anomalous: &[bool]) -> Result<Interval, Undefined> {
    assert_eq!(scores.values().len(), anomalous.len(), "a label an item");
    let mut counts = ScoreCounts::new();
    for (score, &anomalous) in scores.iter().zip(anomalous) {
        counts.observe(score, anomalous);
    }
    let (mut sum, mut below) = (RankSum::new(counts.totals()), Below::default());
    for step in counts.ordered() {
        if step.anomalous > 0 {
            sum.step(below, step);
        }
        below.add(step);
    }
    Ok(sum.finish()?.interval)
}

/// The area with its interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Auroc {
    pub value: f64,
    pub interval: Interval,
}

/// Twice the number of pairs in which the anomalous item wins.
#[derive(Debug)]
pub(crate) struct RankSum {
    totals: Totals,
    won: u128,
    placements: Placements,
}

impl RankSum {
    pub(crate) fn new(totals: Totals) -> Self {
        Self {
            totals,
            won: 0,
            placements: Placements::default(),
        }
    }

    /// Steps without an anomalous item can be left out.
    #[inline]
    pub(crate) fn step(&mut self, below: Below, step: Step) {
        let wins = 2 * u128::from(below.normal) + u128::from(step.normal);
        self.won += wins * u128::from(step.anomalous);
        self.placements.step(self.totals, below, step);
    }

    pub(crate) fn finish(self) -> Result<Auroc, Undefined> {
        let totals = self.totals;
        if totals.is_empty() {
            return Err(Undefined::Empty);
        }
        if totals.normal == 0 || totals.anomalous == 0 {
            return Err(Undefined::OneClass);
        }
        let pairs = u128::from(totals.normal) * u128::from(totals.anomalous);
        let value = self.won as f64 / pairs as f64 / 2.0;
        let variance = self.placements.variance(totals, self.won);
        let interval = interval(value, variance, totals);
        Ok(Auroc { value, interval })
    }
}
