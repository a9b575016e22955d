//! The trials of a search: what each tried and what it came to, and which is the best.

use job::ResolvedJob;
use job::resolved::SearchSpec;
use proto::v1::{GetJobRequest, Job, ListRunsRequest, Run};
use serde_json::{Map, Value, json};

use crate::Error;
use crate::cluster::Cluster;
use crate::output::{Cell, Table, embedded, number};

/// A search with its trials in order.
pub struct Search {
    pub job: Job,
    pub spec: SearchSpec,
    pub trials: Vec<Trial>,
    /// Index of the best of them.
    pub best: Option<usize>,
    /// The run that was fitted once more with the best.
    pub refit: Option<Run>,
}

pub struct Trial {
    pub run: Run,
    /// Path to value, of what is searched.
    pub parameters: Map<String, Value>,
    /// Of the objective.
    pub value: Option<f64>,
    /// Share of the training images.
    pub share: f64,
    /// Why there is no value.
    pub error: String,
}

impl Search {
    /// `None`: the job is no search.
    pub async fn of(cluster: &mut Cluster, job: &str) -> Result<Option<Self>, Error> {
        let request = GetJobRequest {
            job: job.to_owned(),
        };
        let job = cluster.client.get_job(request).await?.into_inner();
        let request = ListRunsRequest {
            job: job.id.clone(),
        };
        let runs = cluster.client.list_runs(request).await?.into_inner().runs;
        Ok(Self::new(job, runs))
    }

    pub fn new(job: Job, mut runs: Vec<Run>) -> Option<Self> {
        let resolved: ResolvedJob = serde_json::from_str(&job.resolved_json).ok()?;
        let spec = resolved.search?;
        runs.sort_by_key(|run| run.index);
        let total = spec.by.len();
        let refit = runs.iter().find(|run| run.index as usize >= total).cloned();
        runs.truncate(total);
        let trial = |run: Run| Trial {
            parameters: match embedded(&run.axes_json) {
                Value::Object(axes) => axes,
                _ => Map::new(),
            },
            share: spec.by.share(run.index as usize),
            ..outcome(&spec, run)
        };
        let trials: Vec<Trial> = runs.into_iter().map(trial).collect();
        Some(Self {
            best: job.best.as_ref().map(|best| best.run as usize),
            job,
            spec,
            trials,
            refit,
        })
    }

    pub fn json(&self) -> Value {
        let trial = |(index, trial): (usize, &Trial)| {
            json!({
                "trial": index, "state": trial.run.state, "value": trial.value, "share": trial.share, "parameters": trial.parameters,
                "error": trial.error, "best": self.best == Some(index),
            })
        };
        self.trials.iter().enumerate().map(trial).collect()
    }

    pub fn table(&self) -> Table {
        let mut table = Table::new(&[
            ">trial",
            "state",
            ">value",
            "+best",
            ">share",
            "parameters",
            "error",
        ]);
        for (index, trial) in self.trials.iter().enumerate() {
            let value = trial.value.map(report::metric).unwrap_or_default();
            let is_best = self.best == Some(index);
            let exact = trial.value.map(|value| value.to_string());
            let value = match is_best {
                true => Cell::best(format!("{value} *")),
                false => value.into(),
            };
            let parameters = Value::Object(trial.parameters.clone());
            table.row([
                Cell::from(index.to_string()),
                trial.run.state.clone().into(),
                value.exactly(exact.unwrap_or_default()),
                is_best.to_string().into(),
                Cell::from(format!("{:.2}", trial.share)).exactly(trial.share),
                Cell::from(words(&trial.parameters)).exactly(parameters),
                trial.error.clone().into(),
            ]);
        }
        table
    }

    pub fn best_json(&self) -> Value {
        let best = self
            .best
            .and_then(|index| Some((index, self.trials.get(index)?)));
        json!({
            "job": self.job.id, "state": self.job.state, "objective": self.spec.objective.to_string(), "goal": self.spec.by.goal,
            "chosen_on": "validation",
            "best": best.map(|(index, trial)| json!({"trial": index, "value": trial.value, "parameters": trial.parameters})),
            "refit": self.refit.as_ref().map(|run| json!({
                "run": run.index, "state": run.state, "measured_on": "test", "metrics": metrics(run), "error": run.error,
            })),
        })
    }

    /// What was found, what it came to on validation images, and on test images if it was fitted once more.
    pub fn best_text(&self) -> String {
        let objective = &self.spec.objective;
        let Some((index, trial)) = self
            .best
            .and_then(|index| Some((index, self.trials.get(index)?)))
        else {
            return format!(
                "no trial came to a value of {objective}; `ctl get trials {}` says why",
                self.job.id
            );
        };
        let value = trial.value.map(report::metric).unwrap_or_default();
        let mut text = format!("best      trial {index} of {}\n", self.trials.len());
        text.push_str(&format!(
            "{objective} {value}, on the split validation, which chose it\n"
        ));
        for (path, value) in &trial.parameters {
            text.push_str(&format!("  {path}: {value}\n"));
        }
        match &self.refit {
            Some(run) if run.state == "succeeded" => {
                text.push_str(
                    "fitted once more with these, on the split test, which chose nothing:\n",
                );
                for (name, value) in metrics(run) {
                    let value = value.as_f64().map_or_else(|| "none".to_owned(), report::metric);
                    text.push_str(&format!("  {name} {value}\n"));
                }
            }
            Some(run) => text.push_str(&format!(
                "fitted once more with these: {} {}\n",
                run.state, run.error
            )),
            None => {
                text.push_str("not measured on test images; `search.refit: true` does that once, if a trial came to a value\n")
            }
        }
        text
    }
}

