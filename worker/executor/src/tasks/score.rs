//! `score`: one chunk of images becomes raw scores, and the pixels of its maps become mergeable counts.

use std::{path::Path, sync::Mutex, time::Instant};

use data::{Label, Split};
use job::resolved::{ModelSource, VisionTask};
use metrics::{RawScore, RawScores, Regions};
use plan::{PlannedRun, ResultDetail, Reused, TaskResult};
use serde::{Deserialize, Serialize};
use tables::{DefectRow, SampleRow, ScoreRow};
use types::TaskKind;

use super::names;
use crate::{
    attempt::Attempt,
    defects,
    error::TaskError,
    extremes::{self, Extremes},
    features::{Features, Looked, Looker},
    findings::{Findings, KeptRows, Subject},
    head::Head,
    images::{BadImage, Images, Seen, describe_all},
    model::Engine,
    packages,
    parallel::{Waits, for_each_item},
    pixels::{self, PixelCounts},
    scoring::{self, Scoring},
    stages::lock,
};

/// What computed a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputedBy {
    pub engine: String,
    pub version: String,
    pub fingerprint: String,
}

/// Name of the pixel counts of a split.
pub fn pixels_of(split: Split) -> String {
    format!("pixels-{split}.counts")
}

/// Whether the run asks for pixel metrics at all.
pub fn wants_pixels(run: &PlannedRun) -> bool {
    run.spec.task == VisionTask::Segmentation && !run.spec.metrics.pixel.is_empty()
}

pub fn run(attempt: &Attempt, first: u64, count: u64) -> Result<TaskResult, TaskError> {
    let run = attempt.run()?;
    let samples = chunk(attempt, first, count)?;
    let engine = Engine::of_run(attempt, &run.spec)?;
    let mut scored = score(attempt, run, Tools::open(attempt, run, &engine)?, &samples)?;
    let (training, scores): (Vec<_>, Vec<_>) = std::mem::take(&mut scored.rows)
        .into_iter()
        .partition(|row| row.split == Split::Train.as_str());
    if !training.is_empty() {
        attempt.put_table(names::TRAINING_SCORES, training)?;
    }
    scored.rows = scores;
    let errors = scored
        .rows
        .iter()
        .filter(|row| row.error_class.is_some())
        .count() as u64;
    let rows = scored.rows.len() as u64;
    place_maps(attempt, scored.kept, &mut scored.rows)?;
    attempt.put_table(names::SCORES, scored.rows)?;
    scored.pixels.put(attempt)?;
    defects::put(attempt, scored.defects)?;
    extremes::put(attempt, scored.extremes)?;
    let computed_by = ComputedBy {
        engine: engine.name().to_owned(),
        version: engine.version(),
        fingerprint: engine.fingerprint(attempt.threads),
    };
    attempt.put(
        names::COMPUTED_BY,
        serde_json::json!(computed_by).to_string(),
    )?;
    Ok(TaskResult {
        detail: ResultDetail::Score {
            scores: names::SCORES.to_owned(),
            rows,
            errors,
        },
        timings: Vec::new(),
        warnings: scored.warnings,
        reused: scored.reused,
    })
}

/// The chunk's samples: counted in uri order, those not in `train` before those that are.
fn chunk(attempt: &Attempt, first: u64, count: u64) -> Result<Vec<SampleRow>, TaskError> {
    let list = attempt.input(TaskKind::List)?;
    let path = list.path(names::SAMPLES);
    if let ResultDetail::List { train: 0, .. } = list.result.detail {
        let samples = attempt.rows_at::<SampleRow>(&path, first..first + count)?;
        return all_of(samples, first, count);
    }
    let listed = plan::Listed::of(&list.result.detail);
    // What comes next of each kind.
    let (mut other, mut train) = (0, listed.map_or(0, |listed| listed.scored));
    let mut samples = Vec::new();
    attempt.each_batch::<SampleRow>(&path, |batch| {
        for row in batch {
            let index = match row.split == Split::Train.as_str() {
                true => &mut train,
                false => &mut other,
            };
            if (first..first + count).contains(index) {
                samples.push(row);
            }
            *index += 1;
        }
        Ok(())
    })?;
    all_of(samples, first, count)
}

fn all_of(samples: Vec<SampleRow>, first: u64, count: u64) -> Result<Vec<SampleRow>, TaskError> {
    if samples.len() as u64 == count {
        Ok(samples)
    } else {
        let (end, found) = (first + count, samples.len());
        Err(TaskError::Assignment(format!(
            "of the samples {first} to {end} there are {found}"
        )))
    }
}

