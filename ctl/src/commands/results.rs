//! `ctl results`: the result table of a job, or the rows of one of its tables.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{GetJobRequest, Job, ListRunsRequest};
use serde_json::{Value, json};
use tables::{MetricRow, ScoreRow, TimingRow};

use super::with_cluster;
use crate::cluster::Cluster;
use crate::rows::{self, Results};
use crate::{Common, Error, output, resume, summary};

// What people see of each table; programs get every column.
const SCORE_COLUMNS: [&str; 9] = [
    ">run",
    "model",
    "split",
    "label",
    ">score",
    ">score_normalized",
    "is_anomalous",
    "error_class",
    "uri",
];
const METRIC_COLUMNS: [&str; 13] = [
    ">run",
    "model",
    "dataset",
    "category",
    ">seed",
    "level",
    "metric",
    ">value",
    "reason",
    ">threshold",
    "threshold_split",
    ">normal",
    ">anomalous",
];
const TIMING_COLUMNS: [&str; 11] = [
    "task",
    "kind",
    ">run",
    "stage",
    ">wall_s",
    ">busy_s",
    ">blocked_s",
    ">cpu_s",
    ">items",
    ">bytes",
    ">peak_memory",
];

#[derive(clap::Args)]
pub struct Args {
    /// Id of a job or a unique prefix of it; `last` is the newest
    #[arg(
        value_name = "JOB",
        required_unless_present = "last",
        conflicts_with = "last"
    )]
    job: Option<String>,
    /// The newest job, as JOB `last`
    #[arg(long)]
    last: bool,
    /// The rows of the table `scores`: one an image and run
    #[arg(long, conflicts_with_all = ["metrics", "timings"])]
    scores: bool,
    /// The rows of the table `metrics`
    #[arg(long, conflicts_with = "timings")]
    metrics: bool,
    /// The rows of the table `timings`
    #[arg(long)]
    timings: bool,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        let wanted = args.job.clone().unwrap_or_else(|| "last".to_owned());
        let job = cluster
            .client
            .get_job(GetJobRequest { job: wanted })
            .await?
            .into_inner();
        let Some(results) = Results::find(&mut cluster.client, &job.id).await? else {
            return Err(none_yet(&job));
        };
        if !(args.scores || args.metrics || args.timings) {
            return show(common, cluster, &job, Some(results)).await.map(drop);
        }
        let (rows, columns): (Vec<Value>, &[&'static str]) = if args.scores {
            (
                rows::json(&results.read::<ScoreRow>(&mut cluster.client).await?)?,
                &SCORE_COLUMNS,
            )
        } else if args.metrics {
            (
                rows::json(&results.read::<MetricRow>(&mut cluster.client).await?)?,
                &METRIC_COLUMNS,
            )
        } else {
            (
                rows::json(&results.read::<TimingRow>(&mut cluster.client).await?)?,
                &TIMING_COLUMNS,
            )
        };
        let table = rows::table(&rows, columns);
        common.output.print(&Value::Array(rows), || table)
    })
    .await
}

pub(super) fn none_yet(job: &Job) -> Error {
    Error::NotFound(format!(
        "job {} is {} and has no published results; `ctl describe {}` says how far it is",
        job.id, job.state, job.id
    ))
}

