//! How often something took how long.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Upper bounds of the buckets, in seconds: from a commit on a fast disk to one that hangs.
pub(crate) const BOUNDS_S: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// Clones count into the same.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Mutex<Counted>>);

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    /// Not cumulative; those above the last bound are in `number` only.
    pub buckets: [u64; BOUNDS_S.len()],
    pub number: u64,
    pub sum: Duration,
}

impl Histogram {
    pub fn note(&self, time: Duration) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = time.as_secs_f64();
        if let Some(bucket) = BOUNDS_S.iter().position(|bound| seconds <= *bound) {
            counted.buckets[bucket] += 1;
        }
        counted.number += 1;
        counted.sum += time;
    }

    pub(crate) fn counted(&self) -> Counted {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
