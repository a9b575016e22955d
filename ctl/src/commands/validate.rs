//! `ctl validate`: is this a job file?

use serde_json::json;

use crate::job_file::{JobFile, print_warnings};
use crate::{Common, Error};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: JobFile,
}

pub fn run(common: &Common, args: &Args) -> Result<(), Error> {
    let read = args.file.read()?;
    print_warnings(&read.reading);
    let job = &read.reading.job;
    let runs = job.runs.len();
    let warnings: Vec<_> = read
        .reading
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    common.output.print(&json!({"file": args.file.file, "name": job.name, "kind": job.kind, "runs": runs, "warnings": warnings}), || {
        format!("{}: valid, {runs} run{}", args.file.file.display(), if runs == 1 { "" } else { "s" })
    })
}
