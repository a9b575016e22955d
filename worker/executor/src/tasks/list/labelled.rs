//! A dataset: what lies in its folders, with splits and labels.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
};

use data::{
    DataError, Dataset, LICENCE_BYTES, LICENCE_FILES, ListedObject, Purpose, SampleSeed, Split,
    licence_line,
};
use job::resolved::{MeasuredOn, ModelSource};
use store::{ObjectInfo, StoreError};
use tables::{Micros, SampleRow};
use vision::Limits;

use super::{Listed, milliseconds};
use crate::{
    attempt::Attempt,
    error::{TaskError, one_line},
    images::{BadImage, bad_image, describe_all},
    tasks::{names, score::wants_pixels},
};

pub fn seal(attempt: &Attempt, dataset: &dyn Dataset) -> Result<Listed, TaskError> {
    let objects = list(attempt, dataset)?;
    let listing = dataset
        .samples(&objects, purpose(attempt))
        .map_err(|error| suggest(attempt, error))?;
    let mut listing = listing;
    if attempt.run()?.spec.measured_on == MeasuredOn::Validation {
        listing.samples.retain(|sample| sample.split != Split::Test);
    }
    check_masks(attempt, &listing.samples, &objects)?;
    let train = listing
        .samples
        .iter()
        .filter(|sample| sample.split == Split::Train)
        .count() as u64;
    attempt.put_table(names::SAMPLES, rows(&listing.samples, &objects))?;
    let mut warnings = listing.warnings;
    Ok(Listed {
        train,
        scored: listing.samples.len() as u64 - train,
        licences: licences(attempt, dataset, &mut warnings),
        scored_before: None,
        warnings,
    })
}

/// Normal images to train on are needed as soon as one of the runs trains.
fn purpose(attempt: &Attempt) -> Purpose {
    let trains = |run: &plan::PlannedRun| matches!(run.spec.model, ModelSource::Train(_));
    if attempt.assignment.runs.iter().any(trains) {
        Purpose::Train
    } else {
        Purpose::Test
    }
}

fn list(attempt: &Attempt, dataset: &dyn Dataset) -> Result<Vec<ListedObject>, TaskError> {
    let roots = dataset.roots();
    let mut objects = Vec::new();
    for root in roots {
        attempt.check_cancelled()?;
        let store = match attempt.stores.open(&root) {
            // The dataset knows better what it means that a folder is not there.
            Err(StoreError::NotFound { .. }) => continue,
            other => other?,
        };
        let mut listed: Vec<ObjectInfo> = Vec::new();
        let page = |batch: Vec<ObjectInfo>| {
            attempt.stages.pulse.beat();
            listed.extend(batch);
            ControlFlow::Continue(())
        };
        let listing = || attempt.runtime.block_on(store.list_each("", page));
        attempt.stages.time("list", 0, listing)?;
        listed.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        objects.extend(listed.into_iter().map(|info| ListedObject {
            path: format!("{root}/{}", info.path),
            uri: store.uri(&info.path),
            etag: info.etag,
            size: info.size,
            modified_ms: milliseconds(info.modified),
        }));
        attempt.stages.set_done(objects.len() as u64);
    }
    Ok(objects)
}

/// What the dataset says of its licence. A file that cannot be read keeps nobody from working; it is said.
fn licences(attempt: &Attempt, dataset: &dyn Dataset, warnings: &mut Vec<String>) -> Vec<String> {
    let mut licences = Vec::new();
    for folder in dataset.licence_folders() {
        match licence_in(attempt, &folder) {
            Ok(Some(licence)) if !licences.contains(&licence) => licences.push(licence),
            Ok(_) => {}
            Err(error) => warnings.push(format!(
                "the data's licence is not recorded: {}",
                one_line(&error)
            )),
        }
    }
    licences
}

fn licence_in(attempt: &Attempt, folder: &str) -> Result<Option<String>, StoreError> {
    let store = match attempt.stores.open(folder) {
        Err(StoreError::NotFound { .. }) => return Ok(None),
        other => other?,
    };
    for name in LICENCE_FILES {
        let size = match attempt.runtime.block_on(store.head(name)) {
            Ok(found) => found.size.min(LICENCE_BYTES),
            Err(StoreError::NotFound { .. } | StoreError::NotAFile { .. }) => continue,
            Err(error) => return Err(error),
        };
        // An empty file has no range, and says nothing.
        if size > 0 {
            let text = attempt
                .runtime
                .block_on(store.get_range(name, 0..size, None))?;
            return Ok(licence_line(&text));
        }
    }
    Ok(None)
}

/// Adds the names that do exist beside a folder that does not.
pub(super) fn suggest(attempt: &Attempt, error: DataError) -> TaskError {
    let Some(folder) = error.wants_names_in() else {
        return error.into();
    };
    let names = attempt
        .stores
        .open(folder)
        .and_then(|store| attempt.runtime.block_on(store.folders("")));
    error.with_names(&names.unwrap_or_default()).into()
}

/// A mask too large to read would end every score task: better now than after the training.
fn check_masks(
    attempt: &Attempt,
    samples: &[SampleSeed],
    objects: &[ListedObject],
) -> Result<(), TaskError> {
    if !attempt.assignment.runs.iter().any(wants_pixels) {
        return Ok(());
    }
    let masks: HashSet<&str> = samples
        .iter()
        .filter_map(|sample| sample.mask_uri.as_deref())
        .collect();
    let bad: Vec<BadImage> = objects
        .iter()
        .filter(|object| masks.contains(object.uri.as_str()))
        .filter_map(|object| {
            let error = Limits::default().check_bytes(object.size).err()?;
            Some(bad_image(&object.uri, &error))
        })
        .collect();
    if bad.is_empty() {
        Ok(())
    } else {
        Err(describe_all("mask", &bad))
    }
}

fn rows(samples: &[SampleSeed], objects: &[ListedObject]) -> impl Iterator<Item = SampleRow> {
    let etags: HashMap<&str, &str> = objects
        .iter()
        .map(|object| (object.uri.as_str(), object.etag.as_str()))
        .collect();
    samples
        .iter()
        .enumerate()
        .map(move |(index, sample)| SampleRow {
            sample: index as u64,
            uri: sample.uri.clone(),
            etag: sample.etag.clone(),
            size: sample.size,
            modified: Micros(sample.modified_ms.saturating_mul(1000)),
            split: sample.split.as_str().to_owned(),
            label: sample.label.as_str().to_owned(),
            defect_type: sample.defect_type.clone(),
            mask_etag: sample
                .mask_uri
                .as_deref()
                .and_then(|uri| etags.get(uri))
                .map(|etag| (*etag).to_owned()),
            mask_uri: sample.mask_uri.clone(),
            synthetic: sample.synthetic,
            entry: None,
        })
}
