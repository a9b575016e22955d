//! AnomalyScoreDistribution: mean and standard deviation of the logarithms of normal scores, and the normalization `cdf` by them.
//!
//! A score x is standardized to z(x) = (ln x - mean) / std, and normalized to the standard normal distribution function of
//! z(x) - z(threshold), which is that of ln(x / threshold) / std: the mean cancels. Anomalib 0.x fits it to the scores of the
//! normal training images; 1.0 has the distribution still, and not the normalization.
//!
//! Anomalib 0.x has a distribution for every pixel of the map, and centres all of them at that of image scores. Here pixels have
//! one together, as they have one threshold.

#[cfg(test)]
mod tests;

use crate::{RawScore, Step, Threshold, Undefined};

/// Of the natural logarithms of normal scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreDistribution {
    pub mean: f64,
    /// Of a sample: the sum of squares is divided by one less than the number of scores.
    pub std: f64,
}

/// The moments so far; steps in ascending order give the same bits, however states were merged.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    count: u64,
    mean: f64,
    /// Sum of squared distances to the mean.
    squares: f64,
    /// Whether there is a score without a logarithm.
    out_of_range: bool,
}

impl Moments {
    #[inline]
    pub(crate) fn step(&mut self, step: Step) {
        if step.normal == 0 {
            return;
        }
        let score = f64::from(step.score.value());
        if score <= 0.0 {
            self.out_of_range = true;
            return;
        }
        // Chan, Golub and LeVeque's update by a group of equal values.
        let (before, group) = (self.count as f64, step.normal as f64);
        self.count += step.normal;
        let all = self.count as f64;
        let distance = score.ln() - self.mean;
        self.mean += distance * group / all;
        self.squares += distance * distance * before * group / all;
    }

    pub(crate) fn finish(self) -> Result<ScoreDistribution, Undefined> {
        if self.out_of_range {
            return Err(Undefined::NotPositive);
        }
        if self.count < 2 {
            return Err(Undefined::NoNormalItem);
        }
        let std = (self.squares / (self.count - 1) as f64).sqrt();
        Ok(ScoreDistribution {
            mean: self.mean,
            std,
        })
    }
}

impl ScoreDistribution {
    /// How many standard deviations the logarithm of a score is from the mean. Not finite for scores that have none, and for
    /// distributions without width.
    pub fn standardized(self, score: RawScore) -> f64 {
        (f64::from(score.value()).ln() - self.mean) / self.std
    }

    /// From 0 to 1, with 0.5 at the threshold, as [`normalize`](crate::normalize) does it by a range.
    ///
    /// For people and pictures only. What has no logarithm is the limit of what has: a score of 0 or less is 0 below a
    /// positive threshold, and above a threshold of 0 or less everything is 1, below it 0. So is everything that differs from the
    /// threshold where the distribution has no width. Never NaN.
    pub fn cdf(self, score: RawScore, threshold: Threshold) -> f32 {
        let (score, threshold) = (f64::from(score.value()), f64::from(threshold.value()));
        if score > 0.0 && threshold > 0.0 && self.std > 0.0 {
            // The quotient of two f32 is far from the ends of f64.
            let distance = (score / threshold).ln() / self.std;
            return (0.5 * libm::erfc(-distance / std::f64::consts::SQRT_2)) as f32;
        }
        match score.partial_cmp(&threshold) {
            Some(std::cmp::Ordering::Less) => 0.0,
            Some(std::cmp::Ordering::Greater) => 1.0,
            _ => 0.5,
        }
    }

    /// The raw score whose normalized value is what the standard normal distribution has below so many standard deviations.
    pub fn score_at(self, deviations: f64, threshold: Threshold) -> f32 {
        (f64::from(threshold.value()) * (deviations * self.std).exp()) as f32
    }
}
