//! Why a task failed: what was attempted on what, and the failure class that follows.

use std::{error::Error, io, path::PathBuf};

use engines::EngineError;
use job::resolved::ErrorLimit;
use models::ModelError;
use package::PackageError;
use store::StoreError;
use tables::{TableError, TextPlace, TextsError};
use types::{Device, Failure, FailureClass, JobId};

use crate::archived;

#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{uri}")]
    Table {
        uri: String,
        #[source]
        source: TableError,
    },
    #[error(transparent)]
    Data(#[from] data::DataError),
    #[error(transparent)]
    Weights(#[from] weights::WeightsError),
    #[error(transparent)]
    State(#[from] metrics::StateError),
    #[error(transparent)]
    Model(#[from] models::ModelError),
    #[error(transparent)]
    Engine(#[from] engines::EngineError),
    #[error("{uri} is damaged: its sha256 is not the one that was recorded")]
    Damaged { uri: String },
    #[error("the package {uri} cannot be used")]
    Package {
        uri: String,
        #[source]
        source: PackageError,
    },
    #[error("{uri} is no model: it belongs to {model} beside it, which is to be named")]
    BesideModel { uri: String, model: String },
    #[error("the model file {uri} cannot be used: {problem}")]
    ModelFile { uri: String, problem: String },
    #[error(
        "{uri} is a model file, and no package.json: it can score images (`kind: predict`, `kind: test`), and nothing else"
    )]
    NoPackage { uri: String },
    #[error("the package {uri} cannot be used")]
    PackageModel {
        uri: String,
        #[source]
        source: ModelError,
    },
    #[error(
        "the package {uri} was made with preprocessing {theirs}, but this program does {ours}: train again"
    )]
    OtherPreprocessing {
        uri: String,
        theirs: String,
        ours: String,
    },
    #[error(
        "data.init_args.{parameter} is {asked}, but the package {uri} sees {own}; leave it out, or train for that size"
    )]
    OtherInputSize {
        uri: String,
        parameter: &'static str,
        asked: String,
        own: String,
    },
    #[error(
        "{uri} does not say which tables of the index it was merged from: delete it, it is made again"
    )]
    NotMerged { uri: String },
    #[error("job {job} (`skip`) is not known any more, or has no scores: leave `skip` out")]
    NothingToSkip { job: JobId },
    #[error(
        "job {job} (`skip`) scored its images by the package {theirs}, and this job's is {ours}: name a job of the same package and version, or leave `skip` out"
    )]
    OtherPackage {
        job: JobId,
        theirs: String,
        ours: String,
    },
    #[error(
        "there is no model {name:?} in {store}; the job's `output` (`--to`) is to be the store that the model is in; `ctl get models` lists those that jobs of this coordinator have trained"
    )]
    NoModel { name: String, store: String },
    #[error(
        "{uri} looks like TorchScript, which is not read; a model is the package.json that it was exported from, NAME[@VERSION], or an .onnx or .xml file"
    )]
    TorchScript { uri: String },
    #[error(
        "the weights of {backbone} here (sha256 {found}) are not those that the model has learned with ({expected}); import those with `ctl weights import`"
    )]
    OtherWeights {
        backbone: String,
        expected: String,
        found: String,
    },
    #[error(
        "libtorch needs the program {program}, which cannot be used ({why}): `make build` makes it, and it goes beside `executor`, with the native libraries in lib/; or take another `resources.engine`"
    )]
    NoTorchProgram { program: PathBuf, why: String },
    #[error(
        "OpenVINO's files are written by the program {program}, which failed ({why}): `make build` makes it, and it goes beside `executor`, with the native libraries in lib/"
    )]
    NoIrProgram { program: PathBuf, why: String },
    #[error(
        "the job needs a GPU (`resources.device`), and this executor has {device} for its engine {engine}, which computes on the processor: start this worker with --device cpu, and the job waits for another"
    )]
    NoGpu {
        engine: &'static str,
        device: Device,
    },
    #[error(
        "no other threshold can be chosen, for {}; `ctl rethreshold JOB --manual X` gives one",
        without_threshold(.0)
    )]
    NoThreshold(metrics::Undefined),
    #[error(transparent)]
    Archive(archive::ArchiveError),
    #[error("there is no image to score at {places}{}", of_list(": ", left_out))]
    NoImages {
        places: String,
        /// What was found there and is not read, one line each.
        left_out: Vec<String>,
    },
    #[error(
        "{uri} is a file whose ending is that of no image, list or archive; {}",
        way_out(uri)
    )]
    NoPlace { uri: String },
    #[error(
        "{uri} is a folder, not a file, which its ending says; `{uri}/**` means the images below it"
    )]
    FolderPlace { uri: String },
    #[error(
        "there is no archive {archive}; an image in the folder that is called so with a `!` has the address {image}"
    )]
    NoArchive {
        /// Address of the archive.
        archive: String,
        /// Of the image in a folder that is called as the archive with a `!` would be.
        image: String,
    },
    #[error("the list {uri}")]
    List {
        uri: String,
        #[source]
        source: TextsError,
    },
    #[error("the list {uri}: {place}")]
    ListedAddress {
        uri: String,
        place: TextPlace,
        #[source]
        source: Box<StoreError>,
    },
    #[error(
        "{errors} of {rows} images could not be scored, more than max_error_rows ({limit}) allows; the scores are kept; one of them is {first}; the same job with `skip` of this one (`ctl predict --skip JOB`) scores only images that have been mended, and takes a higher max_error_rows"
    )]
    TooManyErrors {
        errors: u64,
        rows: u64,
        limit: ErrorLimit,
        first: String,
    },
    #[error(
        "not one of {} could be scored, which fails the job whatever max_error_rows allows; the rows are kept; one of them is {first}",
        images(*rows)
    )]
    NothingScored { rows: u64, first: String },
    /// The message names files and reasons.
    #[error("{0}")]
    BadImages(String),
    #[error("cannot use the scratch file {path}")]
    Scratch {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot use the scratch file {path}")]
    ScratchTable {
        path: PathBuf,
        #[source]
        source: TableError,
    },
    #[error("the task's assignment makes no sense: {0}")]
    Assignment(String),
    #[error("cancelled")]
    Cancelled,
}

