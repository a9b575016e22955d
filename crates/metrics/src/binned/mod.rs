//! AUROC, AUPR and AUPRO of pixels in one pass and little memory, with how far off they can be.
//!
//! Scores that agree in sign, exponent and the leading ten bits of the mantissa are one bin, and count as ties: so no range has to be
//! known before, and a bin is at most a thousandth of its score wide. What the exact numbers can be follows from the bins
//! alone: of a bin it is known how many items of each class it has, and nothing of their order. The curves are between the corners of
//! each bin's rectangle, in which they rise.

#[cfg(test)]
mod tests;

use crate::aupr::Precisions;
use crate::aupro::{FprLimit, ProArea};
use crate::auroc::RankSum;
use crate::ordered::Below;
use crate::{Overlap, RawScore, RawScores, Regions, Step, Totals, Undefined, score};

/// Bits of a score's key that make no difference.
const DROPPED_BITS: u32 = 13;
const BINS: usize = 1 << (u32::BITS - DROPPED_BITS);

/// How many pixels of each class every bin has. Sixteen MiB at most, of which only what scores touch is resident.
#[derive(Debug, Clone)]
pub struct BinnedCounts {
    normal: Vec<u64>,
    anomalous: Vec<u64>,
    /// Shares of their regions, of the anomalous ones.
    overlap: Vec<Overlap>,
    regions: u64,
}

/// A number of binned scores, and between which ends that of the exact scores lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Bounded {
    /// What the exact number can differ by.
    pub fn error(self) -> f64 {
        (self.high - self.value).max(self.value - self.low)
    }

    fn new(value: f64, low: f64, high: f64) -> Self {
        // Each is a sum of its own, rounded on its way.
        Self {
            value,
            low: low.min(value).max(0.0),
            high: high.max(value).min(1.0),
        }
    }
}

/// Of one state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Binned {
    pub auroc: Result<Bounded, Undefined>,
    pub aupr: Result<Bounded, Undefined>,
    pub aupro: Result<Bounded, Undefined>,
}

impl Default for BinnedCounts {
    fn default() -> Self {
        Self {
            normal: vec![0; BINS],
            anomalous: vec![0; BINS],
            overlap: vec![Overlap::default(); BINS],
            regions: 0,
        }
    }
}

#[inline(always)]
fn bin(score: f32) -> usize {
    (score::key(score) >> DROPPED_BITS) as usize
}

impl BinnedCounts {
    /// Counts the pixels of a map; those of its mask's regions are anomalous.
    ///
    /// # Panics
    /// If the sizes differ: the caller has resized the mask to the map.
    pub fn observe_map(&mut self, scores: RawScores, regions: &Regions) {
        let values = scores.values();
        assert_eq!(
            values.len(),
            regions.pixels(),
            "a mask of another size than its map"
        );
        let mut clear = 0;
        for run in regions.runs() {
            self.count_normal(&values[clear..run.start]);
            let share = Overlap::of_pixel(regions.areas()[run.region as usize]);
            for &score in &values[run.start..run.end] {
                let bin = bin(score);
                self.anomalous[bin] += 1;
                self.overlap[bin] += share;
            }
            clear = run.end;
        }
        self.count_normal(&values[clear..]);
        self.regions += regions.count();
    }

    fn count_normal(&mut self, scores: &[f32]) {
        for &score in scores {
            self.normal[bin(score)] += 1;
        }
    }

    /// Adds all pixels of another state.
    pub fn merge(&mut self, other: &Self) {
        let add = |to: &mut [u64], from: &[u64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        add(&mut self.normal, &other.normal);
        add(&mut self.anomalous, &other.anomalous);
        for (to, from) in self.overlap.iter_mut().zip(&other.overlap) {
            *to += *from;
        }
        self.regions += other.regions;
    }

    /// Bins with something in them, ascending.
    fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        let step = |bin: usize| Step {
            normal: self.normal[bin],
            anomalous: self.anomalous[bin],
            overlap: self.overlap[bin],
            // What is summed here asks for order and counts alone.
            ..Step::empty(RawScore::ZERO)
        };
        (0..BINS)
            .filter(|&bin| self.normal[bin] > 0 || self.anomalous[bin] > 0)
            .map(step)
    }

    /// AUPRO up to the limit.
    pub fn finish(&self, limit: FprLimit) -> Binned {
        let totals = Totals {
            normal: self.normal.iter().sum(),
            anomalous: self.anomalous.iter().sum(),
            regions: self.regions,
            ..Totals::default()
        };
        let mut rank_sum = RankSum::new(totals);
        let mut precisions = Precisions::new(totals);
        let mut pro_area = ProArea::new(totals, limit);
        let (mut below, mut bounds) = (Below::default(), Bounds::new(totals, limit));
        for step in self.steps() {
            if step.anomalous > 0 {
                rank_sum.step(below, step);
                precisions.step(below, step);
                pro_area.step(below, step);
            }
            bounds.step(below, step);
            below.add(step);
        }
        Binned {
            auroc: rank_sum.finish().map(|found| bounds.auroc(found.value)),
            aupr: precisions.finish().map(|found| bounds.aupr(found)),
            aupro: pro_area.finish(below).map(|found| bounds.aupro(found)),
        }
    }
}

/// What the order within bins leaves open, so far, from the lowest score on.
struct Bounds {
    totals: Totals,
    /// The limit as a number of normal pixels.
    limit: f64,
    /// Pairs of a normal and an anomalous pixel in one bin.
    open_pairs: u128,
    /// Areas below the lower and the upper corners: of AUPR in units of an anomalous pixel's recall.
    precision: [f64; 2],
    /// Of AUPRO in units of a normal pixel's rate.
    pro: [f64; 2],
}

impl Bounds {
    fn new(totals: Totals, limit: FprLimit) -> Self {
        Self {
            totals,
            limit: limit.rate() * totals.normal as f64,
            open_pairs: 0,
            precision: [0.0; 2],
            pro: [0.0; 2],
        }
    }

    fn step(&mut self, below: Below, step: Step) {
        let mut above = below;
        above.add(step);
        self.open_pairs += u128::from(step.normal) * u128::from(step.anomalous);
        // At or above the bin, and above it alone.
        let normal = [below, above].map(|side| self.totals.normal - side.normal);
        let found = [below, above].map(|side| self.totals.anomalous - side.anomalous);
        if step.anomalous > 0 {
            let precision = |found: u64, normal: u64| match found + normal {
                0 => 1.0,
                all => found as f64 / all as f64,
            };
            let recall = step.anomalous as f64;
            self.precision[0] += recall * precision(found[1], normal[0]);
            self.precision[1] += recall * precision(found[0], normal[1]);
        }
        let [right, left] = normal.map(|normal| (normal as f64).min(self.limit));
        let overlap = |side: Below| 1.0 - side.overlap.mean(self.totals.regions.max(1));
        self.pro[0] += (right - left) * overlap(above);
        self.pro[1] += (right - left) * overlap(below);
    }

    fn auroc(&self, value: f64) -> Bounded {
        let pairs = u128::from(self.totals.normal) * u128::from(self.totals.anomalous);
        // Ties count half.
        let open = self.open_pairs as f64 / pairs as f64 / 2.0;
        Bounded::new(value, value - open, value + open)
    }

    fn aupr(&self, value: f64) -> Bounded {
        let [low, high] = self
            .precision
            .map(|area| area / self.totals.anomalous as f64);
        Bounded::new(value, low, high)
    }

    fn aupro(&self, value: f64) -> Bounded {
        let [low, high] = self.pro.map(|area| area / self.limit);
        Bounded::new(value, low, high)
    }
}
