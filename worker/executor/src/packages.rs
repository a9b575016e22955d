//! Trained packages in a store: finding one by name or address, checking it, writing the one of a run.

use ::package::{
    FORMAT, Model, Normalization, Object, PackageError, PackageManifest, Preprocessing, Provenance,
    Thresholds, Weights, verify,
};
use bytes::Bytes;
use job::resolved::ClassSpec;
use models::Statistics;
use plan::PlannedRun;
use serde::Deserialize;
use store::layout;
use types::TaskKind;

use crate::{
    attempt::Attempt,
    decision::Decision,
    error::TaskError,
    model::Chosen,
    tasks::{ComputedBy, names},
};

/// A package that was found, its digest checked where one is known.
pub struct Opened {
    pub manifest: PackageManifest,
    pub uri: String,
}

/// Finds a package by the path or URI of its `package.json`, or by `NAME[@VERSION]` in the job's store.
pub fn open(attempt: &Attempt, name: &str) -> Result<Opened, TaskError> {
    let (uri, expected) = if name.contains("://") || name.starts_with('/') {
        (name.to_owned(), None)
    } else {
        let pointer = pointer(attempt, name)?;
        (
            resolve(attempt.store.root(), &pointer.package),
            Some(pointer.sha256),
        )
    };
    let bytes = read(attempt, &uri)?;
    let failed = |source| TaskError::Package {
        uri: uri.clone(),
        source,
    };
    if let Some(sha256) = expected {
        let named = Object {
            uri: uri.clone(),
            sha256,
            size: bytes.len() as u64,
        };
        verify(&named, &bytes).map_err(failed)?;
    }
    let manifest = PackageManifest::from_json(&bytes).map_err(failed)?;
    Ok(Opened { manifest, uri })
}

impl Opened {
    pub fn class(&self) -> ClassSpec {
        let model = &self.manifest.model;
        ClassSpec {
            class_path: model.class_path.clone(),
            init_args: model.init_args.clone(),
        }
    }

    /// Height, width of the graph's input.
    pub fn image_size(&self) -> [usize; 2] {
        self.manifest
            .preprocessing
            .image_size
            .map(|side| side as usize)
    }

    /// What the model learned, its digest checked before it is parsed.
    pub fn statistics(&self, attempt: &Attempt) -> Result<Statistics, TaskError> {
        let object = &self.manifest.statistics;
        let folder = self.uri.rsplit_once('/').map_or("", |(folder, _)| folder);
        let bytes = read(attempt, &resolve(folder, &object.uri))?;
        let failed = |source| TaskError::Package {
            uri: self.uri.clone(),
            source,
        };
        verify(object, &bytes).map_err(failed)?;
        ::package::read_statistics(&bytes).map_err(failed)
    }
}

/// The pointer of the given version, or of the highest.
fn pointer(attempt: &Attempt, name: &str) -> Result<Pointer, TaskError> {
    let (name, version) = name
        .split_once('@')
        .map_or((name, None), |(name, version)| (name, Some(version)));
    let path = match version {
        Some(version) => {
            let version = version.parse().map_err(|_| {
                TaskError::Assignment(format!("{version:?} is not a version of the model {name}"))
            })?;
            layout::model(name, version)
        }
        None => {
            let versions = attempt
                .runtime
                .block_on(attempt.store.list(&layout::models(name)))?;
            let newest = versions
                .into_iter()
                .rfind(|info| info.path.ends_with(".json"));
            newest
                .map(|info| info.path)
                .ok_or_else(|| TaskError::NoModel {
                    name: name.to_owned(),
                    store: attempt.store.root().to_owned(),
                })?
        }
    };
    let bytes = attempt.read(&path)?;
    serde_json::from_slice(&bytes).map_err(|error| TaskError::Package {
        uri: attempt.store.uri(&path),
        source: PackageError::Json(error),
    })
}

/// What a published pointer says of its package; it says more, for people.
#[derive(Debug, Deserialize)]
struct Pointer {
    /// URI of `package.json`.
    package: String,
    sha256: String,
}

fn read(attempt: &Attempt, uri: &str) -> Result<Bytes, TaskError> {
    let (store, path) = attempt.stores.locate(uri)?;
    Ok(attempt.runtime.block_on(store.get(&path, None))?)
}