impl TaskError {
    pub fn scratch(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Scratch { path, source }
    }

    pub fn scratch_table(path: impl Into<PathBuf>) -> impl FnOnce(TableError) -> Self {
        let path = path.into();
        move |source| Self::ScratchTable { path, source }
    }

    pub fn class(&self) -> FailureClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Data(_)
            | Self::Weights(_)
            | Self::BadImages(_)
            | Self::NoImages { .. }
            | Self::ListedAddress { .. }
            | Self::NoPlace { .. }
            | Self::FolderPlace { .. }
            | Self::NoArchive { .. }
            | Self::TooManyErrors { .. }
            | Self::NothingScored { .. }
            | Self::NoThreshold(_)
            | Self::Damaged { .. }
            | Self::Package { .. }
            | Self::ModelFile { .. }
            | Self::BesideModel { .. }
            | Self::NoPackage { .. }
            | Self::OtherPreprocessing { .. }
            | Self::OtherInputSize { .. }
            | Self::NotMerged { .. }
            | Self::NothingToSkip { .. }
            | Self::OtherPackage { .. }
            | Self::NoModel { .. }
            | Self::TorchScript { .. }
            | Self::OtherWeights { .. }
            | Self::NoTorchProgram { .. }
            | Self::NoIrProgram { .. }
            | Self::NoGpu { .. } => FailureClass::InvalidInput,
            Self::Model(error) | Self::PackageModel { source: error, .. } => match error {
                // The spool on scratch, or memory: not the user's doing.
                ModelError::Features(source) => {
                    io_kind(source.as_ref()).map_or(FailureClass::Unavailable, scratch_class)
                }
                ModelError::Graph(_) => FailureClass::Internal,
                _ => FailureClass::InvalidInput,
            },
            Self::Engine(error) => match error {
                EngineError::Unknown { .. }
                | EngineError::NotBuilt { .. }
                | EngineError::NotLinked { .. }
                | EngineError::NotFound { .. }
                | EngineError::Load { .. }
                | EngineError::NoDevice { .. }
                | EngineError::NoCuda { .. }
                | EngineError::NoGpu { .. }
                | EngineError::Precision { .. }
                | EngineError::OtherPrecision { .. } => FailureClass::InvalidInput,
                EngineError::OutOfMemory { .. } => FailureClass::OutOfMemory,
                EngineError::Gpu { .. } => FailureClass::Crashed,
                _ => FailureClass::Internal,
            },
            Self::Archive(error) => {
                let of_store = archived::store_error(error).map(StoreError::class);
                of_store.unwrap_or(FailureClass::InvalidInput)
            }
            // What was wrong with the line, or with the store in the midst of the list.
            Self::List { source, .. } => match io_kind(source) {
                Some(io::ErrorKind::TimedOut) => FailureClass::Unavailable,
                _ => FailureClass::InvalidInput,
            },
            Self::Scratch { source, .. } => scratch_class(source.kind()),
            // The table's writer wraps what the disk said.
            Self::ScratchTable { source, .. } => {
                io_kind(source).map_or(FailureClass::Internal, scratch_class)
            }
            // A part of an accepted attempt that does not read: no retry of this task will mend it.
            Self::Table { .. } | Self::State(_) | Self::Assignment(_) => FailureClass::Internal,
            Self::Cancelled => FailureClass::Released,
        }
    }

    pub fn failure(&self) -> Failure {
        Failure {
            class: self.class(),
            message: one_line(self),
        }
    }
}

