//! F1AdaptiveThreshold: the score at which F1 is highest; among equals the lowest.
//!
//! Candidates are the scores that occur. F1 values are compared exactly, as fractions of integers. Only normal items:
//! undefined (Anomalib 1.0.1 returns the lowest score, which makes everything anomalous).

#[cfg(test)]
mod tests;

use crate::ordered::Below;
use crate::{Decided, Origin, RawScore, SplitRole, Step, Threshold, Totals, Undefined};

/// The best decision that these scores allow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestF1 {
    pub score: RawScore,
    pub f1: f64,
    pub decided: Decided,
}

impl BestF1 {
    /// The split is that of the scores, and stays with the value.
    pub fn threshold(self, split: SplitRole) -> Threshold {
        Threshold::new(self.score, Origin::ChosenOn(split))
    }
}

/// The best candidate so far.
#[derive(Debug)]
pub(crate) struct Best {
    totals: Totals,
    /// Score, and the items below it.
    found: Option<(RawScore, Below)>,
}

impl Best {
    pub(crate) fn new(totals: Totals) -> Self {
        Self {
            totals,
            found: None,
        }
    }

    /// Steps without an anomalous item can be left out: the next anomalous score above gives a higher F1.
    #[inline]
    pub(crate) fn step(&mut self, below: Below, step: Step) {
        let (numerator, denominator) = self.half_f1(below);
        let better = self.found.is_none_or(|(_, best)| {
            let (best_numerator, best_denominator) = self.half_f1(best);
            numerator * best_denominator > best_numerator * denominator
        });
        if better {
            self.found = Some((step.score, below));
        }
    }

    /// F1 / 2 = TP / (predicted + anomalous), as a fraction.
    #[inline]
    fn half_f1(&self, below: Below) -> (u128, u128) {
        let true_positives = u128::from(self.totals.anomalous - below.anomalous);
        let predicted = true_positives + u128::from(self.totals.normal - below.normal);
        (
            true_positives,
            predicted + u128::from(self.totals.anomalous),
        )
    }

    pub(crate) fn finish(self) -> Result<BestF1, Undefined> {
        if self.totals.is_empty() {
            return Err(Undefined::Empty);
        }
        let (score, below) = self.found.ok_or(Undefined::OneClass)?;
        let decided = Decided::new(self.totals, below);
        Ok(BestF1 {
            score,
            f1: decided.confusion.f1()?,
            decided,
        })
    }
}
