//! Reads the job file that a command names.

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use data::{Data, Place};
use job::{
    Diagnostic, Reading,
    resolved::{JobKind, ModelSource},
};
use rustix::fs::Access;
use store::NoFile;

use crate::Error;

/// Job files are written by people: this is far beyond any.
const MAX_BYTES: u64 = 1 << 20;

#[derive(clap::Args, Debug)]
pub struct JobFile {
    /// The job file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Put another value in the file's place, such as data.init_args.root=/data/mvtec
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

pub struct ReadJob {
    pub reading: Reading,
    /// The file as it stands.
    pub text: String,
}

impl JobFile {
    /// The resolved job; all errors of the file at once.
    pub fn read(&self) -> Result<ReadJob, Error> {
        let text = read_text(&self.file)?;
        read(text, &self.file.display().to_string(), &self.set)
    }
}

/// The job of a text that a command made.
pub fn read_made(text: String, set: &[(String, String)]) -> Result<ReadJob, Error> {
    read(text, "", set)
}

fn read(text: String, name: &str, set: &[(String, String)]) -> Result<ReadJob, Error> {
    let current_dir = env::current_dir()
        .map_err(|source| Error::cannot_run_because("cannot find the current folder", source))?;
    let context = job::ReadContext {
        current_dir: &current_dir,
        now: job::Timestamp::now(),
    };
    match job::read(&text, name, set, &context) {
        Ok(reading) => Ok(ReadJob { reading, text }),
        Err(diagnostics) => Err(invalid(diagnostics)),
    }
}

impl ReadJob {
    /// An output folder that this user may not write: found out before anything is begun.
    pub fn check_output(&self) -> Result<(), Error> {
        let Some(folder) = job::file_path(&self.reading.job.output).map(PathBuf::from) else {
            return Ok(());
        };
        // What is not there yet will be made in the nearest folder that is.
        let Some(there) = folder.ancestors().find(|folder| folder.exists()) else {
            return Ok(());
        };
        if !there.is_dir() {
            return Err(Error::Usage(format!(
                "the output folder cannot be {}: {} is no folder",
                folder.display(),
                there.display()
            )));
        }
        // Somebody else's first job may have made these.
        let trained = matches!(self.reading.job.kind, JobKind::Train).then_some("models");
        let below = ["jobs"]
            .into_iter()
            .chain(trained)
            .map(|name| folder.join(name));
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        for folder in below
            .filter(|folder| folder.is_dir())
            .chain([there.to_owned()])
        {
            rustix::fs::access(&folder, wanted).map_err(|errno| Error::Write {
                path: folder.clone(),
                source: errno.into(),
            })?;
        }
        Ok(())
    }

    /// A folder, or what else is no file, of this machine where the job means a file: found out before anything is begun.
    pub fn check_input(&self) -> Result<(), Error> {
        for run in &self.reading.job.runs {
            if let ModelSource::Package(package) = &run.model {
                check_file(package, "")?;
            }
            let data = data::build(&run.data.class_path, &run.data.init_args);
            let Ok(Data::Unlabelled(images)) = data else {
                continue;
            };
            for place in images.places() {
                if let Place::Image(address)
                | Place::Archive(address)
                | Place::Archived {
                    archive: address, ..
                }
                | Place::List { address, .. } = place
                {
                    check_file(address, "; `FOLDER/**` means the images below a folder")?;
                }
            }
        }
        Ok(())
    }
}

/// Nothing is said of what is not there or not local: that is the job's to find out. `of_folder`: what else of a folder.
fn check_file(address: &str, of_folder: &str) -> Result<(), Error> {
    let path = match address.starts_with('/') {
        true => Some(address.to_owned()),
        false => job::file_path(address),
    };
    let found = path.and_then(|path| Some((store::no_file(Path::new(&path))?, path)));
    let Some((what, path)) = found else {
        return Ok(());
    };
    let hint = match what {
        NoFile::Folder => of_folder,
        NoFile::Pipe | NoFile::Socket | NoFile::Device => "",
    };
    Err(Error::Usage(format!("{path} is {what}, not a file{hint}")))
}

/// Splits `KEY=VALUE`; the value may hold more equals signs.
pub fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as seed=7".to_owned()),
    }
}

/// Says on standard error what a user should know of a file that could be read.
pub fn print_warnings(reading: &Reading) {
    for warning in &reading.warnings {
        eprintln!("warning: {warning}");
    }
}

/// Everything that is wrong with a file.
pub fn invalid(diagnostics: Vec<Diagnostic>) -> Error {
    Error::InvalidFile {
        lines: diagnostics.iter().map(ToString::to_string).collect(),
    }
}

/// The text of a file that people write.
pub fn read_text(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::InvalidFile {
            lines: vec![format!(
                "{}: larger than {MAX_BYTES} bytes: not a job file",
                path.display()
            )],
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Error::InvalidFile {
            lines: vec![format!("{}: not UTF-8 text (byte {place})", path.display())],
        }
    })
}
