//! `ctl results`: the result table of a job, or the rows of one of its tables.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use job::resolved::JobKind;
use proto::v1::{GetJobRequest, Job, ListRunsRequest};
use serde_json::{Value, json};
use tables::{ANOMALOUS_RATE, AupimoRow, MetricRow, Row, ScoreRow, TimingRow};

use super::with_cluster;
use crate::cluster::Cluster;
use crate::comparison::Side;
use crate::output::{Document, Format};
use crate::rows::{self, Results};
use crate::summary::Line;
use crate::trials::{self, Search};
use crate::{Common, Error, comparison, distribution, output, predicted, resume, summary};

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
const TOP_COLUMNS: [&str; 5] = [
    ">score",
    ">score_normalized",
    "is_anomalous",
    "label",
    "uri",
];
/// Raw scores of two models cannot be ranked together.
const TOP_OF_EACH_COLUMNS: [&str; 7] = [
    ">run",
    "model",
    "split",
    ">score",
    "is_anomalous",
    "label",
    "uri",
];
const METRIC_COLUMNS: [&str; 15] = [
    ">run",
    "model",
    "dataset",
    "category",
    ">seed",
    "level",
    "metric",
    ">value",
    ">low",
    ">high",
    "reason",
    ">threshold",
    "threshold_split",
    ">normal",
    ">anomalous",
];
const AUPIMO_COLUMNS: [&str; 6] = [">run", ">aupimo", ">pixels", "defect_type", "reason", "uri"];
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
    /// Id of a job, a unique prefix of it, or its key; `last` is the newest
    #[arg(
        value_name = "JOB",
        required_unless_present = "last",
        conflicts_with = "last",
        add = crate::completion::jobs()
    )]
    job: Option<String>,
    /// The newest job, as JOB `last`
    #[arg(long)]
    last: bool,
    /// The rows of the table `scores`: one an image and run
    #[arg(long, conflicts_with_all = ["metrics", "timings", "aupimo"])]
    scores: bool,
    /// The N rows of the table `scores` with the highest scores, of each run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["scores", "metrics", "timings", "aupimo", "compare"])]
    top: Option<u32>,
    /// The rows of the table `metrics`
    #[arg(long, conflicts_with_all = ["timings", "aupimo"])]
    metrics: bool,
    /// The rows of the table `timings`
    #[arg(long, conflicts_with = "aupimo")]
    timings: bool,
    /// The rows of the table `aupimo`: one a run and image that has a defect, where AUPIMO is a metric
    #[arg(long)]
    aupimo: bool,
    /// How the scores of test images are distributed: moments of each class, and the histogram that the report draws
    #[arg(long, conflicts_with_all = ["scores", "top", "metrics", "timings", "aupimo", "compare", "best"])]
    distribution: bool,
    /// Say which model is better, by a paired bootstrap over images and seeds: this job's against those of another, or,
    /// with the same JOB, the best against the others
    #[arg(long, value_name = "JOB", add = crate::completion::jobs(), conflicts_with_all = ["scores", "metrics", "timings", "aupimo"])]
    compare: Option<String>,
    /// Of a search: the best trial with its parameters, and what it came to on test images if it was fitted once more
    #[arg(long, conflicts_with_all = ["scores", "top", "metrics", "timings", "aupimo", "compare", "document"])]
    best: bool,
    /// Print the table so that it goes into another document
    #[arg(long = "as", value_name = "FORM")]
    document: Option<Document>,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        if args.document.is_some() && common.output != Format::Table {
            return Err(Error::Usage(
                "--as and --output each want another form: give one of them".to_owned(),
            ));
        }
        let wanted = args.job.clone().unwrap_or_else(|| "last".to_owned());
        if args.best {
            return trials::show_best(common, cluster, &wanted).await;
        }
        let (job, results) = published(cluster, wanted).await?;
        let of_tables = args.compare.is_some() || args.document.is_some() || args.distribution;
        let of_rows = args.scores || args.metrics || args.timings || args.aupimo;
        if of_tables || of_rows {
            has_tables(&job)?;
        }
        if let Some(other) = &args.compare {
            return compare(common, cluster, &args, (job, results), other.clone()).await;
        }
        if args.distribution {
            return distributed(common, cluster, &results, args.document).await;
        }
        if let Some(count) = args.top {
            let highest = highest(cluster, &results, None, count as usize).await?;
            let is_of_one = highest.windows(2).all(|pair| pair[0].run == pair[1].run);
            let columns = match is_of_one {
                true => &TOP_COLUMNS[..],
                false => &TOP_OF_EACH_COLUMNS,
            };
            return put(common, &highest, columns, args.document);
        }
        if let (Some(form), false) = (args.document, of_rows) {
            let (lines, metrics) = lines(cluster, &job, Some(&results)).await?;
            let reused = reused(cluster, Some(&results)).await?;
            let predicted = predicted::table(&metrics, &lines, reused);
            let table = predicted.unwrap_or_else(|| summary::table(&lines));
            return output::line(&table.document(form));
        }
        if !of_rows {
            warn(&job);
            return show(common, cluster, &job, Some(results)).await.map(drop);
        }
        if args.scores {
            let mut found = Vec::new();
            results
                .each_score(&mut cluster.client, |batch| found.extend(batch))
                .await?;
            found.sort_by(ScoreRow::order);
            put(common, &found, &SCORE_COLUMNS, args.document)
        } else if args.metrics {
            print::<MetricRow>(common, cluster, &results, &METRIC_COLUMNS, args.document).await
        } else if args.aupimo {
            let found = results.read_if_there::<AupimoRow>(&mut cluster.client).await?;
            if found.is_empty() {
                return Err(Error::NotFound(format!(
                    "job {} has no AUPIMO of single images: `metrics: {{pixel: [AUPIMO]}}` in its file asks for it, and takes images with masks",
                    job.id
                )));
            }
            put(common, &found, &AUPIMO_COLUMNS, args.document)
        } else {
            print::<TimingRow>(common, cluster, &results, &TIMING_COLUMNS, args.document).await
        }
    })
    .await
}

