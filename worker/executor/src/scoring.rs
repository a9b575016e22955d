//! What makes scores of images: an engine looks at them, and the model's head does the rest.

use std::{mem, sync::Mutex};

use job::resolved::RunSpec;
use tables::SampleRow;
use vision::Decoding;

use crate::{
    attempt::Attempt,
    error::TaskError,
    features::{Features, Keep, Looker},
    head::{Finished, Head},
    images::BadImage,
    model::{Chosen, Engine},
    packages::{Contents, Opened},
    parallel::{Waits, for_each_item},
    stages::lock,
};

pub struct Scoring<'a> {
    pub features: Features<'a>,
    /// One a thread.
    pub lookers: Vec<Looker>,
    pub head: Head,
}

impl<'a> Scoring<'a> {
    /// Of a package, or else of what the run has trained.
    pub fn open(
        attempt: &'a Attempt,
        package: Option<Opened>,
        engine: &Engine,
        decoding: Decoding,
    ) -> Result<Self, TaskError> {
        if let Some(Opened {
            contents: Contents::File(file),
            ..
        }) = &package
        {
            let (features, lookers) = Features::of_file(attempt, file, engine, decoding)?;
            return Ok(Self {
                features,
                lookers,
                head: Head::of_file(file),
            });
        }
        let chosen = attempt.stages.load("load", || match package {
            Some(package) => Chosen::of_package(package),
            None => Chosen::trained(attempt),
        })?;
        let head = Head::open(attempt, &chosen, engine.precision())?;
        let keep = Keep::ForTasks;
        let (features, lookers) = Features::open(attempt, &chosen, engine, decoding, keep)?;
        Ok(Self {
            features,
            lookers,
            head,
        })
    }
}

/// Scores and maps of a few images, all in memory at once; in place of those that cannot be used what is wrong with them.
pub fn scores_and_maps(
    attempt: &Attempt,
    (features, lookers): (&Features<'_>, &mut Vec<Looker>),
    head: &Head,
    samples: &[&SampleRow],
) -> Result<Vec<Result<Finished, BadImage>>, TaskError> {
    let (looked, returned) = for_each_item(
        mem::take(lookers),
        samples.len(),
        &attempt.cancelled,
        Waits(&attempt.stages, "infer"),
        |looker, index| {
            let mut values = Vec::new();
            let looked = features.look(looker, samples[index], &mut values)?;
            Ok(looked.map(|_| values))
        },
    )?;
    *lookers = returned;
    let seen: Vec<&[f32]> = looked.iter().flatten().map(Vec::as_slice).collect();
    let mut distances = head.distances(attempt, &seen).into_iter();
    let items: Vec<_> = looked
        .into_iter()
        .map(|looked| looked.map(|values| (values, distances.next().unwrap_or_default())))
        .map(|item| Mutex::new(Some(item)))
        .collect();
    let (finished, _) = for_each_item(
        vec![(); attempt.threads],
        items.len(),
        &attempt.cancelled,
        Waits(&attempt.stages, "finish"),
        |(), index| {
            let item = lock(&items[index]).take();
            let item = item
                .ok_or_else(|| TaskError::Assignment("an image was finished twice".to_owned()))?;
            Ok(item.map(|(values, distances)| {
                attempt.stages.time("finish", 4 * values.len() as u64, || {
                    head.image(&values, distances, true)
                })
            }))
        },
    )?;
    Ok(finished)
}

/// How much of a file the run has decoded.
pub fn decoding(run: &RunSpec) -> Decoding {
    match run.scaled_decoding {
        true => Decoding::Scaled,
        false => Decoding::Full,
    }
}
