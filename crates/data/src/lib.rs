//! Datasets: their names and parameters, and how a listing of objects becomes labelled samples in splits.
//!
//! Pure: nothing here reads a file or decodes an image. A dataset says which folders to list ([`Dataset::roots`]), the caller
//! lists them, and [`Dataset::samples`] tells what each object is. A dataset is one folder and one row in [`REGISTRY`].

mod error;
mod folder;
mod layout;
mod licence;
mod mask;
mod mvtec_ad;
mod parameters;
mod registry;
mod sample;
mod split;

#[cfg(test)]
mod tests;

pub use error::DataError;
pub use licence::{LICENCE_BYTES, LICENCE_FILES, licence_line};
pub use registry::{REGISTRY, build, problems};
pub use sample::{Label, ListedObject, Listing, Purpose, SampleSeed, Split};

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
