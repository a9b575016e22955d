//! The commands, one file each.

mod bench;
mod cancel;
mod completions;
mod dead;
mod delete;
mod describe;
mod diff;
mod doctor;
pub(crate) mod examples;
mod export;
pub(crate) mod get;
mod hpo;
mod import;
mod logs;
mod plan;
mod predict;
mod render;
mod report;
pub(crate) mod results;
mod rethreshold;
mod retry;
pub(crate) mod run;
mod submit;
mod token;
mod validate;
mod verify;
mod wait;
mod weights;
mod worker;

use std::future::Future;

use crate::cluster::Cluster;
use crate::{Common, Error, completion, places};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Run a job file to its end and show the results
    #[command(after_help = examples::of("run"))]
    Run(run::Args),
    /// Score images by a trained model
    #[command(after_help = examples::of("predict"))]
    Predict(predict::Args),
    /// Run a sweep file of wandb or comet, as Anomalib documents it, or a job file of kind hpo
    #[command(after_help = examples::of("hpo"))]
    Hpo(hpo::Args),
    /// Put a job file into the queue
    #[command(after_help = examples::of("submit"))]
    Submit(submit::Args),
    /// Check a job file
    #[command(after_help = examples::of("validate"))]
    Validate(validate::Args),
    /// Write a file of other software as a job file
    #[command(subcommand, after_help = examples::of("import"))]
    Import(import::Args),
    /// Show the resolved job, its runs and tasks
    #[command(after_help = examples::of("plan"))]
    Plan(plan::Args),
    /// List jobs, tasks, runs, trials, dead tasks, workers or models
    #[command(after_help = examples::of("get"))]
    Get(get::Args),
    /// Show everything about a job or a task: why it waits, why it failed; or about a trained model
    #[command(after_help = examples::of("describe"))]
    Describe(describe::Args),
    /// Show what the attempts of a job or task wrote to their logs
    #[command(after_help = examples::of("logs"))]
    Logs(logs::Args),
    /// Show the results of a job
    #[command(after_help = examples::of("results"))]
    Results(results::Args),
    /// Write the results of a job as one HTML file that opens offline: table, curves, scores, images
    #[command(after_help = examples::of("report"))]
    Report(report::Args),
    /// Draw the images with the highest scores, with their anomaly maps and masks
    #[command(after_help = examples::of("render"))]
    Render(render::Args),
    /// Say what changes between two jobs on the same images: decisions that flip, rates per folder, the worst with pictures
    #[command(after_help = examples::of("diff"))]
    Diff(diff::Args),
    /// Write a trained model as files for ONNX Runtime, OpenVINO or libtorch
    #[command(after_help = examples::of("export"))]
    Export(export::Args),
    /// Prove from the stored files that every image has exactly one row
    #[command(after_help = examples::of("verify"))]
    Verify(verify::Args),
    /// Wait until jobs have ended
    #[command(after_help = examples::of("wait"))]
    Wait(wait::Args),
    /// Cancel a job
    #[command(after_help = examples::of("cancel"))]
    Cancel(cancel::Args),
    /// Compute again what failed or was cancelled, and nothing else
    #[command(after_help = examples::of("retry"))]
    Retry(retry::Args),
    /// Decide a job that has ended by another threshold, without scoring anything again
    #[command(after_help = examples::of("rethreshold"))]
    Rethreshold(rethreshold::Args),
    /// Delete jobs that have ended, and what they left but for models
    #[command(after_help = examples::of("delete"))]
    Delete(delete::Args),
    /// Make tokens for a coordinator that listens on the network
    #[command(subcommand, after_help = examples::of("token"))]
    Token(token::Args),
    /// Say what this machine has and lacks
    #[command(after_help = examples::of("doctor"))]
    Doctor(doctor::Args),
    /// Import, list and check pretrained weights
    #[command(subcommand, after_help = examples::of("weights"))]
    Weights(weights::Args),
    /// Release a worker from quarantine
    #[command(subcommand, after_help = examples::of("worker"))]
    Worker(worker::Args),
    /// Print the script with which a shell completes commands, ids and names
    #[command(after_help = examples::of("completions"))]
    Completions(completions::Args),
    /// Measure how many tasks a second this machine can dispatch, and how fast
    #[command(subcommand, after_help = examples::of("bench"))]
    Bench(bench::Args),
}

pub fn run(common: &Common, command: Command) -> Result<(), Error> {
    match command {
        Command::Run(args) => block_on(run::run(common, args)),
        Command::Predict(args) => block_on(predict::run(common, args)),
        Command::Hpo(args) => block_on(hpo::run(common, args)),
        Command::Submit(args) => block_on(submit::run(common, args)),
        Command::Validate(args) => validate::run(common, &args),
        Command::Import(args) => import::run(common, &args),
        Command::Plan(args) => block_on(plan::run(common, &args)),
        Command::Get(args) => block_on(get::run(common, args)),
        Command::Describe(args) => block_on(describe::run(common, args)),
        Command::Logs(args) => block_on(logs::run(common, args)),
        Command::Results(args) => block_on(results::run(common, args)),
        Command::Report(args) => block_on(report::run(common, args)),
        Command::Render(args) => block_on(render::run(common, args)),
        Command::Diff(args) => block_on(diff::run(common, args)),
        Command::Export(args) => block_on(export::run(common, args)),
        Command::Verify(args) => block_on(verify::run(common, args)),
        Command::Wait(args) => block_on(wait::run(common, args)),
        Command::Cancel(args) => block_on(cancel::run(common, args)),
        Command::Retry(args) => block_on(retry::run(common, args)),
        Command::Rethreshold(args) => block_on(rethreshold::run(common, args)),
        Command::Delete(args) => block_on(delete::run(common, args)),
        Command::Token(args) => token::run(common, &args),
        Command::Doctor(args) => doctor::run(common, &args),
        Command::Weights(args) => weights::run(common, args),
        Command::Worker(args) => block_on(worker::run(common, args)),
        Command::Completions(args) => completions::run(&args),
        Command::Bench(args) => block_on(bench::run(common, args)),
    }
}

/// Commands without a coordinator never start a runtime.
fn block_on(command: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::cannot_run_because("cannot start the runtime", source))?;
    runtime.block_on(command)
}

/// Does something that may be done twice with a coordinator and lets go of it again, whatever came out.
async fn with_cluster<T>(
    common: &Common,
    action: impl AsyncFn(&mut Cluster) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut cluster = Cluster::open(&places::coordinator(common)?, common.config()).await?;
    let result = cluster.insist(action).await;
    cluster.close().await;
    result
}

/// The job that an argument means: an id, a unique prefix, a key, or `last`.
#[derive(clap::Args)]
pub struct JobArg {
    /// Id of a job, a unique prefix of it, or its key; `last` is the newest
    #[arg(value_name = "JOB", add = completion::jobs())]
    pub job: String,
}
