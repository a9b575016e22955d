//! `ctl validate`: is this a job file?

use serde_json::json;

use crate::job_file::{JobFile, print_warnings};
use crate::output::counted;
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
    // A search begins with what its trials have in common.
    let trials = job.search.as_ref().map(|search| search.by.len());
    let (count, what) = trials.map_or((job.runs.len(), "run"), |trials| (trials, "trial"));
    let warnings: Vec<_> = read
        .reading
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut json =
        json!({"file": args.file.file, "name": job.name, "kind": job.kind, "warnings": warnings});
    json[format!("{what}s")] = count.into();
    common.output.print(&json, || {
        let count = counted(count as u64, what);
        format!("{}: valid, {count}", args.file.file.display())
    })
}
