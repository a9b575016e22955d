//! The x-axis that all PIMO curves share, and the curves of single images over it.

use super::{FprBounds, Rate, Window, check};
use crate::{Overlap, RawScores, Step, Totals, Undefined, score};

/// A point of a PIMO curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PimoPoint {
    /// Mean over images without a defect of the share of their pixels at or above a score.
    pub shared_fpr: f64,
    /// Share of the image's defect pixels that are.
    pub tpr: f64,
}

/// The rates of all scores at which fewer normal pixels are found than the upper bound allows: few of a state's scores.
#[derive(Debug, Clone)]
pub struct SharedFpr {
    totals: Totals,
    window: Window,
    rate: Rate,
    below: Overlap,
    /// Ascending; the rate below the lowest is at least that of the lowest, and none counts there.
    steps: Vec<RateStep>,
}

#[derive(Debug, Clone, Copy)]
struct RateStep {
    key: u32,
    /// Of this score and all higher ones.
    at: f64,
}

impl SharedFpr {
    pub(crate) fn new(totals: Totals, bounds: FprBounds) -> Self {
        Self {
            totals,
            window: Window::new(bounds),
            rate: Rate::of(totals),
            below: Overlap::default(),
            steps: Vec::new(),
        }
    }

    /// Takes all steps in ascending order.
    pub(crate) fn step(&mut self, step: Step) {
        if step.clear == Overlap::default() {
            return;
        }
        let at = self.rate.without(self.below);
        self.below += step.clear;
        if self.rate.without(self.below) < self.window.bounds.upper() {
            let key = step.score.key();
            self.steps.push(RateStep { key, at });
        }
    }

    pub(crate) fn finish(self) -> Result<Self, Undefined> {
        check(self.totals, self.window.bounds)?;
        Ok(self)
    }

    pub fn bounds(&self) -> FprBounds {
        self.window.bounds
    }

    /// AUPIMO of one image, of the raw scores of its defect's pixels ([`Regions::of_defect`](crate::Regions::of_defect)) in
    /// any order. The mean over images with a defect is the number of the whole state. Undefined without a pixel.
    pub fn aupimo(&self, defect: RawScores) -> Result<f64, Undefined> {
        let keys = sorted(defect)?;
        let (mut whole, mut part) = (0_u64, 0.0);
        for &key in &keys {
            let (above, at) = self.rates(key);
            let share = self.window.share(above, at);
            if share == 1.0 {
                whole += 1;
            } else {
                part += share;
            }
        }
        Ok(((whole as f64 + part) / keys.len() as f64).min(1.0))
    }

    /// The curve of one image between the bounds, both included: points to be joined by straight lines over the rate.
    pub fn pimo(&self, defect: RawScores) -> Result<Vec<PimoPoint>, Undefined> {
        let keys = sorted(defect)?;
        let FprBounds { lower, upper } = self.window.bounds;
        let point = |shared_fpr, found: usize| PimoPoint {
            shared_fpr,
            tpr: found as f64 / keys.len() as f64,
        };
        let (mut points, mut last) = (Vec::new(), point(0.0, 0));
        let (mut pixels, mut steps) = (keys.as_slice(), self.steps.iter().rev().peekable());
        // Below the lowest step, whose rate is at least the upper bound, nothing counts.
        while let Some(step) = steps.peek() {
            let key = pixels.last().map_or(step.key, |&pixel| pixel.max(step.key));
            while let [lower @ .., pixel] = pixels
                && *pixel == key
            {
                pixels = lower;
            }
            let step = steps.next_if(|step| step.key == key);
            let shared_fpr = step.map_or(last.shared_fpr, |step| step.at);
            let next = point(shared_fpr, keys.len() - pixels.len());
            if last.shared_fpr < lower && lower < next.shared_fpr {
                points.push(between(last, next, lower));
            }
            if next.shared_fpr >= upper {
                points.push(between(last, next, upper));
                break;
            }
            if next.shared_fpr >= lower {
                points.push(next);
            }
            last = next;
        }
        Ok(points)
    }

    /// Of all scores above this one, and of these and itself.
    fn rates(&self, key: u32) -> (f64, f64) {
        let first = self.steps.partition_point(|step| step.key < key);
        let at = |step: usize| self.steps.get(step).map_or(0.0, |step| step.at);
        let is_step = self.steps.get(first).is_some_and(|step| step.key == key);
        (at(first + usize::from(is_step)), at(first))
    }
}

/// The point on the line between two, at a rate between theirs.
fn between(from: PimoPoint, to: PimoPoint, shared_fpr: f64) -> PimoPoint {
    let share = (shared_fpr - from.shared_fpr) / (to.shared_fpr - from.shared_fpr);
    let tpr = from.tpr + share * (to.tpr - from.tpr);
    PimoPoint { shared_fpr, tpr }
}

/// In order, so that a sum over them does not depend on how the pixels came.
fn sorted(defect: RawScores) -> Result<Vec<u32>, Undefined> {
    let mut keys: Vec<u32> = defect.values().iter().map(|&one| score::key(one)).collect();
    crate::radix::sort(&mut keys);
    if keys.is_empty() {
        return Err(Undefined::OneClass);
    }
    Ok(keys)
}
