//! The two levels of a run's metrics: images, counted from the scores' rows, and pixels, merged from the parts' states.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Cursor, Read},
};

use data::Split;
use job::resolved::ErrorLimit;
use metrics::{
    Asked, AtRate, FalsePositiveRate, FprBounds, FprLimit, Merge, RawScore, ScoreCounts,
    ScoreDistribution, SharedFpr, Summary, Undefined,
};
use plan::PlannedRun;
use tables::ScoreRow;
use types::TaskKind;

use crate::{
    attempt::{Accepted, Attempt},
    error::TaskError,
    images::BadImages,
    states::{AT_ONCE, Sealed},
    tasks::{names, pixels_of},
};

/// Scores of one kind by split.
pub trait Level {
    /// `image` or `pixel`.
    fn name(&self) -> &'static str;

    /// All numbers of a split, in one pass over its ascending scores.
    fn summary(&self, split: Split, asked: Asked<'_>) -> Result<Summary, TaskError>;

    /// The threshold for a false-positive rate, in a pass of its own.
    fn at_rate(
        &self,
        split: Split,
        rate: FalsePositiveRate,
    ) -> Result<Result<AtRate, Undefined>, TaskError>;

    /// Of the normal scores of the split `train`, where that was scored.
    fn distribution(&self) -> Result<Result<ScoreDistribution, Undefined>, TaskError>;
}

/// What the run asks of a summary, but for thresholds.
pub fn asked(run: &PlannedRun) -> Result<Asked<'static>, TaskError> {
    let (limit, bounds) = (run.spec.metrics.fpr_limit, run.spec.metrics.fpr_bounds);
    Ok(Asked {
        thresholds: &[],
        fpr_limit: FprLimit::new(limit)
            .ok_or_else(|| TaskError::Assignment(format!("fpr_limit {limit}")))?,
        fpr_bounds: FprBounds::of(&bounds)
            .ok_or_else(|| TaskError::Assignment(format!("fpr_bounds {bounds:?}")))?,
        // They cost nearly nothing beside the rest of the pass.
        curves: true,
    })
}

/// Rows of earlier jobs that a run takes over.
#[derive(Default)]
pub struct Before {
    rows: u64,
    /// Those whose error lies in the image: it is as it was, and so is the error.
    bad: BadImages,
}

impl Before {
    /// Of what the run's listing found.
    pub fn count(attempt: &Attempt) -> Result<Self, TaskError> {
        let list = attempt.input(TaskKind::List)?;
        let mut before = Self::default();
        if list.object(names::REUSED).is_some() {
            attempt.each_batch::<ScoreRow>(&list.path(names::REUSED), |batch| {
                batch.iter().for_each(|row| before.observe(row));
                Ok(())
            })?;
        }
        Ok(before)
    }

    fn observe(&mut self, row: &ScoreRow) {
        self.rows += 1;
        if !matches!(row.score.map(RawScore::new), Some(Ok(_))) {
            self.bad.add(|| why(row));
        }
    }
}

/// Why an image has no score.
fn why(row: &ScoreRow) -> String {
    let why = row.error.as_deref().unwrap_or("its score is not finite");
    format!("{}: {why}", row.uri)
}

/// One score an image.
pub struct Images {
    counts: BTreeMap<Split, ScoreCounts>,
    bad: BTreeMap<Split, BadImages>,
    /// Of these nobody speaks of splits.
    are_predicted: bool,
}

impl Images {
    pub fn count(attempt: &Attempt) -> Result<Self, TaskError> {
        let mut images = Self {
            counts: BTreeMap::new(),
            bad: BTreeMap::new(),
            are_predicted: attempt.run()?.spec.max_error_rows.is_some(),
        };
        for part in attempt.accepted(TaskKind::Score) {
            attempt.each_batch::<ScoreRow>(&part.path(names::SCORES), |batch| {
                batch.iter().try_for_each(|row| images.observe(row))
            })?;
            if part.object(names::TRAINING_SCORES).is_some() {
                let path = part.path(names::TRAINING_SCORES);
                attempt.each_batch::<ScoreRow>(&path, |batch| {
                    images.observe_training(&batch);
                    Ok(())
                })?;
            }
        }
        Ok(images)
    }

    fn observe(&mut self, row: &ScoreRow) -> Result<(), TaskError> {
        let split = Split::parse(&row.split).ok_or_else(|| {
            TaskError::Assignment(format!("split {:?} of {}", row.split, row.uri))
        })?;
        match row.score.map(RawScore::new) {
            Some(Ok(score)) => self
                .counts
                .entry(split)
                .or_default()
                .observe(score, row.label == data::Label::Anomalous.as_str()),
            Some(Err(_)) | None => self.bad.entry(split).or_default().add(|| why(row)),
        }
        Ok(())
    }

