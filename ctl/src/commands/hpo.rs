//! `ctl hpo`: a search from a sweep file, with the options that Anomalib documents.

use std::path::PathBuf;

use job::resolved::JobKind;

use super::run::{Begin, run_to_end};
use crate::job_file::{JobFile, assignment};
use crate::{Common, Error};

#[derive(clap::Args)]
pub struct Args {
    /// The sweep file: of wandb, of comet, or a job file of kind hpo
    #[arg(
        long = "sweep_config",
        visible_alias = "sweep-config",
        value_name = "FILE"
    )]
    file: PathBuf,
    /// The model of a sweep file that names none, as those before 1.0
    #[arg(long)]
    model: Option<String>,
    /// Whose file it is; the file itself says so, and nothing is sent there
    #[arg(long, value_enum, ignore_case = true)]
    backend: Option<Backend>,
    /// Name of the job, as a tracker's project would have it
    #[arg(long)]
    project: Option<String>,
    /// Taken and not used: there are no accounts here
    #[arg(long)]
    entity: Option<String>,
    /// Put another value in the file's place, such as search.trials=50
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    begin: Begin,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Backend {
    Wandb,
    Comet,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let Args {
        file,
        model,
        backend,
        project,
        entity,
        set,
        begin,
    } = args;
    let mut overrides = Vec::new();
    overrides.extend(project.map(|project| ("name".to_owned(), project)));
    overrides.extend(model.map(|model| ("model.class_path".to_owned(), model)));
    overrides.extend(set);
    if backend.is_some() {
        eprintln!(
            "note: --backend is taken and not used: the search runs here, and nothing is sent to a tracker"
        );
    }
    if entity.is_some() {
        eprintln!("note: --entity is taken and not used: there are no accounts here");
    }
    let file = JobFile {
        file,
        set: overrides,
    };
    let read = file.read()?;
    if read.reading.job.kind != JobKind::Hpo {
        let (path, kind) = (file.file.display(), read.reading.job.kind);
        return Err(Error::Usage(format!(
            "{path} is a job of kind {kind} and searches nothing; `ctl run` does it"
        )));
    }
    let path = file.file.display().to_string();
    let words = begin.words_after(&["run", &path], &file.set);
    run_to_end(common, read, &begin, words).await
}
