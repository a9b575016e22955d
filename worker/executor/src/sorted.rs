//! Rows in the order of their table, however many there are: sorted runs in scratch files, merged as they are read.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    vec,
};

use tables::{Row, TableReader, TableWriter};

use crate::error::TaskError;

/// Rows that are held at once: of samples some 80 MB.
const IN_MEMORY: usize = 250_000;

pub struct Sorter<R: Row> {
    scratch: PathBuf,
    /// Of its files, so that several can sort in one folder.
    name: &'static str,
    rows: Vec<R>,
    runs: Vec<PathBuf>,
    in_memory: usize,
}

impl<R: Row + 'static> Sorter<R> {
    pub fn new(scratch: &Path, name: &'static str) -> Self {
        Self {
            scratch: scratch.to_owned(),
            name,
            rows: Vec::new(),
            runs: Vec::new(),
            in_memory: IN_MEMORY,
        }
    }

    pub fn push(&mut self, row: R) -> Result<(), TaskError> {
        self.rows.push(row);
        if self.rows.len() >= self.in_memory {
            self.spill()?;
        }
        Ok(())
    }

    /// All rows; of equal ones those first that came first.
    pub fn finish(mut self) -> Result<Merged<R>, TaskError> {
        self.rows.sort_by(R::order);
        let mut sources: Vec<Batches<R>> = Vec::with_capacity(self.runs.len() + 1);
        for path in self.runs {
            sources.push(Box::new(SpilledRun::open(path)?));
        }
        sources.push(Box::new(std::iter::once(Ok(self.rows))));
        Merged::of(sources)
    }

    fn spill(&mut self) -> Result<(), TaskError> {
        self.rows.sort_by(R::order);
        let path = self
            .scratch
            .join(format!("{}-{}.parquet", self.name, self.runs.len()));
        let file = File::create(&path).map_err(TaskError::scratch(&path))?;
        let written = TableWriter::new(BufWriter::new(file)).and_then(|mut table| {
            self.rows.drain(..).try_for_each(|row| table.push(row))?;
            table.finish()
        });
        let (sink, _) = written.map_err(TaskError::scratch_table(&path))?;
        sink.into_inner()
            .map_err(|error| TaskError::scratch(&path)(error.into_error()))?;
        self.runs.push(path);
        Ok(())
    }
}

/// A scratch file that goes once it was read.
struct SpilledRun<R: Row> {
    path: PathBuf,
    /// `None` after the last batch.
    reader: Option<TableReader<R>>,
}

impl<R: Row> SpilledRun<R> {
    fn open(path: PathBuf) -> Result<Self, TaskError> {
        let file = File::open(&path).map_err(TaskError::scratch(&path))?;
        let reader = TableReader::open(file).map_err(TaskError::scratch_table(&path))?;
        let reader = Some(reader);
        Ok(Self { path, reader })
    }
}

impl<R: Row> Iterator for SpilledRun<R> {
    type Item = Result<Vec<R>, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.reader.as_mut()?.next() {
            Some(batch) => Some(batch.map_err(TaskError::scratch_table(&self.path))),
            None => {
                self.reader = None;
                let removed = fs::remove_file(&self.path);
                removed
                    .map_err(TaskError::scratch(&self.path))
                    .err()
                    .map(Err)
            }
        }
    }
}

/// Rows in order, some at a time.
pub type Batches<R> = Box<dyn Iterator<Item = Result<Vec<R>, TaskError>>>;

struct Run<R: Row> {
    batches: Batches<R>,
    batch: vec::IntoIter<R>,
}

impl<R: Row> Run<R> {
    fn next(&mut self) -> Result<Option<R>, TaskError> {
        loop {
            if let Some(row) = self.batch.next() {
                return Ok(Some(row));
            }
            match self.batches.next().transpose()? {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

/// The rows of all runs.
pub struct Merged<R: Row> {
    runs: Vec<Run<R>>,
    /// The next row of each run that has one.
    heap: BinaryHeap<Head<R>>,
}

impl<R: Row> Merged<R> {
    /// Of equal rows those of an earlier source come first.
    pub fn of(sources: Vec<Batches<R>>) -> Result<Self, TaskError> {
        let run = |batches| Run {
            batches,
            batch: Vec::new().into_iter(),
        };
        let mut merged = Self {
            heap: BinaryHeap::with_capacity(sources.len()),
            runs: sources.into_iter().map(run).collect(),
        };
        for run in 0..merged.runs.len() {
            merged.advance(run)?;
        }
        Ok(merged)
    }

    fn advance(&mut self, run: usize) -> Result<(), TaskError> {
        if let Some(row) = self.runs[run].next()? {
            self.heap.push(Head { row, run });
        }
        Ok(())
    }
}

impl<R: Row> Iterator for Merged<R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Head { row, run } = self.heap.pop()?;
        Some(self.advance(run).map(|()| row))
    }
}

/// Greater if it comes first, as the heap has it.
struct Head<R> {
    row: R,
    run: usize,
}

impl<R: Row> Ord for Head<R> {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.row.order(&other.row).then(self.run.cmp(&other.run));
        order.reverse()
    }
}

impl<R: Row> PartialOrd for Head<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R: Row> PartialEq for Head<R> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<R: Row> Eq for Head<R> {}

#[cfg(test)]
mod tests {
    use tables::SampleRow;

    use super::Sorter;

    #[test]
    fn rows_come_in_order_whatever_fits_in_memory() {
        for in_memory in [1, 3, 7, 100] {
            let scratch = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::<SampleRow>::new(scratch.path(), "samples");
            sorter.in_memory = in_memory;
            for number in 0..50_u64 {
                let row = SampleRow {
                    uri: format!("{:02}", number * 37 % 25),
                    size: number,
                    ..SampleRow::default()
                };
                sorter.push(row).unwrap();
            }
            let rows = sorter.finish().unwrap();
            let rows: Vec<(u64, u64)> = rows
                .map(|row| row.map(|row| (row.uri.parse().unwrap(), row.size)).unwrap())
                .collect();
            let mut expected: Vec<(u64, u64)> =
                (0..50).map(|number| (number * 37 % 25, number)).collect();
            expected.sort_unstable();
            assert_eq!(rows, expected, "{in_memory} in memory");
            let left = scratch.path().read_dir().unwrap().count();
            assert_eq!(left, 0, "every run is gone once it was read");
        }
    }
}
