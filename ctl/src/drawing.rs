//! Images that a job has scored, drawn: a job of kind predict scores them once more and keeps their pictures.

use std::collections::{BTreeMap, BTreeSet};

use proto::Place;
use proto::v1::{GetJobRequest, Job, ListModelsRequest};
use serde_json::{Value, json};
use tables::{MetricRow, RenderRow};

use crate::cluster::{Cluster, WorkerOptions};
use crate::commands::{results, run::submit};
use crate::job_file::{self, ReadJob, print_warnings};
use crate::rows::Results;
use crate::watch::{Follow, Signals, follow};
use crate::{Common, Error};

/// Images that one job draws: their addresses stand in it.
pub const MOST: usize = 1000;

/// One run of a job that has published its tables.
pub struct ScoredRun {
    pub job: Job,
    pub run: u32,
    pub results: Results,
    /// Its rows of the table `metrics`.
    pub metrics: Vec<MetricRow>,
}

impl ScoredRun {
    /// `JOB`, which must have one run, or `JOB/RUN`.
    pub async fn find(cluster: &mut Cluster, named: &str) -> Result<Self, Error> {
        let (name, wanted) = match named.split_once('/') {
            Some((name, run)) => match run.parse::<u32>() {
                Ok(run) => (name, Some(run)),
                Err(_) => {
                    return Err(Error::Usage(format!(
                        "{run:?} is not the number of a run; a run of a job is named JOB/RUN, such as {name}/0"
                    )));
                }
            },
            None => (named, None),
        };
        let request = GetJobRequest {
            job: name.to_owned(),
        };
        let job = cluster.client.get_job(request).await?.into_inner();
        results::has_tables(&job)?;
        let found = Results::find(&mut cluster.client, &job.id).await?;
        let found = found.ok_or_else(|| results::none_yet(&job))?;
        let mut metrics = found.read::<MetricRow>(&mut cluster.client).await?;
        let runs: BTreeSet<u32> = metrics.iter().map(|row| row.run).collect();
        let run = match (wanted, runs.len()) {
            (Some(run), _) if runs.contains(&run) => run,
            (Some(run), _) => {
                return Err(Error::NotFound(format!(
                    "job {} has no run {run}; `ctl get runs {}` lists them",
                    job.id, job.id
                )));
            }
            (None, 0 | 1) => runs.first().copied().unwrap_or(0),
            (None, count) => {
                return Err(Error::Usage(format!(
                    "job {} has {count} runs: name one of them, such as {}/0; `ctl get runs {}` lists them",
                    job.id, job.id, job.id
                )));
            }
        };
        metrics.retain(|row| row.run == run);
        Ok(Self {
            job,
            run,
            results: found,
            metrics,
        })
    }

    /// The model, for people.
    pub fn model(&self) -> &str {
        self.metrics.first().map_or("", |row| row.model.as_str())
    }

    /// By which the run's images were decided.
    pub fn threshold(&self) -> Option<f64> {
        let of_images = self.metrics.iter().filter(|row| row.level == "image");
        of_images.filter_map(|row| row.threshold).next()
    }

    /// Draws images; by their addresses what came of each. None of those in archives, which only the job that lists them can
    /// read.
    pub async fn draw(
        &self,
        (common, resume): (&Common, &str),
        cluster: &mut Cluster,
        (place, signals): (&Place, &mut Signals),
        uris: &[String],
    ) -> Result<BTreeMap<String, RenderRow>, Error> {
        let (archived, plain): (Vec<&String>, Vec<&String>) =
            uris.iter().partition(|uri| uri.contains("!/"));
        if !archived.is_empty() {
            eprintln!(
                "note: {} in archives are not drawn: `pictures: anomalous` in the job draws such while it scores",
                counted(archived.len())
            );
        }
        if plain.is_empty() {
            return Ok(BTreeMap::new());
        }
        let package = self.package(cluster).await?;
        let read = self.job_of(&package, &plain)?;
        print_warnings(&read.reading);
        let worker = WorkerOptions {
            pool: read.reading.job.resources.pool.to_string(),
            slots: 1,
        };
        cluster.ensure_worker(&worker).await?;
        let about = Follow {
            place,
            job: submit(cluster, &read, None).await?.job,
            worker,
            resume: resume.to_owned(),
        };
        let job = follow(cluster, &about, signals).await?;
        if job.state != "succeeded" {
            results::show_end(common, cluster, &job).await?;
        }
        let drawn = Results::find(&mut cluster.client, &job.id).await?;
        let drawn = drawn.ok_or_else(|| results::none_yet(&job))?;
        let rows = drawn
            .read_if_there::<RenderRow>(&mut cluster.client)
            .await?;
        Ok(rows.into_iter().map(|row| (row.uri.clone(), row)).collect())
    }

    /// The one that the run used, or that it left.
    async fn package(&self, cluster: &mut Cluster) -> Result<String, Error> {
        let used = self.metrics.iter().find_map(|row| {
            let parameters: Value = serde_json::from_str(&row.parameters).ok()?;
            Some(parameters["used"]["package"]["uri"].as_str()?.to_owned())
        });
        if let Some(uri) = used {
            return Ok(uri);
        }
        let models = cluster.client.list_models(ListModelsRequest {}).await?;
        let mut models = models.into_inner().models.into_iter();
        let own = models.find(|model| model.job == self.job.id && model.run == self.run);
        own.map(|model| model.package).ok_or_else(|| {
            Error::NotFound(format!(
                "run {} of job {} left no trained model to draw with",
                self.run, self.job.id
            ))
        })
    }

    fn job_of(&self, package: &str, uris: &[&String]) -> Result<ReadJob, Error> {
        let places: Vec<String> = uris.iter().map(|uri| plain(uri)).collect();
        let mut job = json!({
            "kind": "predict",
            "name": "pictures",
            "model": {"package": package},
            "data": {"class_path": "PredictDataset", "init_args": {"path": places}},
            "output": self.results.store(),
            "pictures": "all",
            "max_error_rows": "100%",
        });
        if let Some(threshold) = self.threshold() {
            job["metrics"] = json!({"threshold": {"image": threshold}});
        }
        job_file::read_made(job::yaml(&job))
    }
}

/// An address that means itself, whatever signs of a glob are in it.
fn plain(uri: &str) -> String {
    let mut place = String::with_capacity(uri.len());
    for sign in uri.chars() {
        match sign {
            '*' | '?' | '[' => place.extend(['[', sign, ']']),
            other => place.push(other),
        }
    }
    place
}

fn counted(images: usize) -> String {
    match images {
        1 => "1 image".to_owned(),
        images => format!("{images} images"),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_address_is_taken_for_a_glob() {
        assert_eq!(plain("s3://a/b.png"), "s3://a/b.png");
        assert_eq!(plain("/in/a[1]*?.png"), "/in/a[[]1][*][?].png");
    }
}
