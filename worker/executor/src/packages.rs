//! Trained packages in a store: finding one by name or address, checking it, writing the one of a run.

use ::package::{
    Model, Normalization, Object, PackageError, PackageManifest, Parity, Preprocessing, Provenance,
    Thresholds, Weights, verify,
};
use bytes::Bytes;
use job::resolved::{ClassSpec, is_model_file};
use models::{InputSize, Statistics};
use plan::{FoundPackage, PlannedRun, ResultDetail};
use serde::Deserialize;
use store::{StoreError, layout};
use types::TaskKind;

use crate::{
    attempt::Attempt,
    decision::Decision,
    error::TaskError,
    model::Chosen,
    model_file::{self, ModelFile},
    tasks::{ComputedBy, names},
};

const TORCH_SCRIPT: &str = ".pt";

/// A trained model whose digest has been checked.
#[derive(Debug, Clone)]
pub struct Opened {
    pub contents: Contents,
    pub found: FoundPackage,
}

#[derive(Debug, Clone)]
pub enum Contents {
    Package(Box<PackageManifest>),
    /// Of another program.
    File(ModelFile),
}

/// Finds a package by the path or URI of its `package.json`, or by `NAME[@VERSION]` in the job's store. Only the `list`
/// task asks, or the one of an export: what it finds is the job's package from then on.
pub fn find(attempt: &Attempt, name: &str) -> Result<Opened, TaskError> {
    if is_model_file(name) {
        let (file, found) = model_file::find(attempt, name)?;
        let contents = Contents::File(file);
        return Ok(Opened { contents, found });
    }
    let (uri, version, expected) = if name.contains("://") || name.starts_with('/') {
        (name.to_owned(), None, None)
    } else {
        let (version, pointer) = pointer(attempt, name)?;
        (pointer.package, Some(version), Some(pointer.sha256))
    };
    let mut bytes = read(attempt, &uri)?;
    let (mut uri, mut expected) = (uri, expected);
    if let Ok(pointer) = serde_json::from_slice::<Pointer>(&bytes) {
        // A file of the store's `models/`, which says where its package is.
        bytes = read(attempt, &pointer.package)?;
        (uri, expected) = (pointer.package, Some(pointer.sha256));
    }
    let found = FoundPackage {
        name: name.to_owned(),
        version,
        uri,
        sha256: expected.unwrap_or_else(|| ::package::digest(&bytes)),
        scores_sha256: None,
        model_file: None,
    };
    let asked = found.uri.clone();
    parse(found, &bytes).map_err(|error| match error {
        TaskError::Package { .. } => of_model_beside(attempt, asked).unwrap_or(error),
        error => error,
    })
}

/// What lies beside a model file is easily taken for it.
fn of_model_beside(attempt: &Attempt, uri: String) -> Option<TaskError> {
    let (folder, name) = uri.rsplit_once('/')?;
    let models = match name.strip_suffix(".bin") {
        Some(stem) => vec![format!("{stem}.xml")],
        None if name == "metadata.json" => vec!["model.onnx".to_owned(), "model.xml".to_owned()],
        None => Vec::new(),
    };
    let is_there = |model: &String| {
        let located = attempt.stores.locate(model);
        located.is_ok_and(|(store, path)| attempt.runtime.block_on(store.head(&path)).is_ok())
    };
    let models = models.iter().map(|model| format!("{folder}/{model}"));
    let model = models.into_iter().find(is_there)?;
    Some(TaskError::BesideModel { uri, model })
}

/// The package that the run's listing found, if it is still the same.
pub fn open(attempt: &Attempt, name: &str) -> Result<Opened, TaskError> {
    let found = match &attempt.input(TaskKind::List)?.result.detail {
        ResultDetail::List { packages, .. } => packages.iter().find(|found| found.name == name),
        _ => None,
    };
    let found = found
        .ok_or_else(|| TaskError::Assignment(format!("its list task found no package {name:?}")))?;
    match &found.model_file {
        Some(file) => Ok(Opened {
            contents: Contents::File(model_file::open(attempt, &found.uri, file)?),
            found: found.clone(),
        }),
        None => parse(found.clone(), &read(attempt, &found.uri)?),
    }
}

