//! `list`: what is there to learn from or to score becomes sealed samples.

mod addresses;
mod archives;
mod index;
mod known;
mod labelled;
mod left_out;
mod spans;
mod unlabelled;

use std::time::{Duration, SystemTime};

use data::Data;
use job::resolved::ModelSource;
use models::InputSize;
use plan::{FoundPackage, ResultDetail, ScoredBefore, TaskResult};

use super::names;
use crate::{
    attempt::Attempt,
    error::TaskError,
    packages::{self, Contents, Opened},
};

/// What a listing has sealed.
struct Listed {
    train: u64,
    scored: u64,
    licences: Vec<String>,
    scored_before: Option<ScoredBefore>,
    warnings: Vec<String>,
}

pub fn run(attempt: &Attempt) -> Result<TaskResult, TaskError> {
    let packages = packages(attempt)?;
    let spec = &attempt.run()?.spec.data;
    attempt.stages.show("list", 0);
    let listed = match data::build(&spec.class_path, &spec.init_args)? {
        Data::Labelled(dataset) => labelled::seal(attempt, dataset.as_ref())?,
        Data::Unlabelled(images) => unlabelled::seal(attempt, &images, &packages)?,
    };
    tracing::info!(train = listed.train, scored = listed.scored, "listed");
    Ok(TaskResult {
        detail: ResultDetail::List {
            samples: names::SAMPLES.to_owned(),
            train: listed.train,
            scored: listed.scored,
            packages,
            licences: listed.licences,
            scored_before: listed.scored_before,
        },
        timings: Vec::new(),
        warnings: listed.warnings,
        reused: None,
    })
}

/// What the packages are that the runs name. A newer version that is published while the job runs changes nothing.
fn packages(attempt: &Attempt) -> Result<Vec<FoundPackage>, TaskError> {
    let mut found: Vec<FoundPackage> = Vec::new();
    for run in &attempt.assignment.runs {
        let ModelSource::Package(name) = &run.spec.model else {
            continue;
        };
        if found.iter().any(|one| one.name == *name) {
            continue;
        }
        let package = packages::find(attempt, name)?;
        check_sizes(run.spec.input_size(), &package)?;
        tracing::info!(
            name,
            version = package.found.version,
            uri = package.found.uri,
            sha256 = package.found.sha256,
            "found the package"
        );
        found.push(package.found);
    }
    Ok(found)
}

/// The model's own sizes are the only ones that a job may ask for.
fn check_sizes(asked: InputSize, package: &Opened) -> Result<(), TaskError> {
    let own = match &package.contents {
        Contents::Package(manifest) => packages::input_size(manifest),
        // It has none that could be asked for.
        Contents::File(_) => InputSize::default(),
    };
    let sizes = [
        ("image_size", asked.resized, own.resized),
        ("center_crop", asked.crop, own.crop),
    ];
    for (parameter, asked, own) in sizes {
        let uri = package.found.uri.clone();
        let text = |[height, width]: [usize; 2]| format!("{height}x{width}");
        match (asked, own) {
            (None, _) => {}
            (Some(asked), Some(own)) if asked == own => {}
            (Some(asked), Some(own)) => {
                return Err(TaskError::OtherInputSize {
                    uri,
                    parameter,
                    asked: text(asked),
                    own: text(own),
                });
            }
            (Some(_), None) => {
                return Err(TaskError::ModelFile {
                    uri,
                    problem: format!(
                        "data.init_args.{parameter} has no meaning for it: leave it out"
                    ),
                });
            }
        }
    }
    Ok(())
}

/// Since 1970.
fn milliseconds(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
