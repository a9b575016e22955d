//! `ctl verify`: proves from the stored files alone that a job's results are whole.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::Arc;

use bytes::Bytes;
use plan::{Plan, TaskSpec};
use proto::v1::GetJobRequest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{RangedObject, Store, StoreError, Stores, layout};
use tables::{
    ManifestRow, MetricRow, RangesReader, Row, SampleRow, ScoreRow, TableError, TableReader,
};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use types::{JobId, OutputObject, TaskId, TaskKind};

use super::with_cluster;
use crate::coverage::{Coverage, Image, Said, cover, hexadecimal};
use crate::output::{Table, counted};
use crate::rows::Results;
use crate::stored_file::StoredFile;
use crate::{Common, Error};

/// Objects are hashed in pieces of this size.
const PIECE: u64 = 64 << 20;
/// The part of a `list` task.
const SAMPLES: &str = "samples.parquet";
/// Rows of the form of `scores` that earlier jobs had computed.
const REUSED: &str = "reused";

#[derive(clap::Args)]
pub struct Args {
    /// Id of a job, a unique prefix of it, its key, or `last`; or the address of a job's folder, such as `results/jobs/7k2m9x4c`: then
    /// no coordinator is asked
    #[arg(value_name = "JOB|FOLDER", add = crate::completion::jobs())]
    job: String,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let (store, job, known) = if args.job.contains('/') {
        let (store, job) = stored(common, &args.job)?;
        (store, job, None)
    } else {
        published(common, args.job).await?
    };
    let report = verify(&store, &job, known).await?;
    common.output.print(&report.json(), || report.text())?;
    if report.is_whole() {
        Ok(())
    } else {
        Err(Error::NotWhole {
            job: job.to_string(),
        })
    }
}

/// The folder or URI of a job.
fn stored(common: &Common, folder: &str) -> Result<(Store, JobId), Error> {
    let address = if folder.contains("://") {
        folder.to_owned()
    } else {
        let path = std::path::absolute(folder).map_err(|source| Error::Read {
            path: folder.into(),
            source,
        })?;
        path.display().to_string()
    };
    match address.trim_end_matches('/').rsplit_once("/jobs/") {
        Some((root, job)) => Ok((
            Stores::read_for_user(common.config())?.open(root)?,
            named(job)?,
        )),
        None => Err(Error::Usage(format!(
            "{folder} is no job's folder; expected one that ends with jobs/JOB"
        ))),
    }
}

fn named(job: &str) -> Result<JobId, Error> {
    job.parse()
        .map_err(|error| Error::Usage(format!("{error}")))
}

/// Where a coordinator says that the job's files are, and the generation that it knows to be published.
async fn published(common: &Common, job: String) -> Result<(Store, JobId, Option<u64>), Error> {
    with_cluster(common, async |cluster| {
        let job = cluster
            .client
            .get_job(GetJobRequest { job: job.clone() })
            .await?
            .into_inner();
        match Results::find(&mut cluster.client, &job.id).await? {
            Some(results) => Ok((
                cluster.stores.open(results.store())?,
                named(&job.id)?,
                Some(results.generation()),
            )),
            None => Err(super::results::none_yet(&job)),
        }
    })
    .await
}

struct Report {
    job: JobId,
    generation: u64,
    objects: u64,
    bytes: u64,
    /// Objects that are not what the manifest says.
    damaged: Vec<String>,
    runs: Vec<RunReport>,
}

struct RunReport {
    run: u32,
    dataset: String,
    category: String,
    /// Or why there is nothing to cover.
    coverage: Result<Coverage, String>,
}

