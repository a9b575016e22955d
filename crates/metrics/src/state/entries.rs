//! Stretches of several states, read ahead and walked as one.

use std::io::Read;

use super::{StateError, StateReader};
use crate::ordered::{NO_KEY, Run, Runs, leading};
use crate::{Overlap, RawScore, Step};

/// Entries that are read ahead of each state: enough to make little of what a stretch costs, few enough for the cache.
const AHEAD: usize = 2048;

/// A state and the entries that were read ahead.
struct Ahead<R> {
    reader: StateReader<R>,
    /// Above the key of every entry read so far.
    end: u32,
    normal: Normals,
    /// Without the normal items of the same score.
    anomalous: Vec<Step>,
    anomalous_taken: usize,
}

/// Entries with normal items, each with how many there were up to it since the state began: a run of them is one subtraction.
#[derive(Default)]
struct Normals {
    keys: Vec<u32>,
    counts: Vec<u64>,
    clear: Vec<Overlap>,
    taken: usize,
    taken_count: u64,
    taken_clear: Overlap,
}

impl<R> Ahead<R> {
    fn new(reader: StateReader<R>) -> Self {
        Self {
            reader,
            end: 0,
            normal: Normals::default(),
            anomalous: Vec::new(),
            anomalous_taken: 0,
        }
    }

    #[inline]
    fn next_anomalous(&self) -> Option<&Step> {
        self.anomalous.get(self.anomalous_taken)
    }
}

impl<R: Read> Ahead<R> {
    /// Reads the next entries, if all were taken.
    fn refill(&mut self) -> Result<(), StateError> {
        if self.anomalous_taken < self.anomalous.len() || self.normal.taken < self.normal.keys.len()
        {
            return Ok(());
        }
        self.normal.clear();
        self.anomalous.clear();
        self.anomalous_taken = 0;
        for _ in 0..AHEAD {
            let Some(step) = self.reader.next_step()? else {
                self.end = NO_KEY;
                return Ok(());
            };
            self.end = self.reader.next_key();
            if step.normal > 0 {
                self.normal.push(self.end - 1, step);
            }
            if step.anomalous > 0 {
                let (normal, clear) = (0, Overlap::default());
                self.anomalous.push(Step {
                    normal,
                    clear,
                    ..step
                });
            }
        }
        Ok(())
    }
}

impl Normals {
    fn clear(&mut self) {
        self.keys.clear();
        self.counts.clear();
        self.clear.clear();
        self.taken = 0;
    }

    #[inline]
    fn push(&mut self, key: u32, step: Step) {
        let count = self.counts.last().copied().unwrap_or(self.taken_count);
        let mut clear = self.clear.last().copied().unwrap_or(self.taken_clear);
        clear += step.clear;
        self.keys.push(key);
        self.counts.push(count + step.normal); // below the totals, as the reader checks
        self.clear.push(clear);
    }

    #[inline]
    fn take_below(&mut self, key: u32) -> Option<Run> {
        let left = self.keys.get(self.taken..).unwrap_or_default();
        let lowest = *left.first().filter(|&&first| first < key)?;
        self.taken += leading(left, |&normal| normal < key);
        let last = self.taken - 1;
        let (count, clear) = (self.counts[last], self.clear[last]);
        let run = Run {
            lowest,
            highest: self.keys[last],
            count: count - self.taken_count,
            clear: clear - self.taken_clear,
        };
        (self.taken_count, self.taken_clear) = (count, clear);
        Some(run)
    }
}

/// Several states, of which only keys below an end are there yet.
pub(super) struct Stretch<R> {
    states: Vec<Ahead<R>>,
}

impl<R: Read> Stretch<R> {
    pub(super) fn new(readers: Vec<StateReader<R>>) -> Self {
        Self {
            states: readers.into_iter().map(Ahead::new).collect(),
        }
    }

    /// Reads on where everything was taken; all items below the key that it gives can be taken then. `NO_KEY` in the end.
    pub(super) fn refill(&mut self) -> Result<u32, StateError> {
        self.states.iter_mut().try_for_each(Ahead::refill)?;
        let ends = self.states.iter().map(|state| state.end);
        Ok(ends.min().unwrap_or(NO_KEY))
    }
}

impl<R> Runs for Stretch<R> {
    #[inline]
    fn next_anomalous(&self) -> Option<u32> {
        let next = self.states.iter().filter_map(Ahead::next_anomalous);
        next.map(|step| step.score.key()).min()
    }

    #[inline]
    fn take_normals(&mut self, key: u32) -> Option<Run> {
        let mut all = None;
        for state in &mut self.states {
            if let Some(run) = state.normal.take_below(key) {
                all = Some(run.and(all));
            }
        }
        all
    }

    fn take_step(&mut self) -> Option<Step> {
        let key = self.next_anomalous()?;
        let mut step = Step::empty(RawScore::from_key(key)?);
        if let Some(run) = self.take_normals(key + 1) {
            (step.normal, step.clear) = (run.count, run.clear);
        }
        for state in &mut self.states {
            let next = state.next_anomalous().copied();
            if let Some(anomalous) = next.filter(|next| next.score.key() == key) {
                step.add(anomalous);
                state.anomalous_taken += 1;
            }
        }
        Some(step)
    }
}
