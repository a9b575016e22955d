//! AUPRO: the area under the curve of the per-region overlap (PRO) over the false-positive rate, up to a limit.
//!
//! Every score that occurs is a threshold. PRO is the mean over all defect regions ([`Regions`](crate::Regions)) of the
//! share of a region's pixels at or above it, so that a small defect weighs as much as a large one; the false-positive rate
//! is the share of all normal pixels that are. The points are joined by straight lines, from (0, 0) to (1, 1); the area from
//! rate 0 to the limit, where the last line is cut, is divided by the limit. Definition: Bergmann, Batzner, Fauser,
//! Sattlegger and Steger, "The MVTec Anomaly Detection Dataset", International Journal of Computer Vision 129 (2021),
//! with its limit of 0.3.
//!
//! Shares of regions are added as integers ([`Overlap`](crate::Overlap)), so that order and grouping change nothing.
//! Anomalib 1.0.1 resamples each region's curve, which differs, and gives NaN where no threshold has a rate below the limit.

#[cfg(test)]
mod tests;

use crate::ordered::Below;
use crate::{Step, Totals, Undefined};

/// The false-positive rate at which the area ends: above 0, at most 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FprLimit(f64);

impl FprLimit {
    /// The paper's.
    pub const STANDARD: Self = Self(0.3);

    /// `None` if it is not above 0 and at most 1.
    pub fn new(rate: f64) -> Option<Self> {
        (rate > 0.0 && rate <= 1.0).then_some(Self(rate))
    }

    pub const fn rate(self) -> f64 {
        self.0
    }
}

impl Default for FprLimit {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// The area so far, from rate 1 on downwards.
#[derive(Debug)]
pub(crate) struct ProArea {
    totals: Totals,
    /// The limit as a number of normal pixels.
    limit: f64,
    /// The curve is followed to here, where normal pixels at or above the score and the overlap were so much.
    normal: u64,
    pro: f64,
    /// In units of one normal pixel's rate.
    area: f64,
}

impl ProArea {
    pub(crate) fn new(totals: Totals, limit: FprLimit) -> Self {
        Self {
            totals,
            limit: limit.0 * totals.normal as f64,
            normal: totals.normal,
            pro: 1.0,
            area: 0.0,
        }
    }

    /// Steps without an anomalous pixel can be left out: the next one, or the end, finds a level line up to there.
    #[inline]
    pub(crate) fn step(&mut self, below: Below, step: Step) {
        let mut above = below;
        above.add(step);
        // A point at every anomalous step and one just before, whatever normal steps there were, so that the sum does not
        // depend on how those were given.
        self.line_to(below);
        self.line_to(above);
    }

    #[inline]
    fn line_to(&mut self, below: Below) {
        let normal = self.totals.normal - below.normal;
        let pro = 1.0 - below.overlap.mean(self.totals.regions);
        let (left, mut right) = (normal as f64, self.normal as f64);
        let mut high = self.pro;
        if left < self.limit {
            if right > self.limit {
                high = pro + (high - pro) * (self.limit - left) / (right - left);
                right = self.limit;
            }
            self.area += (right - left) * (high + pro) / 2.0;
        }
        (self.normal, self.pro) = (normal, pro);
    }

    /// Undefined without a normal pixel or without a region.
    pub(crate) fn finish(mut self, all: Below) -> Result<f64, Undefined> {
        if self.totals.is_empty() {
            return Err(Undefined::Empty);
        }
        if self.totals.normal == 0 || self.totals.regions == 0 {
            return Err(Undefined::OneClass);
        }
        self.line_to(all);
        // Rounding of the sum must not lift a perfect score above one.
        Ok((self.area / self.limit).min(1.0))
    }
}
