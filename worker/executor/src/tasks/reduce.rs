//! `reduce`: the tables of all runs become the job's; a run that failed becomes a row that says why.

use std::collections::HashSet;

use plan::{InputOutcome, PlannedRun, PublishedTable, ResultDetail, TaskResult, TaskSpec};
use tables::{
    AupimoRow, CurveRow, ManifestRow, MetricRow, PictureRow, RenderRow, Row, ScoreRow, TimingRow,
};
use types::{Failure, OutputObject, TaskKind, TraceId};

use super::names;
use crate::{
    attempt::{Accepted, Attempt, accepted},
    error::TaskError,
};

pub fn run(attempt: &Attempt) -> Result<TaskResult, TaskError> {
    attempt
        .stages
        .show("reduce", attempt.assignment.runs.len() as u64);
    let (pictures, left_out) = pictures(attempt)?;
    let mut own = vec![
        metrics(attempt)?,
        scores(attempt)?,
        curves(attempt)?,
        pictures,
        timings(attempt)?,
    ];
    own.extend(aupimo(attempt)?);
    own.extend(renders(attempt)?);
    own.extend(reused(attempt)?);
    let (index, merged) = index(attempt).unzip();
    let tables = own
        .iter()
        .map(|object| PublishedTable {
            name: object.path.clone(),
            path: object.path.clone(),
        })
        .collect();
    own.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    manifest(attempt, own)?;
    Ok(TaskResult {
        detail: ResultDetail::Reduce {
            tables,
            manifest: names::MANIFEST.to_owned(),
            index,
            merged: merged.unwrap_or_default(),
        },
        timings: Vec::new(),
        warnings: Vec::from_iter(left_out),
        reused: None,
    })
}

/// Bytes of a job's pictures: of about a hundred runs, and many times what a report shows.
const PICTURES: u64 = 64_000_000;

/// A run with what its evaluate task left behind, or with why there is nothing.
enum Outcome<'a> {
    Evaluated(Accepted<'a>),
    Failed(Failure),
}

fn outcome<'a>(attempt: &'a Attempt, run: &PlannedRun) -> Result<Outcome<'a>, TaskError> {
    let of_run =
        |spec: &TaskSpec| spec.kind() == TaskKind::Evaluate && spec.run() == Some(run.index);
    // Every run has one from the start, and this task waits until it has ended, however it did.
    let input = attempt
        .assignment
        .inputs
        .iter()
        .find(|input| of_run(&input.spec))
        .ok_or_else(|| {
            TaskError::Assignment(format!(
                "there is no outcome of run {}'s evaluate task",
                run.index
            ))
        })?;
    Ok(match &input.outcome {
        InputOutcome::Accepted {
            prefix,
            result,
            outputs,
        } => Outcome::Evaluated(Accepted {
            input,
            prefix,
            result,
            outputs,
        }),
        InputOutcome::Failed { failure, .. } => Outcome::Failed(failure.clone()),
    })
}

fn metrics(attempt: &Attempt) -> Result<OutputObject, TaskError> {
    let mut part = attempt.begin_table::<MetricRow>(names::METRICS)?;
    for run in &attempt.assignment.runs {
        match outcome(attempt, run)? {
            Outcome::Evaluated(evaluated) => {
                push_all(attempt, &evaluated.path(names::METRICS), &mut part)?
            }
            Outcome::Failed(failure) => {
                let mut rows: Vec<MetricRow> = wanted(run)
                    .map(|(level, metric)| failed_row(run, level, metric, &failure))
                    .collect();
                rows.sort_by(Row::order);
                rows.into_iter().try_for_each(|row| part.push(row))?;
            }
        }
        attempt.stages.step();
    }
    part.finish()
}

fn scores(attempt: &Attempt) -> Result<OutputObject, TaskError> {
    let mut part = attempt.begin_table::<ScoreRow>(names::SCORES)?;
    for path in scored(attempt, names::SCORES)? {
        push_all(attempt, &path, &mut part)?;
    }
    part.finish()
}

/// Where the rows of this name are that scoring brought, of those runs that have any. Of a run that failed what was scored
/// stays, without decisions.
fn scored(attempt: &Attempt, name: &str) -> Result<Vec<String>, TaskError> {
    let mut paths = Vec::new();
    for run in &attempt.assignment.runs {
        let parts: Vec<Accepted<'_>> = match outcome(attempt, run)? {
            Outcome::Evaluated(evaluated) => vec![evaluated],
            Outcome::Failed(_) => {
                let of_run = |part: &Accepted<'_>| part.input.spec.run() == Some(run.index);
                attempt.accepted(TaskKind::Score).filter(of_run).collect()
            }
        };
        let parts = parts.iter().filter(|part| part.object(name).is_some());
        paths.extend(parts.map(|part| part.path(name)));
    }
    Ok(paths)
}