struct Scored<'a> {
    rows: Vec<ScoreRow>,
    pixels: PixelCounts<'a>,
    defects: Vec<DefectRow>,
    extremes: Extremes,
    kept: KeptRows,
    warnings: Vec<String>,
    reused: Option<Reused>,
}

/// What one thread gathers besides rows.
struct Gathered<'a> {
    pixels: PixelCounts<'a>,
    defects: Vec<DefectRow>,
    extremes: Extremes,
    kept: KeptRows,
    bad_masks: Vec<BadImage>,
    unmasked: u64,
    /// Masks of anomalous images that show no defect.
    empty_masks: u64,
}

impl<'a> Gathered<'a> {
    fn new(scratch: &'a Path, pixels_in_memory: u64) -> Self {
        Self {
            pixels: PixelCounts::new(scratch, pixels_in_memory),
            defects: Vec::new(),
            extremes: Extremes::default(),
            kept: KeptRows::default(),
            bad_masks: Vec::new(),
            unmasked: 0,
            empty_masks: 0,
        }
    }
}

/// An image on its way from the engine to its row.
struct Inferred {
    seen: Seen,
    features: Vec<f32>,
    /// At the model's positions, if it has such a step.
    distances: Vec<f32>,
    infer_us: u64,
}

/// What scores images.
struct Tools<'a> {
    scoring: Scoring<'a>,
    findings: Option<Findings>,
}

impl<'a> Tools<'a> {
    fn open(attempt: &'a Attempt, run: &PlannedRun, engine: &Engine) -> Result<Self, TaskError> {
        let package = match &run.spec.model {
            ModelSource::Package(name) => Some(packages::open(attempt, name)?),
            ModelSource::Train(_) => None,
        };
        let findings = Findings::of(run, package.as_ref())?;
        let decoding = scoring::decoding(&run.spec);
        Ok(Self {
            scoring: Scoring::open(attempt, package, engine, decoding)?,
            findings,
        })
    }
}

/// Scores the samples in rounds of as many images as the model's head likes to see at once: every thread infers images of
/// the round, then every thread does some positions of all of them, then every thread finishes images.
fn score<'a>(
    attempt: &'a Attempt,
    run: &PlannedRun,
    tools: Tools<'a>,
    samples: &[SampleRow],
) -> Result<Scored<'a>, TaskError> {
    let Tools { scoring, findings } = tools;
    let Scoring {
        features,
        mut lookers,
        head,
    } = scoring;
    let round_len = head.batch().max(attempt.threads);
    let pixels_in_memory = pixels::IN_MEMORY / lookers.len().max(1) as u64;
    let mut gathered: Vec<Gathered<'a>> = lookers
        .iter()
        .map(|_| Gathered::new(&attempt.scratch, pixels_in_memory))
        .collect();
    let buffers = Buffers::new(round_len);
    attempt.stages.show("score", samples.len() as u64);
    let mut rounds: Vec<&[SampleRow]> = samples.chunks(round_len).collect();
    let first = features.first_of(rounds.len());
    rounds.rotate_left(first);
    let mut rows_of_rounds = Vec::with_capacity(rounds.len());
    for round in rounds {
        let (mut inferred, returned) = for_each_item(
            lookers,
            round.len(),
            &attempt.cancelled,
            Waits(&attempt.stages, "infer"),
            |looker, index| infer(&features, looker, &round[index], &buffers),
        )?;
        lookers = returned;
        add_distances(attempt, &head, &mut inferred);
        let inferred: Vec<Mutex<Option<Result<Inferred, BadImage>>>> = inferred
            .into_iter()
            .map(|item| Mutex::new(Some(item)))
            .collect();
        let (finished, returned) = for_each_item(
            gathered,
            round.len(),
            &attempt.cancelled,
            Waits(&attempt.stages, "finish"),
            |gathered, index| {
                let row = match lock(&inferred[index]).take() {
                    None => {
                        return Err(TaskError::Assignment(
                            "an image was finished twice".to_owned(),
                        ));
                    }
                    Some(Err(bad)) => error_row(run, &round[index], &bad),
                    Some(Ok(item)) => finish(
                        attempt,
                        run,
                        &features.images,
                        &round[index],
                        item,
                        (&head, findings.as_ref(), &buffers),
                        gathered,
                    )?,
                };
                attempt.stages.step();
                Ok(row)
            },
        )?;
        gathered = returned;
        rows_of_rounds.push(finished);
    }
    rows_of_rounds.rotate_right(first);
    let rows = rows_of_rounds.into_iter().flatten().collect();
    let mut scored = gather(attempt, rows, gathered, features.reused())?;
    scored
        .warnings
        .extend(findings.and_then(|findings| findings.warning()));
    Ok(scored)
}

