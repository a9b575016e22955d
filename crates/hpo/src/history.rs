//! What a method may look at: the points so far, with the losses of those that have settled.

use std::collections::HashSet;

use crate::{Goal, Point, Search, Trial};

/// A point with its loss: smaller is better.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub index: usize,
    pub point: &'a Point,
    pub loss: f64,
}

pub(crate) struct History<'a> {
    /// In order of their index. A failed trial has the worst loss of all.
    pub settled: Vec<Seen<'a>>,
    pub pending: Vec<&'a Point>,
}

impl<'a> History<'a> {
    pub fn new(search: &Search, trials: &'a [Trial]) -> Self {
        let (settled, pending) =
            trials.split_at(search.settled_before(trials.len()).min(trials.len()));
        let losses: Vec<Option<f64>> = settled
            .iter()
            .map(|trial| loss(search.goal, trial))
            .collect();
        let worst = losses
            .iter()
            .flatten()
            .copied()
            .reduce(f64::max)
            .unwrap_or(0.0);
        let seen = settled.iter().zip(losses).enumerate();
        Self {
            settled: seen
                .map(|(index, (trial, loss))| Seen {
                    index,
                    point: &trial.point,
                    loss: loss.unwrap_or(worst),
                })
                .collect(),
            pending: pending.iter().map(|trial| &trial.point).collect(),
        }
    }

    /// The settled ones, best first; of equal ones the earlier.
    pub fn ranked(&self) -> Vec<Seen<'a>> {
        let mut ranked = self.settled.clone();
        ranked.sort_by(|a, b| a.loss.total_cmp(&b.loss).then(a.index.cmp(&b.index)));
        ranked
    }

    /// Points that need not be tried again: the result would be the same.
    pub fn known(&self) -> HashSet<&'a Point> {
        let settled = self.settled.iter().map(|seen| seen.point);
        settled.chain(self.pending.iter().copied()).collect()
    }
}

/// `None`: the trial failed, or what it measured is no number.
pub(crate) fn loss(goal: Goal, trial: &Trial) -> Option<f64> {
    let value = trial.value.filter(|value| value.is_finite())?;
    Some(match goal {
        Goal::Maximize => -value,
        Goal::Minimize => value,
    })
}
