//! `fit`: the training images' features become the model's statistics.

use std::{collections::HashSet, path::Path};

use data::Split;
use plan::{ResultDetail, Reused, TaskResult, UsedWeights};
use tables::SampleRow;
use types::TaskKind;
use vision::Decoding;

use super::names;
use crate::{
    attempt::Attempt,
    error::TaskError,
    features::{Features, Keep},
    images::{BadImage, describe_all},
    kept::STATISTICS,
    model::{Chosen, Engine},
    parallel::{Waits, for_each_item},
    spool::Spool,
};

pub fn run(attempt: &Attempt) -> Result<TaskResult, TaskError> {
    // Those of another run: their memory is needed now.
    STATISTICS.forget();
    let samples = training_samples(attempt)?;
    let chosen = attempt.stages.load("load", || Chosen::to_train(attempt))?;
    let (spool, reused) = features(attempt, &chosen, &samples)?;
    let statistics = solve(attempt, &chosen, spool)?;
    write(attempt, statistics)?;
    Ok(TaskResult {
        detail: ResultDetail::Fit {
            statistics: names::STATISTICS.to_owned(),
            weights: chosen.origin.map(|origin| UsedWeights {
                backbone: origin.backbone,
                sha256: origin.sha256,
            }),
        },
        timings: Vec::new(),
        warnings: Vec::new(),
        reused,
    })
}

fn training_samples(attempt: &Attempt) -> Result<Vec<SampleRow>, TaskError> {
    let path = attempt.input(TaskKind::List)?.path(names::SAMPLES);
    let mut samples = Vec::new();
    attempt.each_batch::<SampleRow>(&path, |batch| {
        samples.extend(
            batch
                .into_iter()
                .filter(|row| row.split == Split::Train.as_str()),
        );
        Ok(())
    })?;
    if let Some(share) = attempt.run()?.spec.train_share {
        samples = part(samples, share);
    }
    Ok(samples)
}

/// A share of the images, at least one: those whose addresses have the lowest hashes, so that a smaller share lies in a larger one.
fn part(samples: Vec<SampleRow>, share: f64) -> Vec<SampleRow> {
    // Counts are far below 2^53.
    let wanted = (share * samples.len() as f64).ceil().max(1.0) as usize;
    let mut drawn: Vec<(String, usize)> = samples
        .iter()
        .enumerate()
        .map(|(place, sample)| (::package::digest(sample.uri.as_bytes()), place))
        .collect();
    drawn.sort();
    let chosen: HashSet<usize> = drawn
        .into_iter()
        .take(wanted)
        .map(|(_, place)| place)
        .collect();
    let of_all = samples.into_iter().enumerate();
    of_all
        .filter(|(place, _)| chosen.contains(place))
        .map(|(_, sample)| sample)
        .collect()
}

/// Features of all images, in their order, on disk. Every bad image is named; none is passed over.
fn features(
    attempt: &Attempt,
    chosen: &Chosen,
    samples: &[SampleRow],
) -> Result<(Spool, Option<Reused>), TaskError> {
    let engine = Engine::open(attempt)?;
    let (features, lookers) =
        Features::open(attempt, chosen, &engine, Decoding::Full, Keep::ForTasks)?;
    let shape = chosen.model.feature_shape()?;
    let spool = Spool::create(&attempt.scratch, samples.len(), shape)
        .map_err(TaskError::scratch(&attempt.scratch))?;
    let tools: Vec<_> = lookers
        .into_iter()
        .map(|looker| (looker, Vec::new()))
        .collect();
    let first = features.first_of(samples.len());
    attempt.stages.show("features", samples.len() as u64);
    let (mut outcomes, _) = for_each_item(
        tools,
        samples.len(),
        &attempt.cancelled,
        Waits(&attempt.stages, "infer"),
        |(looker, values), item| {
            let index = (first + item) % samples.len();
            let outcome = match features.look(looker, &samples[index], values)? {
                Err(bad) => Some(bad),
                Ok(_) => {
                    let bytes = 4 * values.len() as u64;
                    attempt
                        .stages
                        .time("spool", bytes, || spool.write(index, values))
                        .map_err(TaskError::scratch(spool.path()))?;
                    None
                }
            };
            attempt.stages.step();
            Ok(outcome)
        },
    )?;
    outcomes.rotate_right(first);
    let bad: Vec<BadImage> = outcomes.into_iter().flatten().collect();
    if bad.is_empty() {
        Ok((spool, features.reused()))
    } else {
        Err(describe_all("training", &bad))
    }
}

fn solve(
    attempt: &Attempt,
    chosen: &Chosen,
    spool: Spool,
) -> Result<models::Statistics, TaskError> {
    attempt.stages.show("solve", 0);
    let statistics = attempt.stages.time("solve", 0, || {
        let progress = |done, total| attempt.stages.set_progress(done, total);
        chosen.model.fit(&spool, attempt.threads, &progress)
    })?;
    std::fs::remove_file(spool.path()).map_err(TaskError::scratch(spool.path()))?;
    Ok(statistics)
}

fn write(attempt: &Attempt, statistics: models::Statistics) -> Result<(), TaskError> {
    let parts = weights::safetensors_parts(&statistics)
        .map_err(TaskError::scratch(Path::new(names::STATISTICS)))?;
    let object = attempt.put_parts(names::STATISTICS, parts)?;
    // The run's next task, most likely in this process, would read the same bytes.
    STATISTICS.keep(object.sha256, statistics);
    Ok(())
}
