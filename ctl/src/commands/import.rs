//! `ctl import`: files of other software as job files.

use std::env;
use std::path::PathBuf;

use serde_json::json;

use crate::job_file::{self, print_warnings};
use crate::{Common, Error, output};

#[derive(clap::Subcommand)]
pub enum Args {
    /// Write a train or benchmark file of Anomalib as a job file; what it cannot say here is warned of by name
    Anomalib(AnomalibArgs),
}

#[derive(clap::Args)]
pub struct AnomalibArgs {
    /// Anomalib's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the job file there, where nothing is yet; without it, to standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub fn run(common: &Common, args: &Args) -> Result<(), Error> {
    let Args::Anomalib(args) = args;
    let text = job_file::read_text(&args.file)?;
    let current_dir = env::current_dir()
        .map_err(|source| Error::cannot_run_because("cannot find the current folder", source))?;
    let context = job::ReadContext {
        current_dir: &current_dir,
        now: job::Timestamp::now(),
    };
    let import = job::import_anomalib(&text, &args.file.display().to_string(), &context)
        .map_err(job_file::invalid)?;
    print_warnings(&import.reading);
    if let Some(to) = &args.to {
        output::new_file(to, &import.yaml)?;
    }
    let job = &import.reading.job;
    let warnings: Vec<_> = import
        .reading
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    let value = json!({
        "file": args.file, "to": args.to, "name": job.name, "kind": job.kind, "runs": job.runs.len(),
        "yaml": import.yaml, "warnings": warnings,
    });
    common.output.print(&value, || match &args.to {
        Some(to) => format!("{}: written from {}", to.display(), args.file.display()),
        None => import.yaml.clone(),
    })
}
