//! Thresholds, each with the split that chose it.

use crate::{NotFinite, RawScore};

/// Which part of a dataset scores come from. A value chosen on `Test` and reported on `Test` is selected on test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SplitRole {
    Train,
    Validation,
    Test,
}

impl SplitRole {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Train, Self::Validation, Self::Test]
            .into_iter()
            .find(|role| role.word() == word)
    }
}

/// Where a threshold comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The job or the user gave it.
    Manual,
    /// Computed from the scores of this split.
    ChosenOn(SplitRole),
    /// It came with a model file that does not say: of the images that are measured, for all that is known.
    Unknown,
}

impl Origin {
    /// `manual`, `unknown`, or the split's word: what the column `threshold_split` holds.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::ChosenOn(split) => split.word(),
            Self::Unknown => "unknown",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "manual" => Some(Self::Manual),
            "unknown" => Some(Self::Unknown),
            _ => SplitRole::from_word(word).map(Self::ChosenOn),
        }
    }
}

/// A raw score at and above which an item is anomalous; there is none without an origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    value: RawScore,
    origin: Origin,
}

impl Threshold {
    pub const fn new(value: RawScore, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// Reads back a stored threshold.
    pub fn restore(value: f32, origin: Origin) -> Result<Self, NotFinite> {
        Ok(Self {
            value: RawScore::new(value)?,
            origin,
        })
    }

    pub const fn value(self) -> f32 {
        self.value.value()
    }

    pub const fn origin(self) -> Origin {
        self.origin
    }

    /// The one place that decides: at the threshold is anomalous.
    pub fn is_anomalous(self, score: RawScore) -> bool {
        score.value() >= self.value()
    }

    /// Whether numbers at this threshold, measured on `split`, are free of having chosen it there.
    pub fn is_independent_of(self, split: SplitRole) -> bool {
        self.origin != Origin::ChosenOn(split) && self.origin != Origin::Unknown
    }

    pub(crate) fn key(self) -> u32 {
        self.value.key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_at_the_threshold_is_anomalous() {
        let threshold = Threshold::restore(0.5, Origin::Manual).unwrap();
        let decide = |v: f32| threshold.is_anomalous(RawScore::new(v).unwrap());
        assert_eq!(
            [decide(0.49), decide(0.5), decide(0.51)],
            [false, true, true]
        );
    }

    #[test]
    fn origins_go_to_words_and_back() {
        for split in [SplitRole::Train, SplitRole::Validation, SplitRole::Test] {
            let origin = Origin::ChosenOn(split);
            assert_eq!(Origin::from_word(origin.word()), Some(origin));
        }
        assert_eq!(Origin::from_word("manual"), Some(Origin::Manual));
        assert_eq!(Origin::from_word("Test"), None);
    }

    #[test]
    fn what_was_chosen_nobody_knows_where_is_independent_of_nothing() {
        let unknown = Threshold::restore(1.0, Origin::Unknown).unwrap();
        assert!(!unknown.is_independent_of(SplitRole::Test));
        assert_eq!(Origin::from_word("unknown"), Some(Origin::Unknown));
        assert_eq!(Origin::Unknown.word(), "unknown");
    }

    #[test]
    fn a_threshold_chosen_on_test_is_not_independent_of_test() {
        let chosen = Threshold::restore(1.0, Origin::ChosenOn(SplitRole::Test)).unwrap();
        assert!(!chosen.is_independent_of(SplitRole::Test));
        assert!(chosen.is_independent_of(SplitRole::Validation));
        assert!(
            Threshold::restore(1.0, Origin::Manual)
                .unwrap()
                .is_independent_of(SplitRole::Test)
        );
        assert!(Threshold::restore(f32::NAN, Origin::Manual).is_err());
    }
}
