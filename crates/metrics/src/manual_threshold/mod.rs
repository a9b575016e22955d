//! ManualThreshold: the value that the job gives; scores have no part in it.
//!
//! Jobs hold it as f64 and scores are f32: it is rounded to f32 once, here, as Anomalib's comparison does.

use crate::{NotFinite, Origin, RawScore, Threshold};

/// Not finite also if it is finite, but beyond f32.
pub fn manual_threshold(value: f64) -> Result<Threshold, NotFinite> {
    Ok(Threshold::new(RawScore::new(value as f32)?, Origin::Manual))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_equal_after_rounding_is_anomalous() {
        let threshold = manual_threshold(0.1).unwrap();
        assert!(threshold.is_anomalous(RawScore::new(0.1).unwrap()));
        assert_eq!(threshold.origin(), Origin::Manual);
        assert!(manual_threshold(1e300).is_err());
        assert!(manual_threshold(f64::NAN).is_err());
    }
}
