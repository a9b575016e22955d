//! `metadata.json` beside a model file: the keys of Anomalib 1, and ours.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Normalization, PackageError, Preprocessing, Thresholds};

/// What is known of a model file besides its network. Unknown keys say nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileMetadata {
    /// Raw scores above which something is anomalous.
    pub image_threshold: Option<f32>,
    pub pixel_threshold: Option<f32>,
    /// The range that scores are normalized by; `min` is not above `max`.
    pub min: Option<f32>,
    pub max: Option<f32>,
    pub nightshift: Option<OurMetadata>,
}

/// What an export of ours says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OurMetadata {
    pub preprocessing: Preprocessing,
    pub thresholds: Thresholds,
    pub normalization: Normalization,
    /// The network resizes images itself.
    pub resized_inside: bool,
}

impl FileMetadata {
    pub fn from_json(text: &[u8]) -> Result<Self, PackageError> {
        let keys: Map<String, Value> =
            serde_json::from_slice(text).map_err(PackageError::Metadata)?;
        let number = |key| number(&keys, key);
        let nightshift = keys.get("nightshift").filter(|ours| !ours.is_null());
        let metadata = Self {
            image_threshold: number("image_threshold")?,
            pixel_threshold: number("pixel_threshold")?,
            min: number("min")?,
            max: number("max")?,
            nightshift: nightshift.map(OurMetadata::read).transpose()?,
        };
        match (metadata.min, metadata.max) {
            (Some(min), Some(max)) if min > max => {
                Err(wrong("min", format!("{min} to {max} (max) is no range")))
            }
            _ => Ok(metadata),
        }
    }
}

impl OurMetadata {
    fn read(ours: &Value) -> Result<Self, PackageError> {
        let metadata =
            Self::deserialize(ours).map_err(|error| wrong("nightshift", error.to_string()))?;
        let problem = metadata.preprocessing.problem();
        let problem = problem.or_else(|| metadata.thresholds.problem());
        match problem.or_else(|| metadata.normalization.problem()) {
            Some(problem) => Err(wrong("nightshift", problem)),
            None => Ok(metadata),
        }
    }
}

/// `None`: the key is not there, or null.
fn number(keys: &Map<String, Value>, key: &'static str) -> Result<Option<f32>, PackageError> {
    let Some(value) = keys.get(key).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    match value.as_f64().map(|number| number as f32) {
        Some(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(wrong(key, format!("{value} is no number of 32 bits"))),
    }
}

fn wrong(key: &'static str, problem: String) -> PackageError {
    PackageError::MetadataKey { key, problem }
}

#[cfg(test)]
mod tests {
    use super::FileMetadata;

    fn said(text: &str) -> String {
        let error = FileMetadata::from_json(text.as_bytes()).expect_err("wrong");
        error.to_string()
    }

    #[test]
    fn keys_that_are_missing_or_null_say_nothing() {
        let text = br#"{"task": "segmentation", "transform": {}, "max": null, "nightshift": null}"#;
        let metadata = FileMetadata::from_json(text).expect("right");
        assert_eq!(metadata, FileMetadata::default());
        let text = br#"{"image_threshold": 12, "min": 2, "max": 14.5}"#;
        let metadata = FileMetadata::from_json(text).expect("right");
        assert_eq!(
            (metadata.image_threshold, metadata.min, metadata.max),
            (Some(12.0), Some(2.0), Some(14.5))
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        for (text, part) in [
            ("", "it is no JSON map"),
            ("[]", "it is no JSON map"),
            ("{", "it is no JSON map"),
            (
                r#"{"image_threshold": "high"}"#,
                "image_threshold: \"high\" is no number",
            ),
            (r#"{"min": 3, "max": 2}"#, "min: 3 to 2 (max) is no range"),
            (r#"{"max": 1e60}"#, "max: "),
            (r#"{"nightshift": {}}"#, "nightshift: missing field"),
        ] {
            let error = said(text);
            assert!(error.contains(part), "{error}");
        }
        let ours = |side: u64| {
            format!(
                r#"{{"nightshift": {{"preprocessing": {{"image_size": [64, 64], "resize": [{side}, 64], "crop": [64, 64], "hash": ""}}, "thresholds": {{"image": null, "pixel": null}}, "normalization": {{"image": null, "pixel": null}}, "resized_inside": false}}}}"#
            )
        };
        assert!(said(&ours(4_000_000_000)).contains("sides are 32 to 4096"));
    }
}
