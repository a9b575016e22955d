//! `ctl predict`: images scored by a trained model, without a job file.

use std::env;

use serde_json::json;

use super::run::{Begin, run_to_end};
use crate::job_file::{ReadJob, assignment, invalid};
use crate::{Common, Error};

#[derive(clap::Args)]
pub struct Args {
    /// The trained model: its name, NAME@VERSION, or the path of its package.json
    model: String,
    /// Where the images are: folders or prefixes, images, globs in quotes, lists (.txt, .csv, .parquet)
    #[arg(required = true, value_name = "PLACE")]
    places: Vec<String>,
    /// Folder or store of the results; the one that the model is in
    #[arg(long, value_name = "PLACE", default_value = DEFAULT_TO)]
    to: String,
    /// Another key of the job, such as data.init_args.min_bytes=1000 or max_error_rows=5%
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    begin: Begin,
}

const DEFAULT_TO: &str = "./results";

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let read = read(&args)?;
    let mut first = vec!["predict", &args.model];
    first.extend(args.places.iter().map(String::as_str));
    if args.to != DEFAULT_TO {
        first.extend(["--to", &args.to]);
    }
    let words = args.begin.words_after(&first, &args.set);
    run_to_end(common, read, &args.begin, words).await
}

/// The job file that says the same.
fn read(args: &Args) -> Result<ReadJob, Error> {
    let current_dir = env::current_dir()
        .map_err(|source| Error::cannot_run_because("cannot find the current folder", source))?;
    let job = json!({
        "kind": "predict",
        "name": name(&args.model),
        "model": {"package": args.model},
        "data": {"class_path": "PredictDataset", "init_args": {"path": args.places}},
        "output": args.to,
    });
    // JSON is YAML.
    let text = job.to_string();
    let context = job::ReadContext {
        current_dir: &current_dir,
        now: job::Timestamp::now(),
    };
    match job::read(&text, "predict", &args.set, &context) {
        Ok(reading) => Ok(ReadJob { reading, text }),
        Err(diagnostics) => Err(invalid(diagnostics)),
    }
}

/// A job's name is a model's, as far as its letters go.
fn name(model: &str) -> String {
    let model = model.strip_suffix("/package.json").unwrap_or(model);
    let last = model.rsplit('/').next().unwrap_or(model);
    let last = last.split('@').next().unwrap_or(last);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = last.chars().filter(|c| fits(*c)).take(128).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() {
        "predict".to_owned()
    } else {
        name.to_owned()
    }
}