/// For a file that is no place by its ending.
fn way_out(uri: &str) -> &'static str {
    const PACKED: [&str; 7] = [".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".Z"];
    if PACKED.iter().any(|ending| uri.ends_with(ending)) {
        "archives are .tar, .tar.gz, .tgz or .zip; lists are not packed (.txt, .csv, or .parquet, which packs its columns itself)"
    } else {
        "name it in a list (.txt) to have it scored all the same"
    }
}

fn images(count: u64) -> String {
    format!("{count} image{}", if count == 1 { "" } else { "s" })
}

/// Without the word of the tables, which says nothing here.
fn without_threshold(why: &metrics::Undefined) -> String {
    if *why == metrics::Undefined::NoThreshold {
        return "the run has no labelled validation images".to_owned();
    }
    let text = why.to_string();
    text.split_once(": ")
        .map_or(text.clone(), |(_, why)| why.to_owned())
}

fn scratch_class(kind: io::ErrorKind) -> FailureClass {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            FailureClass::DiskFull
        }
        io::ErrorKind::OutOfMemory => FailureClass::OutOfMemory,
        // The agent has the folder: nobody else's doing, and no wait mends it.
        io::ErrorKind::NotFound => FailureClass::Internal,
        _ => FailureClass::Unavailable,
    }
}

/// The operating system's word in a chain of causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

/// An error and its causes in one line.
pub fn one_line(error: &dyn Error) -> String {
    types::chain(error).replace(['\n', '\r'], " ")
}

/// The items behind `before`; nothing without items.
fn of_list(before: &str, items: &[String]) -> String {
    match items {
        [] => String::new(),
        items => format!("{before}{}", items.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use tables::{TableWriter, TimingRow};

    use super::*;

    /// A disk on which there is room for the first bytes.
    struct Full(usize);

    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn of_what_is_packed_it_is_said_what_is_read() {
        for (name, words) in [
            ("z.csv.gz", "lists are not packed"),
            ("x.tar.bz2", "archives are .tar"),
            ("predict.py", "name it in a list"),
        ] {
            let uri = format!("file:///in/{name}");
            let text = TaskError::NoPlace { uri }.to_string();
            assert!(text.contains(name) && text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_disk_that_fills_up_under_a_table_is_no_bug() {
        for room in [0, 4] {
            let writer = TableWriter::<TimingRow, _>::new(Full(room));
            let failed = match writer {
                Ok(writer) => writer.finish().map(drop).unwrap_err(),
                Err(error) => error,
            };
            let error = TaskError::scratch_table("/scratch/timings.parquet")(failed);
            assert_eq!(error.class(), FailureClass::DiskFull, "{error:?}");
            let text = one_line(&error);
            assert!(text.contains("/scratch/timings.parquet"), "{text}");
        }
    }
}