/// An address, absolute or relative to a folder; `..` goes up, so that a store can be moved as a whole.
fn resolve(folder: &str, uri: &str) -> String {
    if uri.contains("://") || uri.starts_with('/') {
        return uri.to_owned();
    }
    let mut folder = folder.trim_end_matches('/');
    let mut rest = uri;
    while let Some(below) = rest.strip_prefix("../") {
        folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        rest = below;
    }
    format!("{folder}/{rest}")
}

/// Writes the package of a run that trained; returns its path below the attempt's prefix.
pub fn write(
    attempt: &Attempt,
    run: &PlannedRun,
    class: &ClassSpec,
    computed_by: &ComputedBy,
    image: &Decision,
    pixel: Option<&Decision>,
) -> Result<String, TaskError> {
    let fit = attempt.input(TaskKind::Fit)?;
    let statistics = fit
        .outputs
        .iter()
        .find(|object| object.path == names::STATISTICS);
    let statistics = statistics
        .ok_or_else(|| TaskError::Assignment("its fit task left no statistics".to_owned()))?;
    let chosen = Chosen::to_train(attempt)?;
    let size = |[height, width]: [usize; 2]| {
        [height, width].map(|side| u32::try_from(side).unwrap_or(u32::MAX))
    };
    let transform = chosen.model.preprocess();
    let manifest = PackageManifest {
        format: FORMAT,
        model: Model {
            class_path: class.class_path.clone(),
            init_args: class.init_args.clone(),
            seed: run.spec.seed,
        },
        preprocessing: Preprocessing {
            image_size: size(transform.crop.unwrap_or(transform.size)),
            resize: size(transform.size),
            crop: transform.crop.map(size),
            hash: chosen.preprocess().hash(),
        },
        statistics: Object {
            // From jobs/{job}/tasks/{task}/{attempt}/package.json: up to the tasks, down to the fit's attempt.
            uri: format!(
                "../../{}",
                fit.path(names::STATISTICS)
                    .splitn(4, '/')
                    .last()
                    .unwrap_or_default()
            ),
            sha256: statistics.sha256.clone(),
            size: statistics.size,
        },
        weights: chosen.origin.as_ref().map(|origin| Weights {
            backbone: origin.backbone.clone(),
            sha256: origin.sha256.clone(),
            licence: origin.licence.clone(),
        }),
        thresholds: Thresholds {
            image: image.threshold_for_package(),
            pixel: pixel.and_then(Decision::threshold_for_package),
        },
        normalization: Normalization {
            image: image.bounds_for_package(),
            pixel: pixel.and_then(Decision::bounds_for_package),
        },
        provenance: Provenance {
            job: attempt.assignment.task.job.to_string(),
            run: run.index,
            dataset: run.dataset.clone(),
            category: run.category.clone(),
            licences: chosen
                .origin
                .iter()
                .map(|origin| format!("weights: {}", origin.licence))
                .collect(),
            engine: computed_by.engine.clone(),
            engine_version: computed_by.version.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    };
    let text = manifest.to_json().map_err(|source| TaskError::Package {
        uri: attempt.writer.uri(names::PACKAGE),
        source,
    })?;
    attempt.put(names::PACKAGE, text)?;
    Ok(names::PACKAGE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn addresses_in_packages_are_relative_to_their_folder() {
        let folder = "file:///out/jobs/j/tasks/j-0002/5-00000001";
        assert_eq!(
            resolve(folder, "statistics.safetensors"),
            format!("{folder}/statistics.safetensors")
        );
        assert_eq!(
            resolve(folder, "../../j-0001/4-00000001/s"),
            "file:///out/jobs/j/tasks/j-0001/4-00000001/s"
        );
        assert_eq!(
            resolve("file:///out/", "jobs/j/package.json"),
            "file:///out/jobs/j/package.json"
        );
        assert_eq!(
            resolve(folder, "file:///elsewhere/s"),
            "file:///elsewhere/s"
        );
        assert_eq!(resolve(folder, "/elsewhere/s"), "/elsewhere/s");
    }
}
