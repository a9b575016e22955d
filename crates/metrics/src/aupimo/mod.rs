//! AUPIMO: the area under the curve of the per-image overlap (PIMO) over the shared false-positive rate, between two bounds.
//!
//! Every score that occurs is a threshold. A PIMO curve is of one image with a defect: the share of its defect pixels at or
//! above the threshold, over the mean, over all images *without* a defect, of the share of an image's pixels that are. So
//! all images share one x-axis, which no defect and nothing beside one touches; and as it is logarithmic and ends at small
//! rates (1e-5 to 1e-4), models are measured where nearly nothing of a good image is called defective. The area between the
//! bounds over the logarithm of the rate, divided by that of a perfect curve, is the image's AUPIMO; a run's is the mean
//! over images with a defect. Definition: Bertoldo, Ameln, Vaidya and Akçay, "AUPIMO: Redefining Visual Anomaly Detection
//! Benchmarks with High Speed and Low Tolerance", BMVC 2024.
//!
//! The points are joined by straight lines over the rate, from (0, 0) on, as in all curves here: scores without any
//! information get the paper's value of chance, (upper - lower) / ln(upper / lower), however they tie. An image's
//! curve is a sum over its defect pixels, and so is its area: of each pixel the share of the range of rates in which it is
//! found (`Window::share`). Hence the mean over images is one sum over all defect pixels of all states, without knowing
//! whose they are, and [`SharedFpr`] gives single images theirs from the scores of their defect pixels.
//!
//! Anomalib 2.7.0 sums trapezoids over the logarithm between thresholds at even distances, takes the thresholds
//! nearest to the bounds for these, leaves out the rate 0 without taking it off the divisor, and refuses fewer than 31
//! thresholds between the bounds. With ever more thresholds and normal pixels both go to the same number; a test shows
//! that the curves are the same.

mod mean;
mod shared_fpr;
#[cfg(test)]
mod tests;

pub(crate) use mean::MeanPimo;
pub use shared_fpr::{PimoPoint, SharedFpr};

use crate::ordered::Below;
use crate::{Overlap, Step, Totals, Undefined};

/// The false-positive rates between which the area lies: above 0, at most 1, the lower below the upper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FprBounds {
    lower: f64,
    upper: f64,
}

impl FprBounds {
    /// The paper's.
    pub const STANDARD: Self = Self {
        lower: 1e-5,
        upper: 1e-4,
    };

    /// The smallest lower bound: a state would need 10^12 pixels to tell rates so small from each other.
    pub const LEAST: f64 = 1e-12;

    /// `None` if they are not in order, or not from [`FprBounds::LEAST`] to 1.
    pub fn new(lower: f64, upper: f64) -> Option<Self> {
        (lower >= Self::LEAST && lower < upper && upper <= 1.0).then_some(Self { lower, upper })
    }

    /// As job files write them: the lower and the upper.
    pub fn of(rates: &[f64]) -> Option<Self> {
        match *rates {
            [lower, upper] => Self::new(lower, upper),
            _ => None,
        }
    }

    pub const fn lower(self) -> f64 {
        self.lower
    }

    pub const fn upper(self) -> f64 {
        self.upper
    }
}

impl Default for FprBounds {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// The range of rates over which is integrated.
#[derive(Debug, Clone, Copy)]
struct Window {
    bounds: FprBounds,
    /// Its length, in the logarithm.
    length: f64,
}

impl Window {
    fn new(bounds: FprBounds) -> Self {
        Self {
            bounds,
            length: (bounds.upper / bounds.lower).ln(),
        }
    }

