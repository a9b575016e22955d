//! Successive halving: many points with little, the best of them with more, one rung after the other.

use serde::{Deserialize, Serialize};

/// What a point gets at first, and how it grows from rung to rung (Jamieson, Talwalkar 2016).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Halving {
    /// Share of the whole that the first rung gets; above 0, at most 1.
    pub min: f64,
    /// Each rung keeps one in so many, and gives it so many times as much; at least 2.
    pub factor: u32,
}

/// A rung: its trials follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rung {
    pub first: usize,
    pub trials: usize,
    /// Share of the whole; 1 of the last.
    pub share: f64,
}

/// More rungs than this tell nothing.
const MOST_RUNGS: u32 = 32;

impl Halving {
    /// The rungs that `trials` trials make: the last gets everything, and as many begin as leave at least one there.
    pub(crate) fn rungs(&self, trials: u32) -> Vec<Rung> {
        let factor = u64::from(self.factor.max(2));
        let mut count = 1;
        let mut share = self.min;
        while share * (factor as f64) <= 1.0 + 1e-9 && count < MOST_RUNGS {
            share *= factor as f64;
            count += 1;
        }
        // With fewer trials than rungs the first rungs are left out.
        let count = count.min(trials.max(1));
        let sizes =
            |first: u64| (0..count).map(move |rung| (first / factor.saturating_pow(rung)).max(1));
        let total = |first: u64| sizes(first).sum::<u64>();
        let (mut low, mut high) = (1, u64::from(trials.max(1)));
        while low < high {
            let middle = (low + high).div_ceil(2);
            if total(middle) <= u64::from(trials.max(1)) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        let mut first = 0;
        let mut rungs = Vec::new();
        for (rung, size) in (0..count).zip(sizes(low)) {
            let below_top = (count - 1 - rung) as i32;
            rungs.push(Rung {
                first,
                trials: size as usize,
                share: libm::pow(factor as f64, -f64::from(below_top)),
            });
            first += size as usize;
        }
        rungs
    }
}
