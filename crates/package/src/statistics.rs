//! What the model learned, as a safetensors file.

use std::collections::BTreeMap;

use weights::StateDict;

use crate::PackageError;

/// Reads a statistics file (its digest is checked by [`crate::verify`] first).
pub fn read_statistics(bytes: &[u8]) -> Result<StateDict, PackageError> {
    weights::read_safetensors(bytes).map_err(PackageError::Statistics)
}

/// Statistics as bytes; equal statistics give equal bytes.
pub fn write_statistics(statistics: &StateDict, class: &str) -> Result<Vec<u8>, PackageError> {
    let mut bytes = Vec::with_capacity(
        statistics
            .values()
            .map(|tensor| tensor.len() * 4)
            .sum::<usize>()
            + 4096,
    );
    let metadata = BTreeMap::from([("model".to_owned(), class.to_owned())]);
    weights::write_safetensors(statistics, &metadata, &mut bytes).map_err(PackageError::Write)?;
    Ok(bytes)
}