    /// In how much of the range, by logarithm, a pixel is found whose score brings the rate from `above`, that of all higher
    /// scores, to `at`: not at all before the first, more and more between them, wholly after the second.
    fn share(&self, above: f64, at: f64) -> f64 {
        let FprBounds { lower, upper } = self.bounds;
        if above >= upper {
            return 0.0;
        }
        if at <= lower {
            return 1.0;
        }
        let (start, end) = (above.max(lower), at.min(upper));
        let rising = if start < end {
            rising(above, at, start, end)
        } else {
            0.0
        };
        let level = if at < upper { (upper / at).ln() } else { 0.0 };
        ((rising + level) / self.length).clamp(0.0, 1.0)
    }
}

/// The integral of (z - above) / (at - above) dz / z from start to end, which lie between `above` and `at`.
fn rising(above: f64, at: f64, start: f64, end: f64) -> f64 {
    let width = end - start;
    if width > 1e-3 * start {
        return (width - above * (end / start).ln()) / (at - above);
    }
    // The difference above would cancel. Simpson's rule is exact to 1e-16 for so short a piece.
    let found = |rate: f64| (rate - above) / (at - above) / rate;
    width / 6.0 * (found(start) + 4.0 * found(start + width / 2.0) + found(end))
}

/// The rate of images without a defect.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Shares of all their pixels.
    all: Overlap,
}

impl Rate {
    fn of(totals: Totals) -> Self {
        Self { all: totals.clear }
    }

    /// With so much of them below the threshold. Numbers only where there is such an image.
    #[inline]
    fn without(self, below: Overlap) -> f64 {
        let all = self.all.units();
        (all - below.units()) as f64 / all as f64
    }
}

/// Why there can be no value, whatever the scores are.
fn check(totals: Totals, bounds: FprBounds) -> Result<(), Undefined> {
    if totals.is_empty() {
        return Err(Undefined::Empty);
    }
    if totals.clear_pixels == 0 {
        return Err(Undefined::NoNormalImage);
    }
    let pixel = totals.clear_pixel().units() as f64 / totals.clear.units() as f64;
    if pixel > bounds.upper {
        return Err(Undefined::TooFewPixels);
    }
    Ok(())
}

/// The mean area so far, from rate 1 on downwards.
#[derive(Debug)]
pub(crate) struct PimoArea {
    totals: Totals,
    window: Window,
    rate: Rate,
    /// Where more than this is at or above a score, nothing counts yet: somewhat above the upper bound.
    beyond: Overlap,
    /// Shares of defects that are found in the whole range.
    whole: Overlap,
    /// Those found in a part of it, times this part, in the units of [`Overlap`].
    part: f64,
}

impl PimoArea {
    pub(crate) fn new(totals: Totals, bounds: FprBounds) -> Self {
        let beyond = (totals.clear.units() as f64 * bounds.upper * 1.001) as u128;
        Self {
            totals,
            window: Window::new(bounds),
            rate: Rate::of(totals),
            beyond: Overlap::from_units(beyond),
            whole: Overlap::default(),
            part: 0.0,
        }
    }

    /// Steps without an anomalous pixel can be left out: only defect pixels have an area.
    #[inline]
    pub(crate) fn step(&mut self, below: Below, step: Step) {
        let mut here = below.clear;
        here += step.clear;
        if self.totals.clear.units() - here.units() <= self.beyond.units() {
            self.found(below.clear, here, step.defect);
        }
    }

    fn found(&mut self, below: Overlap, here: Overlap, defect: Overlap) {
        if self.totals.clear_pixels == 0 {
            return;
        }
        let (above, at) = (self.rate.without(here), self.rate.without(below));
        let share = self.window.share(above, at);
        // Kept apart, so that a perfect model has exactly one.
        if share == 1.0 {
            self.whole += defect;
        } else {
            self.part += share * defect.units() as f64;
        }
    }

    /// Undefined without an image of each kind.
    pub(crate) fn finish(self, all: Below) -> Result<f64, Undefined> {
        check(self.totals, self.window.bounds)?;
        if self.totals.defective_images == 0 {
            return Err(Undefined::OneClass);
        }
        let area = (self.whole.units() as f64 + self.part) / all.defect.units() as f64;
        Ok(area.min(1.0))
    }
}
