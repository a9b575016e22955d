//! The two levels of a run's metrics: images, counted from the scores' rows, and pixels, merged from the parts' states.

use std::{cell::RefCell, collections::BTreeMap, fs::File, io::BufReader};

use data::Split;
use metrics::{Merge, RawScore, ScoreCounts, Summary, Threshold};
use tables::ScoreRow;
use types::TaskKind;

use crate::{
    attempt::Attempt,
    error::TaskError,
    tasks::{names, pixels_of},
};

/// Scores of one kind by split.
pub trait Level {
    /// `image` or `pixel`.
    fn name(&self) -> &'static str;

    /// All numbers of a split, in one pass over its ascending scores.
    fn summary(&self, split: Split, thresholds: &[Threshold]) -> Result<Summary, TaskError>;
}

/// One score an image.
pub struct Images {
    counts: BTreeMap<Split, ScoreCounts>,
    errors: BTreeMap<Split, u64>,
}

impl Images {
    pub fn count(attempt: &Attempt) -> Result<Self, TaskError> {
        let mut images = Self {
            counts: BTreeMap::new(),
            errors: BTreeMap::new(),
        };
        for part in attempt.accepted(TaskKind::Score) {
            attempt.each_batch::<ScoreRow>(&part.path(names::SCORES), |batch| {
                batch.iter().try_for_each(|row| images.observe(row))
            })?;
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
            Some(Err(_)) | None => *self.errors.entry(split).or_default() += 1,
        }
        Ok(())
    }

    /// Images of a split that could not be scored.
    pub fn errors(&self, split: Split) -> u64 {
        self.errors.get(&split).copied().unwrap_or(0)
    }

    pub fn all_errors(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Level for Images {
    fn name(&self) -> &'static str {
        "image"
    }

    fn summary(&self, split: Split, thresholds: &[Threshold]) -> Result<Summary, TaskError> {
        Ok(self
            .counts
            .get(&split)
            .cloned()
            .unwrap_or_default()
            .summary(thresholds))
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

    fn sources(&self, split: Split) -> Result<Vec<Box<dyn std::io::Read>>, TaskError> {
        let name = pixels_of(split);
        let parts = self
            .attempt
            .accepted(TaskKind::Score)
            .filter(|part| part.has(&name));
        parts
            .map(|part| {
                let path = part.path(&name);
                Ok(match self.attempt.store.local_path(&path).map(File::open) {
                    Some(Ok(file)) => Box::new(BufReader::new(file)) as Box<dyn std::io::Read>,
                    // The store's own read says what is wrong, and why.
                    Some(Err(_)) | None => {
                        Box::new(std::io::Cursor::new(self.attempt.read(&path)?))
                    }
                })
            })
            .collect()
    }
}

impl Level for Pixels<'_> {
    fn name(&self) -> &'static str {
        "pixel"
    }

    fn summary(&self, split: Split, thresholds: &[Threshold]) -> Result<Summary, TaskError> {
        let known = self
            .last
            .borrow()
            .as_ref()
            .filter(|(of, _)| *of == split)
            .and_then(|(_, last)| last.at(thresholds));
        if let Some(summary) = known {
            return Ok(summary);
        }
        let sources = self.sources(split)?;
        let summary = self
            .attempt
            .stages
            .time("metrics", 0, || Merge::open(sources)?.summary(thresholds))?;
        *self.last.borrow_mut() = Some((split, summary.clone()));
        Ok(summary)
    }
}