/// The pictures that were asked for, if any was.
fn renders(attempt: &Attempt) -> Result<Option<OutputObject>, TaskError> {
    let paths = scored(attempt, names::RENDERS)?;
    if paths.is_empty() {
        return Ok(None);
    }
    let mut part = attempt.begin_table::<RenderRow>(names::RENDERS)?;
    for path in paths {
        push_all(attempt, &path, &mut part)?;
    }
    part.finish().map(Some)
}

/// The folder of the store's index, of an incremental job, and what it gets besides the job's scores.
fn index(attempt: &Attempt) -> Option<(String, Vec<String>)> {
    let mut results = attempt.assignment.inputs.iter().filter_map(accepted);
    results.find_map(|input| match &input.result.detail {
        ResultDetail::Evaluate { index, merged, .. } => Some((index.clone()?, merged.clone())),
        ResultDetail::List { scored_before, .. } => {
            Some((scored_before.as_ref()?.index.clone()?, input.merged()))
        }
        _ => None,
    })
}

/// What earlier jobs had scored, if any image could be reused; of a run that failed as it was found.
fn reused(attempt: &Attempt) -> Result<Option<OutputObject>, TaskError> {
    let mut paths = Vec::new();
    for run in &attempt.assignment.runs {
        let found = match outcome(attempt, run)? {
            Outcome::Evaluated(evaluated) => Some(evaluated),
            Outcome::Failed(_) => attempt.accepted(TaskKind::List).next(),
        };
        let found = found.filter(|found| found.object(names::REUSED).is_some());
        paths.extend(found.map(|found| found.path(names::REUSED)));
    }
    if paths.is_empty() {
        return Ok(None);
    }
    let mut part = attempt.begin_table::<ScoreRow>(names::REUSED)?;
    for path in paths {
        push_all(attempt, &path, &mut part)?;
    }
    part.finish().map(Some)
}

fn curves(attempt: &Attempt) -> Result<OutputObject, TaskError> {
    let mut part = attempt.begin_table::<CurveRow>(names::CURVES)?;
    for run in &attempt.assignment.runs {
        // One of an older version has none.
        if let Outcome::Evaluated(evaluated) = outcome(attempt, run)?
            && evaluated.object(names::CURVES).is_some()
        {
            push_all(attempt, &evaluated.path(names::CURVES), &mut part)?;
        }
    }
    part.finish()
}

/// AUPIMO of single images, if any run was asked for it.
fn aupimo(attempt: &Attempt) -> Result<Option<OutputObject>, TaskError> {
    let mut paths = Vec::new();
    for run in &attempt.assignment.runs {
        if let Outcome::Evaluated(evaluated) = outcome(attempt, run)?
            && evaluated.object(names::AUPIMO).is_some()
        {
            paths.push(evaluated.path(names::AUPIMO));
        }
    }
    if paths.is_empty() {
        return Ok(None);
    }
    let mut part = attempt.begin_table::<AupimoRow>(names::AUPIMO)?;
    for path in paths {
        push_all(attempt, &path, &mut part)?;
    }
    part.finish().map(Some)
}

/// The pictures of the first runs, and whether there are more. Whoever reads them holds them all.
fn pictures(attempt: &Attempt) -> Result<(OutputObject, Option<String>), TaskError> {
    let mut part = attempt.begin_table::<PictureRow>(names::PICTURES)?;
    let (mut bytes, mut left_out) = (0, 0_u64);
    for run in &attempt.assignment.runs {
        if let Outcome::Evaluated(evaluated) = outcome(attempt, run)?
            && let Some(object) = evaluated.object(names::PICTURES)
        {
            bytes += object.size;
            if bytes > PICTURES {
                left_out += 1;
            } else {
                push_all(attempt, &evaluated.path(names::PICTURES), &mut part)?;
            }
        }
    }
    let warning = (left_out > 0).then(|| {
        format!(
            "the pictures of {left_out} runs are not in the table `pictures`, which holds {} MB",
            PICTURES / 1_000_000
        )
    });
    Ok((part.finish()?, warning))
}

fn timings(attempt: &Attempt) -> Result<OutputObject, TaskError> {
    let mut rows = Vec::new();
    // Runs that share a dataset share its list task, and each of them brings its timings along.
    let mut seen = HashSet::new();
    for evaluated in attempt.accepted(TaskKind::Evaluate) {
        let inherited = attempt.rows::<TimingRow>(&evaluated.path(names::TIMINGS))?;
        rows.extend(
            inherited
                .into_iter()
                .filter(|row| seen.insert((row.task.clone(), row.stage.clone()))),
        );
        rows.extend(timing_rows(&evaluated, attempt.trace()));
    }
    rows.extend(
        behind_failed_runs(attempt)
            .flat_map(|accepted| timing_rows(&accepted, attempt.trace()).collect::<Vec<_>>())
            .filter(|row| seen.insert((row.task.clone(), row.stage.clone()))),
    );
    rows.sort_by(Row::order);
    attempt.put_table(names::TIMINGS, rows)
}

