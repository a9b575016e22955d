//! AUPIMO of single images: what it is made of is kept where they are scored, and computed where their run is evaluated.

use data::Split;
use metrics::{RawScores, Regions};
use plan::PlannedRun;
use tables::{AupimoRow, DefectRow, Row, SampleRow};
use types::TaskKind;

use crate::{
    attempt::Attempt,
    error::TaskError,
    extremes,
    level::{Pixels, asked},
    tasks::{measured, names},
};

/// Whether the run asks for it.
pub fn are_wanted(run: &PlannedRun) -> bool {
    run.spec
        .metrics
        .pixel
        .iter()
        .any(|metric| metric == "AUPIMO")
}

/// The scores of an image's defect, if it has one and is measured. Four bytes a pixel of it: the chunk of a task bounds them.
pub fn of_image(
    run: &PlannedRun,
    sample: &SampleRow,
    map: RawScores<'_>,
    defects: Option<&Regions>,
) -> Option<DefectRow> {
    let defects = defects.filter(|regions| regions.count() > 0)?;
    let is_measured = sample.split == measured(run).as_str();
    (are_wanted(run) && is_measured).then(|| DefectRow {
        uri: sample.uri.clone(),
        defect_type: sample.defect_type.clone(),
        scores: extremes::bytes(&defects.of_defect(map)),
    })
}

/// Leaves them for the run's evaluation.
pub fn put(attempt: &Attempt, mut rows: Vec<DefectRow>) -> Result<(), TaskError> {
    if !rows.is_empty() {
        rows.sort_by(Row::order);
        attempt.put_table(names::DEFECTS, rows)?;
    }
    Ok(())
}

/// The run's table. Nothing where no task has left anything, as those of a version that had none.
pub fn evaluate(
    attempt: &Attempt,
    run: &PlannedRun,
    pixels: &Pixels<'_>,
    split: Split,
) -> Result<(), TaskError> {
    let parts = || {
        let parts = attempt.accepted(TaskKind::Score);
        parts.filter(|part| part.object(names::DEFECTS).is_some())
    };
    if !are_wanted(run) || parts().next().is_none() {
        return Ok(());
    }
    let rates = pixels.shared_fpr(split, asked(run)?.fpr_bounds)?;
    let mut table = attempt.begin_table::<AupimoRow>(names::AUPIMO)?;
    for part in parts() {
        let path = part.path(names::DEFECTS);
        attempt.each_batch::<DefectRow>(&path, |batch| {
            attempt.check_cancelled()?;
            batch.into_iter().try_for_each(|row| {
                let (scores, _) = row.scores.as_chunks();
                let scores: Vec<f32> = scores.iter().map(|one| f32::from_le_bytes(*one)).collect();
                let scores = RawScores::new(&scores)
                    .map_err(|error| TaskError::Assignment(format!("{path}: {error}")))?;
                let found = rates.as_ref().map_err(|reason| *reason);
                let found = found.and_then(|rates| rates.aupimo(scores));
                table.push(AupimoRow {
                    run: run.index,
                    uri: row.uri,
                    defect_type: row.defect_type,
                    pixels: scores.values().len() as u64,
                    aupimo: found.ok(),
                    reason: found.err().map(|reason| reason.word().to_owned()),
                })
            })
        })?;
    }
    table.finish()?;
    Ok(())
}