fn parse(mut found: FoundPackage, bytes: &[u8]) -> Result<Opened, TaskError> {
    if found.uri.ends_with(TORCH_SCRIPT) {
        return Err(TaskError::TorchScript { uri: found.uri });
    }
    let failed = |source| TaskError::Package {
        uri: found.uri.clone(),
        source,
    };
    let named = Object {
        uri: found.uri.clone(),
        sha256: found.sha256.clone(),
        size: bytes.len() as u64,
    };
    verify(&named, bytes).map_err(failed)?;
    let manifest = PackageManifest::from_json(bytes).map_err(failed)?;
    found.scores_sha256 = Some(manifest.scores_sha256());
    let contents = Contents::Package(Box::new(manifest));
    Ok(Opened { contents, found })
}

impl Opened {
    /// An error if it is a file of another program.
    pub fn manifest(&self) -> Result<&PackageManifest, TaskError> {
        match &self.contents {
            Contents::Package(manifest) => Ok(manifest),
            Contents::File(_) => Err(TaskError::NoPackage {
                uri: self.found.uri.clone(),
            }),
        }
    }

    pub fn thresholds(&self) -> &Thresholds {
        match &self.contents {
            Contents::Package(manifest) => &manifest.thresholds,
            Contents::File(file) => &file.thresholds,
        }
    }

    pub fn normalization(&self) -> &Normalization {
        match &self.contents {
            Contents::Package(manifest) => &manifest.normalization,
            Contents::File(file) => &file.normalization,
        }
    }

    pub fn weights(&self) -> Option<&Weights> {
        match &self.contents {
            Contents::Package(manifest) => manifest.weights.as_ref(),
            Contents::File(_) => None,
        }
    }

    fn licences(&self) -> &[String] {
        match &self.contents {
            Contents::Package(manifest) => &manifest.provenance.licences,
            Contents::File(_) => &[],
        }
    }

    /// What the model learned, its digest checked before it is parsed.
    pub fn statistics(&self, attempt: &Attempt) -> Result<Statistics, TaskError> {
        let object = &self.manifest()?.statistics;
        let failed = |source| TaskError::Package {
            uri: self.found.uri.clone(),
            source,
        };
        let uri = resolve(&self.found.uri, &object.uri).ok_or_else(|| {
            failed(PackageError::Field {
                field: "statistics",
                problem: format!(
                    "its address {:?} leads out of the package's store",
                    object.uri
                ),
            })
        })?;
        let bytes = read(attempt, &uri)?;
        verify(object, &bytes).map_err(failed)?;
        ::package::read_statistics(&bytes).map_err(failed)
    }
}

/// The pointer of the given version, or of the highest, with its version.
fn pointer(attempt: &Attempt, name: &str) -> Result<(u32, Pointer), TaskError> {
    let (model, version) = name
        .split_once('@')
        .map_or((name, None), |(model, version)| (model, Some(version)));
    let version = match version {
        Some(version) => version.parse().map_err(|_| {
            TaskError::Assignment(format!("{version:?} is not a version of the model {model}"))
        })?,
        None => newest(attempt, model)?,
    };
    let path = layout::model(model, version);
    let bytes = match attempt.read(&path) {
        Err(TaskError::Store(StoreError::NotFound { .. })) => {
            return Err(TaskError::NoModel {
                name: name.to_owned(),
                store: attempt.store.root().to_owned(),
            });
        }
        bytes => bytes?,
    };
    let pointer = serde_json::from_slice(&bytes).map_err(|error| TaskError::Package {
        uri: attempt.store.uri(&path),
        source: PackageError::Json(error),
    })?;
    Ok((version, pointer))
}

