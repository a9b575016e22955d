//! One attempt at a task: what it was told, where it reads and writes, how it counts and when it stops.

use std::{
    fs::{self, File},
    io::BufWriter,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use job::resolved::DeviceChoice;
use plan::{Assignment, Input, InputOutcome, PlannedRun, ResultDetail, TaskResult};
use store::{AttemptWriter, Store, Stores};
use tables::{RangesReader, Row, TableReader, TableWriter};
use tokio::runtime::Handle;
use types::{Device, OutputObject, TaskKind, TraceId};

use crate::{
    error::TaskError,
    model::{Engine, uses_engine},
    object_file::ObjectFile,
    sorted::Batches,
    stages::Stages,
};

/// Shared by all threads of the attempt.
pub struct Attempt {
    pub assignment: Assignment,
    pub stores: Stores,
    pub store: Store,
    pub writer: AttemptWriter,
    /// Removed by the agent afterwards.
    pub scratch: PathBuf,
    pub threads: usize,
    /// What the agent gave to this executor alone.
    pub device: Device,
    pub stages: Stages,
    pub cancelled: Arc<AtomicBool>,
    /// Store calls are async; this is where they run.
    pub runtime: Handle,
}

/// What an accepted task left behind.
pub struct Accepted<'a> {
    pub input: &'a Input,
    /// Relative to the store's root.
    pub prefix: &'a str,
    pub result: &'a TaskResult,
    pub outputs: &'a [OutputObject],
}

impl Accepted<'_> {
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// One of its objects; an attempt of an older version may not have left it.
    pub fn object(&self, name: &str) -> Option<&OutputObject> {
        self.outputs.iter().find(|object| object.path == name)
    }

    /// Of the listing of an incremental job: paths of the tables that it has merged of the store's index.
    pub fn merged(&self) -> Vec<String> {
        let ResultDetail::List {
            scored_before: Some(before),
            ..
        } = &self.result.detail
        else {
            return Vec::new();
        };
        before.merged.iter().map(|name| self.path(name)).collect()
    }
}

impl Attempt {
    /// Opens the job's store and the attempt's prefix in it.
    pub fn open(
        assignment: Assignment,
        stores: Stores,
        scratch: PathBuf,
        threads: usize,
        device: Device,
        runtime: Handle,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Self, TaskError> {
        fs::create_dir_all(&scratch).map_err(TaskError::scratch(&scratch))?;
        // The coordinator makes a new store's folder when it publishes the job's spec, which may come later than this.
        let store = stores.create(&assignment.store)?;
        Ok(Self {
            stores,
            writer: AttemptWriter::new(store.clone(), assignment.prefix.clone()),
            store,
            scratch,
            threads: threads.max(1),
            device,
            stages: Stages::start(),
            cancelled,
            runtime,
            assignment,
        })
    }

    /// An error if the task needs a GPU and there is none, or the engine cannot use it.
    pub fn check_device(&self) -> Result<(), TaskError> {
        let asked = self.assignment.resources.device == DeviceChoice::Gpu;
        if !asked || !uses_engine(&self.assignment) {
            return Ok(());
        }
        let engine = Engine::open(self)?;
        match self.device {
            Device::Cuda(_) if engine.has_gpu() => Ok(()),
            device => Err(TaskError::NoGpu {
                engine: engine.name(),
                device,
            }),
        }
    }

    /// The job's trace, if somebody traces it.
    pub fn trace(&self) -> Option<TraceId> {
        self.assignment.trace.as_ref().map(|context| context.trace)
    }

    /// The run that the task is about.
    pub fn run(&self) -> Result<&PlannedRun, TaskError> {
        self.assignment
            .runs
            .first()
            .ok_or_else(|| TaskError::Assignment("it names no run".to_owned()))
    }

    /// What the accepted tasks of a kind left behind, in order of their index.
    pub fn accepted(&self, kind: TaskKind) -> impl Iterator<Item = Accepted<'_>> {
        self.assignment
            .inputs
            .iter()
            .filter(move |input| input.spec.kind() == kind)
            .filter_map(accepted)
    }