/// The finished image's row, and its map's pixels counted.
fn finish(
    attempt: &Attempt,
    run: &PlannedRun,
    images: &Images<'_>,
    sample: &SampleRow,
    item: Inferred,
    (head, findings, buffers): (&Head, Option<&Findings>, &Buffers),
    gathered: &mut Gathered<'_>,
) -> Result<ScoreRow, TaskError> {
    let start = Instant::now();
    let pixels = wants_pixels(run);
    let finished = attempt
        .stages
        .time("finish", 4 * item.features.len() as u64, || {
            head.image(&item.features, item.distances, pixels)
        });
    buffers.give(item.features);
    let infer_us = item.infer_us + micros(start);
    let score = RawScore::new(finished.score);
    let map = finished.map.as_deref().map(RawScores::new).transpose();
    match score.and_then(|score| Ok((score, map?))) {
        Err(error) => Ok(error_row(run, sample, &not_finite(sample, &error))),
        Ok((score, map)) => {
            let cells = finished.cells.as_deref();
            extremes::offer(&mut gathered.extremes, sample, score, cells);
            if let Some(map) = map.filter(|_| pixels) {
                count_pixels(attempt, run, images, (sample, item.seen), map, gathered)?;
            }
            let subject = Subject {
                sample,
                seen: item.seen,
                score,
                finished: &finished,
            };
            let boxes = match findings {
                Some(findings) => findings.find(images, head, &subject, &mut gathered.kept)?,
                None => None,
            };
            Ok(ScoreRow {
                boxes,
                ..scored_row(run, sample, item.seen, score, infer_us)
            })
        }
    }
}

fn infer(
    features: &Features<'_>,
    looker: &mut Looker,
    sample: &SampleRow,
    buffers: &Buffers,
) -> Result<Result<Inferred, BadImage>, TaskError> {
    let mut values = buffers.take();
    let looked = features.look(looker, sample, &mut values)?;
    Ok(looked.map(|Looked { seen, infer_us }| Inferred {
        seen,
        features: values,
        distances: Vec::new(),
        infer_us,
    }))
}

/// Buffers for features, which go round instead of being allocated for each image.
struct Buffers {
    free: Mutex<Vec<Vec<f32>>>,
    most: usize,
}

impl Buffers {
    /// Keeps as many as a round's images need.
    fn new(most: usize) -> Self {
        Self {
            free: Mutex::default(),
            most,
        }
    }

    fn take(&self) -> Vec<f32> {
        lock(&self.free).pop().unwrap_or_default()
    }

    fn give(&self, buffer: Vec<f32>) {
        let mut free = lock(&self.free);
        if free.len() < self.most {
            free.push(buffer);
        }
    }
}

/// Gives the images of a round their distances, if the model has that step, and each its share of the time.
fn add_distances(attempt: &Attempt, head: &Head, round: &mut [Result<Inferred, BadImage>]) {
    let start = Instant::now();
    let mut items: Vec<&mut Inferred> = round.iter_mut().flatten().collect();
    let features: Vec<&[f32]> = items.iter().map(|item| item.features.as_slice()).collect();
    let distances = head.distances(attempt, &features);
    let each_us = micros(start) / (items.len() as u64).max(1);
    for (item, distances) in items.iter_mut().zip(distances) {
        item.distances = distances;
        item.infer_us += each_us;
    }
}

