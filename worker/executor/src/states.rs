//! Metric states in scratch files, where memory should not hold them: many are sealed, and read as one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use metrics::{
    Asked, AtRate, FalsePositiveRate, FprBounds, Merge, ScoreCounts, ScoreDistribution, SharedFpr,
    StateError, Summary, Undefined,
};

use crate::error::TaskError;

/// Sources that one merge reads: each is an open file (Linux gives a process 1,024 by default) and a block in memory.
pub const AT_ONCE: usize = 256;

/// States that are read together. Their files have no names: they go with the last handle, whatever becomes of the task.
pub struct Sealed<'a> {
    scratch: &'a Path,
    /// Fewer than [`AT_ONCE`].
    files: Vec<File>,
}

impl<'a> Sealed<'a> {
    pub fn new(scratch: &'a Path) -> Self {
        Self {
            scratch,
            files: Vec::new(),
        }
    }

    pub fn add(&mut self, counts: &mut ScoreCounts) -> Result<(), TaskError> {
        let file = self.written(|sink| counts.write(sink))?;
        self.push(file)
    }

    /// Adds several states as one.
    pub fn add_merged<R: Read>(&mut self, sources: Vec<R>) -> Result<(), TaskError> {
        let file = self.written(|sink| Merge::open(sources)?.write(sink))?;
        self.push(file)
    }

    pub fn append(&mut self, other: Self) -> Result<(), TaskError> {
        other.files.into_iter().try_for_each(|file| self.push(file))
    }

    /// Writes all of them as one state.
    pub fn write(&self, path: &Path) -> Result<(), TaskError> {
        let failed = |error| in_scratch(path, error);
        let mut sink = BufWriter::new(File::create(path).map_err(TaskError::scratch(path))?);
        self.merge()?.write(&mut sink).map_err(failed)?;
        sink.flush().map_err(TaskError::scratch(path))
    }

    pub fn summary(&self, asked: Asked<'_>) -> Result<Summary, TaskError> {
        Ok(self.merge()?.summary(asked)?)
    }

    pub fn at_rate(&self, rate: FalsePositiveRate) -> Result<Result<AtRate, Undefined>, TaskError> {
        Ok(self.merge()?.at_rate(rate)?)
    }

    pub fn score_distribution(&self) -> Result<Result<ScoreDistribution, Undefined>, TaskError> {
        Ok(self.merge()?.score_distribution()?)
    }

    pub fn shared_fpr(&self, bounds: FprBounds) -> Result<Result<SharedFpr, Undefined>, TaskError> {
        Ok(self.merge()?.shared_fpr(bounds)?)
    }

    fn merge(&self) -> Result<Merge<BufReader<&File>>, TaskError> {
        let rewound = |mut file| {
            Seek::rewind(&mut file)?;
            Ok(BufReader::new(file))
        };
        let sources: io::Result<Vec<_>> = self.files.iter().map(rewound).collect();
        Ok(Merge::open(
            sources.map_err(TaskError::scratch(self.scratch))?,
        )?)
    }

    fn push(&mut self, file: File) -> Result<(), TaskError> {
        self.files.push(file);
        if self.files.len() == AT_ONCE {
            let merge = self.merge()?;
            let merged = self.written(|sink| merge.write(sink))?;
            self.files = vec![merged];
        }
        Ok(())
    }

    fn written(
        &self,
        write: impl FnOnce(&mut BufWriter<&File>) -> Result<(), StateError>,
    ) -> Result<File, TaskError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.scratch.join(format!("{number}.state"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|file| fs::remove_file(&path).map(|()| file))
            .map_err(TaskError::scratch(&path))?;
        let mut sink = BufWriter::new(&file);
        write(&mut sink).map_err(|error| in_scratch(&path, error))?;
        sink.flush().map_err(TaskError::scratch(&path))?;
        drop(sink);
        Ok(file)
    }
}

/// A disk that is full is another failure than a state that is damaged.
fn in_scratch(path: &Path, error: StateError) -> TaskError {
    match error {
        StateError::Write(source) => TaskError::scratch(path)(source),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use metrics::RawScore;

    use super::*;

    fn counts(seed: u32, items: u32) -> ScoreCounts {
        let mut counts = ScoreCounts::new();
        for item in 0..items {
            let number = (seed * 31 + item).wrapping_mul(0x9E37_79B9) >> 20;
            let score = RawScore::new(number as f32 / 64.0).unwrap();
            counts.observe(score, number.is_multiple_of(5));
        }
        counts
    }

    #[test]
    fn many_sealed_states_are_one_with_few_open_files_and_nothing_left_on_scratch() {
        let scratch = tempfile::tempdir().unwrap();
        let (mut all, mut sealed) = (ScoreCounts::new(), Sealed::new(scratch.path()));
        let mut other = Sealed::new(scratch.path());
        for seed in 0..3 * AT_ONCE as u32 {
            let mut one = counts(seed, seed % 40);
            all.merge(&one);
            let half = if seed % 2 == 0 {
                &mut sealed
            } else {
                &mut other
            };
            half.add(&mut one).unwrap();
        }
        sealed.append(other).unwrap();
        assert!(sealed.files.len() < AT_ONCE, "{}", sealed.files.len());
        assert_eq!(sealed.summary(Asked::default()).unwrap(), all.summary(&[]));
        // Once more from the start, and the same bytes as if memory had held it.
        let path = scratch.path().join("whole");
        sealed.write(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), all.to_bytes());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_is_told_from_a_damaged_state() {
        let full = in_scratch(
            Path::new("/scratch/1.state"),
            StateError::Write(io::ErrorKind::StorageFull.into()),
        );
        assert_eq!(full.class(), types::FailureClass::DiskFull);
        assert!(full.to_string().contains("/scratch/1.state"), "{full}");
        let damaged = in_scratch(Path::new("/scratch/1.state"), StateError::Truncated);
        assert_eq!(damaged.class(), types::FailureClass::Internal);
    }
}
