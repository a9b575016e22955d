//! Images that a job has scored, drawn: a job of kind predict scores them once more and keeps their pictures.

use std::collections::BTreeMap;

use job::ResolvedJob;
use proto::Place;
use serde_json::json;
use tables::{MetricRow, RenderRow, ScoreRow};

use crate::cluster::{Cluster, WorkerOptions};
use crate::commands::{results, run::submit};
use crate::job_file::{self, ReadJob, print_warnings};
use crate::output::counted;
use crate::rows::Results;
use crate::scored_run::ScoredRun;
use crate::watch::{Follow, Signals, follow};
use crate::{Common, Error, places, resume};

/// Images that one job draws: their addresses stand in it.
pub const MOST: usize = 1000;

/// A coordinator at which a command has images drawn.
pub struct Studio<'a> {
    common: &'a Common,
    place: Place,
    signals: Signals,
    /// What to type to do it again.
    anew: String,
    pub cluster: Cluster,
}

impl<'a> Studio<'a> {
    /// For the command of these words.
    pub async fn open(common: &'a Common, words: &[&str]) -> Result<Self, Error> {
        let mut signals = Signals::listen()?;
        let anew = resume::command(common, words);
        let early = format!("`{anew}` begins it anew");
        let place = places::coordinator(common)?;
        let opening = Cluster::open(&place, common.config());
        let cluster = signals.or(&early, opening).await?;
        Ok(Self {
            common,
            place,
            signals,
            anew,
            cluster,
        })
    }

    /// Draws images that a run has scored.
    pub async fn draw(&mut self, scored: &ScoredRun, uris: &[String]) -> Result<Drawings, Error> {
        if uris.is_empty() {
            return Ok(Drawings::default());
        }
        let cluster = &mut self.cluster;
        let package = cluster
            .insist(async |cluster| scored.package(cluster).await)
            .await?;
        let read = job(scored, &package, uris)?;
        print_warnings(&read.reading);
        let worker = WorkerOptions {
            pool: read.reading.job.resources.pool.to_string(),
            slots: 1,
        };
        cluster
            .insist(async |cluster| cluster.ensure_worker(&worker).await)
            .await?;
        let job = submit(cluster, &read, None).await?.job;
        let about = Follow {
            place: &self.place,
            resume: resume::command(self.common, &["retry", &job, "--wait"]),
            anew: Some(self.anew.clone()),
            job,
            worker,
        };
        let job = follow(cluster, &about, &mut self.signals).await?;
        let tables = cluster
            .insist(async |cluster| {
                let client = &mut cluster.client;
                let Some(drawn) = Results::find(client, &job.id).await? else {
                    return Ok(None);
                };
                Ok(Some((
                    drawn.read_if_there::<ScoreRow>(client).await?,
                    drawn.read_if_there::<MetricRow>(client).await?,
                    drawn.read_if_there::<RenderRow>(client).await?,
                )))
            })
            .await?;
        let scores = tables.iter().flat_map(|(scores, ..)| scores);
        // One in which not one image could be scored has failed, and its rows say why: nothing can be drawn, which is told.
        let is_told =
            scores.clone().next().is_some() && scores.clone().all(|row| row.error_class.is_some());
        if job.state != "succeeded" && !is_told {
            results::show_end(self.common, cluster, &job).await?;
        }
        let (scores, metrics, rows) = tables.ok_or_else(|| results::none_yet(&job))?;
        if !scored.has_the_model_of(&metrics) {
            let failed = |uri: &String| (uri.clone(), Drawn::Failed(OTHER_MODEL.to_owned()));
            return Ok(Drawings::of(uris, uris.iter().map(failed).collect()));
        }
        let mut found = BTreeMap::new();
        let failed = scores.into_iter().filter_map(|row| {
            let why = [row.error_class, row.error].into_iter().flatten();
            let why = why.collect::<Vec<_>>().join(": ");
            (!why.is_empty()).then_some((row.uri, Drawn::Failed(why)))
        });
        found.extend(failed);
        found.extend(rows.into_iter().map(|row| {
            let uri = row.uri.clone();
            match row.error.clone() {
                Some(why) => (uri, Drawn::Failed(why)),
                None => (uri, Drawn::Row(Box::new(row))),
            }
        }));
        Ok(Drawings::of(uris, found))
    }
}

/// What came of images that were to be drawn.
#[derive(Default)]
pub struct Drawings {
    /// By the addresses of the images.
    drawn: BTreeMap<String, Drawn>,
    pub missing: Option<Missing>,
}

impl Drawings {
    /// Of these images, by what is known of them.
    fn of(uris: &[String], drawn: BTreeMap<String, Drawn>) -> Self {
        let mut missing = uris.iter().filter_map(|uri| match drawn.get(uri) {
            Some(Drawn::Row(_)) => None,
            Some(Drawn::Failed(why)) => Some(format!("{uri}: {why}")),
            None => Some(format!("{uri}: {UNSCORED}")),
        });
        let missing = missing.next().map(|first| Missing {
            count: 1 + missing.count(),
            of: uris.len(),
            first,
        });
        Self { drawn, missing }
    }

    /// What came of one of them.
    pub fn take(&mut self, uri: &str) -> Drawn {
        let unscored = || Drawn::Failed(UNSCORED.to_owned());
        self.drawn.remove(uri).unwrap_or_else(unscored)
    }
}

/// Images of which there are no pictures.
#[derive(Debug, PartialEq)]
pub struct Missing {
    pub count: usize,
    /// Of how many.
    pub of: usize,
    /// The address of the first, and why.
    pub first: String,
}

impl Missing {
    /// Whether there is no picture at all.
    pub fn is_all(&self) -> bool {
        self.count == self.of
    }

    pub fn warn(&self) {
        let Self { count, of, first } = self;
        let images = counted(*of as u64, "image");
        eprintln!("warning: {count} of {images} could not be drawn, the first is {first}");
    }
}

/// What came of one image.
pub enum Drawn {
    Row(Box<RenderRow>),
    /// Why there is no picture: it has gone since, say.
    Failed(String),
}

/// Of all images, where what names the model names another one by now.
const OTHER_MODEL: &str = "the model that scored it has been replaced since";

/// Of an image that the job which draws has no row of.
const UNSCORED: &str = "it could not be scored again";

/// The job that draws them, deciding as the run did, where the run's job could be done.
fn job(scored: &ScoredRun, package: &str, uris: &[String]) -> Result<ReadJob, Error> {
    let resources = ResolvedJob::from_json(&scored.job.resolved_json)
        .map_err(|source| Error::cannot_run_because("cannot read the job that is drawn", source))?
        .resources;
    // Images that have gone since are rows of a list; no sign in an address is taken for anything else.
    let path: Vec<String> = uris.iter().map(|uri| job::without_days(uri)).collect();
    let mut job = json!({
        "kind": "predict",
        "name": "pictures",
        "model": {"package": package},
        "data": {"class_path": "PredictDataset", "init_args": {"path": path, "listed": true}},
        "output": scored.results.store(),
        "resources": resources.section(),
        "pictures": "all",
        "max_error_rows": "100%",
    });
    // Where the package lies says nothing to people.
    if let Some(model) = scored.model().filter(|name| job::is_model_name(name)) {
        job["model"]["name"] = model.into();
    }
    let thresholds = [
        ("image", scored.threshold()),
        ("pixel", scored.pixel_threshold()),
    ];
    for (level, threshold) in thresholds {
        if let Some(threshold) = threshold {
            job["metrics"]["threshold"][level] = threshold.into();
        }
    }
    job_file::read_made(job::yaml(&job), &[])
}
