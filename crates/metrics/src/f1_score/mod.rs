//! F1Score: 2 TP / (2 TP + FP + FN) of the decisions at a threshold, at or above which an item is anomalous.
//!
//! Anomalib 1.0.1 compares strictly above in this metric alone; here all decisions are the same decision.
//!
//! Interval: given the number of items that are not true negatives, the true positives among them are binomial with
//! share J = TP / (TP + FP + FN), and F1 = 2J / (1 + J) grows with J; so Wilson's interval of J, mapped. For
//! independent items and a threshold that was not chosen on these very scores.

#[cfg(test)]
mod tests;

use crate::ordered::Below;
use crate::pro::pro;
use crate::{Interval, RawScore, Threshold, Totals, Undefined, Z_95};

/// Counts of decisions at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confusion {
    pub true_positives: u64,
    pub false_positives: u64,
    pub false_negatives: u64,
    pub true_negatives: u64,
}

impl Confusion {
    /// `below`: the items under the threshold.
    pub(crate) fn new(totals: Totals, below: Below) -> Self {
        Self {
            true_positives: totals.anomalous - below.anomalous,
            false_positives: totals.normal - below.normal,
            false_negatives: below.anomalous,
            true_negatives: below.normal,
        }
    }

    /// Undefined without an anomalous item: there is nothing to find.
    pub fn f1(self) -> Result<f64, Undefined> {
        if self.true_positives + self.false_negatives == 0 {
            let empty = self.false_positives + self.true_negatives == 0;
            return Err(if empty {
                Undefined::Empty
            } else {
                Undefined::OneClass
            });
        }
        let found = 2.0 * self.true_positives as f64;
        Ok(found / (found + self.false_positives as f64 + self.false_negatives as f64))
    }

    /// 95 %; none where F1 is undefined.
    pub fn f1_interval(self) -> Option<Interval> {
        self.f1().ok()?;
        let n = (self.true_positives + self.false_positives + self.false_negatives) as f64;
        let share = self.true_positives as f64 / n;
        let z2 = Z_95 * Z_95;
        let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z_95 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        let f1 = |j: f64| 2.0 * j / (1.0 + j);
        Some(Interval {
            low: f1((centre - half).max(0.0)),
            high: f1((centre + half).min(1.0)),
        })
    }
}

/// What the decisions at one threshold come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decided {
    pub confusion: Confusion,
    /// The mean share of a defect region that is found.
    pub pro: Result<f64, Undefined>,
}

impl Decided {
    /// `below`: the items under the threshold.
    pub(crate) fn new(totals: Totals, below: Below) -> Self {
        Self {
            confusion: Confusion::new(totals, below),
            pro: pro(totals, below),
        }
    }
}

/// Waits for the first score at or above a threshold.
#[derive(Debug)]
pub(crate) struct Cut {
    key: u32,
    below: Option<Below>,
}

impl Cut {
    pub(crate) fn new(threshold: Threshold) -> Self {
        Self {
            key: threshold.key(),
            below: None,
        }
    }

    /// `below` are all items under the score.
    #[inline]
    pub(crate) fn reach(&mut self, score: RawScore, below: Below) {
        if self.below.is_none() && score.key() >= self.key {
            self.below = Some(below);
        }
    }

    /// `None` if the threshold is above all scores.
    pub(crate) fn below(self) -> Option<Below> {
        self.below
    }
}
