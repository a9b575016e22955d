//! Weight files: reading and writing tensors under names, and the folder where backbones' weights lie.
//!
//! A file's digest is taken before it is parsed, and nothing in a file is ever executed: safetensors are data, and
//! `.pth` files go through an interpreter of the few pickle instructions that a state dictionary needs.

mod canonical;
mod element;
mod error;
mod folder;
mod import;
mod pickle;
mod pth;
mod safetensors;
mod zip;

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

pub use canonical::{BACKBONES, backbone_name, canonical_names};
pub use error::WeightsError;
pub use folder::{Finding, Listed, Loaded, Sidecar, WeightsFolder};
pub use import::{Import, import};
pub use pth::read_pth;
pub use safetensors::{read_safetensors, safetensors_parts, write_safetensors};

/// Tensors by name, as a network's state is stored.
pub type StateDict = BTreeMap<String, graph::Tensor>;

/// Reads a weight file in whichever of the known formats it is: safetensors, or a `.pth` file of either kind.
///
/// `name` only appears in errors.
pub fn read(name: &str, bytes: &[u8]) -> Result<StateDict, WeightsError> {
    let result = if pth::looks_like_pth(bytes) {
        read_pth(bytes)
    } else {
        read_safetensors(bytes)
    };
    result.map_err(|error| error.in_file(name))
}

/// Reads a weight file from disk; see [`read`].
pub fn read_file(path: &Path) -> Result<StateDict, WeightsError> {
    read(&path.display().to_string(), &load(path)?)
}

/// sha256 in lower-case hexadecimal, as sidecars and packages store it.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes
        .iter()
        .flat_map(|&b| [digit(b >> 4), digit(b)])
        .collect()
}

fn load(path: &Path) -> Result<Vec<u8>, WeightsError> {
    std::fs::read(path).map_err(|source| WeightsError::Io {
        what: "read",
        path: path.to_owned(),
        source,
    })
}
