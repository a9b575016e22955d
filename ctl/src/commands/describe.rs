//! `ctl describe`: everything about a job or a task, with why it waits or failed; or about a trained model.

use job::resolved::JobKind;
use package::{Object, PackageManifest};
use proto::v1::{
    DescribeJobReply, GetJobRequest, ListModelsRequest, ListTasksRequest, Model,
    ReadPackageRequest, Task,
};
use serde_json::{Value, json};
use tables::TimingRow;
use types::TaskId;

use super::get::{job_value, model_value, run_value, task_value};
use super::with_cluster;
use crate::client::Client;
use crate::output::embedded;
use crate::page::Published;
use crate::rows::Results;
use crate::slowest::Slowest;
use crate::{Common, Error, model_page, page, summary};

#[derive(clap::Args)]
pub struct Args {
    /// Id of a job or task, a unique prefix of the job's, or its key; `last` is the newest job
    #[arg(value_name = "JOB|TASK", add = crate::completion::jobs_and_tasks())]
    id: String,
    /// After the word `model`: the name of a trained model, its newest version, or NAME@VERSION
    #[arg(value_name = "NAME", add = crate::completion::models())]
    model: Option<String>,
}

/// What stands before the name of a model.
const MODEL: &str = "model";

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let named = match args.model {
        Some(name) if args.id == MODEL => Some(Named::parse(&name)?),
        Some(name) => {
            return Err(Error::Usage(format!(
                "{:?} and {name:?}: expected one job or task, or `describe model {name}`",
                args.id
            )));
        }
        None if args.id == MODEL => {
            let usage = "expected `describe model NAME`; `ctl get models` lists the names";
            return Err(Error::Usage(usage.to_owned()));
        }
        None => None,
    };
    with_cluster(common, async |cluster| {
        let client = &mut cluster.client;
        if let Some(named) = &named {
            return describe_model(common, client, named).await;
        }
        if let Ok(task) = args.id.parse()
            && !is_key(client, &args.id).await
        {
            return describe_task(common, client, &task).await;
        }
        let DescribeJobReply { job, runs, tasks } = client.describe_job(GetJobRequest { job: args.id.clone() }).await?.into_inner();
        let job = job.unwrap_or_default();
        let results = Results::find(client, &job.id).await?;
        let slowest = match results.as_ref().filter(|_| job.kind == JobKind::Predict.as_str()) {
            Some(results) => Slowest::of(&results.read_if_there::<TimingRow>(client).await?),
            None => None,
        };
        let results = results.map(|results| results.place());
        let value = json!({
            "job": job_value(&job), "resolved": embedded(&job.resolved_json), "runs": runs.iter().map(run_value).collect::<Value>(),
            "tasks": tasks.iter().map(task_value).collect::<Value>(),
            "results": results, "slowest": slowest.as_ref().map(Slowest::json), "parity": summary::certificates(&runs),
        });
        let published = Published { place: results.as_deref(), slowest: slowest.as_ref() };
        common.output.print(&value, || page::now(&job, &runs, &tasks, published))
    })
    .await
}

/// Whether what looks like a task's id is a job's key, such as `night-29`. No other name of a job has a dash.
async fn is_key(client: &mut Client, text: &str) -> bool {
    let request = GetJobRequest {
        job: text.to_owned(),
    };
    client.get_job(request).await.is_ok()
}

async fn describe_task(common: &Common, client: &mut Client, id: &TaskId) -> Result<(), Error> {
    let request = ListTasksRequest {
        job: id.job.to_string(),
    };
    let tasks = client.list_tasks(request).await?.into_inner().tasks;
    // The job may be named by a prefix: all tasks here are of the one that it means.
    let index = |task: &Task| task.id.parse().map(|id: TaskId| id.index).ok();
    let is_wanted = |task: &&Task| index(task) == Some(id.index);
    let Some(task) = tasks.iter().find(is_wanted) else {
        let job = &id.job;
        return Err(Error::NotFound(format!(
            "no task {id:?} in job {job}; `ctl get tasks {job}` lists them",
            id = id.to_string()
        )));
    };
    common.output.print(&task_value(task), || page::task(task))
}

/// A trained model as its user names it.
pub(super) struct Named {
    pub(super) name: String,
    /// The newest without.
    version: Option<u32>,
}

impl Named {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => {
                let version = version.parse().map_err(|_| {
                    Error::Usage(format!("{version:?} in {text:?} is no version: a number"))
                })?;
                (name, Some(version))
            }
            None => (text, None),
        };
        Ok(Self {
            name: name.to_owned(),
            version,
        })
    }

    /// Every store counts versions by itself: where several have what is meant, the one that was made last is.
    pub(super) fn find<'m>(&self, models: &'m [Model]) -> Result<&'m Model, Error> {
        let of_name = || models.iter().filter(|model| model.name == self.name);
        let meant = of_name().filter(|model| self.version.is_none_or(|v| v == model.version));
        meant.max_by_key(|model| model.created_ms).ok_or_else(|| {
            let name = &self.name;
            let what = match (self.version, of_name().next()) {
                (Some(version), Some(_)) => format!("there is no version {version} of the model {name:?} here"),
                _ => format!("no job of this coordinator has trained a model {name:?}"),
            };
            Error::NotFound(format!(
                "{what}; `ctl get models` lists those there are. One of another coordinator's store is reached by its name and that store: `--store` of `ctl export`, `--to` of `ctl predict`"
            ))
        })
    }
}

async fn describe_model(common: &Common, client: &mut Client, named: &Named) -> Result<(), Error> {
    let models = client.list_models(ListModelsRequest {}).await?;
    let models = models.into_inner().models;
    let model = named.find(&models)?;
    let request = ReadPackageRequest {
        package: model.package.clone(),
    };
    let bytes = client.read_package(request).await?.into_inner().data;
    let unusable =
        |source| Error::cannot_run_because(format!("cannot use {}", model.package), source);
    let object = Object {
        uri: model.package.clone(),
        sha256: model.sha256.clone(),
        size: bytes.len() as u64,
    };
    package::verify(&object, &bytes).map_err(unusable)?;
    let manifest = PackageManifest::from_json(&bytes).map_err(unusable)?;
    let value = json!({ "model": model_value(model), "package": manifest });
    common
        .output
        .print(&value, || model_page::render(model, &manifest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, version: u32, package: &str, created_ms: i64) -> Model {
        Model {
            name: name.to_owned(),
            version,
            package: package.to_owned(),
            created_ms,
            ..Model::default()
        }
    }

    #[test]
    fn the_newest_of_a_name_is_meant_or_the_version_that_is_named() {
        let models = [
            model("brick", 1, "one", 10),
            model("brick", 2, "two", 20),
            model("brick", 1, "elsewhere", 15),
            model("grass", 7, "grass", 30),
        ];
        let found = |text: &str| {
            let model = Named::parse(text)?.find(&models).cloned()?;
            Ok::<_, Error>(model.package)
        };
        assert_eq!(found("brick").expect("one"), "two");
        assert_eq!(found("brick@1").expect("one"), "elsewhere");
        assert_eq!(found("brick@2").expect("one"), "two");
        for (text, says) in [
            ("brick@3", "no version 3"),
            (
                "stone",
                "no job of this coordinator has trained a model \"stone\"",
            ),
            (
                "stone@1",
                "no job of this coordinator has trained a model \"stone\"",
            ),
        ] {
            let error = found(text).expect_err("there is none");
            assert!(error.to_string().contains(says), "{error}");
        }
        assert!(matches!(found("brick@new"), Err(Error::Usage(_))));
    }
}