/// Prints how the scores of test images are distributed.
async fn distributed(
    common: &Common,
    cluster: &mut Cluster,
    results: &Results,
    form: Option<Document>,
) -> Result<(), Error> {
    let mut scores = Vec::new();
    results
        .each_score(&mut cluster.client, |batch| scores.extend(batch))
        .await?;
    let metrics = results.read::<MetricRow>(&mut cluster.client).await?;
    let found = distribution::of(&scores, &metrics);
    match form {
        Some(form) => output::line(&distribution::document(&found, form)),
        None => {
            let value = distribution::json(&found);
            common.output.print(&value, || distribution::text(&found))
        }
    }
}

/// Prints the rows of one table.
async fn print<R: Row>(
    common: &Common,
    cluster: &mut Cluster,
    results: &Results,
    shown: &[&'static str],
    form: Option<Document>,
) -> Result<(), Error> {
    let found = results.read::<R>(&mut cluster.client).await?;
    put(common, &found, shown, form)
}

fn put<R: Row>(
    common: &Common,
    found: &[R],
    shown: &[&'static str],
    form: Option<Document>,
) -> Result<(), Error> {
    let form = form.or((common.output == Format::Csv).then_some(Document::Csv));
    if let Some(form) = form {
        return output::line(&rows::document(found, shown, form)?);
    }
    let table = rows::table(found, shown)?;
    common
        .output
        .print(&Value::Array(rows::json(found)?), || table)
}

/// The scored images with the highest scores, the highest first; of equal ones the first. Of one run, or of each, one run after the other.
pub(super) async fn highest(
    cluster: &mut Cluster,
    results: &Results,
    run: Option<u32>,
    count: usize,
) -> Result<Vec<ScoreRow>, Error> {
    let mut highest: BTreeMap<u32, Vec<ScoreRow>> = BTreeMap::new();
    let is_wanted = |row: &ScoreRow| row.score.is_some() && run.is_none_or(|run| run == row.run);
    let each = |batch: Vec<ScoreRow>| {
        for row in batch.into_iter().filter(is_wanted) {
            highest.entry(row.run).or_default().push(row);
        }
        for rows in highest.values_mut() {
            // Scores are finite: what is not is an error's row.
            rows.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal));
            rows.truncate(count);
        }
    };
    results.each_score(&mut cluster.client, each).await?;
    Ok(highest.into_values().flatten().collect())
}

