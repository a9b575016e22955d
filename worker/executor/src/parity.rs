//! The parity certificate of the run's package: a few of its images are scored by every engine that is here, and by the
//! precisions that jobs may ask it for.
//!
//! Each engine computes features, as it does for a job that asks for it; what comes after them is the same for all engines of one
//! precision.

use std::collections::BTreeMap;

use ::package::{Agreement, Compared, Computer, Measured, PackageManifest, Parity, Skipped};
use data::Split;
use engines::EngineError;
use metrics::{Comparison, RawScore, RawScores, Threshold};
use plan::{PlannedRun, ResultDetail};
use tables::SampleRow;
use types::{Device, TaskKind};
use vision::Decoding;

use crate::{
    attempt::Attempt,
    error::{TaskError, one_line},
    features::{Features, Keep, Looker},
    head::{Finished, Head},
    images::BadImage,
    model::{Chosen, Engine, OPENVINO_BF16},
    scoring::scores_and_maps,
    tasks::names,
};

/// What inputs, features and maps of the images of a round take at most, unless one image takes more.
const ROUND_BYTES: usize = 128 << 20;

/// `None` if the job does not ask, or the run trains nothing.
///
/// An evaluation for another threshold takes over what was measured before. One that is tried again measures nothing: the
/// try before may have ended by what another engine did, which no error tells.
pub fn measure(
    attempt: &Attempt,
    run: &PlannedRun,
    threshold: Option<Threshold>,
) -> Result<Option<Parity>, TaskError> {
    if !run.spec.measures_parity() {
        return Ok(None);
    }
    if let Some(before) = before(attempt)? {
        return Ok(before);
    }
    let samples = samples(attempt, run.spec.parity)?;
    let chosen = attempt.stages.load("load", || Chosen::trained(attempt))?;
    let engine = Engine::open(attempt)?;
    if attempt.assignment.attempt > 1 {
        return Ok(Some(not_measured(&engine, attempt.device)));
    }
    let samples: Vec<&SampleRow> = samples.iter().collect();
    let mut reference = Reference {
        attempt,
        rounds: samples.chunks(round(&chosen)?).collect(),
        seeing: Seeing::open(attempt, &chosen, &engine, Keep::ForTasks)?,
        skipped: Vec::new(),
        usable: BTreeMap::new(),
        last: None,
    };
    attempt.stages.show("parity", samples.len() as u64);
    // One engine after the other: each has its own copy of the network, which goes before the next one comes.
    let mut compare = |name, other: Result<Engine, EngineError>| {
        let mut other = Other::open(attempt, &chosen, name, other)?;
        for index in 0..reference.rounds.len() {
            if other.is_computing() {
                let round = reference.round(index)?;
                other.observe(attempt, &round.samples, &round.expected)?;
            }
        }
        Ok::<Compared, TaskError>(other.finish(threshold))
    };
    let mut engines = Vec::new();
    for (choice, name) in engine.other_choices(attempt.device) {
        engines.push(compare(name, Engine::choose(choice))?);
    }
    for (name, other) in engine.less_exact() {
        engines.push(compare(name, other)?);
    }
    let measured = reference.measured()?;
    Ok(Some(Parity {
        // No more than were asked for.
        images: measured as u32,
        skipped: reference.skipped,
        reference: computer(&engine),
        engines,
    }))
}

/// What the job's engine makes of the images, round by round.
struct Reference<'a> {
    attempt: &'a Attempt,
    rounds: Vec<&'a [&'a SampleRow]>,
    seeing: Seeing<'a>,
    /// Of the rounds that were computed.
    skipped: Vec<Skipped>,
    /// Images of each of these that could be used.
    usable: BTreeMap<usize, usize>,
    /// With its number; several engines that see one round only, as most certificates have it, share it.
    last: Option<(usize, Round<'a>)>,
}

/// The images that the reference itself has a score of; others have none in the run's results either.
struct Round<'a> {
    samples: Vec<&'a SampleRow>,
    expected: Vec<Finished>,
}

impl<'a> Reference<'a> {
    fn round(&mut self, index: usize) -> Result<&Round<'a>, TaskError> {
        let last = self.last.take().filter(|(at, _)| *at == index);
        let round = match last {
            Some((_, round)) => round,
            None => self.compute(index)?,
        };
        Ok(&self.last.insert((index, round)).1)
    }

    fn compute(&mut self, index: usize) -> Result<Round<'a>, TaskError> {
        let samples = self.rounds.get(index).copied().unwrap_or_default();
        let outcomes = self.seeing.compute(self.attempt, samples)?;
        let (mut usable, mut expected, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for (&sample, outcome) in samples.iter().zip(outcomes) {
            match outcome.map_err(|bad| bad.reason).and_then(finite) {
                Ok(finished) => {
                    usable.push(sample);
                    expected.push(finished);
                }
                Err(reason) => skipped.push(Skipped {
                    uri: sample.uri.clone(),
                    reason,
                }),
            }
        }
        if self.usable.insert(index, usable.len()).is_none() {
            self.skipped.extend(skipped);
            samples.iter().for_each(|_| self.attempt.stages.step());
        }
        Ok(Round {
            samples: usable,
            expected,
        })
    }

    /// How many images could be used; computes what no engine has asked for.
    fn measured(&mut self) -> Result<usize, TaskError> {
        for index in 0..self.rounds.len() {
            if !self.usable.contains_key(&index) {
                self.compute(index)?;
            }
        }
        Ok(self.usable.values().sum())
    }
}

