//! One run of a job that has published its tables, as commands name it.

use std::collections::BTreeSet;

use job::ResolvedJob;
use job::resolved::ModelSource;
use plan::{ResultDetail, TaskResult};
use proto::v1::{DescribeJobReply, GetJobRequest, Job, Task};
use serde_json::Value;
use tables::MetricRow;
use types::TaskKind;

use crate::cluster::Cluster;
use crate::commands::results;
use crate::rows::Results;
use crate::{Error, rethresholded};

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
        // One that failed has no metrics.
        let count = match runs.len() {
            0 => job.runs as usize,
            measured => measured,
        };
        let run = match (wanted, count) {
            (Some(run), _) if run < job.runs => run,
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

    /// The model, for people; of a run that failed before it was evaluated nothing is known.
    pub fn model(&self) -> Option<&str> {
        self.metrics.first().map(|row| row.model.as_str())
    }

    /// The version of the package that the run used, if it used one that has versions.
    pub fn version(&self) -> Option<u32> {
        let used = self.used_package("version")?;
        u32::try_from(used.as_u64()?).ok()
    }

    /// What the table `metrics` says of the package that the run used.
    fn used_package(&self, key: &str) -> Option<Value> {
        used_package(&self.metrics, key)
    }

    /// Whether another job, by its rows of the table `metrics`, was scored by the same model as far as both tell: what an address
    /// names may have been replaced.
    pub fn has_the_model_of(&self, other: &[MetricRow]) -> bool {
        match (scored_by(&self.metrics), scored_by(other)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }

    /// By which the run's images were decided.
    pub fn threshold(&self) -> Option<f64> {
        let of_images = self.metrics.iter().filter(|row| row.level == "image");
        of_images.filter_map(|row| row.threshold).next()
    }

    /// By which its pixels were decided, unless that is the package's own: as metrics of pixels have it, or as somebody has given
    /// it.
    pub fn pixel_threshold(&self) -> Option<f64> {
        let of_pixels = self.metrics.iter().filter(|row| row.level == "pixel");
        let measured = of_pixels.filter_map(|row| row.threshold).next();
        measured.or_else(|| rethresholded::given_for_pixels(&self.job, self.run))
    }

    /// For the names of files: of a job of several runs each has its own.
    pub fn file_name(&self) -> String {
        match self.job.runs {
            0 | 1 => self.job.id.clone(),
            _ => format!("{}-{}", self.job.id, self.run),
        }
    }

    /// The package that the run used, or that it left; of one that failed before it was evaluated, that which it was to use.
    pub async fn package(&self, cluster: &mut Cluster) -> Result<String, Error> {
        if let Some(Value::String(uri)) = self.used_package("uri") {
            return Ok(uri);
        }
        let request = GetJobRequest {
            job: self.job.id.clone(),
        };
        let described = cluster.client.describe_job(request).await?.into_inner();
        if let Some(left) = self.left(&described) {
            return Ok(left);
        }
        let (run, job) = (self.run, &self.job.id);
        let Some(named) = self.named()? else {
            return Err(Error::NotFound(format!(
                "run {run} of job {job} left no trained model to draw with"
            )));
        };
        eprintln!(
            "warning: run {run} of job {job} failed before it noted what it was scored by: drawn by {named} of its job file, as it is now"
        );
        Ok(named)
    }

    /// The package of the job's file, of a run that trains none. A name without a version may mean another one by now.
    fn named(&self) -> Result<Option<String>, Error> {
        let resolved = ResolvedJob::from_json(&self.job.resolved_json).map_err(|source| {
            Error::cannot_run_because("cannot read the job that is drawn", source)
        })?;
        let run = usize::try_from(self.run).ok();
        let run = run.and_then(|run| resolved.runs.into_iter().nth(run));
        Ok(run.and_then(|run| match run.model {
            ModelSource::Package(named) => Some(named),
            ModelSource::Train(_) => None,
        }))
    }

    /// The package that the run's evaluation wrote; only those of some jobs are published as models.
    fn left(&self, described: &DescribeJobReply) -> Option<String> {
        let run = described.runs.iter().find(|run| run.index == self.run)?;
        let result: TaskResult = serde_json::from_str(&run.result_json).ok()?;
        let ResultDetail::Evaluate { package, .. } = result.detail else {
            return None;
        };
        let of_run =
            |task: &&Task| task.kind == TaskKind::Evaluate.as_str() && task.run == Some(self.run);
        let task = described.tasks.iter().find(of_run)?;
        let mut attempts = task.attempts.iter().rev();
        let accepted = attempts.find(|attempt| attempt.outcome == "accepted")?;
        let store = self.results.store().trim_end_matches('/');
        Some(format!("{store}/{}/{}", accepted.prefix, package?))
    }
}

fn used_package(metrics: &[MetricRow], key: &str) -> Option<Value> {
    metrics.iter().find_map(|row| {
        let parameters: Value = serde_json::from_str(&row.parameters).ok()?;
        let said = &parameters["used"]["package"][key];
        (!said.is_null()).then(|| said.clone())
    })
}

/// Of what raw scores depend on: [`plan::FoundPackage::scored_by`].
fn scored_by(metrics: &[MetricRow]) -> Option<Value> {
    used_package(metrics, "scores_sha256").or_else(|| used_package(metrics, "sha256"))
}
