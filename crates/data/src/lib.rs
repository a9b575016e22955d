//! Datasets: their names and parameters, and how a listing of objects becomes labelled samples in splits.
//!
//! Pure: nothing here reads a file or decodes an image. A dataset says which folders to list ([`Dataset::roots`]), the caller
//! lists them, and [`Dataset::samples`] tells what each object is. A dataset is one folder and one row in [`REGISTRY`]. Images without
//! labels ([`Unlabelled`]) are too many to be held at once: the caller asks for each whether it is wanted.

mod error;
mod folder;
mod layout;
mod licence;
mod mask;
mod mvtec_ad;
mod parameters;
mod predict_dataset;
mod registry;
mod sample;
mod split;

#[cfg(test)]
mod tests;

pub use error::DataError;
pub use layout::{is_hidden, join};
pub use licence::{LICENCE_BYTES, LICENCE_FILES, licence_line};
pub use predict_dataset::{Format, ListedAddress, Place, Unlabelled, is_archive, listed_address};
pub use registry::{REGISTRY, build, problems};
pub use sample::{Label, ListedObject, Listing, Purpose, SampleSeed, Split};

/// What a job reads images from.
pub enum Data {
    /// A dataset with splits and labels.
    Labelled(Box<dyn Dataset>),
    /// Images to be scored, all of them in the split `test`.
    Unlabelled(Unlabelled),
}

impl Data {
    /// The name in tables.
    pub fn name(&self) -> &str {
        match self {
            Self::Labelled(dataset) => dataset.name(),
            Self::Unlabelled(images) => images.name(),
        }
    }

    /// Empty if there is none.
    pub fn category(&self) -> &str {
        match self {
            Self::Labelled(dataset) => dataset.category(),
            Self::Unlabelled(_) => "",
        }
    }

    /// The split whose scores choose thresholds and normalization bounds, if one is kept for that.
    pub fn threshold_split(&self) -> Option<Split> {
        match self {
            Self::Labelled(dataset) => dataset.threshold_split(),
            Self::Unlabelled(_) => None,
        }
    }
}

/// One configured dataset.
pub trait Dataset: Send + Sync {
    /// The dataset's name in tables, such as `texture`.
    fn name(&self) -> &str;

    /// Empty if the dataset has none.
    fn category(&self) -> &str;

    /// Folders whose objects, at any depth, are to be listed: absolute paths or URIs, without `/` at the end.
    fn roots(&self) -> Vec<String>;

    /// Folders in which one of [`LICENCE_FILES`] may lie.
    fn licence_folders(&self) -> Vec<String>;

    /// The split whose scores choose thresholds and normalization bounds; `None` if the dataset keeps no such split.
    fn threshold_split(&self) -> Option<Split>;

    /// What the objects below the roots are, sorted by URI. The order of `listing` does not matter.
    fn samples(&self, listing: &[ListedObject], purpose: Purpose) -> Result<Listing, DataError>;
}
