//! One ascending pass over scores, which feeds every metric.

use crate::auroc::{self, RankSum};
use crate::f1_adaptive_threshold::{Best, BestF1};
use crate::f1_score::{Confusion, Cut};
use crate::min_max::MinMax;
use crate::{Interval, Step, Threshold, Totals, Undefined};

/// Takes steps of ascending score; [`Pass::finish`] has the numbers.
#[derive(Debug)]
pub struct Pass {
    totals: Totals,
    below: Totals,
    rank_sum: RankSum,
    best: Best,
    min_max: Option<MinMax>,
    cuts: Vec<Cut>,
}

impl Pass {
    /// `totals` must be those of all steps that will come.
    pub fn new(totals: Totals, thresholds: &[Threshold]) -> Self {
        Self {
            totals,
            below: Totals::default(),
            rank_sum: RankSum::default(),
            best: Best::new(totals),
            min_max: None,
            cuts: thresholds
                .iter()
                .map(|&threshold| Cut::new(threshold))
                .collect(),
        }
    }

    #[inline]
    pub fn step(&mut self, step: Step) {
        for cut in &mut self.cuts {
            cut.step(self.below, step);
        }
        if step.anomalous > 0 {
            self.rank_sum.step(self.below, step);
            self.best.step(self.below, step);
        }
        let score = step.score.value();
        self.min_max = Some(MinMax {
            min: self.min_max.map_or(score, |range| range.min),
            max: score,
        });
        self.below.normal += step.normal;
        self.below.anomalous += step.anomalous;
    }

    pub fn finish(self) -> Summary {
        let auroc = self.rank_sum.finish(self.totals);
        Summary {
            totals: self.totals,
            auroc,
            auroc_interval: auroc.ok().map(|value| auroc::interval(value, self.totals)),
            best_f1: self.best.finish(),
            min_max: self.min_max.ok_or(Undefined::Empty),
            confusions: self
                .cuts
                .into_iter()
                .map(|cut| cut.finish(self.totals))
                .collect(),
        }
    }
}

/// Every number that the scores of one level (image or pixel) of one split give.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub totals: Totals,
    pub auroc: Result<f64, Undefined>,
    /// Of independent items: right for images, far too narrow for pixels, which are not.
    pub auroc_interval: Option<Interval>,
    pub best_f1: Result<BestF1, Undefined>,
    pub min_max: Result<MinMax, Undefined>,
    /// In the order of the thresholds that were given.
    pub confusions: Vec<Confusion>,
}

impl Summary {
    /// The summary of the same scores with other thresholds, if this one knows it without another pass: all of them are
    /// the score with the best F1.
    pub fn at(&self, thresholds: &[Threshold]) -> Option<Self> {
        let at = |threshold: &Threshold| {
            let best = self.best_f1.ok()?;
            (best.score.key() == threshold.key()).then_some(best.confusion)
        };
        let confusions = thresholds.iter().map(at).collect::<Option<_>>()?;
        Some(Self {
            confusions,
            ..self.clone()
        })
    }
}
