//! `package.json`: everything about a trained model but its numbers.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{PackageError, Parity, digest};

/// The newest format. Readers accept all: format 1 has no `parity`, format 2 no [`Scale::Distribution`].
pub const FORMAT: u32 = 3;

/// Sides in pixels that an image may be resized to: what job files allow.
pub const SIDES: RangeInclusive<u32> = 32..=4096;

/// Sides in pixels of what the graph may see of it: models see 7/8 of a side, or what job files allow.
pub const SEEN_SIDES: RangeInclusive<u32> = 28..=4096;

/// A trained model. Unknown keys are errors: a newer format says so by its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageManifest {
    pub format: u32,
    pub model: Model,
    pub preprocessing: Preprocessing,
    pub statistics: Object,
    /// `null` if the backbone's weights are random (`pre_trained: false`): the seed makes them again.
    pub weights: Option<Weights>,
    pub thresholds: Thresholds,
    pub normalization: Normalization,
    pub provenance: Provenance,
    /// How far the engines agree about it; `null` if the job did not ask.
    #[serde(default)]
    pub parity: Option<Parity>,
}

/// What to build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub class_path: String,
    /// Every parameter, defaults written out.
    pub init_args: Map<String, Value>,
    pub seed: u64,
}

/// What happens to an image before the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Height, width of the graph's input.
    pub image_size: [u32; 2],
    /// Height, width to which the whole image is resized.
    pub resize: [u32; 2],
    /// Height, width of the centre that is cut out of that.
    pub crop: Option<[u32; 2]>,
    /// Of the preprocessor with these settings; images of another one may score otherwise.
    pub hash: String,
}

/// Bytes somewhere, known by their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Relative to the package's folder, and not outside of its store.
    pub uri: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// Which weights the backbone had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    pub backbone: String,
    /// Of the file in the weights folder.
    pub sha256: String,
    pub licence: String,
}

/// Above which raw scores something is anomalous; `null`: no threshold was chosen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    pub image: Option<Threshold>,
    pub pixel: Option<Threshold>,
}

impl Thresholds {
    pub(crate) fn problem(&self) -> Option<String> {
        let mut thresholds = [&self.image, &self.pixel].into_iter().flatten();
        let wrong = thresholds.find(|threshold| !threshold.value.is_finite())?;
        Some(format!("{} is no threshold", wrong.value))
    }
}

/// A raw score, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    pub value: f32,
    pub chosen_on: ChosenOn,
}

/// What a threshold was chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChosenOn {
    Validation,
    /// The test images themselves: measured results then flatter.
    Test,
    /// Given in the job file.
    Manual,
    /// Of a model file of another program, which does not say; packages always do.
    Unknown,
}

/// By what raw scores are normalized to [0, 1]; one scale for each kind of value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    pub image: Option<Scale>,
    pub pixel: Option<Scale>,
}

impl Normalization {
    pub(crate) fn problem(&self) -> Option<String> {
        let mut scales = [&self.image, &self.pixel].into_iter().flatten();
        scales.find_map(Scale::problem)
    }

    /// Of a package with it: the oldest that has it, so that programs of before can read what they know.
    pub fn format(&self) -> u32 {
        let is_new = |scale: &Option<Scale>| matches!(scale, Some(Scale::Distribution(_)));
        match is_new(&self.image) || is_new(&self.pixel) {
            true => 3,
            false => 2,
        }
    }
}

/// Told apart by their keys.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scale {
    /// `min_max`: raw scores seen.
    Range(Bounds),
    /// `cdf`.
    Distribution(Distribution),
}

/// Of the natural logarithms of the raw scores of normal training images, or of the pixels of their maps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    pub mean: f64,
    pub std: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    pub min: f32,
    pub max: f32,
}

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    pub job: String,
    /// Number of the run in the job.
    pub run: u32,
    pub dataset: String,
    pub category: String,
    /// Of what went into the model, as far as known: `weights: MIT`, `data: CC BY 4.0`.
    pub licences: Vec<String>,
    pub engine: String,
    pub engine_version: String,
    /// Of the program that wrote the package.
    pub version: String,
    /// The thresholds are another one than the job file's: a user set them after the job's end. Left out where they are not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rethresholded: bool,
}