/// A job that has published its tables.
async fn published(cluster: &mut Cluster, job: String) -> Result<(Job, Results), Error> {
    let request = GetJobRequest { job };
    let job = cluster.client.get_job(request).await?.into_inner();
    match Results::find(&mut cluster.client, &job.id).await? {
        Some(results) => Ok((job, results)),
        None => Err(none_yet(&job)),
    }
}

async fn compare(
    common: &Common,
    cluster: &mut Cluster,
    args: &Args,
    (job, results): (Job, Results),
    other: String,
) -> Result<(), Error> {
    let (other, others) = published(cluster, other).await?;
    has_tables(&other)?;
    let (of_job, _) = lines(cluster, &job, Some(&results)).await?;
    let scores = results.read::<ScoreRow>(&mut cluster.client).await?;
    let one = Side {
        job: &job.id,
        lines: &of_job,
        scores: &scores,
    };
    let found = if other.id == job.id {
        comparison::rows(&one, None)
    } else {
        let (of_other, _) = lines(cluster, &other, Some(&others)).await?;
        let scores = others.read::<ScoreRow>(&mut cluster.client).await?;
        let two = Side {
            job: &other.id,
            lines: &of_other,
            scores: &scores,
        };
        comparison::rows(&one, Some(&two))
    };
    let is_predict = |job: &Job| job.kind == JobKind::Predict.as_str();
    if is_predict(&job) || is_predict(&other) {
        return Err(Error::Usage(
            "jobs of kind predict have no labels to compare models by; `ctl diff JOB OTHER` says which decisions flip between them".to_owned(),
        ));
    }
    if found.is_empty() && other.id == job.id {
        return Err(Error::NotFound(format!(
            "nothing to compare: job {} has tested only one model on each dataset; name another job",
            job.id
        )));
    }
    if found.is_empty() {
        return Err(Error::NotFound(format!(
            "nothing to compare: jobs {} and {} have no two models that were tested on the same category of the same dataset",
            job.id, other.id
        )));
    }
    for note in comparison::notes(&found) {
        eprintln!("note: {note}");
    }
    let table = comparison::table(&found);
    match args.document {
        Some(form) => output::line(&table.document(form)),
        None => common
            .output
            .print(&comparison::json(&found), || table.render()),
    }
}

/// One line a run, and the rows of the table `metrics`.
async fn lines(
    cluster: &mut Cluster,
    job: &Job,
    results: Option<&Results>,
) -> Result<(Vec<Line>, Vec<MetricRow>), Error> {
    let request = ListRunsRequest {
        job: job.id.clone(),
    };
    let runs = cluster.client.list_runs(request).await?.into_inner().runs;
    let (metrics, timings) = match results {
        Some(results) => (
            results.read::<MetricRow>(&mut cluster.client).await?,
            results.read::<TimingRow>(&mut cluster.client).await?,
        ),
        None => (Vec::new(), Vec::new()),
    };
    Ok((summary::lines(&runs, &metrics, &timings), metrics))
}

/// What an incremental job did not have to score again.
pub(super) async fn reused(
    cluster: &mut Cluster,
    results: Option<&Results>,
) -> Result<predicted::Reused, Error> {
    let mut reused = predicted::Reused::default();
    if let Some(results) = results {
        let count = |batch: Vec<ScoreRow>| reused.count(&batch);
        results.each_reused(&mut cluster.client, count).await?;
    }
    Ok(reused)
}

/// An error if the job's results are files for other programs.
pub(crate) fn has_tables(job: &Job) -> Result<(), Error> {
    if !is_export(job) {
        return Ok(());
    }
    Err(Error::NotFound(format!(
        "job {} is an export and has no tables; `ctl results {}` says where its files are",
        job.id, job.id
    )))
}

fn is_export(job: &Job) -> bool {
    job.kind == JobKind::Export.as_str()
}

/// Where the files of an export are.
fn show_files(common: &Common, job: &Job, results: Option<&Results>) -> Result<(), Error> {
    let (place, files) = match results {
        Some(results) => (Some(results.place()), results.files()),
        None => (None, &[][..]),
    };
    let value = json!({
        "job": job.id, "state": job.state, "failures": job.failures, "results": place, "files": files,
    });
    common.output.print(&value, || match &place {
        Some(place) => {
            let paths = files.iter().map(|name| format!("{place}/{name}"));
            paths.collect::<Vec<_>>().join("\n")
        }
        None => "No files published".to_owned(),
    })
}

