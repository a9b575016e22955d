//! Which samples train, which choose thresholds, which are measured.
//!
//! Random shares are drawn by a counter-based rule: each image gets a number from (seed, purpose, its place in the dataset),
//! and the lowest numbers are taken. So a share depends neither on the order of a listing nor on where the dataset lies, and
//! seed 0 is a seed like any other.

use sha2::{Digest, Sha256};

use crate::{
    DataError, Label, Listing, Purpose, SampleSeed, Split,
    layout::Placed,
    mask,
    parameters::{ImageDataset, TestSplitMode, ValSplitMode},
};

/// The kind of defect of such images, and the purpose of their draws.
const SYNTHETIC: &str = "synthetic";

/// An image with its role as the folders have it, before splits move it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate<'a> {
    pub placed: Placed<'a>,
    /// Role of its folder and its place below it: the image's identity within the dataset.
    pub key: String,
    pub split: Split,
    pub label: Label,
    pub defect_type: Option<String>,
    pub mask_uri: Option<String>,
    pub synthetic: Option<u64>,
}

/// The folders to name when something is missing.
pub(crate) struct Folders {
    pub train: String,
    pub validation: String,
}

impl ImageDataset {
    pub fn threshold_split(&self) -> Option<Split> {
        match self.val_split_mode {
            ValSplitMode::None => None,
            ValSplitMode::SameAsTest => Some(Split::Test),
            ValSplitMode::FromTest
            | ValSplitMode::FromTrain
            | ValSplitMode::FromDir
            | ValSplitMode::Synthetic => Some(Split::Validation),
        }
    }

    /// Applies the split modes and closes the listing.
    pub fn finish(
        &self,
        mut candidates: Vec<Candidate<'_>>,
        test_split_ratio: f64,
        folders: &Folders,
        purpose: Purpose,
        mut warnings: Vec<String>,
    ) -> Result<Listing, DataError> {
        mask::one_image_each(&candidates)?;
        if purpose == Purpose::Train && count(&candidates, Split::Train, None) == 0 {
            return Err(DataError::NoNormalImages {
                folder: folders.train.clone(),
            });
        }
        if self.test_split_mode != TestSplitMode::None
            && count(&candidates, Split::Test, Some(Label::Normal)) == 0
        {
            let moved = share(
                &mut candidates,
                Split::Train,
                Label::Normal,
                test_split_ratio,
                self.seed,
                Split::Test,
            );
            if purpose == Purpose::Train && count(&candidates, Split::Train, None) == 0 {
                return Err(DataError::AllBecameTest {
                    folder: folders.train.clone(),
                    moved,
                    ratio: test_split_ratio,
                });
            }
            if moved > 0 {
                warnings.push(format!(
                    "the test folders hold no normal image: of the training images {moved}, chosen by seed {}, became test",
                    self.seed
                ));
            }
        }
        if self.test_split_mode == TestSplitMode::Synthetic {
            let all = candidates.len();
            candidates.retain(|one| one.split != Split::Test || one.label == Label::Normal);
            if candidates.len() < all {
                warnings.push(format!(
                    "test_split_mode is synthetic: {} anomalous test images are left out",
                    all - candidates.len()
                ));
            }
            make_synthetic(&mut candidates, Split::Test, self.seed);
        }
        match self.val_split_mode {
            ValSplitMode::FromTrain | ValSplitMode::Synthetic => {
                let moved = share(
                    &mut candidates,
                    Split::Train,
                    Label::Normal,
                    self.val_split_ratio,
                    self.seed,
                    Split::Validation,
                );
                let synthetic = self.val_split_mode == ValSplitMode::Synthetic;
                let mode = if synthetic { "synthetic" } else { "from_train" };
                if purpose == Purpose::Train && count(&candidates, Split::Train, None) == 0 {
                    return Err(DataError::AllBecameValidation {
                        folder: folders.train.clone(),
                        moved,
                        ratio: self.val_split_ratio,
                        mode,
                    });
                }
                if moved == 0 {
                    warnings.push(format!("val_split_mode {mode} took no image: too few training images for val_split_ratio"));
                }
                if synthetic {
                    make_synthetic(&mut candidates, Split::Validation, self.seed);
                }
            }
            ValSplitMode::FromTest => {
                for label in [Label::Normal, Label::Anomalous] {
                    share(
                        &mut candidates,
                        Split::Test,
                        label,
                        self.val_split_ratio,
                        self.seed,
                        Split::Validation,
                    );
                }
                if count(&candidates, Split::Validation, None) == 0 {
                    warnings.push("val_split_mode from_test took no image: too few test images for val_split_ratio".into());
                }
            }
            ValSplitMode::FromDir if count(&candidates, Split::Validation, None) == 0 => {
                return Err(DataError::NoValidationImages {
                    folder: folders.validation.clone(),
                });
            }
            ValSplitMode::FromDir | ValSplitMode::None | ValSplitMode::SameAsTest => {}
        }
        if count(&candidates, Split::Validation, None) > 0 {
            let lacks = |label| count(&candidates, Split::Validation, Some(label)) == 0;
            if lacks(Label::Anomalous) {
                warnings.push(
                    "there is no anomalous validation image: no adaptive threshold can be chosen"
                        .into(),
                );
            } else if lacks(Label::Normal) {
                warnings.push("there is no normal validation image: an adaptive threshold is the lowest score".into());
            }
        }
        if count(&candidates, Split::Test, None) == 0 {
            warnings.push("there is no test image: metrics have no value".into());
        } else if count(&candidates, Split::Test, Some(Label::Anomalous)) == 0 {
            warnings.push("there is no anomalous test image: metrics have no value".into());
        }
        let mut samples: Vec<SampleSeed> = candidates.into_iter().map(Candidate::seal).collect();
        samples.sort_by(|left, right| left.uri.cmp(&right.uri));
        Ok(Listing { samples, warnings })
    }
}

