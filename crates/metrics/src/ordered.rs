//! Scores in ascending order, as steps of integer counts.

use crate::{Overlap, RawScore};

/// How many items of each class a state holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub normal: u64,
    pub anomalous: u64,
    /// Defect regions to which the anomalous items belong; an image is one of its own.
    pub regions: u64,
}

impl Totals {
    /// `None` if there are more than a `u64` can count.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            normal: self.normal.checked_add(other.normal)?,
            anomalous: self.anomalous.checked_add(other.anomalous)?,
            regions: self.regions.checked_add(other.regions)?,
        })
    }

    pub fn is_empty(self) -> bool {
        self.normal == 0 && self.anomalous == 0
    }
}

/// All items that share one score. At least one of the counts is positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub score: RawScore,
    pub normal: u64,
    pub anomalous: u64,
    /// The anomalous items' shares of their regions.
    pub overlap: Overlap,
}

/// All items below a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Below {
    pub normal: u64,
    pub anomalous: u64,
    pub overlap: Overlap,
}

impl Below {
    #[inline]
    pub(crate) fn add(&mut self, step: Step) {
        self.normal += step.normal;
        self.anomalous += step.anomalous;
        self.overlap += step.overlap;
    }

    /// `None` if there are more than integers can count.
    pub(crate) fn checked_add(self, step: Step) -> Option<Self> {
        Some(Self {
            normal: self.normal.checked_add(step.normal)?,
            anomalous: self.anomalous.checked_add(step.anomalous)?,
            overlap: self.overlap.checked_add(step.overlap)?,
        })
    }
}
