//! Import of a weight file into the folder: read, rename, check, write beside, rename into place.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::canonical::is_of_two_networks;
use crate::{
    Sidecar, StateDict, WeightsError, WeightsFolder, backbone_name, canonical_names, digest, load,
    read, write_safetensors,
};

/// What to import.
#[derive(Debug, Clone)]
pub struct Import<'a> {
    pub file: &'a Path,
    pub backbone: &'a str,
    pub licence: Option<&'a str>,
    /// Where the file is from, if its name does not say.
    pub source: Option<&'a str>,
    pub notes: &'a str,
    /// The backbone's tensors and shapes; each must be in the file. More (a classifier) is kept.
    pub expected: &'a [(String, Vec<usize>)],
}

/// Converts a file to `{backbone}.safetensors` with canonical names and writes its sidecar. Importing again replaces.
pub fn import(folder: &WeightsFolder, import: &Import) -> Result<Sidecar, WeightsError> {
    let backbone = backbone_name(import.backbone)?;
    let file = import.file.display().to_string();
    let bytes = load(import.file)?;
    let original_sha256 = digest(&bytes);
    let state = read(&file, &bytes)?;
    if is_of_two_networks(import.backbone, &state) {
        return Err(WeightsError::TwoNetworks.in_file(&file));
    }
    let state = canonical_names(backbone, state).map_err(|e| e.in_file(&file))?;
    check_tensors(backbone, &state, import.expected).map_err(|e| e.in_file(&file))?;
    let licence = import.licence.unwrap_or("unknown");
    let mut converted = Vec::new();
    let path = folder.path(backbone)?;
    // Tensors alone: packages insist on the digest, and equal weights are to have equal ones, whatever is said about them.
    write_safetensors(&state, &mut converted).map_err(|source| WeightsError::Io {
        what: "convert",
        path: path.clone(),
        source,
    })?;
    let name = import
        .file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let sidecar = Sidecar {
        backbone: backbone.to_owned(),
        source: import
            .source
            .map_or_else(|| name.into_owned(), str::to_owned),
        licence: licence.to_owned(),
        original_sha256,
        sha256: digest(&converted),
        notes: import.notes.to_owned(),
    };
    let json = serde_json::to_vec_pretty(&sidecar).map_err(|source| WeightsError::Sidecar {
        path: path.clone(),
        source,
    })?;
    std::fs::create_dir_all(folder.root()).map_err(|source| WeightsError::Io {
        what: "create",
        path: folder.root().to_owned(),
        source,
    })?;
    // The file first: with the old sidecar beside it, a crash between the two is found by its digest.
    replace(&path, &converted)?;
    replace(&path.with_extension("json"), &json)?;
    Ok(sidecar)
}

/// That every expected tensor is there in its shape; names the first few that are not.
pub(crate) fn check_tensors(
    backbone: &str,
    state: &StateDict,
    expected: &[(String, Vec<usize>)],
) -> Result<(), WeightsError> {
    const NAMED: usize = 3;
    let problem = |(name, shape): &(String, Vec<usize>)| match state.get(name) {
        None => Some(format!("`{name}` is missing")),
        Some(tensor) if tensor.shape != *shape => Some(format!(
            "`{name}` has the shape {:?} instead of {shape:?}",
            tensor.shape
        )),
        Some(tensor) if tensor.data.iter().any(|v| !v.is_finite()) => {
            Some(format!("`{name}` holds values that are not finite"))
        }
        Some(_) => None,
    };
    let problems: Vec<String> = expected.iter().filter_map(problem).collect();
    if problems.is_empty() {
        return Ok(());
    }
    let mut text = problems[..problems.len().min(NAMED)].join(", ");
    if problems.len() > NAMED {
        text += &format!(", and {} more", problems.len() - NAMED);
    }
    Err(WeightsError::Mismatch {
        backbone: backbone.to_owned(),
        problem: text,
    })
}

/// Writes beside the file and renames, so that readers see the old or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.part", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = write_synced(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(source) = written {
        // Best effort: the write's error is the one to report.
        let _ = std::fs::remove_file(&temporary);
        return Err(WeightsError::Io {
            what: "write",
            path: path.to_owned(),
            source,
        });
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(bytes)?;
    file.into_inner().map_err(|e| e.into_error())?.sync_all()
}

#[cfg(test)]
mod tests;
