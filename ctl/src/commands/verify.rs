//! `ctl verify`: proves from the stored files alone that a job's results are whole.

use std::collections::BTreeMap;

use plan::{Plan, TaskSpec};
use proto::v1::GetJobRequest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{Store, Stores, layout};
use tables::{ManifestRow, MetricRow, Row, SampleRow, ScoreRow, TableError, TableReader};
use types::{JobId, TaskId, TaskKind};

use super::with_cluster;
use crate::coverage::{Coverage, Image, Said, cover, hexadecimal};
use crate::output::Table;
use crate::rows::Results;
use crate::{Common, Error};

/// Objects are hashed in pieces of this size.
const PIECE: u64 = 64 << 20;
/// The part of a `list` task.
const SAMPLES: &str = "samples.parquet";

#[derive(clap::Args)]
pub struct Args {
    /// Id of a job, a unique prefix of it, its key, or `last`; or the address of a job's folder, such as `results/jobs/7k2m9x4c`: then
    /// no coordinator is asked
    #[arg(value_name = "JOB|FOLDER", add = crate::completion::jobs())]
    job: String,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let (store, job) = if args.job.contains('/') {
        stored(common, &args.job)?
    } else {
        published(common, args.job).await?
    };
    let report = verify(&store, &job).await?;
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

/// Where a coordinator says that the job's files are.
async fn published(common: &Common, job: String) -> Result<(Store, JobId), Error> {
    with_cluster(common, async |cluster| {
        let job = cluster
            .client
            .get_job(GetJobRequest { job })
            .await?
            .into_inner();
        match Results::find(&mut cluster.client, &job.id).await? {
            Some(results) => Ok((cluster.stores.open(results.store())?, named(&job.id)?)),
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

async fn verify(store: &Store, job: &JobId) -> Result<Report, Error> {
    let generation = newest(store, job).await?;
    let manifest: Vec<ManifestRow> = read(store, &layout::manifest(job, generation)).await?;
    let plan = store.get(&layout::plan(job), None).await?;
    let plan: Plan = serde_json::from_slice(&plan).map_err(|source| {
        Error::cannot_run_because(
            format!("{} is no plan", store.uri(&layout::plan(job))),
            source,
        )
    })?;
    let (mut bytes, mut damaged) = (0, Vec::new());
    for row in &manifest {
        bytes += row.size;
        damaged.extend(damage(store, &row.path, row).await?);
    }
    // What people read are copies of the objects that the last task wrote.
    let last = [TaskKind::Reduce, TaskKind::Export].map(TaskKind::as_str);
    for row in manifest
        .iter()
        .filter(|row| last.contains(&row.kind.as_str()))
    {
        let name = row.path.rsplit('/').next().unwrap_or_default();
        if name.strip_suffix(".parquet") != Some(ManifestRow::TABLE) {
            let copy = layout::result(job, generation, name);
            damaged.extend(damage(store, &copy, row).await?);
        }
    }
    if plan.runs.is_empty() {
        // An export, which has no tables.
        return Ok(Report {
            job: job.clone(),
            generation,
            objects: manifest.len() as u64,
            bytes,
            damaged,
            runs: Vec::new(),
        });
    }
    let scores = layout::result(job, generation, &format!("{}.parquet", ScoreRow::TABLE));
    let mut scores = rows_of::<ScoreRow>(store, &scores).await?.peekable();
    let known = known_runs(store, &plan, job, generation).await?;
    let mut runs = Vec::with_capacity(known.len());
    for run in known {
        let rows = std::iter::from_fn(|| {
            scores.next_if(|row| row.as_ref().map_or(true, |row| row.run == run.index))
        });
        let rows = rows.map(|row| row.map(scored));
        let coverage = match samples_of(store, &plan, job, run.index, &manifest).await? {
            Some(path) => {
                let samples = rows_of::<SampleRow>(store, &path).await?;
                let samples = samples
                    .filter(|row| row.as_ref().map_or(true, |row| row.split != "train"))
                    .map(|row| row.map(sample));
                Ok(cover(samples, rows)?)
            }
            None => {
                // What was scored of it cannot be told from what was not.
                rows.for_each(drop);
                Err("its dataset was not listed, or none of its tasks has succeeded".to_owned())
            }
        };
        runs.push(RunReport {
            run: run.index,
            dataset: run.dataset,
            category: run.category,
            coverage,
        });
    }
    if let Some(row) = scores.next().transpose()? {
        damaged.push(format!("scores: row of the unknown run {}", row.run));
    }
    Ok(Report {
        job: job.clone(),
        generation,
        objects: manifest.len() as u64,
        bytes,
        damaged,
        runs,
    })
}

/// The highest generation of the job's manifest.
async fn newest(store: &Store, job: &JobId) -> Result<u64, Error> {
    let folder = format!("{}/manifest", layout::job(job));
    let found = store.list(&folder).await?;
    found
        .iter()
        .filter_map(|object| {
            let name = object.path.rsplit('/').next()?;
            name.strip_suffix(".parquet")?.parse().ok()
        })
        .max()
        .ok_or_else(|| {
            Error::NotFound(format!(
                "{} holds no manifest: the job has published nothing",
                store.uri(&folder)
            ))
        })
}

async fn read<R: Row>(store: &Store, path: &str) -> Result<Vec<R>, Error> {
    Ok(tables::read_bytes(store.get(path, None).await?)?)
}

/// Rows one by one, read batch by batch.
async fn rows_of<R: Row>(
    store: &Store,
    path: &str,
) -> Result<impl Iterator<Item = Result<R, TableError>>, Error> {
    let reader = TableReader::<R>::open(store.get(path, None).await?)?;
    Ok(reader.flat_map(|batch| match batch {
        Ok(rows) => rows.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    }))
}

/// Says what is wrong with an object that should have the row's size and hash.
async fn damage(store: &Store, path: &str, row: &ManifestRow) -> Result<Option<String>, Error> {
    let size = match store.head(path).await {
        Ok(found) => found.size,
        Err(store::StoreError::NotFound { uri }) => return Ok(Some(format!("{uri} is missing"))),
        Err(error) => return Err(error.into()),
    };
    if size != row.size {
        return Ok(Some(format!(
            "{} has {size} bytes instead of {}",
            store.uri(path),
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
        // Sorted by run.
        for row in read::<MetricRow>(store, &metrics).await? {
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
) -> Result<Option<String>, Error> {
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
        return Ok(parts.find(|row| is_part(row)).map(|row| row.path.clone()));
    }
    let evaluate = TaskKind::Evaluate.as_str();
    let inherited = format!("/{}.parquet", ManifestRow::TABLE);
    let mut rows = manifest.iter();
    let inherited = rows
        .find(|row| row.run == Some(run) && row.kind == evaluate && row.path.ends_with(&inherited));
    let Some(inherited) = inherited else {
        return Ok(None);
    };
    let inherited: Vec<ManifestRow> = read(store, &inherited.path).await?;
    Ok(inherited.into_iter().find(is_part).map(|row| row.path))
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
                        "complete": found.is_complete(), "samples": found.samples, "scored": found.scored,
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
        let mut table = Table::new(&[
            ">run",
            "dataset",
            "category",
            ">images",
            ">scored",
            ">errors",
            "rows sha256",
            "verdict",
        ]);
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
                    cells.push(found.rows_sha256[..12].to_owned());
                    cells.push(if found.is_complete() {
                        "each image once".to_owned()
                    } else {
                        format!("{} faults", found.faults)
                    });
                    for (fault, uri) in &found.named {
                        let note = notes.entry(run.run).or_default();
                        note.push_str(&format!("\nrun {}: {} {uri}", run.run, fault.as_str()));
                    }
                }
                Err(reason) => {
                    cells.extend(["-", "-", "-", "-", "no rows"].map(str::to_owned));
                    notes.insert(run.run, format!("\nrun {}: {reason}", run.run));
                }
            }
            table.row(cells);
        }
        let mut text = table.render();
        text.extend(notes.into_values());
        text.push_str(&format!(
            "\n\n{} objects, {} bytes of generation {}: {}",
            self.objects,
            self.bytes,
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
