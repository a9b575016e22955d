//! What earlier jobs have scored by the same model and engine, all incremental ones or one that is named: an image that has not
//! changed since is not scored again.

use job::resolved::ModelSource;
use plan::{FoundPackage, ScoredBefore, SkippedJob};
use store::{StoreError, layout};
use tables::{SampleRow, ScoreRow};
use types::JobId;

use crate::{
    attempt::{Attempt, Part},
    error::TaskError,
    sorted::Merged,
    tasks::{
        list::{
            index::{self, Damaged},
            spans::Spans,
        },
        names,
    },
};

/// The tables that say what has been scored.
pub struct Tables<'a> {
    attempt: &'a Attempt,
    /// Of an incremental job: the folder of the index.
    index: Option<String>,
    /// Of the index, and of the named job.
    indexed: Vec<String>,
    skipped: &'a [String],
    /// Parts that are to be put into the index.
    merged: Vec<String>,
    damaged: Damaged,
}

/// Rows of the index and of the named job, read along with a listing in the same order; those that are reused go into a table of their own.
pub struct Known<'a> {
    rows: std::iter::Peekable<Merged<ScoreRow>>,
    reused: Part<'a, ScoreRow>,
    images: u64,
    /// Of an incremental job: the folder of the index.
    index: Option<String>,
    /// Parts that are to be put there.
    merged: Vec<String>,
    damaged: Damaged,
}

impl<'a> Tables<'a> {
    /// `None` if the job scores all images anew.
    pub fn find(
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
        let index = spec
            .incremental
            .then(|| folder(attempt, package))
            .transpose()?;
        let damaged = Damaged::default();
        let found = index
            .as_ref()
            .map(|folder| index::open(attempt, folder, &damaged))
            .transpose()?;
        let (indexed, merged) = found.map_or_else(Default::default, |it| (it.tables, it.merged));
        let skipped = match &spec.skip {
            Some(job) => &skipped(attempt, job, package)?.tables[..],
            None => &[],
        };
        Ok(Some(Self {
            attempt,
            index,
            indexed,
            skipped,
            merged,
            damaged,
        }))
    }

    /// Reads what they say of images within these spans of addresses.
    pub fn read(self, spans: &Spans) -> Result<Known<'a>, TaskError> {
        let attempt = self.attempt;
        let indexed = self.indexed.iter();
        let indexed = indexed.map(|path| index::batches(attempt, path, spans, &self.damaged));
        let skipped = self.skipped.iter().map(|path| attempt.batches(path));
        let tables = indexed.chain(skipped).collect::<Result<_, _>>()?;
        Ok(Known {
            rows: Merged::of(tables)?.peekable(),
            reused: attempt.begin_table(names::REUSED)?,
            images: 0,
            index: self.index,
            merged: self.merged,
            damaged: self.damaged,
        })
    }
}

impl Known<'_> {
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
        self.reused.push(row)?;
        self.images += 1;
        Ok(true)
    }

    /// What was found, and a warning of each table that cannot be read.
    pub fn finish(self) -> Result<(ScoredBefore, Vec<String>), TaskError> {
        self.reused.finish()?;
        let before = ScoredBefore {
            images: self.images,
            index: self.index,
            merged: self.merged,
        };
        Ok((before, self.damaged.warnings()))
    }
}

/// The folder of the store's index for what the job scores by. Where images lie, and which of them a job wants, is not in their scores.
fn folder(attempt: &Attempt, package: &FoundPackage) -> Result<String, TaskError> {
    // What scores depend on besides these: they are not to be mixed.
    // As the job asks for it, whoever lists.
    let engine = attempt.assignment.resources.engine.as_str();
    let shortcuts = attempt.run()?.spec.shortcuts();
    let engine = format!("{engine}{shortcuts}");
    Ok(layout::index(package.scored_by(), &engine))
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
