//! What the model learned, as a safetensors file.

use weights::StateDict;

use crate::PackageError;

/// Reads a statistics file (its digest is checked by [`crate::verify`] first).
pub fn read_statistics(bytes: &[u8]) -> Result<StateDict, PackageError> {
    weights::read_safetensors(bytes).map_err(PackageError::Statistics)
}