/// Of the evaluation that is done anew, if this is one; how many images another threshold would decide otherwise by another
/// engine is not known.
fn before(attempt: &Attempt) -> Result<Option<Option<Parity>>, TaskError> {
    let Some(evaluated) = attempt.accepted(TaskKind::Evaluate).next() else {
        return Ok(None);
    };
    let ResultDetail::Evaluate {
        package: Some(package),
        ..
    } = &evaluated.result.detail
    else {
        return Ok(None);
    };
    let path = evaluated.path(package);
    let manifest =
        PackageManifest::from_json(&attempt.read(&path)?).map_err(|source| TaskError::Package {
            uri: attempt.store.uri(&path),
            source,
        })?;
    Ok(Some(manifest.parity.map(|mut parity| {
        for compared in &mut parity.engines {
            if let Measured::Agreement(agreement) = &mut compared.result {
                agreement.flips = None;
            }
        }
        parity
    })))
}

fn not_measured(engine: &Engine, device: Device) -> Parity {
    let why = "the evaluation was tried before, and engines are compared in its first try only";
    let other = |name: &str| Compared {
        engine: name.to_owned(),
        result: Measured::NotMeasured(why.to_owned()),
    };
    Parity {
        images: 0,
        skipped: Vec::new(),
        reference: computer(engine),
        engines: engine
            .other_choices(device)
            .into_iter()
            .map(|(_, name)| name)
            .chain([OPENVINO_BF16])
            .map(other)
            .collect(),
    }
}

fn computer(engine: &Engine) -> Computer {
    Computer {
        engine: engine.name().to_owned(),
        version: engine.version(),
        device: engine.device(),
        precision: engine.precision().name().to_owned(),
    }
}

/// Images in memory at once.
fn round(chosen: &Chosen) -> Result<usize, TaskError> {
    let input = chosen.input_len();
    let [positions, dims] = chosen.model.feature_shape()?;
    // The reference's map, and the other's.
    let maps = 2 * input / 3;
    let image = 4 * (input + positions * dims + maps);
    Ok((ROUND_BYTES / image).max(1))
}

/// Of those that are scored, so many at even distances in uri order.
pub fn samples(attempt: &Attempt, wanted: u32) -> Result<Vec<SampleRow>, TaskError> {
    let list = attempt.input(TaskKind::List)?;
    let scored = match list.result.detail {
        ResultDetail::List { scored, .. } => scored,
        _ => 0,
    };
    let mut places = places(wanted, scored).into_iter().peekable();
    let (mut place, mut samples) = (0, Vec::new());
    attempt.each_batch::<SampleRow>(&list.path(names::SAMPLES), |batch| {
        let scored = batch
            .into_iter()
            .filter(|row| row.split != Split::Train.as_str());
        for row in scored {
            samples.extend(places.next_if_eq(&place).map(|_| row));
            place += 1;
        }
        Ok(())
    })?;
    Ok(samples)
}

/// All of them if they are no more than that.
fn places(wanted: u32, of: u64) -> Vec<u64> {
    let count = u64::from(wanted).min(of);
    let place = |index| u128::from(index) * u128::from(of) / u128::from(count);
    // Below `of`, which is a u64.
    (0..count).map(|index| place(index) as u64).collect()
}

/// How an engine looks at images, and the head for what it sees.
struct Seeing<'a> {
    features: Features<'a>,
    lookers: Vec<Looker>,
    head: Head,
}

impl<'a> Seeing<'a> {
    fn open(
        attempt: &'a Attempt,
        chosen: &Chosen,
        engine: &Engine,
        keep: Keep,
    ) -> Result<Self, TaskError> {
        let (features, lookers) = Features::open(attempt, chosen, engine, Decoding::Full, keep)?;
        Ok(Self {
            features,
            lookers,
            head: Head::open(attempt, chosen, engine.precision())?,
        })
    }

    fn compute(
        &mut self,
        attempt: &Attempt,
        samples: &[&SampleRow],
    ) -> Result<Vec<Result<Finished, BadImage>>, TaskError> {
        let Self {
            features,
            lookers,
            head,
        } = self;
        scores_and_maps(attempt, (features, lookers), head, samples)
    }
}

