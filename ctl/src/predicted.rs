//! The result of scoring images without labels: how many were decided to be anomalous, how many could not be scored.

use job::resolved::{Kept, ResolvedJob};
use proto::v1::Job;
use serde_json::{Value, json};
use tables::{ANOMALOUS_RATE, MetricRow, ScoreRow};

use crate::output::{Table, counted, number};
use crate::summary::Line;

/// Images that an incremental job did not have to score.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reused {
    images: u64,
    anomalous: u64,
    errors: u64,
}

impl Reused {
    pub fn count(&mut self, rows: &[ScoreRow]) {
        for row in rows {
            self.images += 1;
            self.anomalous += u64::from(row.is_anomalous == Some(true));
            self.errors += u64::from(row.score.is_none());
        }
    }

    /// For people; `None` without any.
    pub fn words(self) -> Option<String> {
        let Self {
            images,
            anomalous,
            errors,
        } = self;
        (images > 0).then(|| {
            format!(
                "{} by earlier jobs, {anomalous} anomalous, {}: in the table reused alone",
                counted(images, "image"),
                counted(errors, "error")
            )
        })
    }

    /// Where the pictures of these images are that a job is to keep, by `draws`, a command that draws them. No warning: each
    /// night says so whose images were drawn in the nights before.
    pub fn pictures(self, job: &Job, draws: &str) -> Option<String> {
        let resolved = ResolvedJob::from_json(&job.resolved_json).ok()?;
        let asks = resolved.runs.iter().any(|run| run.pictures != Kept::None);
        (asks && self.images > 0).then(|| {
            format!(
                "pictures of images scored before are kept by the jobs that scored them, if these were to keep any; `{draws}` draws them"
            )
        })
    }

    /// Null without any.
    pub fn json(self) -> Value {
        match self.images {
            0 => Value::Null,
            images => {
                json!({ "images": images, "anomalous": self.anomalous, "errors": self.errors })
            }
        }
    }
}

/// `None` where labels were measured with.
pub fn table(metrics: &[MetricRow], lines: &[Line], reused: Reused) -> Option<Table> {
    let rows: Vec<&MetricRow> = metrics
        .iter()
        .filter(|row| row.metric == ANOMALOUS_RATE)
        .collect();
    if rows.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        "model",
        "data",
        ">images",
        ">anomalous",
        ">share",
        ">errors",
        ">images/s",
        ">threshold",
        "threshold from",
    ]);
    let dash = || "-".to_owned();
    for row in rows {
        let line = lines.iter().find(|line| line.run == row.run);
        let speed = line.and_then(|line| line.images_per_s);
        let decided = row.value.map(|share| (row.anomalous, share));
        let cells = [
            row.model.clone(),
            row.dataset.clone(),
            (row.normal + row.anomalous + row.errors).to_string(),
            decided.map_or_else(dash, |(anomalous, _)| anomalous.to_string()),
            decided.map_or_else(dash, |(_, share)| format!("{:.2} %", 100.0 * share)),
            row.errors.to_string(),
            speed.map_or_else(dash, |speed| format!("{speed:.1}")),
            row.threshold.map_or_else(dash, number),
            row.threshold_split.clone().unwrap_or_else(dash),
        ];
        table.row(cells);
    }
    if reused.images > 0 {
        let share = reused.anomalous as f64 / (reused.images - reused.errors).max(1) as f64;
        table.row([
            "scored before".to_owned(),
            String::new(),
            reused.images.to_string(),
            reused.anomalous.to_string(),
            format!("{:.2} %", 100.0 * share),
            reused.errors.to_string(),
            dash(),
            String::new(),
            String::new(),
        ]);
    }
    Some(table)
}