    /// One that cannot be scored has no part in anything.
    fn observe_training(&mut self, rows: &[ScoreRow]) {
        let counts = self.counts.entry(Split::Train).or_default();
        for score in rows.iter().filter_map(|row| RawScore::new(row.score?).ok()) {
            counts.observe(score, false);
        }
    }

    /// Images of a split that could not be scored.
    pub fn errors(&self, split: Split) -> u64 {
        self.bad.get(&split).map_or(0, |bad| bad.count)
    }

    pub fn all_errors(&self) -> u64 {
        self.bad.values().map(|bad| bad.count).sum()
    }

    /// Which images of a split could not be scored, if any.
    pub fn said(&self, split: Split) -> Option<String> {
        let bad = self.bad.get(&split)?;
        let what = if self.are_predicted {
            ""
        } else {
            split.as_str()
        };
        Some(bad.describe(what))
    }

    /// Fails where not one image of the measured split could be scored: there is nothing to measure, and a night of that has failed
    /// whatever its limit. And where there is a limit and more than that could not; `before`: what of earlier jobs the run answers
    /// for, too.
    pub fn check(
        &self,
        split: Split,
        limit: Option<ErrorLimit>,
        before: &Before,
    ) -> Result<(), TaskError> {
        let own = self.bad.get(&split);
        let (errors, scored) = (
            self.errors(split) + before.bad.count,
            self.counts.get(&split).map_or(0, |counts| {
                let totals = counts.totals();
                totals.normal + totals.anomalous
            }),
        );
        let rows = self.errors(split) + scored + before.rows;
        if let Some(limit) = limit {
            let first = own.and_then(BadImages::first).or(before.bad.first());
            let first = first.unwrap_or_default().to_owned();
            return match limit.allows(errors, rows) {
                true if rows > 0 && errors == rows => Err(TaskError::NothingScored { rows, first }),
                true => Ok(()),
                false => Err(TaskError::TooManyErrors {
                    errors,
                    rows,
                    limit,
                    first,
                }),
            };
        }
        match self.said(split) {
            Some(said) if !self.counts.contains_key(&split) => Err(TaskError::BadImages(format!(
                "nothing to measure: all {said}"
            ))),
            _ => Ok(()),
        }
    }
}

impl Level for Images {
    fn name(&self) -> &'static str {
        "image"
    }

    fn summary(&self, split: Split, asked: Asked<'_>) -> Result<Summary, TaskError> {
        Ok(self
            .counts
            .get(&split)
            .cloned()
            .unwrap_or_default()
            .summary(asked))
    }

    fn at_rate(
        &self,
        split: Split,
        rate: FalsePositiveRate,
    ) -> Result<Result<AtRate, Undefined>, TaskError> {
        let counts = self.counts.get(&split).cloned();
        Ok(counts.unwrap_or_default().at_rate(rate))
    }

    fn distribution(&self) -> Result<Result<ScoreDistribution, Undefined>, TaskError> {
        let counts = self.counts.get(&Split::Train).cloned();
        Ok(counts.unwrap_or_default().score_distribution())
    }
}

/// One score a pixel: states in the store, read together in bounded memory.
pub struct Pixels<'a> {
    attempt: &'a Attempt,
    /// Where the threshold is chosen on the test images, their metrics need no second pass.
    last: RefCell<Option<(Split, Summary)>>,
}

impl<'a> Pixels<'a> {
    pub fn of(attempt: &'a Attempt) -> Self {
        Self {
            attempt,
            last: RefCell::default(),
        }
    }

    /// Paths and sizes of the parts' states.
    fn parts(&self, split: Split) -> Vec<(String, u64)> {
        let name = pixels_of(split);
        let part = |part: Accepted<'_>| {
            let object = part.outputs.iter().find(|object| object.path == name)?;
            Some((part.path(&name), object.size))
        };
        self.attempt
            .accepted(TaskKind::Score)
            .filter_map(part)
            .collect()
    }

    fn open(&self, parts: &[(String, u64)]) -> Result<Vec<Box<dyn Read>>, TaskError> {
        parts
            .iter()
            .map(|(path, _)| {
                Ok(match self.attempt.store.local_path(path).map(File::open) {
                    Some(Ok(file)) => Box::new(BufReader::new(file)) as Box<dyn Read>,
                    // The store's own read says what is wrong, and why.
                    Some(Err(_)) | None => Box::new(Cursor::new(self.attempt.read(path)?)),
                })
            })
            .collect()
    }

    /// The false-positive rates of images without a defect, in a pass of its own.
    pub fn shared_fpr(
        &self,
        split: Split,
        bounds: FprBounds,
    ) -> Result<Result<SharedFpr, Undefined>, TaskError> {
        let stages = &self.attempt.stages;
        stages.time("metrics", 0, || match self.merged(split)? {
            Merged::AtOnce(merge) => Ok(merge.shared_fpr(bounds)?),
            Merged::Sealed(sealed) => sealed.shared_fpr(bounds),
        })
    }

    /// As many parts as one merge can read go through no scratch.
    fn merged(&self, split: Split) -> Result<Merged<'_>, TaskError> {
        let parts = self.parts(split);
        let memory = match parts.first() {
            Some((path, _)) if self.attempt.store.local_path(path).is_some() => u64::MAX,
            _ => FETCHED,
        };
        let passes = passes(&parts, memory);
        if let [] | [_] = passes[..] {
            return Ok(Merged::AtOnce(Merge::open(self.open(&parts)?)?));
        }
        let mut sealed = Sealed::new(&self.attempt.scratch);
        for pass in passes {
            self.attempt.check_cancelled()?;
            sealed.add_merged(self.open(pass)?)?;
        }
        Ok(Merged::Sealed(sealed))
    }
}