fn newest(attempt: &Attempt, model: &str) -> Result<u32, TaskError> {
    let pointers = attempt
        .runtime
        .block_on(attempt.store.list(&layout::models(model)))?;
    let version = |path: &str| {
        let (_, file) = path.rsplit_once('/')?;
        file.strip_suffix(".json")?.parse().ok()
    };
    pointers
        .iter()
        .filter_map(|info| version(&info.path))
        .max()
        .ok_or_else(|| TaskError::NoModel {
            name: model.to_owned(),
            store: attempt.store.root().to_owned(),
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

/// What an address in a package means: relative to the package's folder, so that a store can be moved as a whole. `None`
/// if it leads out of the package's store, or is absolute: nobody reads with a worker's rights by writing a package.
fn resolve(package: &str, uri: &str) -> Option<String> {
    let (mut folder, _) = package.rsplit_once('/')?;
    let root = root(folder);
    let mut rest = uri;
    while let Some(below) = rest.strip_prefix("../") {
        folder = folder.rsplit_once('/')?.0;
        rest = below;
    }
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['%', ':', '\\']);
    let inside = folder
        .strip_prefix(root)
        .is_some_and(|below| below.is_empty() || below.starts_with('/'));
    (inside && rest.split('/').all(plain)).then(|| format!("{folder}/{rest}"))
}

/// The store's root where an evaluate task has put a package; for one that somebody has put elsewhere its own folder.
fn root(folder: &str) -> &str {
    let parts: Vec<&str> = folder.rsplitn(6, '/').collect();
    match parts[..] {
        [_attempt, _task, "tasks", _job, "jobs", root] => root,
        _ => folder,
    }
}

/// Licences of what went into a run's numbers, each once: `weights: MIT`, `data: CC BY 4.0`.
pub fn licences(
    attempt: &Attempt,
    given: Option<&Opened>,
    trained: Option<&Chosen>,
) -> Result<Vec<String>, TaskError> {
    let package = given.map(|package| package.licences().to_vec());
    let mut licences = package.unwrap_or_default();
    let origin = trained.and_then(|chosen| chosen.origin.as_ref());
    let weights = origin.map(|origin| format!("weights: {}", origin.licence));
    let data = match &attempt.input(TaskKind::List)?.result.detail {
        ResultDetail::List { licences, .. } => &licences[..],
        _ => &[],
    };
    let data = data.iter().map(|licence| format!("data: {licence}"));
    for licence in weights.into_iter().chain(data) {
        if !licences.contains(&licence) {
            licences.push(licence);
        }
    }
    Ok(licences)
}

/// Writes the package of a run that trained; returns its path below the attempt's prefix.
pub fn write(
    attempt: &Attempt,
    run: &PlannedRun,
    chosen: &Chosen,
    licences: Vec<String>,
    computed_by: &ComputedBy,
    (image, pixel): (&Decision, Option<&Decision>),
    parity: Option<Parity>,
) -> Result<String, TaskError> {
    let fit = attempt.input(TaskKind::Fit)?;
    let statistics = fit
        .outputs
        .iter()
        .find(|object| object.path == names::STATISTICS);
    let statistics = statistics
        .ok_or_else(|| TaskError::Assignment("its fit task left no statistics".to_owned()))?;
    let size = |[height, width]: [usize; 2]| {
        [height, width].map(|side| u32::try_from(side).unwrap_or(u32::MAX))
    };
    let transform = chosen.model.preprocess();
    let normalization = Normalization {
        image: image.scale_for_package(),
        pixel: pixel.and_then(Decision::scale_for_package),
    };
    let manifest = PackageManifest {
        format: normalization.format(),
        model: Model {
            class_path: chosen.class.class_path.clone(),
            init_args: chosen.class.init_args.clone(),
            seed: run.spec.seed,
        },
        preprocessing: Preprocessing {
            image_size: size(transform.output()),
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
        normalization,
        provenance: Provenance {
            job: attempt.assignment.task.job.to_string(),
            run: run.index,
            dataset: run.dataset.clone(),
            category: run.category.clone(),
            licences,
            engine: computed_by.engine.clone(),
            engine_version: computed_by.version.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rethresholded: attempt.assignment.rethresholded,
        },
        parity,
    };
    let text = manifest.to_json().map_err(|source| TaskError::Package {
        uri: attempt.writer.uri(names::PACKAGE),
        source,
    })?;
    attempt.put(names::PACKAGE, text)?;
    Ok(names::PACKAGE.to_owned())
}

/// The class of a package's model.
pub fn class(manifest: &PackageManifest) -> ClassSpec {
    ClassSpec {
        class_path: manifest.model.class_path.clone(),
        init_args: manifest.model.init_args.clone(),
    }
}

/// How a package's model sees images; both sizes are given, whatever the model does by itself.
pub fn input_size(manifest: &PackageManifest) -> InputSize {
    let Preprocessing { resize, crop, .. } = &manifest.preprocessing;
    let size = |size: [u32; 2]| Some(size.map(|side| side as usize));
    InputSize {
        resized: size(*resize),
        crop: size(crop.unwrap_or(*resize)),
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn packages_may_have_the_sizes_that_jobs_may_ask_for() {
        let context = job::ReadContext {
            current_dir: "/".as_ref(),
            now: job::Timestamp::UNIX_EPOCH,
        };
        for side in [1, 31, 32, 4096, 4097] {
            let job = format!(
                "kind: train
name: n
model: {{class_path: Padim, init_args: {{backbone: resnet18, layers: [layer1], n_features: 8}}}}
data: {{class_path: MVTec, init_args: {{root: /d, category: c, image_size: {side}}}}}
output: /out
"
            );
            let allowed = job::read(&job, "job.yaml", &[], &context).is_ok();
            assert_eq!(::package::SIDES.contains(&side), allowed, "{side}");
        }
    }

    #[test]
    fn packages_may_have_the_sizes_that_models_see() {
        let built = models::REGISTRY
            .iter()
            .filter(|entry| entry.params.is_some());
        let arguments = serde_json::Map::new();
        for class in built.map(|entry| entry.class) {
            for side in [*::package::SIDES.start(), *::package::SIDES.end()] {
                let input = models::InputSize::resized([side as usize; 2]);
                // Where it is too small for the model, no package comes of it.
                let Ok(model) = models::build(class, &arguments, input, 0) else {
                    continue;
                };
                let [seen, _] = model.preprocess().output();
                let seen = u32::try_from(seen).unwrap();
                assert!(::package::SEEN_SIDES.contains(&seen), "{class}: {seen}");
            }
        }
    }

    #[test]
    fn addresses_in_packages_stay_in_the_packages_store() {
        let package = "file:///out/jobs/j/tasks/j-0002/5-00000001/package.json";
        let inside = [
            (
                "statistics.safetensors",
                "file:///out/jobs/j/tasks/j-0002/5-00000001/statistics.safetensors",
            ),
            (
                "../../j-0001/4-00000001/s",
                "file:///out/jobs/j/tasks/j-0001/4-00000001/s",
            ),
            ("../../../../../shared/s", "file:///out/shared/s"),
        ];
        for (uri, expected) in inside {
            assert_eq!(resolve(package, uri).as_deref(), Some(expected));
        }
        for outside in [
            "/elsewhere/s",
            "file:///out/s",
            "s3://other/s",
            "../../../../../../s",
            "../../../../../../../../../../../../s",
            "a/../../s",
            "..",
            "%2e%2e/s",
            "",
        ] {
            assert_eq!(resolve(package, outside), None, "{outside}");
        }
        // One that somebody copied has its own folder alone.
        let copied = "s3://lab/models/mine/package.json";
        assert_eq!(
            resolve(copied, "s").as_deref(),
            Some("s3://lab/models/mine/s")
        );
        assert_eq!(resolve(copied, "../s"), None);
        assert_eq!(resolve("s3://lab/package.json", "../other/s"), None);
    }
}