/// Leaves the maps and pictures that are kept; rows say where their maps are. Both are in order of the samples.
fn place_maps(attempt: &Attempt, kept: KeptRows, rows: &mut [ScoreRow]) -> Result<(), TaskError> {
    let mut places = (0..).zip(kept.put(attempt)?).peekable();
    for row in rows {
        if let Some((place, _)) = places.next_if(|(_, sample)| *sample == row.sample) {
            row.map_part = Some(attempt.writer.path(names::MAPS));
            row.map_row = Some(place);
        }
    }
    Ok(())
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What the threads have gathered, together.
fn gather<'a>(
    attempt: &'a Attempt,
    rows: Vec<ScoreRow>,
    mut threads: Vec<Gathered<'a>>,
    reused: Option<Reused>,
) -> Result<Scored<'a>, TaskError> {
    attempt.stages.time("metrics", 0, || {
        std::thread::scope(|scope| {
            for one in &mut threads {
                scope.spawn(|| one.pixels.sort());
            }
        });
    });
    let mut scored = Scored {
        rows,
        pixels: PixelCounts::new(&attempt.scratch, pixels::IN_MEMORY),
        defects: Vec::new(),
        extremes: Extremes::default(),
        kept: KeptRows::default(),
        warnings: Vec::new(),
        reused,
    };
    let (mut bad_masks, mut unmasked, mut empty_masks) = (Vec::new(), 0, 0);
    for gathered in threads {
        bad_masks.extend(gathered.bad_masks);
        scored.extremes.merge(gathered.extremes);
        scored.kept.merge(gathered.kept);
        scored.defects.extend(gathered.defects);
        unmasked += gathered.unmasked;
        empty_masks += gathered.empty_masks;
        attempt
            .stages
            .time("metrics", 0, || scored.pixels.merge(gathered.pixels))?;
    }
    if !bad_masks.is_empty() {
        // A wrong mask makes every pixel metric of the run wrong: no result is better than that one.
        bad_masks.sort_by(|a, b| a.uri.cmp(&b.uri));
        return Err(describe_all("mask", &bad_masks));
    }
    if unmasked > 0 {
        scored.warnings.push(format!(
            "{unmasked} anomalous images without a mask are not in the pixel metrics"
        ));
    }
    if empty_masks > 0 {
        scored.warnings.push(format!(
            "{empty_masks} masks of anomalous images show no defect at the model's size, so that all their pixels count as normal; a defect's pixels have values above 127 (of 255)"
        ));
    }
    Ok(scored)
}

fn count_pixels(
    attempt: &Attempt,
    run: &PlannedRun,
    images: &Images<'_>,
    (sample, seen): (&SampleRow, Seen),
    map: RawScores<'_>,
    gathered: &mut Gathered<'_>,
) -> Result<(), TaskError> {
    let split = Split::parse(&sample.split)
        .ok_or_else(|| TaskError::Assignment(format!("split {:?}", sample.split)))?;
    let mask = if sample.label == Label::Normal.as_str() {
        None
    } else {
        match images.mask(sample, seen)? {
            Ok(Some(mask)) => {
                gathered.empty_masks += u64::from(mask.iter().all(|defect| *defect == 0));
                Some(mask)
            }
            Ok(None) => {
                gathered.unmasked += 1;
                return Ok(());
            }
            Err(bad) => {
                gathered.bad_masks.push(bad);
                return Ok(());
            }
        }
    };
    attempt
        .stages
        .time("metrics", 4 * map.values().len() as u64, || {
            let [_, width] = images.preprocess.output();
            let defects = mask.map(|mask| Regions::of_mask(&mask, width));
            let defect = defects::of_image(run, sample, map, defects.as_ref());
            gathered.defects.extend(defect);
            gathered.pixels.observe(split, map, defects.as_ref())
        })
}

fn not_finite(sample: &SampleRow, error: &metrics::NotFinite) -> BadImage {
    BadImage {
        uri: sample.uri.clone(),
        class: "not_finite".into(),
        reason: error.to_string(),
    }
}

fn scored_row(
    run: &PlannedRun,
    sample: &SampleRow,
    seen: Seen,
    score: RawScore,
    infer_us: u64,
) -> ScoreRow {
    ScoreRow {
        score: Some(score.value()),
        width: Some(seen.width),
        height: Some(seen.height),
        decode_us: Some(seen.decode_us),
        infer_us: Some(infer_us),
        ..empty_row(run, sample)
    }
}

fn error_row(run: &PlannedRun, sample: &SampleRow, bad: &BadImage) -> ScoreRow {
    tracing::warn!(uri = bad.uri, class = &*bad.class, "{}", bad.reason);
    ScoreRow {
        error_class: Some(bad.class.clone().into_owned()),
        error: Some(bad.reason.clone()),
        ..empty_row(run, sample)
    }
}

fn empty_row(run: &PlannedRun, sample: &SampleRow) -> ScoreRow {
    ScoreRow {
        run: run.index,
        sample: sample.sample,
        uri: sample.uri.clone(),
        etag: sample.etag.clone(),
        model: run.model.clone(),
        split: sample.split.clone(),
        label: sample.label.clone(),
        defect_type: sample.defect_type.clone(),
        ..ScoreRow::default()
    }
}

#[cfg(test)]
mod tests {
    use super::Buffers;

    #[test]
    fn no_more_buffers_are_kept_than_a_round_needs() {
        let buffers = Buffers::new(2);
        for length in 1..=5 {
            buffers.give(vec![0.0; length]);
        }
        let kept = [(); 3].map(|()| buffers.take().len());
        assert_eq!(kept, [2, 1, 0]);
    }
}