/// `Err`: why there is no score of it.
fn finite(finished: Finished) -> Result<Finished, String> {
    let map = finished.map.as_deref().map(RawScores::new).transpose();
    match RawScore::new(finished.score).and(map) {
        Ok(_) => Ok(finished),
        Err(error) => Err(error.to_string()),
    }
}

/// An engine that is compared with the reference.
struct Other<'a> {
    name: &'static str,
    state: State<'a>,
}

enum State<'a> {
    Computing {
        engine: Engine,
        seeing: Box<Seeing<'a>>,
        comparison: Comparison,
    },
    Ended(Measured),
}

impl<'a> Other<'a> {
    fn open(
        attempt: &'a Attempt,
        chosen: &Chosen,
        name: &'static str,
        engine: Result<Engine, EngineError>,
    ) -> Result<Self, TaskError> {
        // What tasks of the run have compiled is kept for them.
        let keep = Keep::ForNobody;
        let opened = engine
            .map_err(TaskError::Engine)
            .and_then(|engine| Ok((Seeing::open(attempt, chosen, &engine, keep)?, engine)));
        let state = match opened {
            Ok((seeing, engine)) => State::Computing {
                engine,
                seeing: Box::new(seeing),
                comparison: Comparison::default(),
            },
            Err(TaskError::Engine(error)) => State::Ended(failed(name, &error)),
            Err(error) => return Err(error),
        };
        Ok(Self { name, state })
    }

    fn is_computing(&self) -> bool {
        matches!(self.state, State::Computing { .. })
    }

    /// Compares what it makes of these images with what the reference made of them.
    fn observe(
        &mut self,
        attempt: &Attempt,
        samples: &[&SampleRow],
        expected: &[Finished],
    ) -> Result<(), TaskError> {
        let State::Computing {
            seeing, comparison, ..
        } = &mut self.state
        else {
            return Ok(());
        };
        let found = match seeing.compute(attempt, samples) {
            Ok(found) => found,
            Err(TaskError::Engine(error)) => {
                self.state = State::Ended(failed(self.name, &error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for ((sample, expected), found) in samples.iter().zip(expected).zip(&found) {
            let expected = (expected.score, expected.map.as_deref());
            // It has gone since the reference looked at it.
            let Ok(found) = found else { continue };
            if let Err(why) = comparison.observe(expected, (found.score, found.map.as_deref())) {
                let uri = &sample.uri;
                self.state = State::Ended(Measured::Broken(format!("{uri}: {why}")));
                return Ok(());
            }
        }
        Ok(())
    }

    fn finish(self, threshold: Option<Threshold>) -> Compared {
        let result = match self.state {
            State::Ended(result) => result,
            State::Computing {
                engine, comparison, ..
            } => match comparison.finish(threshold) {
                Ok(agreement) => Measured::Agreement(Agreement {
                    version: engine.version(),
                    device: engine.device(),
                    precision: engine.precision().name().to_owned(),
                    score_difference: agreement.score,
                    map_difference: agreement.map,
                    rank_correlation: agreement.rank_correlation,
                    flips: agreement.flips,
                }),
                Err(metrics::Incomparable::Nothing) => {
                    Measured::NotMeasured("no image could be used".to_owned())
                }
                Err(why) => Measured::Broken(why.to_string()),
            },
        };
        Compared {
            engine: self.name.to_owned(),
            result,
        }
    }
}

/// Why an engine is not compared. The log has all of it; a package goes to places where this machine's folders mean nothing.
fn failed(name: &str, error: &EngineError) -> Measured {
    let log = one_line(error);
    tracing::info!(engine = name, "not compared: {log}");
    let absent = match error {
        EngineError::NotBuilt { .. } | EngineError::NotLinked { .. } => {
            "the executor that measured does not have it"
        }
        EngineError::NotFound { .. } => "its library was not found",
        EngineError::Load { .. } => "its library could not be loaded",
        EngineError::OutOfMemory { .. } => "there was too little memory",
        EngineError::Precision { .. } => "the processor has no instructions for it",
        _ => return Measured::Broken(log),
    };
    Measured::NotMeasured(absent.to_owned())
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn images_are_chosen_at_even_distances() {
        assert_eq!(places(4, 8), [0, 2, 4, 6]);
        assert_eq!(places(3, 10), [0, 3, 6]);
        assert_eq!(places(5, 3), [0, 1, 2]);
        assert_eq!(places(16, 0), [0; 0]);
        let most = places(2, u64::MAX);
        assert_eq!(most, [0, u64::MAX / 2]);
        for (wanted, of) in [(16, 17), (16, 656), (1000, 1001)] {
            let places = places(wanted, of);
            assert_eq!(places.len(), wanted as usize);
            assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{of}");
            assert!(places.last().is_some_and(|last| *last < of), "{of}");
        }
    }
}
