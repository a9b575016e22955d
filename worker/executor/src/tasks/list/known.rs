//! What earlier jobs have scored of the same data, by the same package and engine: an image that has not changed since is not
//! scored again.

use job::resolved::ModelSource;
use plan::{FoundPackage, ScoredBefore};
use store::{StoreError, layout};
use tables::{SampleRow, ScoreRow};

use crate::{
    attempt::{Attempt, Part},
    error::TaskError,
    sorted::{Batches, Merged},
    tasks::names,
};

/// The index's rows, read along with a listing in the same order; those that are reused go into a table of their own.
pub struct Known<'a> {
    rows: std::iter::Peekable<Merged<ScoreRow>>,
    reused: Part<'a, ScoreRow>,
    images: u64,
    index: String,
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
        let package = packages.iter().find(|found| found.name == *name);
        let Some(package) = package.filter(|_| spec.incremental) else {
            return Ok(None);
        };
        let input = ::package::digest(serde_json::json!(spec.data).to_string().as_bytes());
        let engine = attempt.assignment.resources.engine.as_str();
        let index = layout::index(&package.sha256, engine, &input);
        let mut segments = Vec::new();
        for segment in attempt.runtime.block_on(attempt.store.list(&index))? {
            segments.push(batches(attempt, &segment.path)?);
        }
        Ok(Some(Self {
            rows: Merged::of(segments)?.peekable(),
            reused: attempt.begin_table(names::REUSED)?,
            images: 0,
            index,
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
        self.reused.push(row)?;
        self.images += 1;
        Ok(true)
    }

    pub fn finish(self) -> Result<ScoredBefore, TaskError> {
        self.reused.finish()?;
        Ok(ScoredBefore {
            images: self.images,
            index: self.index,
        })
    }
}

/// A score, or an error that lies in the image itself and not in reaching it.
fn is_final(row: &ScoreRow) -> bool {
    let error = row.error_class.as_deref();
    error.is_none_or(|class| !StoreError::WORDS.contains(&class))
}

fn batches(attempt: &Attempt, path: &str) -> Result<Batches<ScoreRow>, TaskError> {
    let uri = attempt.store.uri(path);
    let failed = move |source| TaskError::Table {
        uri: uri.clone(),
        source,
    };
    let reader = attempt.ranged_table(path, 0..u64::MAX)?;
    Ok(Box::new(reader.map(move |batch| batch.map_err(&failed))))
}