/// All parts of a split.
enum Merged<'a> {
    AtOnce(Merge<Box<dyn Read>>),
    Sealed(Sealed<'a>),
}

/// Bytes of states from a remote store, which memory holds while they are merged.
const FETCHED: u64 = 256 << 20;

/// Cuts parts into those that are merged at once: not too many open files, not too many bytes in memory.
fn passes(parts: &[(String, u64)], memory: u64) -> Vec<&[(String, u64)]> {
    let (mut passes, mut first, mut bytes) = (Vec::new(), 0, 0_u64);
    for (index, (_, size)) in parts.iter().enumerate() {
        let full = index - first == AT_ONCE || bytes.saturating_add(*size) > memory;
        if full && index > first {
            passes.push(&parts[first..index]);
            (first, bytes) = (index, 0);
        }
        bytes += size;
    }
    if first < parts.len() {
        passes.push(&parts[first..]);
    }
    passes
}

impl Level for Pixels<'_> {
    fn name(&self) -> &'static str {
        "pixel"
    }

    fn summary(&self, split: Split, asked: Asked<'_>) -> Result<Summary, TaskError> {
        let known = self
            .last
            .borrow()
            .as_ref()
            .filter(|(of, _)| *of == split)
            .and_then(|(_, last)| last.at(asked));
        if let Some(summary) = known {
            return Ok(summary);
        }
        let summary = self
            .attempt
            .stages
            .time("metrics", 0, || match self.merged(split)? {
                Merged::AtOnce(merge) => Ok(merge.summary(asked)?),
                Merged::Sealed(sealed) => sealed.summary(asked),
            })?;
        *self.last.borrow_mut() = Some((split, summary.clone()));
        Ok(summary)
    }

    fn at_rate(
        &self,
        split: Split,
        rate: FalsePositiveRate,
    ) -> Result<Result<AtRate, Undefined>, TaskError> {
        let stages = &self.attempt.stages;
        stages.time("metrics", 0, || match self.merged(split)? {
            Merged::AtOnce(merge) => Ok(merge.at_rate(rate)?),
            Merged::Sealed(sealed) => sealed.at_rate(rate),
        })
    }

    fn distribution(&self) -> Result<Result<ScoreDistribution, Undefined>, TaskError> {
        let stages = &self.attempt.stages;
        stages.time("metrics", 0, || match self.merged(Split::Train)? {
            Merged::AtOnce(merge) => Ok(merge.score_distribution()?),
            Merged::Sealed(sealed) => sealed.score_distribution(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_bounded_in_files_and_bytes_and_leave_nothing_out() {
        let parts = |sizes: &[u64]| -> Vec<(String, u64)> {
            let part = |(index, size): (usize, &u64)| (index.to_string(), *size);
            sizes.iter().enumerate().map(part).collect()
        };
        let lengths = |sizes: &[u64], memory| -> Vec<usize> {
            let parts = parts(sizes);
            let passes = passes(&parts, memory);
            assert_eq!(passes.concat(), parts);
            passes.iter().map(|pass| pass.len()).collect()
        };
        assert_eq!(lengths(&[], u64::MAX), [0; 0]);
        assert_eq!(lengths(&[7; AT_ONCE], u64::MAX), [AT_ONCE]);
        let many = [u64::MAX; 2 * AT_ONCE + 1];
        assert_eq!(lengths(&many[..1], 9), [1]);
        assert_eq!(
            lengths(&[1; 2 * AT_ONCE + 1], u64::MAX),
            [AT_ONCE, AT_ONCE, 1]
        );
        // One that is too large alone is read alone.
        assert_eq!(lengths(&[4, 4, 4, 20, 1, 1], 9), [2, 1, 1, 2]);
    }
}
