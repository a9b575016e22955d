//! A trained model on disk: `package.json` and the statistics file that it refers to by digest.
//!
//! Formats only: text and bytes in, typed values out. Where the bytes lie is for others to know.

mod error;
mod file_metadata;
mod manifest;
mod parity;
mod statistics;

pub use error::PackageError;
pub use file_metadata::{FileMetadata, OurMetadata};
pub use manifest::{
    Bounds, ChosenOn, Distribution, FORMAT, Model, Normalization, Object, PackageManifest,
    Preprocessing, Provenance, SEEN_SIDES, SIDES, Scale, Threshold, Thresholds, Weights,
};
pub use parity::{Agreement, Compared, Computer, Measured, Parity, Skipped, TOLERANCE};
pub use statistics::read_statistics;

/// sha256 in lower-case hexadecimal.
pub use weights::digest;

/// That `bytes` are the object that a package or pointer means.
pub fn verify(object: &Object, bytes: &[u8]) -> Result<(), PackageError> {
    if bytes.len() as u64 != object.size {
        return Err(PackageError::Size {
            uri: object.uri.clone(),
            expected: object.size,
            found: bytes.len() as u64,
        });
    }
    let found = digest(bytes);
    if found != object.sha256 {
        return Err(PackageError::Digest {
            uri: object.uri.clone(),
            expected: object.sha256.clone(),
            found,
        });
    }
    Ok(())
}