impl Search {
    /// What `best_text` says, as running text.
    fn best_sentences(&self) -> String {
        let objective = &self.spec.objective;
        let best = self
            .best
            .and_then(|index| Some((index, self.trials.get(index)?)));
        let Some((index, trial)) = best else {
            return format!("No trial came to a value of {objective}.");
        };
        let value = trial.value.map(report::metric).unwrap_or_default();
        let total = self.trials.len();
        let mut text = format!(
            "Trial {index} of {total} is the best: {objective} {value} on the split validation, which chose it, with {}.",
            words(&trial.parameters)
        );
        let Some(run) = &self.refit else {
            return text;
        };
        text.push_str(" Fitted once more and measured on the split test, which chose nothing: ");
        if run.state == "succeeded" {
            let known = metrics(run).into_iter();
            let known = known.filter_map(|(name, value)| Some((name, value.as_f64()?)));
            let known: Vec<String> = known
                .map(|(name, value)| format!("{name} {}", report::metric(value)))
                .collect();
            text.push_str(&known.join(", "));
        } else {
            text.push_str(&run.state);
        }
        text.push('.');
        text
    }

    /// As the report draws it.
    pub fn for_report(&self) -> report::Search {
        let dimensions = &self.spec.by.space.dimensions;
        let mut paths: Vec<&str> = dimensions
            .iter()
            .map(|dimension| dimension.name.as_str())
            .collect();
        let mut seen = std::collections::HashSet::new();
        paths.retain(|path| seen.insert(*path));
        let setting = |path: &str, value: &Value| {
            let of_path = || dimensions.iter().filter(|dimension| dimension.name == path);
            let places = || of_path().filter_map(|dimension| dimension.domain.share_of(value));
            // The values of all alternatives, one after the other.
            let values = of_path().filter_map(|dimension| match &dimension.domain {
                hpo::Domain::Values(values) => Some(values),
                _ => None,
            });
            let mut all: Vec<&Value> = Vec::new();
            values.flatten().for_each(|value| {
                if !all.contains(&value) {
                    all.push(value);
                }
            });
            let index = all.iter().position(|known| *known == value);
            let place = match index {
                Some(index) => index as f64 / (all.len() - 1).max(1) as f64,
                None => places().next().unwrap_or(0.5),
            };
            report::Setting {
                place,
                name: short(value),
            }
        };
        let trial = |trial: &Trial| report::Trial {
            value: trial.value,
            settings: paths
                .iter()
                .map(|path| Some(setting(path, trial.parameters.get(*path)?)))
                .collect(),
        };
        report::Search {
            objective: self.spec.objective.to_string(),
            maximize: self.spec.by.goal == hpo::Goal::Maximize,
            parameters: paths
                .iter()
                .map(|path| path.rsplit('.').next().unwrap_or(path).to_owned())
                .collect(),
            trials: self.trials.iter().map(trial).collect(),
            best: self.best,
            found: self.best_sentences(),
        }
    }
}

fn outcome(spec: &SearchSpec, run: Run) -> Trial {
    let result: Option<plan::TaskResult> = serde_json::from_str(&run.result_json).ok();
    let value = result
        .as_ref()
        .and_then(|result| result.objective(&spec.objective));
    let unmeasured = || {
        let Some(plan::ResultDetail::Evaluate { metrics, .. }) =
            result.as_ref().map(|result| &result.detail)
        else {
            return None;
        };
        let mut found = metrics.iter();
        let found = found.find(|found| {
            found.level == spec.objective.level && found.metric == spec.objective.metric
        })?;
        Some(format!(
            "{} cannot be measured: {}",
            spec.objective,
            found.reason.as_deref()?
        ))
    };
    let error = match (value, run.error.as_str()) {
        (None, "") => unmeasured().unwrap_or_default(),
        (_, error) => error.to_owned(),
    };
    Trial {
        run,
        parameters: Map::new(),
        value,
        share: 1.0,
        error,
    }
}

/// `image_AUROC` and the like to the value, in the order of the result.
fn metrics(run: &Run) -> Map<String, Value> {
    let result: Option<plan::TaskResult> = serde_json::from_str(&run.result_json).ok();
    match result.map(|result| result.detail) {
        Some(plan::ResultDetail::Evaluate { metrics, .. }) => {
            let named = metrics.into_iter();
            named
                .map(|metric| {
                    (
                        format!("{}_{}", metric.level, metric.metric),
                        json!(metric.value),
                    )
                })
                .collect()
        }
        _ => Map::new(),
    }
}

/// `backbone=resnet18 n_features=100`.
pub fn words(parameters: &Map<String, Value>) -> String {
    let word = |(path, value): (&String, &Value)| {
        let name = path.rsplit('.').next().unwrap_or(path);
        format!("{name}={}", short(value))
    };
    parameters.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(","),
        other => match other.as_f64() {
            Some(float) if other.is_f64() => number(float),
            _ => other.to_string(),
        },
    }
}

/// Prints what a search found.
pub async fn show_best(
    common: &crate::Common,
    cluster: &mut Cluster,
    job: &str,
) -> Result<(), Error> {
    let search = find(cluster, job).await?;
    common
        .output
        .print(&search.best_json(), || search.best_text())
}

pub async fn find(cluster: &mut Cluster, job: &str) -> Result<Search, Error> {
    let search = Search::of(cluster, job).await?;
    search.ok_or_else(|| {
        Error::Usage(format!(
            "job {job} is no search: only jobs of kind hpo have trials"
        ))
    })
}
