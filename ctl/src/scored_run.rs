//! One run of a job that has published its tables, as commands name it.

use std::collections::BTreeSet;

use proto::v1::{GetJobRequest, Job, ListModelsRequest};
use serde_json::Value;
use tables::MetricRow;

use crate::Error;
use crate::cluster::Cluster;
use crate::commands::results;
use crate::rows::Results;

/// One run of a job that has published its tables.
pub struct ScoredRun {
    pub job: Job,
    pub run: u32,
    pub results: Results,
    /// Its rows of the table `metrics`.
    metrics: Vec<MetricRow>,
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

    /// The version of the package that the run used, if it used one that has versions.
    pub fn version(&self) -> Option<u32> {
        let used = self.used_package("version")?;
        u32::try_from(used.as_u64()?).ok()
    }

    /// What the table `metrics` says of the package that the run used.
    fn used_package(&self, key: &str) -> Option<Value> {
        self.metrics.iter().find_map(|row| {
            let mut parameters: Value = serde_json::from_str(&row.parameters).ok()?;
            let said = parameters["used"]["package"][key].take();
            (!said.is_null()).then_some(said)
        })
    }

    /// By which the run's images were decided.
    pub fn threshold(&self) -> Option<f64> {
        let of_images = self.metrics.iter().filter(|row| row.level == "image");
        of_images.filter_map(|row| row.threshold).next()
    }

    /// The package that the run used, or that it left.
    pub async fn package(&self, cluster: &mut Cluster) -> Result<String, Error> {
        if let Some(Value::String(uri)) = self.used_package("uri") {
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
}
