//! New thresholds for a job that has ended: its raw scores are decided anew, and nothing is scored again.

use serde::{Deserialize, Serialize};

use crate::{
    resolved::{MetricsSpec, ThresholdSpec},
    strict::check_threshold,
};

/// What decides from now on; a level without one keeps what it has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rethreshold {
    pub image: Option<ThresholdSpec>,
    pub pixel: Option<ThresholdSpec>,
}

impl Rethreshold {
    /// What is wrong with it, for people.
    pub fn check(&self) -> Result<(), String> {
        let given = [self.image, self.pixel];
        if given == [None, None] {
            return Err("there is no threshold in it".to_owned());
        }
        given.into_iter().flatten().try_for_each(|threshold| {
            if threshold == ThresholdSpec::Package {
                return Err("a package's threshold is what such a job has to begin with".to_owned());
            }
            check_threshold(threshold)
        })
    }

    /// Whether it needs no scores to choose by.
    pub fn is_given(&self) -> bool {
        let mut given = [self.image, self.pixel].into_iter().flatten();
        given.all(|threshold| matches!(threshold, ThresholdSpec::Manual { .. }))
    }

    /// Both, where they speak of the same level this one.
    pub fn over(self, earlier: Self) -> Self {
        Self {
            image: self.image.or(earlier.image),
            pixel: self.pixel.or(earlier.pixel),
        }
    }

    pub fn apply(self, metrics: &mut MetricsSpec) {
        metrics.image_threshold = self.image.unwrap_or(metrics.image_threshold);
        metrics.pixel_threshold = self.pixel.unwrap_or(metrics.pixel_threshold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(threshold: ThresholdSpec) -> Rethreshold {
        Rethreshold {
            image: Some(threshold),
            pixel: None,
        }
    }

    #[test]
    fn what_is_chosen_is_not_given() {
        let manual = ThresholdSpec::Manual { value: 2.0 };
        assert!(image(manual).is_given());
        for chosen in [
            ThresholdSpec::F1Adaptive,
            ThresholdSpec::FalsePositiveRate { rate: 0.0 },
        ] {
            assert!(!image(chosen).is_given(), "{chosen:?}");
            let pixel = Rethreshold {
                pixel: Some(chosen),
                ..image(manual)
            };
            assert!(!pixel.is_given(), "{chosen:?}");
        }
    }

    #[test]
    fn what_cannot_decide_is_refused() {
        let manual = |value| ThresholdSpec::Manual { value };
        let rate = |rate| ThresholdSpec::FalsePositiveRate { rate };
        for right in [
            ThresholdSpec::F1Adaptive,
            manual(-3.5),
            rate(0.0),
            rate(0.5),
        ] {
            assert_eq!(image(right).check(), Ok(()), "{right:?}");
        }
        let wrong = [
            manual(f64::NAN),
            manual(f64::INFINITY),
            manual(1e300),
            rate(-0.1),
            rate(0.6),
            rate(f64::NAN),
            ThresholdSpec::Package,
        ];
        for wrong in wrong {
            assert!(image(wrong).check().is_err(), "{wrong:?}");
        }
        let nothing = Rethreshold {
            image: None,
            pixel: None,
        };
        assert!(nothing.check().is_err());
    }

    #[test]
    fn a_level_without_a_new_one_keeps_what_it_has() {
        let both = Rethreshold {
            image: Some(ThresholdSpec::F1Adaptive),
            pixel: Some(ThresholdSpec::Manual { value: 2.0 }),
        };
        let new = image(ThresholdSpec::Manual { value: 1.0 }).over(both);
        assert_eq!(new.image, Some(ThresholdSpec::Manual { value: 1.0 }));
        assert_eq!(new.pixel, both.pixel);
    }
}