/// `known`: the generation that a coordinator knows to be published, whatever the store holds.
async fn verify(store: &Store, job: &JobId, known: Option<u64>) -> Result<Report, Error> {
    let generation = newest(store, job, known).await?;
    let mut report = Report {
        job: job.clone(),
        generation,
        objects: 0,
        bytes: 0,
        damaged: Vec::new(),
        runs: Vec::new(),
    };
    let manifest = match read::<ManifestRow>(store, &layout::manifest(job, generation)).await? {
        Ok(manifest) => manifest,
        Err(Damaged(text)) => {
            report.damaged.push(format!(
                "{text}; without this manifest nothing says which objects there should be"
            ));
            return Ok(report);
        }
    };
    report.objects = manifest.len() as u64;
    for row in &manifest {
        report.bytes += row.size;
        report.damaged.extend(damage(store, &row.path, row).await?);
    }
    // What people read are copies of the objects that the last task wrote.
    for row in manifest.iter().filter(|row| is_of_last(row)) {
        let name = row.path.rsplit('/').next().unwrap_or_default();
        if name.strip_suffix(".parquet") != Some(ManifestRow::TABLE) {
            let copy = layout::result(job, generation, name);
            report.damaged.extend(damage(store, &copy, row).await?);
        }
    }
    report
        .damaged
        .extend(altered(store, &layout::manifest(job, generation), &manifest).await?);
    match plan_of(store, job).await? {
        // An export has no tables.
        Ok(plan) if plan.runs.is_empty() => {}
        Ok(plan) => {
            let (store, runtime) = (store.clone(), Handle::current());
            // Parquet's readers wait for what they read.
            let read = move || {
                runs(&store, &runtime, &plan, &manifest, &mut report)?;
                Ok(report)
            };
            return match spawn_blocking(read).await {
                Ok(read) => read,
                Err(error) => resume_unwind(error.into_panic()),
            };
        }
        Err(Damaged(text)) => report.damaged.push(text),
    }
    Ok(report)
}

/// Says for each run whether its rows cover its images. Of tables that have a row an image some rows at a time are held.
fn runs(
    store: &Store,
    runtime: &Handle,
    plan: &Plan,
    manifest: &[ManifestRow],
    report: &mut Report,
) -> Result<(), Error> {
    let (job, generation) = (report.job.clone(), report.generation);
    let table = |name: &str| layout::result(&job, generation, &format!("{name}.parquet"));
    let mut scores = Rows::of(store, runtime, &table(ScoreRow::TABLE))?;
    let has_reused = manifest
        .iter()
        .any(|row| row.path.ends_with(&format!("/{REUSED}.parquet")));
    let mut reused = match has_reused {
        true => Rows::of(store, runtime, &table(REUSED))?,
        false => Rows::none(),
    };
    for run in runtime.block_on(known_runs(store, plan, &job, generation))? {
        let samples = samples_of(store, plan, &job, run.index, manifest);
        let coverage = match runtime.block_on(samples)? {
            Ok(path) => {
                let mut samples = Rows::<SampleRow>::of(store, runtime, &path)?;
                let is_own = |row: &SampleRow| row.split != "train";
                let samples = samples
                    .all()
                    .filter(|row| row.as_ref().map_or(true, is_own));
                let samples = samples.map(|row| row.map(sample));
                let rows = scores.of_run(run.index).map(|row| row.map(scored));
                let earlier = reused.of_run(run.index).map(|row| row.map(scored));
                match cover(samples, rows, earlier) {
                    Ok(coverage) => Ok(coverage),
                    Err(Broken::Damaged(damaged)) => Err(damaged),
                    Err(Broken::Unread(error)) => return Err(error.into()),
                }
            }
            Err(damaged) => Err(damaged),
        };
        // What was not walked over is no other run's.
        scores.skip_run(run.index)?;
        reused.skip_run(run.index)?;
        report.runs.push(RunReport {
            run: run.index,
            dataset: run.dataset,
            category: run.category,
            coverage: coverage.map_err(|Damaged(text)| text),
        });
    }
    for (name, rest) in [(ScoreRow::TABLE, scores), (REUSED, reused)] {
        if let Some(run) = rest.unknown_run()? {
            report
                .damaged
                .push(format!("{name}: row of the unknown run {run}"));
        }
    }
    Ok(())
}

/// What is wrong with an object that should be there and whole: no error, but what this command looks for.
#[derive(Debug, Clone)]
struct Damaged(String);