impl PackageManifest {
    /// Reads `package.json` strictly; a newer format is refused in those words, whatever else it holds.
    pub fn from_json(text: &[u8]) -> Result<Self, PackageError> {
        let value: Value = serde_json::from_slice(text)?;
        let format = value.get("format").ok_or(PackageError::NoPackage {
            problem: "it has no `format`",
        })?;
        let format =
            format
                .as_u64()
                .filter(|&format| format > 0)
                .ok_or(PackageError::NoPackage {
                    problem: "its `format` is no positive integer",
                })?;
        if format > u64::from(FORMAT) {
            return Err(PackageError::Newer {
                found: format,
                known: FORMAT,
            });
        }
        // From the text again, so that an error has line and column.
        let package: Self = serde_json::from_slice(text)?;
        package.check()?;
        Ok(package)
    }

    /// The text of `package.json`.
    pub fn to_json(&self) -> Result<String, PackageError> {
        self.check()?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Of what raw scores depend on: neither thresholds nor normalization nor where the model comes from.
    pub fn scores_sha256(&self) -> String {
        let weights = self.weights.as_ref().map(|weights| &weights.sha256);
        let parts = json!([
            self.model,
            self.preprocessing,
            self.statistics.sha256,
            weights
        ]);
        digest(parts.to_string().as_bytes())
    }

    /// Sizes, digests and numbers that serde lets through (JSON has no infinity, and writes null for it).
    fn check(&self) -> Result<(), PackageError> {
        let fail =
            |field: &'static str, problem: String| Err(PackageError::Field { field, problem });
        if let Some(problem) = self.preprocessing.problem() {
            return fail("preprocessing", problem);
        }
        let digests = [
            ("statistics", Some(&self.statistics.sha256)),
            (
                "weights",
                self.weights.as_ref().map(|weights| &weights.sha256),
            ),
        ];
        for (field, digest) in digests {
            if let Some(digest) = digest.filter(|digest| !is_digest(digest)) {
                return fail(field, format!("`{digest}` is no sha256"));
            }
        }
        if let Some(problem) = self.thresholds.problem() {
            return fail("thresholds", problem);
        }
        if let Some(problem) = self.normalization.problem() {
            return fail("normalization", problem);
        }
        if self.format < 3 && self.normalization.format() == 3 {
            let problem = format!("format {} has no mean and std", self.format);
            return fail("normalization", problem);
        }
        if let Some(parity) = &self.parity {
            if self.format < 2 {
                return fail("parity", format!("format {} has none", self.format));
            }
            if let Some(problem) = parity.problem() {
                return fail("parity", problem);
            }
        }
        Ok(())
    }
}

impl Scale {
    /// Why no score can be normalized by it.
    fn problem(&self) -> Option<String> {
        match *self {
            Self::Range(Bounds { min, max }) => {
                let is_range = min.is_finite() && max.is_finite() && min <= max;
                (!is_range).then(|| format!("{min} to {max} is no range"))
            }
            Self::Distribution(Distribution { mean, std }) => {
                let is_distribution = mean.is_finite() && std.is_finite() && std >= 0.0;
                (!is_distribution)
                    .then(|| format!("mean {mean} and std {std} are of no distribution"))
            }
        }
    }
}

impl Preprocessing {
    /// Why no image can become the graph's input this way.
    pub(crate) fn problem(&self) -> Option<String> {
        let text = |[height, width]: [u32; 2]| format!("{height} x {width}");
        let sizes = [
            (Some(self.resize), SIDES),
            (Some(self.image_size), SEEN_SIDES),
            (self.crop, SEEN_SIDES),
        ];
        for (size, sides) in sizes {
            if let Some(size) = size.filter(|size| size.iter().any(|side| !sides.contains(side))) {
                return Some(format!(
                    "the size {}; sides are {} to {} pixels",
                    text(size),
                    sides.start(),
                    sides.end()
                ));
            }
        }
        let (resize, input) = (self.resize, self.image_size);
        let cut = self.crop.unwrap_or(resize);
        if cut[0] > resize[0] || cut[1] > resize[1] {
            return Some(format!(
                "no {} can be cut out of {}",
                text(cut),
                text(resize)
            ));
        }
        (cut != input).then(|| {
            format!(
                "`resize` and `crop` give {}, but `image_size` is {}",
                text(cut),
                text(input)
            )
        })
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