fn manifest(attempt: &Attempt, own: Vec<OutputObject>) -> Result<OutputObject, TaskError> {
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    for evaluated in attempt.accepted(TaskKind::Evaluate) {
        let inherited = attempt.rows::<ManifestRow>(&evaluated.path(names::MANIFEST))?;
        rows.extend(
            inherited
                .into_iter()
                .chain(manifest_rows(&evaluated))
                .filter(|row| seen.insert(row.path.clone())),
        );
    }
    rows.extend(
        behind_failed_runs(attempt)
            .flat_map(|accepted| manifest_rows(&accepted).collect::<Vec<_>>())
            .filter(|row| seen.insert(row.path.clone())),
    );
    let task = attempt.assignment.task.to_string();
    rows.extend(own.into_iter().map(|object| ManifestRow {
        task: task.clone(),
        kind: TaskKind::Reduce.to_string(),
        run: None,
        path: attempt.writer.path(&object.path),
        size: object.size,
        sha256: object.sha256,
        rows: object.rows,
    }));
    rows.sort_by(Row::order);
    attempt.put_table(names::MANIFEST, rows)
}

/// What was accepted of runs that have no evaluation: an evaluation brings along what lies behind it.
fn behind_failed_runs(attempt: &Attempt) -> impl Iterator<Item = Accepted<'_>> {
    [TaskKind::List, TaskKind::Fit, TaskKind::Score]
        .into_iter()
        .flat_map(|kind| attempt.accepted(kind))
}

/// The objects of an accepted attempt as rows of the manifest.
pub fn manifest_rows<'a>(accepted: &Accepted<'a>) -> impl Iterator<Item = ManifestRow> + use<'a> {
    let (input, prefix) = (accepted.input, accepted.prefix);
    accepted.outputs.iter().map(move |object| ManifestRow {
        task: input.task.to_string(),
        kind: input.spec.kind().to_string(),
        run: input.spec.run(),
        path: format!("{prefix}/{}", object.path),
        size: object.size,
        sha256: object.sha256.clone(),
        rows: object.rows,
    })
}

/// The stages of an accepted attempt as rows of the timings.
pub fn timing_rows<'a>(
    accepted: &Accepted<'a>,
    trace: Option<TraceId>,
) -> impl Iterator<Item = TimingRow> + use<'a> {
    let input = accepted.input;
    accepted.result.timings.iter().map(move |timing| TimingRow {
        run: input.spec.run(),
        task: input.task.to_string(),
        kind: input.spec.kind().to_string(),
        stage: timing.stage.clone(),
        wall_s: timing.wall_s,
        busy_s: timing.busy_s,
        blocked_s: timing.blocked_s,
        cpu_s: timing.cpu_s,
        items: timing.items,
        bytes: timing.bytes,
        peak_memory: timing.peak_memory,
        trace: trace.map(|trace| trace.to_string()),
    })
}

/// Every row of a table, in its order.
pub fn push_all<R: Row>(
    attempt: &Attempt,
    path: &str,
    part: &mut crate::attempt::Part<'_, R>,
) -> Result<(), TaskError> {
    attempt.each_batch::<R>(path, |batch| {
        batch.into_iter().try_for_each(|row| part.push(row))
    })
}

/// For images without labels there are none, and a failed run is said all the same.
fn wanted(run: &PlannedRun) -> impl Iterator<Item = (&'static str, &String)> {
    let metrics = &run.spec.metrics;
    metrics
        .image
        .iter()
        .map(|metric| ("image", metric))
        .chain(metrics.pixel.iter().map(|metric| ("pixel", metric)))
}

fn failed_row(run: &PlannedRun, level: &str, metric: &str, failure: &Failure) -> MetricRow {
    MetricRow {
        run: run.index,
        model: run.model.clone(),
        dataset: run.dataset.clone(),
        category: run.category.clone(),
        seed: run.spec.seed,
        parameters: super::evaluate::parameters(
            run,
            serde_json::Value::Null,
            serde_json::Value::Null,
        ),
        level: level.to_owned(),
        metric: metric.to_owned(),
        value: None,
        reason: Some(failure.to_string()),
        low: None,
        high: None,
        threshold: None,
        threshold_split: None,
        normal: 0,
        anomalous: 0,
        errors: 0,
        engine: String::new(),
        fingerprint: String::new(),
    }
}