pub(crate) fn none_yet(job: &Job) -> Error {
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
    if is_export(job) {
        show_files(common, job, results.as_ref())?;
        return Ok(Vec::new());
    }
    let (lines, metrics) = lines(cluster, job, results.as_ref()).await?;
    let reused = reused(cluster, results.as_ref()).await?;
    let search = match job.kind == JobKind::Hpo.as_str() {
        true => Search::of(cluster, &job.id).await?,
        false => None,
    };
    let place = results.map(|results| results.place());
    let predicts = metrics.iter().any(|row| row.metric == ANOMALOUS_RATE);
    let mut value = summary::json(&lines);
    if let Some(object) = value.as_object_mut() {
        object.insert("job".to_owned(), json!(job.id));
        object.insert("state".to_owned(), json!(job.state));
        object.insert("failures".to_owned(), json!(job.failures));
        object.insert("results".to_owned(), json!(place));
        if let Some(search) = &search {
            object.insert("search".to_owned(), search.best_json());
        }
        object.insert("reused".to_owned(), reused.json());
        object.insert("licences".to_owned(), json!(licences(&metrics)));
    }
    common.output.print(&value, || {
        let mut text = match (predicted::table(&metrics, &lines, reused), &search) {
            (Some(table), _) => table.render(),
            (None, Some(search)) => {
                format!("{}\n\n{}", search.table().render(), search.best_text())
            }
            (None, None) => summary::table(&lines).render(),
        };
        // The table of trials has their errors.
        let of_runs = lines.iter().filter(|_| search.is_none());
        for line in of_runs.filter(|line| !line.error.is_empty()) {
            text.push_str(&format!("\nrun {} failed: {}", line.run, line.error));
        }
        for line in &lines {
            for warning in summary::warning_lines(line.run, &line.warnings) {
                text.push_str(&format!("\n{warning}"));
            }
        }
        for licence in licences(&metrics) {
            text.push_str(&format!("\nlicence of {licence}"));
        }
        let draws = resume::command(common, &["render", &job.id, "--top", "20"]);
        if let Some(pictures) = reused.pictures(job, &draws) {
            text.push_str(&format!("\n{pictures}"));
        }
        match &place {
            Some(place) => {
                let open = opener(
                    &resume::command(common, &["results", &job.id, "--metrics"]),
                    place,
                );
                text.push_str(&format!("\n\nResults: {place}\nOpen:    {open}"));
                if predicts {
                    let top = resume::command(common, &["results", &job.id, "--top", "20"]);
                    text.push_str(&format!("\nHighest: {top}\nDrawn:   {draws}"));
                }
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
pub(super) fn licences(metrics: &[MetricRow]) -> BTreeSet<String> {
    let of_row = |row: &MetricRow| {
        let parameters: Value = serde_json::from_str(&row.parameters).ok()?;
        parameters["used"]["licences"].as_array().cloned()
    };
    let licences = metrics.iter().filter_map(of_row).flatten();
    licences
        .filter_map(|licence| Some(licence.as_str()?.replace(char::is_control, " ")))
        .collect()
}

/// One line that opens a table: with what is here, and with what reads Parquet.
fn opener(command: &str, place: &str) -> String {
    format!(
        "{command}   or, after `pip install pandas pyarrow`,   python3 -c \"import pandas; print(pandas.read_parquet('{place}/metrics.parquet'))\""
    )
}

/// Tells what concerns no single run: those of runs are told with them.
pub(super) fn warn(job: &Job) {
    for warning in &job.warnings {
        eprintln!("warning: {warning}");
    }
}

/// After following a job: what came out, and an error unless it succeeded.
pub async fn show_end(common: &Common, cluster: &mut Cluster, job: &Job) -> Result<(), Error> {
    warn(job);
    if !job.rethreshold_failure.is_empty() {
        let why = &job.rethreshold_failure;
        eprintln!("warning: the last new threshold came to nothing, results are as before: {why}");
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
