//! Scores in ascending order, as steps of integer counts.

use crate::RawScore;

/// How many items of each class a state holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub normal: u64,
    pub anomalous: u64,
}

impl Totals {
    /// `None` if there are more than a `u64` can count.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            normal: self.normal.checked_add(other.normal)?,
            anomalous: self.anomalous.checked_add(other.anomalous)?,
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
}
