//! One ascending pass over scores, which feeds every metric.

use crate::aupimo::{FprBounds, PimoArea};
use crate::aupr::Precisions;
use crate::aupro::{FprLimit, ProArea};
use crate::auroc::RankSum;
use crate::curves::{CurvePass, Curves};
use crate::f1_adaptive_threshold::{Best, BestF1};
use crate::f1_score::Cut;
use crate::min_max::MinMax;
use crate::ordered::{Below, Run, Runs};
use crate::{Decided, Interval, RawScore, Step, Threshold, Totals, Undefined};

/// What a summary depends on besides the scores.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Asked<'a> {
    pub thresholds: &'a [Threshold],
    /// Where AUPRO's area ends.
    pub fpr_limit: FprLimit,
    /// Between which AUPIMO's area lies.
    pub fpr_bounds: FprBounds,
    /// Whether curves are drawn, too.
    pub curves: bool,
}

/// Keys of thresholds, in order.
pub(crate) type Cuts = std::iter::Peekable<std::vec::IntoIter<u32>>;

impl Asked<'_> {
    pub(crate) fn cuts(&self) -> Cuts {
        let mut keys: Vec<u32> = self.thresholds.iter().map(|cut| cut.key()).collect();
        keys.sort_unstable();
        keys.into_iter().peekable()
    }
}

impl<'a> From<&'a [Threshold]> for Asked<'a> {
    fn from(thresholds: &'a [Threshold]) -> Self {
        Self {
            thresholds,
            ..Self::default()
        }
    }
}

impl<'a, const N: usize> From<&'a [Threshold; N]> for Asked<'a> {
    fn from(thresholds: &'a [Threshold; N]) -> Self {
        thresholds.as_slice().into()
    }
}

/// Takes all scores in ascending order; [`Pass::finish`] has the numbers.
#[derive(Debug)]
pub struct Pass {
    totals: Totals,
    below: Below,
    rank_sum: RankSum,
    precisions: Precisions,
    pro_area: ProArea,
    pimo_area: PimoArea,
    best: Best,
    min_max: Option<MinMax>,
    cuts: Vec<Cut>,
    curves: Option<CurvePass>,
    fpr_limit: FprLimit,
    fpr_bounds: FprBounds,
}

impl Pass {
    /// `totals` must be those of all steps that will come.
    pub fn new<'a>(totals: Totals, asked: impl Into<Asked<'a>>) -> Self {
        let asked = asked.into();
        let cut = |&threshold| Cut::new(threshold);
        Self {
            totals,
            below: Below::default(),
            rank_sum: RankSum::new(totals),
            precisions: Precisions::new(totals),
            pro_area: ProArea::new(totals, asked.fpr_limit),
            pimo_area: PimoArea::new(totals, asked.fpr_bounds),
            best: Best::new(totals),
            min_max: None,
            cuts: asked.thresholds.iter().map(cut).collect(),
            curves: asked
                .curves
                .then(|| CurvePass::new(totals, asked.fpr_bounds)),
            fpr_limit: asked.fpr_limit,
            fpr_bounds: asked.fpr_bounds,
        }
    }

    #[inline]
    pub fn step(&mut self, step: Step) {
        self.reach(step.score, step.score);
        if step.anomalous > 0 {
            self.rank_sum.step(self.below, step);
            self.precisions.step(self.below, step);
            self.pro_area.step(self.below, step);
            self.pimo_area.step(self.below, step);
            self.best.step(self.below, step);
            if let Some(curves) = &mut self.curves {
                curves.step(self.below, step);
            }
        }
        self.below.add(step);
    }

    /// All items below a key, `cuts` being the keys of thresholds that are left. Between two anomalous items, or thresholds,
    /// it matters how many normal ones there are, not which.
    pub(crate) fn take_below(&mut self, key: u32, items: &mut impl Runs, cuts: &mut Cuts) {
        loop {
            let anomalous = items.next_anomalous().filter(|&next| next < key);
            let end = anomalous.unwrap_or(key);
            while let Some(cut) = cuts.next_if(|&cut| cut <= end) {
                self.normals(items.take_normals(cut));
            }
            self.normals(items.take_normals(end));
            match anomalous.and_then(|_| items.take_step()) {
                Some(step) => self.step(step),
                None => return,
            }
        }
    }

    #[inline]
    fn normals(&mut self, run: Option<Run>) {
        let Some(run) = run else { return };
        // Both are: keys come from checked scores.
        if let (Some(lowest), Some(highest)) = (
            RawScore::from_key(run.lowest),
            RawScore::from_key(run.highest),
        ) {
            self.reach(lowest, highest);
            self.below.normal += run.count;
            self.below.clear += run.clear;
        }
    }

    #[inline]
    fn reach(&mut self, lowest: RawScore, highest: RawScore) {
        for cut in &mut self.cuts {
            cut.reach(lowest, self.below);
        }
        self.min_max = Some(MinMax {
            min: self.min_max.map_or(lowest.value(), |range| range.min),
            max: highest.value(),
        });
    }

    pub fn finish(self) -> Summary {
        let auroc = self.rank_sum.finish();
        let decided = |cut: Cut| Decided::new(self.totals, cut.below().unwrap_or(self.below));
        Summary {
            totals: self.totals,
            auroc: auroc.map(|auroc| auroc.value),
            auroc_interval: auroc.ok().map(|auroc| auroc.interval),
            aupr: self.precisions.finish(),
            aupro: self.pro_area.finish(self.below),
            fpr_limit: self.fpr_limit,
            aupimo: self.pimo_area.finish(self.below),
            fpr_bounds: self.fpr_bounds,
            best_f1: self.best.finish(),
            min_max: self.min_max.ok_or(Undefined::Empty),
            decided: self.cuts.into_iter().map(decided).collect(),
            curves: self.curves.map(CurvePass::finish),
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
    pub aupr: Result<f64, Undefined>,
    /// Up to `fpr_limit`. Of images, each is a region of its own.
    pub aupro: Result<f64, Undefined>,
    pub fpr_limit: FprLimit,
    /// Mean over images with a defect, between `fpr_bounds`. Of images, each is one of a single pixel.
    pub aupimo: Result<f64, Undefined>,
    pub fpr_bounds: FprBounds,
    pub best_f1: Result<BestF1, Undefined>,
    pub min_max: Result<MinMax, Undefined>,
    /// In the order of the thresholds that were given.
    pub decided: Vec<Decided>,
    /// Where they were asked for.
    pub curves: Option<Curves>,
}

impl Summary {
    /// The summary of the same scores for another question, if this one knows it without another pass: all thresholds are
    /// the score with the best F1, limit and bounds are the same, and curves are there if they are asked for.
    pub fn at<'a>(&self, asked: impl Into<Asked<'a>>) -> Option<Self> {
        let asked = asked.into();
        let at = |threshold: &Threshold| {
            let best = self.best_f1.ok()?;
            (best.score.key() == threshold.key()).then_some(best.decided)
        };
        let decided = asked.thresholds.iter().map(at).collect::<Option<_>>()?;
        let rates = (self.fpr_limit, self.fpr_bounds);
        let has_curves = self.curves.is_some() || !asked.curves;
        (has_curves && rates == (asked.fpr_limit, asked.fpr_bounds)).then_some(Self {
            decided,
            ..self.clone()
        })
    }
}
