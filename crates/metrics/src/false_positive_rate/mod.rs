//! FalsePositiveRate: the lowest threshold that at most a given share of the normal items reaches.
//!
//! Of n normal items so many may lie at or above it as their share of n is at most the rate, both rounded as numbers are: k.
//! So it is the next number above the (k+1)-th highest of their scores; of items that tie there none reaches it. Anomalous
//! items have no part in it.
//!
//! How sure that is: with n independent normal items of which the threshold is made, the true rate is at most the 95 % quantile
//! of the distribution Beta(k + 1, n - k), whatever the scores' distribution (Wilks, "Determination of sample sizes for setting
//! tolerance limits", Annals of Mathematical Statistics 12 (1941)). That is the one-sided limit of Clopper and Pearson for k of n
//! ("The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26 (1934)), and it holds
//! although the same items chose the threshold. Ties make it only safer.

#[cfg(test)]
mod tests;

use crate::{Origin, RawScore, SplitRole, Step, Threshold, Totals, Undefined};

/// From 0 to a half: more than that is no threshold for anomalies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FalsePositiveRate(f64);

/// How often the limit on the true rate is right.
const SURE: f64 = 0.95;

impl FalsePositiveRate {
    pub(crate) const HIGHEST: f64 = 0.5;

    /// `None` if it is not from 0 to a half.
    pub fn new(rate: f64) -> Option<Self> {
        (0.0..=Self::HIGHEST).contains(&rate).then_some(Self(rate))
    }

    pub const fn rate(self) -> f64 {
        self.0
    }

    /// The largest number whose share of `normal` is at most the rate: of 10 and the rate 0.3 it is 3, although the number
    /// that stands for 0.3 is a little less.
    fn allowed(self, normal: u64) -> u64 {
        let fits = |count: u64| count as f64 / normal as f64 <= self.0;
        let near = (self.0 * normal as f64) as u64;
        let mut allowed = near + 1;
        while allowed > 0 && !fits(allowed) {
            allowed -= 1;
        }
        allowed
    }

    /// Normal items without which one of them at or above the threshold is more than the rate; none for the rate 0.
    pub fn needs(self) -> Option<u64> {
        if self.0 == 0.0 {
            return None;
        }
        let mut needed = (1.0 / self.0).ceil() as u64;
        while needed > 1 && self.allowed(needed - 1) > 0 {
            needed -= 1;
        }
        Some(needed)
    }
}

/// The threshold for a rate, and what it stands on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtRate {
    pub rate: FalsePositiveRate,
    pub score: RawScore,
    /// Normal items at or above it.
    pub at_or_above: u64,
    /// Normal items that may be.
    pub allowed: u64,
    pub normal: u64,
}

impl AtRate {
    /// The split is that of the scores, and stays with the value.
    pub fn threshold(self, split: SplitRole) -> Threshold {
        Threshold::new(self.score, Origin::ChosenOn(split))
    }

    /// What the true rate is at most, 95 % sure; for independent items, such as images and not pixels.
    pub fn true_rate_at_most(self) -> f64 {
        upper_limit(self.allowed, self.normal)
    }

    /// Whether there are enough normal items for the rate to differ from 0.
    pub fn is_supported(self) -> bool {
        self.rate.0 == 0.0 || self.allowed > 0
    }
}

/// Looks for the highest normal score that may not reach the threshold.
#[derive(Debug)]
pub(crate) struct Search {
    rate: FalsePositiveRate,
    normal: u64,
    allowed: u64,
    below: u64,
    /// That score, and the normal items above it.
    found: Option<(RawScore, u64)>,
}

impl Search {
    /// `totals` must be those of all steps that will come.
    pub(crate) fn new(totals: Totals, rate: FalsePositiveRate) -> Self {
        Self {
            rate,
            normal: totals.normal,
            allowed: rate.allowed(totals.normal),
            below: 0,
            found: None,
        }
    }

    /// Takes all steps in ascending order.
    #[inline]
    pub(crate) fn step(&mut self, step: Step) {
        self.below += step.normal;
        if self.found.is_none() && self.below + self.allowed >= self.normal && step.normal > 0 {
            self.found = Some((step.score, self.normal.saturating_sub(self.below)));
        }
    }

    pub(crate) fn finish(self) -> Result<AtRate, Undefined> {
        let (highest, at_or_above) = self.found.ok_or(Undefined::NoNormalItem)?;
        Ok(AtRate {
            rate: self.rate,
            score: highest.next_above().ok_or(Undefined::NoThreshold)?,
            at_or_above,
            allowed: self.allowed,
            normal: self.normal,
        })
    }
}

/// The rate at which `count` or fewer of `items` come in 5 of 100 cases; at any higher one more seldom.
fn upper_limit(count: u64, items: u64) -> f64 {
    if count >= items {
        return 1.0;
    }
    let ln_choose: f64 = (1..=count)
        .map(|i| ((items - count + i) as f64 / i as f64).ln())
        .sum();
    let at_most_count = |rate: f64| {
        let (count, items) = (count as f64, items as f64);
        // From the largest term down: each is the one before by a ratio that only shrinks.
        let odds = (1.0 - rate) / rate;
        let mut term = (ln_choose + count * rate.ln() + (items - count) * (-rate).ln_1p()).exp();
        let (mut sum, mut i) = (term, count);
        while i > 0.0 && term > sum * f64::EPSILON {
            term *= i / (items - i + 1.0) * odds;
            sum += term;
            i -= 1.0;
        }
        sum
    };
    let (mut low, mut high) = (count as f64 / items as f64, 1.0);
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if at_most_count(middle) > 1.0 - SURE {
            low = middle;
        } else {
            high = middle;
        }
    }
}