/// An object's bytes; other errors than that it is missing say nothing of the results.
async fn found(store: &Store, path: &str) -> Result<Result<Bytes, Damaged>, Error> {
    match store.get(path, None).await {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(StoreError::NotFound { uri }) => Ok(Err(Damaged(format!("{uri} is missing")))),
        Err(error @ StoreError::NotAFile { .. }) => Ok(Err(Damaged(error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

async fn plan_of(store: &Store, job: &JobId) -> Result<Result<Plan, Damaged>, Error> {
    let path = layout::plan(job);
    let bytes = match found(store, &path).await? {
        Ok(bytes) => bytes,
        Err(damaged) => return Ok(Err(damaged)),
    };
    let is_no_plan = |_| Damaged(format!("{} is damaged: it is no plan", store.uri(&path)));
    Ok(serde_json::from_slice(&bytes).map_err(is_no_plan))
}

/// Why a table cannot be read, in words that are not the format's own.
fn damaged_table(uri: &str, error: &TableError) -> Damaged {
    match error {
        TableError::Newer { .. } | TableError::OtherTable { .. } | TableError::Column { .. } => {
            Damaged(format!("{uri} cannot be read: {error}"))
        }
        _ => Damaged(format!("{uri} is damaged: it is not a whole Parquet file")),
    }
}

/// Why rows cannot be had.
#[derive(Debug)]
enum Broken {
    Damaged(Damaged),
    /// This says nothing of the table.
    Unread(StoreError),
}

impl Broken {
    /// What an error of a table's reader comes from.
    fn of(file: &StoredFile, uri: &str, error: &TableError) -> Self {
        match file.take_failure() {
            Some(error) => Self::of_store(error),
            None => Self::Damaged(damaged_table(uri, error)),
        }
    }

    fn of_store(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { uri } => Self::Damaged(Damaged(format!("{uri} is missing"))),
            error @ StoreError::NotAFile { .. } => Self::Damaged(Damaged(error.to_string())),
            error => Self::Unread(error),
        }
    }
}

/// The rows of a table, read batch by batch; from the first that cannot be read on there are none.
struct Rows<R> {
    rows: Box<dyn Iterator<Item = Result<R, Broken>> + Send>,
    next: Option<R>,
    damaged: Option<Damaged>,
}

impl<R: Row + Send + 'static> Rows<R> {
    fn none() -> Self {
        Self {
            rows: Box::new(std::iter::empty()),
            next: None,
            damaged: None,
        }
    }

    fn of(store: &Store, runtime: &Handle, path: &str) -> Result<Self, Error> {
        match Self::open(store, runtime, path) {
            Ok(rows) => Ok(Self {
                rows: Box::new(rows),
                ..Self::none()
            }),
            Err(Broken::Damaged(damaged)) => Ok(Self {
                damaged: Some(damaged),
                ..Self::none()
            }),
            Err(Broken::Unread(error)) => Err(error.into()),
        }
    }

    fn open(
        store: &Store,
        runtime: &Handle,
        path: &str,
    ) -> Result<impl Iterator<Item = Result<R, Broken>> + Send + use<R>, Broken> {
        let uri = store.uri(path);
        let object = RangedObject::open(store.clone(), path.to_owned(), runtime.clone());
        let file = Arc::new(StoredFile::new(object.map_err(Broken::of_store)?));
        let reader = TableReader::<R>::open(RangesReader(file.clone()))
            .map_err(|error| Broken::of(&file, &uri, &error))?;
        Ok(reader.flat_map(move |batch| match batch {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(Broken::of(&file, &uri, &error))],
        }))
    }

    /// The next row that `is_wanted`, which then is consumed.
    fn next_if(&mut self, is_wanted: impl Fn(&R) -> bool) -> Option<Result<R, Broken>> {
        if self.next.is_none() && self.damaged.is_none() {
            match self.rows.next()? {
                Ok(row) => self.next = Some(row),
                Err(Broken::Damaged(damaged)) => self.damaged = Some(damaged),
                Err(unread) => return Some(Err(unread)),
            }
        }
        match &self.damaged {
            Some(damaged) => Some(Err(Broken::Damaged(damaged.clone()))),
            None => self.next.take_if(|row| is_wanted(row)).map(Ok),
        }
    }

    fn all(&mut self) -> impl Iterator<Item = Result<R, Broken>> {
        self.those(|_| true)
    }

    /// The next ones, as far as they are wanted. Of a table that is damaged one error.
    fn those(&mut self, is_wanted: impl Fn(&R) -> bool) -> impl Iterator<Item = Result<R, Broken>> {
        let mut has_failed = false;
        std::iter::from_fn(move || {
            let next = self.next_if(&is_wanted).filter(|_| !has_failed)?;
            has_failed = next.is_err();
            Some(next)
        })
    }
}

impl Rows<ScoreRow> {
    /// Those of a run, which come after those of the runs before it.
    fn of_run(&mut self, run: u32) -> impl Iterator<Item = Result<ScoreRow, Broken>> {
        self.those(move |row| row.run == run)
    }

    /// Passes over those of a run that are left; what is damaged is said where rows are asked for.
    fn skip_run(&mut self, run: u32) -> Result<(), Error> {
        self.of_run(run).try_for_each(|row| match row {
            Err(Broken::Unread(error)) => Err(error.into()),
            Ok(_) | Err(Broken::Damaged(_)) => Ok(()),
        })
    }

    /// After the last run: of which run the next row is.
    fn unknown_run(mut self) -> Result<Option<u32>, Error> {
        match self.all().next() {
            Some(Ok(row)) => Ok(Some(row.run)),
            Some(Err(Broken::Unread(error))) => Err(error.into()),
            Some(Err(Broken::Damaged(_))) | None => Ok(None),
        }
    }
}

/// The highest generation that the job's manifests or a coordinator tell of.
async fn newest(store: &Store, job: &JobId, known: Option<u64>) -> Result<u64, Error> {
    let folder = format!("{}/manifest", layout::job(job));
    let found = store.list(&folder).await?;
    found
        .iter()
        .filter_map(|object| {
            let name = object.path.rsplit('/').next()?;
            name.strip_suffix(".parquet")?.parse().ok()
        })
        .chain(known)
        .max()
        .ok_or_else(|| {
            Error::NotFound(format!(
                "there is no manifest in {}: what a job has published lies in STORE/jobs/{job}, with plan.json, results/ and manifest/GENERATION.parquet, such as manifest/000001.parquet; the job has published nothing, or this is not all of its folder (`ctl verify {job}` asks the coordinator)",
                store.uri(&folder)
            ))
        })
}

/// Whether it is an object that the job's last task wrote.
fn is_of_last(row: &ManifestRow) -> bool {
    let last = [TaskKind::Reduce, TaskKind::Export].map(TaskKind::as_str);
    last.contains(&row.kind.as_str())
}

/// The manifest is in no manifest: says whether it is another one than the last task's list of its outputs tells of.
async fn altered(
    store: &Store,
    path: &str,
    manifest: &[ManifestRow],
) -> Result<Option<String>, Error> {
    let folders: BTreeSet<&str> = manifest
        .iter()
        .filter(|row| is_of_last(row))
        .filter_map(|row| Some(row.path.rsplit_once('/')?.0))
        .collect();
    let Ok(copy) = found(store, path).await? else {
        return Ok(None);
    };
    let (uri, sha256) = (store.uri(path), hexadecimal(&Sha256::digest(&copy)));
    let written = format!("{}.parquet", ManifestRow::TABLE);
    let mut others = Vec::new();
    for folder in folders {
        let outputs = format!("{folder}/{}", layout::OUTPUTS);
        let listed = match found(store, &outputs).await? {
            Ok(bytes) => serde_json::from_slice::<Vec<OutputObject>>(&bytes).unwrap_or_default(),
            Err(Damaged(why)) => {
                others.push(format!("nothing tells what {uri} should be: {why}"));
                continue;
            }
        };
        let outputs = store.uri(&outputs);
        others.push(match listed.iter().find(|object| object.path == written) {
            Some(object) if object.sha256 == sha256 => return Ok(None),
            Some(_) => {
                format!("{uri} is not what the last task wrote: {outputs} has another sha256 of it")
            }
            None => format!("nothing tells what {uri} should be: {outputs} is damaged"),
        });
    }
    Ok(others.into_iter().next())
}

/// All rows of a small table.
async fn read<R: Row>(store: &Store, path: &str) -> Result<Result<Vec<R>, Damaged>, Error> {
    let damaged = |error| damaged_table(&store.uri(path), &error);
    let bytes = found(store, path).await?;
    Ok(bytes.and_then(|bytes| tables::read_bytes(bytes).map_err(damaged)))
}

/// Says what is wrong with an object that should have the row's size and hash.
async fn damage(store: &Store, path: &str, row: &ManifestRow) -> Result<Option<String>, Error> {
    let size = match store.head(path).await {
        Ok(found) => found.size,
        Err(StoreError::NotFound { uri }) => return Ok(Some(format!("{uri} is missing"))),
        Err(error @ (StoreError::NotAFile { .. } | StoreError::InvalidUri { .. })) => {
            return Ok(Some(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    if size != row.size {
        return Ok(Some(format!(
            "{} has {} instead of {}",
            store.uri(path),
            counted(size, "byte"),
            row.size
        )));
    }
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < size {
        let end = (at + PIECE).min(size);
        hash.update(store.get_range(path, at..end, None).await?);
        at = end;
    }
    let same = hexadecimal(&hash.finalize()) == row.sha256;
    Ok((!same).then(|| format!("{} has another content than was committed", store.uri(path))))
}

struct KnownRun {
    index: u32,
    dataset: String,
    category: String,
}

/// The runs of the plan; of a search all that its table `metrics` has, since the plan holds its first trials only.
async fn known_runs(
    store: &Store,
    plan: &Plan,
    job: &JobId,
    generation: u64,
) -> Result<Vec<KnownRun>, Error> {
    let mut runs: Vec<KnownRun> = plan
        .runs
        .iter()
        .map(|run| KnownRun {
            index: run.index,
            dataset: run.dataset.clone(),
            category: run.category.clone(),
        })
        .collect();
    if plan.runs.iter().any(|run| run.trial.is_some()) {
        let metrics = layout::result(job, generation, &format!("{}.parquet", MetricRow::TABLE));
        // Sorted by run. What is wrong with the table itself is said where its digest is compared.
        let rows = read::<MetricRow>(store, &metrics).await?;
        for row in rows.unwrap_or_default() {
            if runs.last().is_none_or(|last| last.index < row.run) {
                runs.push(KnownRun {
                    index: row.run,
                    dataset: row.dataset,
                    category: row.category,
                });
            }
        }
    }
    Ok(runs)
}

/// The part with a run's samples: of the listing that the plan names for it, else of the one that its evaluation inherited.
async fn samples_of(
    store: &Store,
    plan: &Plan,
    job: &JobId,
    run: u32,
    manifest: &[ManifestRow],
) -> Result<Result<String, Damaged>, Error> {
    let none =
        || Damaged("its dataset was not listed, or none of its tasks has succeeded".to_owned());
    let is_part = |row: &ManifestRow| row.path.ends_with(&format!("/{SAMPLES}"));
    let mut tasks = plan.tasks.iter();
    let list =
        tasks.find(|task| matches!(&task.spec, TaskSpec::List { runs } if runs.contains(&run)));
    if let Some(list) = list {
        let task = TaskId {
            job: job.clone(),
            index: list.index,
        }
        .to_string();
        let mut parts = manifest.iter().filter(|row| row.task == task);
        let part = parts.find(|row| is_part(row));
        return Ok(part.map(|row| row.path.clone()).ok_or_else(none));
    }
    let evaluate = TaskKind::Evaluate.as_str();
    let inherited = format!("/{}.parquet", ManifestRow::TABLE);
    let mut rows = manifest.iter();
    let inherited = rows
        .find(|row| row.run == Some(run) && row.kind == evaluate && row.path.ends_with(&inherited));
    let Some(inherited) = inherited else {
        return Ok(Err(none()));
    };
    let inherited = read::<ManifestRow>(store, &inherited.path).await?;
    Ok(inherited.and_then(|rows| {
        let part = rows.into_iter().find(is_part);
        part.map(|row| row.path).ok_or_else(none)
    }))
}

fn sample(row: SampleRow) -> Image {
    Image {
        uri: row.uri,
        sample: row.sample,
        etag: row.etag,
    }
}

fn scored(row: ScoreRow) -> (Image, Said) {
    let said = match (row.score, row.error_class) {
        (Some(_), None) => Said::Score,
        (None, Some(_)) => Said::Error,
        _ => Said::Nothing,
    };
    (
        Image {
            uri: row.uri,
            sample: row.sample,
            etag: row.etag,
        },
        said,
    )
}

impl Report {
    fn is_whole(&self) -> bool {
        self.damaged.is_empty()
            && self
                .runs
                .iter()
                .all(|run| run.coverage.as_ref().is_ok_and(Coverage::is_complete))
    }

    fn json(&self) -> Value {
        let runs: Vec<Value> = self
            .runs
            .iter()
            .map(|run| {
                let mut value = match &run.coverage {
                    Ok(found) => json!({
                        "complete": found.is_complete(), "samples": found.samples, "scored": found.scored, "reused": found.reused,
                        "errors": found.errors, "faults": found.faults,
                        "named": found.named.iter().map(|(fault, uri)| json!({"fault": fault.as_str(), "uri": uri})).collect::<Vec<_>>(),
                        "samples_sha256": found.samples_sha256, "rows_sha256": found.rows_sha256,
                    }),
                    Err(reason) => json!({"complete": false, "reason": reason}),
                };
                value["run"] = json!(run.run);
                value["dataset"] = json!(run.dataset);
                value["category"] = json!(run.category);
                value
            })
            .collect();
        json!({
            "job": self.job.to_string(), "whole": self.is_whole(), "generation": self.generation,
            "objects": self.objects, "bytes": self.bytes, "damaged": self.damaged, "runs": runs,
        })
    }

    fn text(&self) -> String {
        let mut columns = vec![
            ">run", "dataset", "category", ">images", ">scored", ">errors",
        ];
        let reused = |run: &RunReport| run.coverage.as_ref().is_ok_and(|found| found.reused > 0);
        let with_reused = self.runs.iter().any(reused);
        columns.extend(with_reused.then_some(">reused"));
        columns.extend(["rows sha256", "verdict"]);
        let mut table = Table::new(&columns);
        let mut notes: BTreeMap<u32, String> = BTreeMap::new();
        for run in &self.runs {
            let mut cells = vec![
                run.run.to_string(),
                run.dataset.clone(),
                run.category.clone(),
            ];
            match &run.coverage {
                Ok(found) => {
                    cells
                        .extend([found.samples, found.scored, found.errors].map(|n| n.to_string()));
                    cells.extend(with_reused.then(|| found.reused.to_string()));
                    cells.push(found.rows_sha256[..12].to_owned());
                    cells.push(if found.is_complete() {
                        "each image once".to_owned()
                    } else {
                        counted(found.faults, "fault")
                    });
                    for (fault, uri) in &found.named {
                        let note = notes.entry(run.run).or_default();
                        note.push_str(&format!("\nrun {}: {} {uri}", run.run, fault.as_str()));
                    }
                }
                Err(reason) => {
                    cells.extend(["-"; 3].map(str::to_owned));
                    cells.extend(with_reused.then(|| "-".to_owned()));
                    cells.extend(["-", "cannot tell"].map(str::to_owned));
                    notes.insert(run.run, format!("\nrun {}: {reason}", run.run));
                }
            }
            table.row(cells);
        }
        let mut text = table.render();
        text.extend(notes.into_values());
        text.push_str(&format!(
            "\n\n{}, {} of generation {}: {}",
            counted(self.objects, "object"),
            counted(self.bytes, "byte"),
            self.generation,
            if self.damaged.is_empty() {
                "size and sha256 of each as committed".to_owned()
            } else {
                format!("{} damaged", self.damaged.len())
            }
        ));
        for damaged in &self.damaged {
            text.push_str(&format!("\n{damaged}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use tokio::runtime::Runtime;

    use super::*;

    const ROWS: u64 = 40_000;
    const GROUP: usize = 10_000;

    /// A table as the tables' own writer makes it of millions of rows: in several row groups.
    fn grouped<R: Row>(rows: &[R]) -> Bytes {
        let tag = format!("{}/{}", R::TABLE, R::VERSION);
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(vec![KeyValue::new(
                tables::SCHEMA_KEY.to_owned(),
                tag,
            )]))
            .set_max_row_group_row_count(Some(GROUP))
            .build();
        let batch = R::to_batch(rows).expect("rows");
        let writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties));
        let mut writer = writer.expect("a writer");
        writer.write(&batch).expect("rows are written");
        writer.into_inner().expect("a whole file").into()
    }

    /// Addresses that do not compress well, so that the table takes many blocks.
    fn uri(sample: u64) -> String {
        let digest = hexadecimal(&Sha256::digest(sample.to_le_bytes()));
        format!("file:///images/{sample:08}-{digest}.png")
    }

    fn samples() -> Vec<SampleRow> {
        let row = |sample| SampleRow {
            sample,
            uri: uri(sample),
            split: "test".to_owned(),
            ..SampleRow::default()
        };
        (0..ROWS).map(row).collect()
    }

    fn scores() -> Vec<ScoreRow> {
        let row = |sample| ScoreRow {
            sample,
            uri: uri(sample),
            score: Some(0.5),
            ..ScoreRow::default()
        };
        (0..ROWS).map(row).collect()
    }

    /// A job of one run as its files tell it.
    fn published(runtime: &Runtime, job: &JobId, scores: &[ScoreRow]) -> Store {
        let yaml = "kind: predict
model: {package: /models/one/package.json}
data: /images
output: /out
";
        let context = job::ReadContext {
            current_dir: std::path::Path::new("/"),
            now: job::Timestamp::UNIX_EPOCH,
        };
        let reading = job::read(yaml, "job.yaml", &[], &context).expect("a job");
        let plan = plan::plan(&reading.job);
        let plan = serde_json::to_vec(&plan).expect("a plan");
        let store = Store::in_memory();
        let put = |path: &str, bytes: Bytes| {
            runtime.block_on(store.put(path, bytes)).expect("it is put");
        };
        let object = |index: u32, kind: TaskKind, name: &str, bytes: &Bytes| {
            let task = TaskId {
                job: job.clone(),
                index: types::TaskIndex(index),
            };
            let path = format!("jobs/{job}/tasks/{task}/1-0000000a/{name}");
            put(&path, bytes.clone());
            ManifestRow {
                task: task.to_string(),
                kind: kind.as_str().to_owned(),
                path,
                size: bytes.len() as u64,
                sha256: hexadecimal(&Sha256::digest(bytes)),
                ..ManifestRow::default()
            }
        };
        let (listed, scored) = (grouped(&samples()), grouped(scores));
        let manifest = [
            object(0, TaskKind::List, SAMPLES, &listed),
            object(9, TaskKind::Reduce, "scores.parquet", &scored),
        ];
        put(&layout::result(job, 1, "scores.parquet"), scored);
        put(&layout::plan(job), plan.into());
        let (manifest, _) = tables::write_bytes(manifest).expect("a manifest");
        let outputs = serde_json::to_vec(&[OutputObject {
            path: "manifest.parquet".to_owned(),
            size: manifest.len() as u64,
            sha256: hexadecimal(&Sha256::digest(&manifest)),
            rows: None,
        }]);
        let outputs = outputs.expect("a list").into();
        object(9, TaskKind::Reduce, layout::OUTPUTS, &outputs);
        put(&layout::manifest(job, 1), manifest);
        store
    }

    #[test]
    fn images_are_told_over_several_row_groups() {
        let runtime = Runtime::new().unwrap();
        let job: JobId = "abcd1234".parse().unwrap();
        let told = |scores: &[ScoreRow]| {
            let store = published(&runtime, &job, scores);
            let report = runtime.block_on(verify(&store, &job, None)).unwrap();
            assert_eq!(report.damaged, [""; 0]);
            let [run] = &report.runs[..] else {
                panic!("{} runs", report.runs.len());
            };
            let found = run.coverage.as_ref().unwrap();
            let named = found.named.iter().map(|(fault, uri)| (*fault, uri.clone()));
            (report.is_whole(), found.scored, named.collect::<Vec<_>>())
        };
        let mut rows = scores();
        assert_eq!(told(&rows), (true, ROWS, Vec::new()));
        // The last of a group and the first of another.
        let of_group = GROUP as u64;
        rows.retain(|row| ![of_group - 1, 3 * of_group].contains(&row.sample));
        let missing = [of_group - 1, 3 * of_group];
        let missing = missing.map(|sample| (crate::coverage::Fault::Missing, uri(sample)));
        assert_eq!(told(&rows), (false, ROWS - 2, missing.to_vec()));
    }

    #[test]
    fn a_folder_without_a_manifest_is_not_taken_for_a_job_that_published_nothing() {
        let runtime = Runtime::new().unwrap();
        let job: JobId = "abcd1234".parse().unwrap();
        let store = published(&runtime, &job, &scores());
        let manifests = format!("{}/manifest", layout::job(&job));
        runtime
            .block_on(store.delete_below(&manifests, &[]))
            .unwrap();
        let error = runtime.block_on(verify(&store, &job, None)).err().unwrap();
        let said = error.to_string();
        for part in [
            &manifests,
            "STORE/jobs/abcd1234",
            "manifest/000001.parquet",
            "not all of its folder",
            "`ctl verify abcd1234`",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_table_is_read_as_its_rows_are_asked_for() {
        let (store, runtime) = (Store::in_memory(), Runtime::new().unwrap());
        let bytes = grouped(&scores());
        runtime.block_on(store.put("tables/scores", bytes)).unwrap();
        let mut rows = Rows::<ScoreRow>::of(&store, runtime.handle(), "tables/scores").unwrap();
        let first = rows.all().take(GROUP / 2).filter(Result::is_ok).count();
        assert_eq!(first, GROUP / 2);
        // Nothing of the other groups was fetched.
        runtime.block_on(store.delete_below("tables", &[])).unwrap();
        let mut rest = rows.all().skip_while(Result::is_ok);
        match rest.next() {
            Some(Err(Broken::Damaged(Damaged(text)))) => {
                assert!(text.ends_with("scores is missing"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }

    fn report(of: u64) -> Report {
        let coverage = Coverage {
            samples: 2,
            scored: 2 - of.min(2),
            errors: 0,
            reused: 0,
            faults: of,
            named: Vec::new(),
            samples_sha256: "0".repeat(64),
            rows_sha256: "0".repeat(64),
        };
        Report {
            job: "abcd1234".parse().expect("an id"),
            generation: 1,
            objects: of,
            bytes: of,
            damaged: Vec::new(),
            runs: vec![RunReport {
                run: 0,
                dataset: "Folder".to_owned(),
                category: "bolts".to_owned(),
                coverage: Ok(coverage),
            }],
        }
    }

    #[test]
    fn one_is_told_in_the_singular() {
        let (one, two) = (report(1).text(), report(2).text());
        assert!(one.contains("1 fault\n"), "{one}");
        assert!(one.contains("1 object, 1 byte of generation 1"), "{one}");
        assert!(two.contains("2 faults\n"), "{two}");
        assert!(two.contains("2 objects, 2 bytes of generation 1"), "{two}");
    }
}
