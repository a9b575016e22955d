//! What earlier jobs have scored by the same model and engine, all of the same data or one that is named: an image that has
//! not changed since is not scored again.

use job::resolved::{Kept, ModelSource};
use plan::{FoundPackage, ScoredBefore, SkippedJob};
use store::{StoreError, layout};
use tables::{SampleRow, ScoreRow};
use types::JobId;

use crate::{
    attempt::{Attempt, Part},
    error::TaskError,
    sorted::Merged,
    tasks::{
        list::index::{self, Damaged},
        names,
    },
};

/// Rows of the index and of the named job, read along with a listing in the same order; those that are reused go into a table of their own.
pub struct Known<'a> {
    rows: std::iter::Peekable<Merged<ScoreRow>>,
    reused: Part<'a, ScoreRow>,
    images: u64,
    kept: Lacking,
    /// Of an incremental job: the folder of the index.
    index: Option<String>,
    /// Parts that are to be put there.
    merged: Vec<String>,
    damaged: Damaged,
}

impl<'a> Known<'a> {
    /// `None` if the job scores all images anew.
    pub fn open(
        attempt: &'a Attempt,
        packages: &[FoundPackage],
    ) -> Result<Option<Self>, TaskError> {
        let spec = &attempt.run()?.spec;
        let ModelSource::Package(name) = &spec.model else {
            return Ok(None);
        };
        if !spec.incremental && spec.skip.is_none() {
            return Ok(None);
        }
        let package = packages.iter().find(|found| found.name == *name);
        let package = package.ok_or_else(|| {
            TaskError::Assignment(format!("its list task found no package {name:?}"))
        })?;
        let (mut tables, mut merged) = (Vec::new(), Vec::new());
        let index = spec
            .incremental
            .then(|| folder(attempt, package))
            .transpose()?;
        let damaged = Damaged::default();
        if let Some(folder) = &index {
            let found = index::open(attempt, folder, &damaged)?;
            for path in &found.tables {
                tables.push(index::batches(attempt, path, &damaged)?);
            }
            merged.extend(found.merged);
        }
        if let Some(job) = &spec.skip {
            for path in &skipped(attempt, job, package)?.tables {
                tables.push(attempt.batches(path)?);
            }
        }
        Ok(Some(Self {
            rows: Merged::of(tables)?.peekable(),
            reused: attempt.begin_table(names::REUSED)?,
            images: 0,
            kept: Lacking {
                maps: spec.maps,
                pictures: spec.pictures,
                without_map: 0,
                without_picture: 0,
            },
            index,
            merged,
            damaged,
        }))
    }

    /// Whether an image has been scored as it is now, or cannot be, whatever is tried; its row is kept then. Images come in
    /// order of their addresses.
    pub fn has(&mut self, sample: &SampleRow) -> Result<bool, TaskError> {
        let mut found = None;
        while let Some(row) = self.rows.next_if(|row| match row {
            Ok(row) => row.uri <= sample.uri,
            Err(_) => true,
        }) {
            let row = row?;
            // An address twice in the index: of another content, or an error that has passed since.
            if row.uri == sample.uri && row.etag == sample.etag && is_final(&row) {
                found = Some(row);
            }
        }
        let Some(row) = found else {
            return Ok(false);
        };
        self.kept.count(&row);
        self.reused.push(row)?;
        self.images += 1;
        Ok(true)
    }

    /// What was found, and warnings: of each table that cannot be read, and of what the job was to keep of images that it does
    /// not look at.
    pub fn finish(self) -> Result<(ScoredBefore, Vec<String>), TaskError> {
        self.reused.finish()?;
        let before = ScoredBefore {
            images: self.images,
            index: self.index,
            merged: self.merged,
        };
        let mut warnings = self.damaged.warnings();
        warnings.extend(self.kept.warnings());
        Ok((before, warnings))
    }
}