    /// The one input of a kind that there must be.
    pub fn input(&self, kind: TaskKind) -> Result<Accepted<'_>, TaskError> {
        self.accepted(kind)
            .next()
            .ok_or_else(|| TaskError::Assignment(format!("there is no result of its {kind} task")))
    }

    pub fn check_cancelled(&self) -> Result<(), TaskError> {
        if self.cancelled.load(Ordering::Relaxed) {
            Err(TaskError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Reads a whole small object of the job's store.
    pub fn read(&self, path: &str) -> Result<Bytes, TaskError> {
        Ok(self.runtime.block_on(self.store.get(path, None))?)
    }

    /// Opens a table of the job's store; in a `file://` store its rows stream from the file.
    pub fn table<R: Row>(&self, path: &str) -> Result<TableReader<R>, TaskError> {
        let reader = match self.store.local_path(path).map(File::open) {
            Some(Ok(file)) => TableReader::open(file),
            // The store's own read says what is wrong, and why.
            Some(Err(_)) | None => TableReader::open(self.read(path)?),
        };
        reader.map_err(|source| self.table_error(path, source))
    }

    /// Some rows of a table, by their place in it; nothing else of the file is read, wherever it is.
    pub fn rows_at<R: Row>(&self, path: &str, wanted: Range<u64>) -> Result<Vec<R>, TaskError> {
        let mut rows = Vec::new();
        for batch in self.ranged_table::<R>(path, wanted)? {
            rows.extend(batch.map_err(|source| self.table_error(path, source))?);
        }
        Ok(rows)
    }

    /// Opens some rows of a table, which are read as they are asked for.
    pub fn ranged_table<R: Row>(
        &self,
        path: &str,
        wanted: Range<u64>,
    ) -> Result<TableReader<R>, TaskError> {
        let reader = match self.store.local_path(path).map(File::open) {
            Some(Ok(file)) => TableReader::open_rows(file, wanted),
            Some(Err(_)) | None => TableReader::open_rows(self.ranges(path)?, wanted),
        };
        reader.map_err(|source| self.table_error(path, source))
    }

    fn ranges(&self, path: &str) -> Result<RangesReader<ObjectFile>, TaskError> {
        let file = ObjectFile::of(self, self.store.clone(), path.to_owned())?;
        Ok(RangesReader(Arc::new(file)))
    }

    /// A whole table, of which some rows at a time are held.
    pub fn batches<R: Row + 'static>(&self, path: &str) -> Result<Batches<R>, TaskError> {
        Ok(self.streamed(path, self.ranged_table(path, 0..u64::MAX)?))
    }

    /// The same of the row groups whose texts in a column may be wanted; see [`TableReader::open_groups`].
    pub fn batches_where<R: Row + 'static>(
        &self,
        path: &str,
        column: &str,
        wanted: impl Fn(&[u8], &[u8]) -> bool,
    ) -> Result<Batches<R>, TaskError> {
        let reader = match self.store.local_path(path).map(File::open) {
            Some(Ok(file)) => TableReader::open_groups(file, column, wanted),
            Some(Err(_)) | None => TableReader::open_groups(self.ranges(path)?, column, wanted),
        };
        let reader = reader.map_err(|source| self.table_error(path, source))?;
        Ok(self.streamed(path, reader))
    }

    fn streamed<R: Row + 'static>(&self, path: &str, reader: TableReader<R>) -> Batches<R> {
        let uri = self.store.uri(path);
        let failed = move |source| TaskError::Table {
            uri: uri.clone(),
            source,
        };
        Box::new(reader.map(move |batch| batch.map_err(&failed)))
    }

    /// All rows of a table.
    pub fn rows<R: Row>(&self, path: &str) -> Result<Vec<R>, TaskError> {
        let mut rows = Vec::new();
        self.each_batch(path, |batch| {
            rows.extend(batch);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Rows of a table, batch by batch.
    pub fn each_batch<R: Row>(
        &self,
        path: &str,
        mut each: impl FnMut(Vec<R>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        for batch in self.table::<R>(path)? {
            self.check_cancelled()?;
            each(batch.map_err(|source| self.table_error(path, source))?)?;
        }
        Ok(())
    }

    pub fn table_error(&self, path: &str, source: tables::TableError) -> TaskError {
        TaskError::Table {
            uri: self.store.uri(path),
            source,
        }
    }

    /// Writes an object of the attempt.
    pub fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<OutputObject, TaskError> {
        self.put_parts(name, vec![bytes.into()])
    }

    /// Writes an object of the attempt whose content lies in several places.
    pub fn put_parts(&self, name: &str, parts: Vec<Bytes>) -> Result<OutputObject, TaskError> {
        let size = parts.iter().map(|part| part.len() as u64).sum();
        Ok(self.stages.time("write", size, || {
            self.runtime
                .block_on(self.writer.put_parts(name, parts, None))
        })?)
    }

    /// Writes an object of the attempt from a scratch file, which is removed.
    pub fn put_file(
        &self,
        name: &str,
        file: &Path,
        rows: Option<u64>,
    ) -> Result<OutputObject, TaskError> {
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let object = self.stages.time("write", size, || {
            self.runtime
                .block_on(self.writer.put_file(name, file, rows))
        })?;
        std::fs::remove_file(file).map_err(TaskError::scratch(file))?;
        Ok(object)
    }

    /// Begins a table of the attempt in a scratch file.
    pub fn begin_table<R: Row>(&self, name: &str) -> Result<Part<'_, R>, TaskError> {
        let path = self.scratch.join(name);
        let file = File::create(&path).map_err(TaskError::scratch(&path))?;
        let writer =
            TableWriter::new(BufWriter::new(file)).map_err(TaskError::scratch_table(&path))?;
        Ok(Part {
            attempt: self,
            name: name.to_owned(),
            path,
            writer,
        })
    }

    /// Writes a table of rows that are at hand.
    pub fn put_table<R: Row>(
        &self,
        name: &str,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<OutputObject, TaskError> {
        let mut part = self.begin_table(name)?;
        for row in rows {
            part.push(row)?;
        }
        part.finish()
    }
}

pub fn accepted(input: &Input) -> Option<Accepted<'_>> {
    match &input.outcome {
        InputOutcome::Accepted {
            prefix,
            result,
            outputs,
        } => Some(Accepted {
            input,
            prefix,
            result,
            outputs,
        }),
        InputOutcome::Failed { .. } => None,
    }
}

/// A table that is being written.
pub struct Part<'a, R: Row> {
    attempt: &'a Attempt,
    name: String,
    path: PathBuf,
    writer: TableWriter<R, BufWriter<File>>,
}

impl<R: Row> Part<'_, R> {
    pub fn push(&mut self, row: R) -> Result<(), TaskError> {
        self.writer
            .push(row)
            .map_err(TaskError::scratch_table(&self.path))
    }

    /// Says something of the table besides its rows.
    pub fn note(&mut self, key: &'static str, value: String) {
        self.writer.note(key, value);
    }

    /// Puts the table under the attempt's prefix.
    pub fn finish(self) -> Result<OutputObject, TaskError> {
        let (sink, rows) = self
            .writer
            .finish()
            .map_err(TaskError::scratch_table(&self.path))?;
        // A disk that fills up says so here at the latest.
        sink.into_inner()
            .map_err(|error| TaskError::scratch(&self.path)(error.into_error()))?;
        self.attempt.put_file(&self.name, &self.path, Some(rows))
    }
}