/// Prints the result table and where the files are; returns the runs' errors, which are said with it.
async fn show(
    common: &Common,
    cluster: &mut Cluster,
    job: &Job,
    results: Option<Results>,
) -> Result<Vec<String>, Error> {
    let runs = cluster
        .client
        .list_runs(ListRunsRequest {
            job: job.id.clone(),
        })
        .await?
        .into_inner()
        .runs;
    let (metrics, timings) = match &results {
        Some(results) => (
            results.read::<MetricRow>(&mut cluster.client).await?,
            results.read::<TimingRow>(&mut cluster.client).await?,
        ),
        None => (Vec::new(), Vec::new()),
    };
    let lines = summary::lines(&runs, &metrics, &timings);
    let place = results.map(|results| results.place());
    let mut value = summary::json(&lines);
    if let Some(object) = value.as_object_mut() {
        object.insert("job".to_owned(), json!(job.id));
        object.insert("state".to_owned(), json!(job.state));
        object.insert("failures".to_owned(), json!(job.failures));
        object.insert("results".to_owned(), json!(place));
        object.insert("licences".to_owned(), json!(licences(&metrics)));
    }
    common.output.print(&value, || {
        let mut text = summary::table(&lines);
        for line in lines.iter().filter(|line| !line.error.is_empty()) {
            text.push_str(&format!("\nrun {} failed: {}", line.run, line.error));
        }
        for line in &lines {
            for warning in &line.warnings {
                text.push_str(&format!("\nwarning: run {}: {warning}", line.run));
            }
        }
        for (run, images) in unreadable(&metrics) {
            text.push_str(&format!(
                "\nwarning: run {run}: {images} image{} could not be scored; `{}` says which and why",
                if images == 1 { "" } else { "s" },
                resume::command(common, &["results", &job.id, "--scores"])
            ));
        }
        for licence in licences(&metrics) {
            text.push_str(&format!("\nlicence of {licence}"));
        }
        match &place {
            Some(place) => {
                let open = opener(&resume::command(common, &["results", &job.id, "--metrics"]), place);
                text.push_str(&format!("\n\nResults: {place}\nOpen:    {open}"))
            }
            None => text.push_str("\n\nNo results published"),
        }
        text
    })?;
    Ok(lines
        .into_iter()
        .map(|line| line.error)
        .filter(|error| !error.is_empty())
        .collect())
}

/// Licences of the weights and data behind the numbers, each once: `data: CC BY 4.0`.
fn licences(metrics: &[MetricRow]) -> BTreeSet<String> {
    let of_row = |row: &MetricRow| {
        let parameters: Value = serde_json::from_str(&row.parameters).ok()?;
        parameters["used"]["licences"].as_array().cloned()
    };
    let licences = metrics.iter().filter_map(of_row).flatten();
    licences
        .filter_map(|licence| Some(licence.as_str()?.replace(char::is_control, " ")))
        .collect()
}

/// Runs with images that are in no metric because they could not be read, and how many.
fn unreadable(metrics: &[MetricRow]) -> BTreeMap<u32, u64> {
    let mut found = BTreeMap::new();
    for row in metrics.iter().filter(|row| row.errors > 0) {
        let images = found.entry(row.run).or_insert(0);
        *images = row.errors.max(*images);
    }
    found
}

/// One line that opens a table: with what is here, and with what reads Parquet.
fn opener(command: &str, place: &str) -> String {
    format!(
        "{command}   or, after `pip install pandas pyarrow`,   python3 -c \"import pandas; print(pandas.read_parquet('{place}/metrics.parquet'))\""
    )
}

/// After following a job: what came out, and an error unless it succeeded.
pub async fn show_end(common: &Common, cluster: &mut Cluster, job: &Job) -> Result<(), Error> {
    for warning in &job.warnings {
        eprintln!("warning: {warning}");
    }
    let said = cluster
        .insist(async |cluster| {
            let results = Results::find(&mut cluster.client, &job.id).await?;
            show(common, cluster, job, results).await
        })
        .await?;
    if job.state == "succeeded" {
        let took = output::took(job.finished_ms.saturating_sub(job.created_ms));
        eprintln!("job {} succeeded in {took}", job.id);
        return Ok(());
    }
    let unsaid = |failure: &&String| !said.iter().any(|error| failure.ends_with(error.as_str()));
    for failure in job.failures.iter().filter(unsaid) {
        eprintln!("failed: {failure}");
    }
    Err(Error::JobFailed {
        job: job.id.clone(),
        state: job.state.clone(),
        describe: resume::command(common, &["describe", &job.id]),
        retry: resume::command(common, &["retry", &job.id, "--wait"]),
    })
}
