//! The certificate of a run that does not compute exactly: a few of its images are scored as it scored them, and exactly.

use job::resolved::ModelSource;
use metrics::{Comparison, Incomparable, RawScore, RawScores, Threshold};
use plan::{Certificate, CertifiedAgreement, PlannedRun, ResultDetail};
use tables::SampleRow;
use types::TaskKind;
use vision::Decoding;

use crate::{
    attempt::Attempt,
    error::TaskError,
    head::Finished,
    images::BadImage,
    model::Engine,
    packages::Opened,
    parity,
    scoring::{self, Scoring},
};

/// `None` if the run computes exactly.
///
/// Of an evaluation that is done anew for another threshold it is what was measured before, without flips: the images may have
/// gone since.
pub fn measure(
    attempt: &Attempt,
    run: &PlannedRun,
    given: Option<&Opened>,
    threshold: Option<Threshold>,
) -> Result<Option<Certificate>, TaskError> {
    let spec = &run.spec;
    if spec.is_exact() {
        return Ok(None);
    }
    if let Some(before) = before(attempt) {
        return Ok(Some(before));
    }
    let ModelSource::Package(_) = spec.model else {
        return Err(TaskError::Assignment(
            "a run that trains computes exactly".to_owned(),
        ));
    };
    let samples = parity::samples(attempt, spec.parity)?;
    let asked = Engine::of_run(attempt, spec)?;
    let exact = asked.with(engines::Precision::F32);
    // One after the other, so that no network is there twice; first the one that score tasks may have left compiled.
    let found = scored(attempt, given, &asked, scoring::decoding(spec), &samples)?;
    let expected = scored(attempt, given, &exact, Decoding::Full, &samples)?;
    let (mut comparison, mut images, mut skipped) = (Comparison::default(), 0, 0);
    let mut broken = None;
    for ((sample, expected), found) in samples.iter().zip(&expected).zip(&found) {
        // What has no exact score has a row that says why.
        let Some(expected) = expected.as_ref().ok().filter(|one| is_finite(one)) else {
            skipped += 1;
            continue;
        };
        let Ok(found) = found else {
            skipped += 1;
            continue;
        };
        let pair = |one: &Finished| (one.score, one.map.clone());
        let ((score, map), (other, other_map)) = (pair(expected), pair(found));
        match comparison.observe((score, map.as_deref()), (other, other_map.as_deref())) {
            Ok(()) => images += 1,
            Err(why) => broken = broken.or(Some((sample, why))),
        }
    }
    if let Some((sample, why)) = broken {
        tracing::warn!(
            uri = sample.uri,
            "cannot be compared with exact scores: {why}"
        );
    }
    let agreement = match (broken, comparison.finish(threshold)) {
        (None, Ok(agreement)) => Some(CertifiedAgreement {
            score_difference: agreement.score,
            map_difference: agreement.map,
            rank_correlation: agreement.rank_correlation,
            flips: agreement.flips,
        }),
        (None, Err(why)) if why != Incomparable::Nothing => {
            tracing::warn!("scores cannot be compared with exact ones: {why}");
            None
        }
        _ => None,
    };
    Ok(Some(Certificate {
        precision: spec.precision,
        scaled_decoding: spec.scaled_decoding,
        images,
        skipped,
        agreement,
    }))
}

fn before(attempt: &Attempt) -> Option<Certificate> {
    let evaluated = attempt.accepted(TaskKind::Evaluate).next()?;
    let ResultDetail::Evaluate { certificate, .. } = &evaluated.result.detail else {
        return None;
    };
    let mut certificate = certificate.clone()?;
    if let Some(agreement) = &mut certificate.agreement {
        agreement.flips = None;
    }
    Some(certificate)
}

fn is_finite(finished: &Finished) -> bool {
    let map = finished.map.as_deref().map(RawScores::new).transpose();
    RawScore::new(finished.score).and(map).is_ok()
}

/// Each sample's score and map, computed one way.
fn scored(
    attempt: &Attempt,
    given: Option<&Opened>,
    engine: &Engine,
    decoding: Decoding,
    samples: &[SampleRow],
) -> Result<Vec<Result<Finished, BadImage>>, TaskError> {
    let Scoring {
        features,
        mut lookers,
        head,
    } = Scoring::open(attempt, given.cloned(), engine, decoding)?;
    attempt.stages.show("certificate", samples.len() as u64);
    let samples: Vec<&SampleRow> = samples.iter().collect();
    let mut all = Vec::with_capacity(samples.len());
    for round in samples.chunks(head.batch().max(attempt.threads)) {
        let seen = (&features, &mut lookers);
        all.extend(scoring::scores_and_maps(attempt, seen, &head, round)?);
        round.iter().for_each(|_| attempt.stages.step());
    }
    Ok(all)
}
