//! Images that a job has scored, drawn: a job of kind predict scores them once more and keeps their pictures.

use std::collections::BTreeMap;

use proto::Place;
use serde_json::json;
use tables::RenderRow;

use crate::cluster::{Cluster, WorkerOptions};
use crate::commands::{results, run::submit};
use crate::job_file::{self, ReadJob, print_warnings};
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

    /// Draws images that a run has scored; by their addresses what came of each.
    pub async fn draw(
        &mut self,
        scored: &ScoredRun,
        uris: &[String],
    ) -> Result<BTreeMap<String, RenderRow>, Error> {
        if uris.is_empty() {
            return Ok(BTreeMap::new());
        }
        let cluster = &mut self.cluster;
        let package = scored.package(cluster).await?;
        let read = job(scored, &package, uris)?;
        print_warnings(&read.reading);
        let worker = WorkerOptions {
            pool: read.reading.job.resources.pool.to_string(),
            slots: 1,
        };
        cluster.ensure_worker(&worker).await?;
        let job = submit(cluster, &read, None).await?.job;
        let about = Follow {
            place: &self.place,
            resume: resume::command(self.common, &["retry", &job, "--wait"]),
            anew: Some(self.anew.clone()),
            job,
            worker,
        };
        let job = follow(cluster, &about, &mut self.signals).await?;
        if job.state != "succeeded" {
            results::show_end(self.common, cluster, &job).await?;
        }
        let drawn = Results::find(&mut cluster.client, &job.id).await?;
        let drawn = drawn.ok_or_else(|| results::none_yet(&job))?;
        let rows = drawn
            .read_if_there::<RenderRow>(&mut cluster.client)
            .await?;
        Ok(rows.into_iter().map(|row| (row.uri.clone(), row)).collect())
    }
}

/// The job that draws them, deciding as the run did.
fn job(scored: &ScoredRun, package: &str, uris: &[String]) -> Result<ReadJob, Error> {
    let places: Vec<String> = uris.iter().map(|uri| plain(uri)).collect();
    let mut job = json!({
        "kind": "predict",
        "name": "pictures",
        "model": {"package": package},
        "data": {"class_path": "PredictDataset", "init_args": {"path": places}},
        "output": scored.results.store(),
        "pictures": "all",
        "max_error_rows": "100%",
    });
    if let Some(threshold) = scored.threshold() {
        job["metrics"] = json!({"threshold": {"image": threshold}});
    }
    job_file::read_made(job::yaml(&job))
}

/// An address that means itself, whatever signs of a glob are in it.
fn plain(uri: &str) -> String {
    // Behind an archive everything means itself.
    let is_archive = |path: &str| {
        let path = path.to_ascii_lowercase();
        [".tar", ".tar.gz", ".tgz", ".zip"]
            .iter()
            .any(|ending| path.ends_with(ending))
    };
    if uri
        .split_once("!/")
        .is_some_and(|(path, _)| is_archive(path))
    {
        return uri.to_owned();
    }
    let mut place = String::with_capacity(uri.len());
    for sign in uri.chars() {
        match sign {
            '*' | '?' | '[' => place.extend(['[', sign, ']']),
            other => place.push(other),
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_address_is_taken_for_a_glob() {
        assert_eq!(plain("s3://a/b.png"), "s3://a/b.png");
        assert_eq!(plain("/in/a[1]*?.png"), "/in/a[[]1][*][?].png");
        assert_eq!(plain("/in/a.tar!/b[1].png"), "/in/a.tar!/b[1].png");
    }
}
