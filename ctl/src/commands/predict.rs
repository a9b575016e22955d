//! `ctl predict`: images scored by a trained model, without a job file.

use std::env;

use proto::v1::GetJobRequest;
use serde_json::json;

use super::run::{Begin, run_to_end};
use crate::cluster::Cluster;
use crate::job_file::{ReadJob, assignment, invalid};
use crate::watch::Signals;
use crate::{Common, Error, places};

#[derive(clap::Args)]
pub struct Args {
    /// The trained model: its name, NAME@VERSION, or the path of its package.json, or of an .onnx or .xml file
    #[arg(add = crate::completion::models())]
    model: String,
    /// Where the images are: folders or prefixes, images, globs in quotes, lists (.txt, .csv, .parquet),
    /// archives (.tar, .tar.gz, .tgz, .zip)
    #[arg(required = true, value_name = "PLACE")]
    places: Vec<String>,
    /// Folder or store of the results; the one that the model is in
    #[arg(long, value_name = "PLACE", default_value = DEFAULT_TO)]
    to: String,
    /// Do not score again what this job has scored by the same package, unless the image has changed since: its id, a unique
    /// prefix of it, or `last`; a job of the same --to
    #[arg(long, value_name = "JOB", add = crate::completion::jobs())]
    skip: Option<String>,
    /// Another key of the job, such as data.init_args.min_bytes=1000 or max_error_rows=5%
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    begin: Begin,
}

const DEFAULT_TO: &str = "./results";

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let skip = match &args.skip {
        Some(job) => Some(id(common, job).await?),
        None => None,
    };
    let read = read(&args, skip.as_deref())?;
    let mut first = vec!["predict", &args.model];
    first.extend(args.places.iter().map(String::as_str));
    if args.to != DEFAULT_TO {
        first.extend(["--to", &args.to]);
    }
    first.extend(skip.iter().flat_map(|job| ["--skip", job.as_str()]));
    let words = args.begin.words_after(&first, &args.set);
    run_to_end(common, read, &args.begin, words).await
}

/// The whole id of a job.
async fn id(common: &Common, job: &str) -> Result<String, Error> {
    let mut signals = Signals::listen()?;
    let place = places::coordinator(common)?;
    let hint = "nothing was begun";
    let mut cluster = signals
        .or(hint, Cluster::open(&place, common.config()))
        .await?;
    let request = GetJobRequest {
        job: job.to_owned(),
    };
    let client = &mut cluster.client;
    let asked = async { Ok(client.get_job(request).await?.into_inner().id) };
    let found = signals.or(hint, asked).await;
    cluster.close().await;
    found
}

/// The job file that says the same.
fn read(args: &Args, skip: Option<&str>) -> Result<ReadJob, Error> {
    let current_dir = env::current_dir()
        .map_err(|source| Error::cannot_run_because("cannot find the current folder", source))?;
    let job = json!({
        "kind": "predict",
        "name": name(&args.model),
        "model": {"package": args.model},
        "data": {"class_path": "PredictDataset", "init_args": {"path": args.places}},
        "output": args.to,
        "skip": skip,
    });
    // JSON is YAML.
    let text = job.to_string();
    let context = job::ReadContext {
        current_dir: &current_dir,
        now: job::Timestamp::now(),
    };
    match job::read(&text, "", &args.set, &context) {
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
