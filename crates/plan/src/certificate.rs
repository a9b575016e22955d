//! How far the scores of a run that does not compute exactly are from exact ones.

use job::resolved::Precision;
use serde::{Deserialize, Serialize};

/// Measured on images of the run's own, at even distances in uri order among those that it scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Of the numbers that the network was computed with.
    pub precision: Precision,
    /// Whether images were decoded at a fraction of their size.
    pub scaled_decoding: bool,
    /// Images that were compared.
    pub images: u32,
    /// Images that were chosen and could not be used.
    pub skipped: u32,
    /// `None`: there was nothing to compare, or no way to.
    pub agreement: Option<CertifiedAgreement>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifiedAgreement {
    /// Largest difference of image scores, relative: max |a - b| / max |a|, a being exact.
    pub score_difference: f64,
    /// And of the pixels of anomaly maps; `None` if the model has none.
    pub map_difference: Option<f64>,
    /// Spearman's, of the scores; `None` where they have no order.
    pub rank_correlation: Option<f64>,
    /// Images that are decided otherwise at the image threshold; `None` without one, or with one that came later.
    pub flips: Option<u32>,
}

impl Certificate {
    /// For people.
    pub fn words(&self) -> String {
        let decoding = if self.scaled_decoding {
            ", images decoded at a fraction of their size"
        } else {
            ""
        };
        let how = format!("{}{decoding}", self.precision.as_str());
        let Some(agreement) = &self.agreement else {
            return format!("{how}; how far scores are from exact ones could not be measured");
        };
        let mut text = format!(
            "{how}; on {} {} scores differ from exact ones by at most {:.1e}",
            self.images,
            if self.images == 1 { "image" } else { "images" },
            agreement.score_difference
        );
        if let Some(map) = agreement.map_difference {
            text.push_str(&format!(", maps by {map:.1e} (relative)"));
        } else {
            text.push_str(" (relative)");
        }
        if let Some(ranks) = agreement.rank_correlation {
            text.push_str(&format!(", rank correlation {ranks:.4}"));
        }
        match agreement.flips {
            Some(1) => text.push_str(", 1 decision flips"),
            Some(flips) => text.push_str(&format!(", {flips} decisions flip")),
            None => text.push_str(", no decisions to compare"),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_what_flips_or_that_nothing_could_be_measured() {
        let mut certificate = Certificate {
            precision: Precision::Bf16,
            scaled_decoding: true,
            images: 16,
            skipped: 1,
            agreement: Some(CertifiedAgreement {
                score_difference: 0.0123,
                map_difference: Some(0.05),
                rank_correlation: Some(0.9987),
                flips: Some(1),
            }),
        };
        assert_eq!(
            certificate.words(),
            "bf16, images decoded at a fraction of their size; on 16 images scores differ from exact ones by at most 1.2e-2, \
             maps by 5.0e-2 (relative), rank correlation 0.9987, 1 decision flips"
        );
        certificate.agreement = None;
        assert!(certificate.words().contains("could not be measured"));
    }
}
