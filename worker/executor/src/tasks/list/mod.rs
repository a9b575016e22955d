//! `list`: what is there to learn from or to score becomes sealed samples.

mod addresses;
mod archives;
mod index;
mod known;
mod labelled;
mod left_out;
mod unlabelled;

use std::time::{Duration, SystemTime};

use data::Data;
use job::resolved::ModelSource;
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
        if let Some(asked) = run.spec.image_size() {
            check_size(asked, &package)?;
        }
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

/// The model's own size is the only one that a job may ask for.
fn check_size(asked: [usize; 2], package: &Opened) -> Result<(), TaskError> {
    let uri = package.found.uri.clone();
    let own = match &package.contents {
        Contents::Package(manifest) => packages::image_size(manifest),
        Contents::File(_) => {
            let problem = "data.init_args.image_size has no meaning for it: leave it out";
            return Err(TaskError::ModelFile {
                uri,
                problem: problem.to_owned(),
            });
        }
    };
    let text = |[height, width]: [usize; 2]| format!("{height}x{width}");
    if asked == own {
        return Ok(());
    }
    Err(TaskError::OtherImageSize {
        uri,
        asked: text(asked),
        own: text(own),
    })
}

/// Since 1970.
fn milliseconds(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