/// Reused images of which the job was to keep something that only scoring them gives.
struct Lacking {
    maps: Kept,
    pictures: Kept,
    without_map: u64,
    without_picture: u64,
}

impl Lacking {
    fn count(&mut self, row: &ScoreRow) {
        let wanted = |kept| match kept {
            Kept::None => false,
            Kept::Anomalous => row.is_anomalous == Some(true),
            Kept::All => row.score.is_some(),
        };
        self.without_map += u64::from(wanted(self.maps) && row.map_part.is_none());
        self.without_picture += u64::from(wanted(self.pictures));
    }

    fn warnings(&self) -> Vec<String> {
        let of = |images: u64| match images {
            1 => "1 image that an earlier job has scored".to_owned(),
            images => format!("{images} images that earlier jobs have scored"),
        };
        let mut warnings = Vec::new();
        if self.without_map > 0 {
            warnings.push(format!(
                "`maps`: there is none of {}; a job without `incremental` and `skip` makes them",
                of(self.without_map)
            ));
        }
        if self.without_picture > 0 {
            warnings.push(format!(
                "`pictures`: this job has none of {}; `ctl render` draws them, and the earlier jobs have theirs if they were to keep them",
                of(self.without_picture)
            ));
        }
        warnings
    }
}

/// The folder of the store's index for what the job scores.
fn folder(attempt: &Attempt, package: &FoundPackage) -> Result<String, TaskError> {
    let data = serde_json::json!(attempt.run()?.spec.data);
    let input = ::package::digest(data.to_string().as_bytes());
    // What scores depend on besides these: they are not to be mixed.
    let engine = attempt.assignment.resources.engine.as_str();
    let shortcuts = attempt.run()?.spec.shortcuts();
    let engine = format!("{engine}{shortcuts}");
    Ok(layout::index(package.scored_by(), &engine, &input))
}

/// What the named job has scored, if it was by the same model. That it is of the same store and engine was seen at submit.
fn skipped<'a>(
    attempt: &'a Attempt,
    job: &JobId,
    package: &FoundPackage,
) -> Result<&'a SkippedJob, TaskError> {
    let skipped = attempt.assignment.skipped.as_ref();
    let skipped = skipped.ok_or_else(|| TaskError::NothingToSkip { job: job.clone() })?;
    let theirs = &skipped.package;
    if theirs.scored_by() != package.scored_by() && theirs.sha256 != package.sha256 {
        return Err(TaskError::OtherPackage {
            job: job.clone(),
            theirs: theirs.uri.clone(),
            ours: package.uri.clone(),
        });
    }
    Ok(skipped)
}

/// A score, or an error that lies in the image itself and not in reaching it.
pub(super) fn is_final(row: &ScoreRow) -> bool {
    let error = row.error_class.as_deref();
    error.is_none_or(|class| !StoreError::WORDS.contains(&class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_of_reused_images_is_counted() {
        let row = |is_anomalous, map_part: Option<&str>| ScoreRow {
            score: Some(1.0),
            is_anomalous: Some(is_anomalous),
            map_part: map_part.map(str::to_owned),
            ..ScoreRow::default()
        };
        let unread = ScoreRow::default();
        let rows = [
            row(true, None),
            row(true, Some("m")),
            row(false, None),
            unread,
        ];
        for (maps, pictures, expected) in [
            (Kept::None, Kept::None, [0, 0]),
            (Kept::Anomalous, Kept::Anomalous, [1, 2]),
            (Kept::All, Kept::None, [2, 0]),
            (Kept::None, Kept::All, [0, 3]),
        ] {
            let mut found = Lacking {
                maps,
                pictures,
                without_map: 0,
                without_picture: 0,
            };
            rows.iter().for_each(|row| found.count(row));
            assert_eq!([found.without_map, found.without_picture], expected);
            let said = expected.iter().filter(|images| **images > 0).count();
            assert_eq!(found.warnings().len(), said);
        }
    }
}
