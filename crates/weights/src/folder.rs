//! The folder where imported weights lie: `{backbone}.safetensors` with a sidecar that says where they came from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{StateDict, WeightsError, backbone_name, digest, load, read_safetensors};

/// What is known about a weight file, beside it as `{backbone}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    pub backbone: String,
    /// Name of the file that was imported, or where it is from.
    pub source: String,
    /// Licence of the weights as far as known; `unknown` if nobody said.
    pub licence: String,
    /// sha256 of the file that was imported.
    pub original_sha256: String,
    /// sha256 of the safetensors file; checked before each use.
    pub sha256: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// Weights with what results record about them.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub state: StateDict,
    pub sha256: String,
    pub licence: String,
    pub source: String,
}

/// A known backbone and what the folder has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub backbone: &'static str,
    /// `None` if there are no weights.
    pub path: Option<PathBuf>,
    pub bytes: u64,
    /// `None` if there is none, or it is damaged.
    pub sidecar: Option<Sidecar>,
}

/// What a check of one backbone's file found.
#[derive(Debug)]
pub struct Finding {
    pub backbone: &'static str,
    pub path: PathBuf,
    pub tensors: usize,
    pub problem: Option<WeightsError>,
}

/// A folder of weights.
#[derive(Debug, Clone)]
pub struct WeightsFolder {
    root: PathBuf,
}

impl WeightsFolder {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a backbone's weights belong, whether or not they are there.
    pub fn path(&self, backbone: &str) -> Result<PathBuf, WeightsError> {
        Ok(self
            .root
            .join(format!("{}.safetensors", backbone_name(backbone)?)))
    }

    /// Where a backbone's weights are; the error says how to get them.
    pub fn find(&self, backbone: &str) -> Result<PathBuf, WeightsError> {
        let path = self.path(backbone)?;
        if path.is_file() {
            return Ok(path);
        }
        Err(WeightsError::NotFound {
            backbone: backbone_name(backbone)?.to_owned(),
            folder: self.root.clone(),
        })
    }

    /// Reads a backbone's weights: digest against the sidecar first, then the tensors.
    pub fn load(&self, backbone: &str) -> Result<Loaded, WeightsError> {
        let path = self.find(backbone)?;
        let sidecar = self.sidecar(backbone)?;
        let bytes = load(&path)?;
        let sha256 = digest(&bytes);
        if let Some(sidecar) = sidecar.as_ref().filter(|sidecar| sidecar.sha256 != sha256) {
            return Err(WeightsError::Digest {
                path,
                expected: sidecar.sha256.clone(),
                found: sha256,
            });
        }
        let state =
            read_safetensors(&bytes).and_then(|state| crate::canonical_names(backbone, state));
        let state = state.map_err(|error| error.in_file(&path.display().to_string()))?;
        let (licence, source) = match sidecar {
            Some(sidecar) => (sidecar.licence, sidecar.source),
            None => ("unknown".to_owned(), path.display().to_string()),
        };
        Ok(Loaded {
            state,
            sha256,
            licence,
            source,
        })
    }

    /// The sidecar of a backbone, `None` if there is none (a file put there by hand).
    pub fn sidecar(&self, backbone: &str) -> Result<Option<Sidecar>, WeightsError> {
        let path = self.path(backbone)?.with_extension("json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| WeightsError::Sidecar { path, source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(WeightsError::Io {
                what: "read",
                path,
                source,
            }),
        }
    }

    /// Every known backbone with what the folder has of it.
    pub fn list(&self) -> Vec<Listed> {
        let listed = |&backbone: &&'static str| {
            let path = self.find(backbone).ok();
            let bytes = path
                .as_ref()
                .and_then(|path| path.metadata().ok())
                .map_or(0, |meta| meta.len());
            Listed {
                backbone,
                path,
                bytes,
                sidecar: self.sidecar(backbone).ok().flatten(),
            }
        };
        crate::BACKBONES.iter().map(listed).collect()
    }

    /// Reads every file that is there and says what is wrong with it. `expected` gives a backbone's tensors with their
    /// shapes (`models::backbones` knows them).
    pub fn check(&self, expected: impl Fn(&str) -> Vec<(String, Vec<usize>)>) -> Vec<Finding> {
        let present = self
            .list()
            .into_iter()
            .filter_map(|listed| Some((listed.backbone, listed.path?)));
        let check = |(backbone, path)| {
            let checked = self.load(backbone).and_then(|loaded| {
                crate::import::check_tensors(backbone, &loaded.state, &expected(backbone))?;
                Ok(loaded.state.len())
            });
            match checked {
                Ok(tensors) => Finding {
                    backbone,
                    path,
                    tensors,
                    problem: None,
                },
                Err(problem) => Finding {
                    backbone,
                    path,
                    tensors: 0,
                    problem: Some(problem),
                },
            }
        };
        present.map(check).collect()
    }
}