impl Candidate<'_> {
    fn seal(self) -> SampleSeed {
        let object = self.placed.object;
        SampleSeed {
            uri: object.uri.clone(),
            etag: object.etag.clone(),
            size: object.size,
            modified_ms: object.modified_ms,
            split: self.split,
            label: self.label,
            defect_type: self.defect_type,
            mask_uri: self.mask_uri,
            synthetic: self.synthetic,
        }
    }
}

fn count(candidates: &[Candidate<'_>], split: Split, label: Option<Label>) -> usize {
    candidates
        .iter()
        .filter(|one| one.split == split && label.is_none_or(|label| one.label == label))
        .count()
}

/// Moves a share of one split's images of one label to another split; says how many.
fn share(
    candidates: &mut [Candidate<'_>],
    from: Split,
    label: Label,
    ratio: f64,
    seed: u64,
    to: Split,
) -> usize {
    let drawn = chosen(candidates, from, label, ratio, seed, to.as_str());
    for (_, index) in &drawn {
        candidates[*index].split = to;
    }
    drawn.len()
}

/// Gives half of a split's normal images a synthetic anomaly: the reference's share.
fn make_synthetic(candidates: &mut [Candidate<'_>], split: Split, seed: u64) {
    for (draw, index) in chosen(candidates, split, Label::Normal, 0.5, seed, SYNTHETIC) {
        let one = &mut candidates[index];
        one.label = Label::Anomalous;
        one.defect_type = Some(SYNTHETIC.to_owned());
        // Below 2^63: readers of the table have signed numbers.
        let seed = draw
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes) >> 1);
        one.synthetic = Some(seed);
    }
}

/// A share of one split's images of one label, in the order of their draws.
fn chosen(
    candidates: &[Candidate<'_>],
    from: Split,
    label: Label,
    ratio: f64,
    seed: u64,
    purpose: &str,
) -> Vec<([u8; 32], usize)> {
    let mut drawn: Vec<([u8; 32], usize)> = candidates
        .iter()
        .enumerate()
        .filter(|(_, one)| one.split == from && one.label == label)
        .map(|(index, one)| (draw(seed, purpose, &one.key), index))
        .collect();
    drawn.sort_unstable();
    // The reference's rounding: down, what is left over stays where it was.
    drawn.truncate((drawn.len() as f64 * ratio).floor() as usize);
    drawn
}

fn draw(seed: u64, purpose: &str, key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(purpose);
    hash.update([0]);
    hash.update(key);
    hash.finalize().into()
}
