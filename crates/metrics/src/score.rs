//! Raw scores, and their order as integers.

/// A model's own score, as it left the model: finite, never normalized, never clamped.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct RawScore(f32);

/// A score that is NaN or infinite: the model or its input is broken, and no rank would be right.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("score {value} at position {index} is not finite")]
pub struct NotFinite {
    pub value: f32,
    /// Position in the slice that was given; 0 for a single score.
    pub index: usize,
}

impl RawScore {
    pub(crate) const ZERO: Self = Self(0.0);

    pub fn new(value: f32) -> Result<Self, NotFinite> {
        if value.is_finite() {
            Ok(Self(value))
        } else {
            Err(NotFinite { value, index: 0 })
        }
    }

    pub const fn value(self) -> f32 {
        self.0
    }

    /// Ascending integers for ascending scores; both zeros are one key.
    pub(crate) fn key(self) -> u32 {
        key(self.0)
    }

    /// The lowest score that is higher; none above the highest of all.
    pub(crate) fn next_above(self) -> Option<Self> {
        // Above the highest negative number is +0.0, as -0.0 ties with it.
        Self::new(self.0.next_up() + 0.0).ok()
    }

    /// `None` for a key of no finite score (only damaged bytes have one).
    pub(crate) fn from_key(key: u32) -> Option<Self> {
        // Undoes `key`: a set top bit means a non-negative number.
        let bits = if key >> 31 == 1 {
            key ^ 0x8000_0000
        } else {
            !key
        };
        let value = f32::from_bits(bits);
        (value.is_finite() && bits != 0x8000_0000).then_some(Self(value))
    }
}

/// Flips the sign bit of positive floats and all bits of negative ones, which orders them as unsigned integers.
pub(crate) fn key(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits(); // -0.0 + 0.0 is +0.0, so that the zeros tie
    bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000)
}

/// Many raw scores, checked together: an anomaly map, or a batch of image scores.
#[derive(Debug, Clone, Copy)]
pub struct RawScores<'a>(&'a [f32]);

impl<'a> RawScores<'a> {
    pub fn new(values: &'a [f32]) -> Result<Self, NotFinite> {
        // Without a branch an item.
        let infinite = |value: &f32| !value.is_finite();
        if !values
            .iter()
            .fold(false, |any, value| any | infinite(value))
        {
            return Ok(Self(values));
        }
        let index = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
        Err(NotFinite {
            value: values[index],
            index,
        })
    }

    pub fn values(self) -> &'a [f32] {
        self.0
    }

    pub fn iter(self) -> impl Iterator<Item = RawScore> + 'a {
        self.0.iter().map(|&value| RawScore(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_with_scores_and_come_back() {
        let ascending = [
            f32::MIN,
            -1.5,
            -1.0,
            -f32::MIN_POSITIVE,
            -1e-45,
            0.0,
            1e-45,
            0.5,
            1.0,
            f32::MAX,
        ];
        for pair in ascending.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
        }
        for value in ascending {
            assert_eq!(RawScore::from_key(key(value)), Some(RawScore(value)));
        }
        assert_eq!(key(-0.0), key(0.0));
        for damaged in [
            0,
            u32::MAX,
            key(f32::INFINITY),
            key(f32::NEG_INFINITY),
            0x7fff_ffff,
        ] {
            assert_eq!(RawScore::from_key(damaged), None, "{damaged:#x}");
        }
    }

    #[test]
    fn a_score_that_is_not_finite_is_named_with_its_position() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(RawScore::new(bad).is_err());
            let error = RawScores::new(&[0.0, 1.0, bad, 2.0]).unwrap_err();
            assert_eq!(error.index, 2);
            assert!(error.to_string().contains("position 2"), "{error}");
        }
        assert!(RawScores::new(&[f32::MAX, f32::MAX, f32::MIN]).is_ok());
        assert!(RawScores::new(&[]).is_ok());
    }
}
