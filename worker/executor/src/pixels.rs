//! The pixels of a score task, counted by split: in memory as far as they fit there, else sealed on scratch.

use std::{collections::BTreeMap, path::Path};

use data::Split;
use metrics::{RawScores, Regions, ScoreCounts};

use crate::{attempt::Attempt, error::TaskError, states::Sealed, tasks::pixels_of};

/// Pixels that all threads of a task hold in memory together, 4 bytes each and 8 those of defects: 256 maps of 256 x 256
/// twice over, so that most tasks write nothing to scratch.
pub const IN_MEMORY: u64 = 1 << 25;

/// What one thread has counted.
pub struct PixelCounts<'a> {
    scratch: &'a Path,
    /// Pixels that may be in memory.
    limit: u64,
    counts: BTreeMap<Split, ScoreCounts>,
    sealed: BTreeMap<Split, Sealed<'a>>,
}

impl<'a> PixelCounts<'a> {
    pub fn new(scratch: &'a Path, limit: u64) -> Self {
        Self {
            scratch,
            limit,
            counts: BTreeMap::new(),
            sealed: BTreeMap::new(),
        }
    }

    /// Counts a map's pixels; without defects all of them are normal.
    pub fn observe(
        &mut self,
        split: Split,
        map: RawScores<'_>,
        defects: Option<&Regions>,
    ) -> Result<(), TaskError> {
        let counts = self.counts.entry(split).or_default();
        match defects {
            Some(defects) => counts.observe_map(map, defects),
            None => counts.observe_normal(map),
        }
        let items = |counts: &ScoreCounts| counts.totals().normal + counts.totals().anomalous;
        if self.counts.values().map(items).sum::<u64>() > self.limit {
            self.seal()?;
        }
        Ok(())
    }

    /// Puts everything in order now: several threads can do so with their own before these are merged.
    pub fn sort(&mut self) {
        self.counts.values_mut().for_each(ScoreCounts::sort);
    }

    /// Adds what another thread has counted. Counts are integers: in any order the sum is the same.
    pub fn merge(&mut self, mut other: Self) -> Result<(), TaskError> {
        let spilled = |one: &Self| !one.sealed.is_empty();
        if spilled(self) || spilled(&other) {
            self.seal()?;
            other.seal()?;
        }
        for (split, counts) in other.counts {
            self.counts.entry(split).or_default().merge(&counts);
        }
        for (split, sealed) in other.sealed {
            self.sealed_of(split).append(sealed)?;
        }
        Ok(())
    }

    /// Leaves one state a split under the attempt's prefix.
    pub fn put(mut self, attempt: &Attempt) -> Result<(), TaskError> {
        if !self.sealed.is_empty() {
            self.seal()?;
        }
        for (split, mut counts) in self.counts {
            let bytes = attempt.stages.time("metrics", 0, || counts.to_bytes());
            attempt.put(&pixels_of(split), bytes)?;
        }
        for (split, sealed) in self.sealed {
            let name = pixels_of(split);
            let path = self.scratch.join(&name);
            attempt.stages.time("metrics", 0, || sealed.write(&path))?;
            attempt.put_file(&name, &path, None)?;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), TaskError> {
        for (split, mut counts) in std::mem::take(&mut self.counts) {
            self.sealed_of(split).add(&mut counts)?;
        }
        Ok(())
    }

    fn sealed_of(&mut self, split: Split) -> &mut Sealed<'a> {
        let scratch = self.scratch;
        self.sealed
            .entry(split)
            .or_insert_with(|| Sealed::new(scratch))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Bytes of each split's state, from two threads with such a limit.
    fn states(limit: u64) -> (Vec<Vec<u8>>, bool) {
        let scratch = tempfile::tempdir().unwrap();
        let mut threads = [0, 1].map(|_| PixelCounts::new(scratch.path(), limit));
        for image in 0..20_u32 {
            let map: Vec<f32> = (0..100)
                .map(|i| ((i * 7 + image * 13) % 91) as f32)
                .collect();
            let mask: Vec<u8> = (0..100).map(|i| u8::from(i % 11 < 3)).collect();
            let defects = Regions::of_mask(&mask, 10);
            let split = [Split::Test, Split::Validation][usize::from(image % 3 == 0)];
            let thread = &mut threads[usize::from(image > 12)];
            let defects = (image % 2 == 0).then_some(&defects);
            let map = RawScores::new(&map).unwrap();
            thread.observe(split, map, defects).unwrap();
        }
        let [mut all, other] = threads;
        all.merge(other).unwrap();
        let spilled = !all.sealed.is_empty();
        if spilled {
            all.seal().unwrap();
        }
        let mut bytes: Vec<_> = all.counts.values_mut().map(ScoreCounts::to_bytes).collect();
        for sealed in all.sealed.values() {
            let path = scratch.path().join("state");
            sealed.write(&path).unwrap();
            bytes.push(fs::read(&path).unwrap());
        }
        (bytes, spilled)
    }

    #[test]
    fn what_is_sealed_on_the_way_changes_no_byte() {
        let (expected, spilled) = states(1 << 20);
        assert!(!spilled && expected.len() == 2);
        for limit in [0, 150, 1_000] {
            assert_eq!(states(limit), (expected.clone(), true), "limit {limit}");
        }
    }
}
