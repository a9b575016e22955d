//! The images at both ends of a run's scores, with what a picture of them needs: found where they are scored, drawn where the run is
//! evaluated.

use data::{Label, Split};
use metrics::RawScore;
use tables::{ExtremeRow, Row, SampleRow};
use types::TaskKind;

use crate::{attempt::Attempt, error::TaskError, tasks::names};

/// By the number of the sample, which rises with its address. The states of several tasks merge to that of their run.
pub type Extremes = metrics::Extremes<u64, ExtremeRow>;

/// Takes in an image of the split that is measured, if it is among the most extreme.
pub fn offer(extremes: &mut Extremes, sample: &SampleRow, score: RawScore, cells: Option<&[f32]>) {
    if sample.split != Split::Test.as_str() {
        return;
    }
    // Of images of which nobody has said what they show the highest scores are the most interesting, too.
    let anomalous = sample.label == Label::Anomalous.as_str();
    extremes
        .of(anomalous)
        .offer(score, sample.sample, || ExtremeRow {
            sample: sample.sample,
            uri: sample.uri.clone(),
            etag: sample.etag.clone(),
            size: sample.size,
            label: sample.label.clone(),
            score: score.value(),
            mask_uri: sample.mask_uri.clone(),
            mask_etag: sample.mask_etag.clone(),
            synthetic: sample.synthetic,
            entry: sample.entry.clone(),
            cells: cells.map(bytes),
        });
}

/// Leaves them for the run's evaluation.
pub fn put(attempt: &Attempt, extremes: Extremes) -> Result<(), TaskError> {
    let ends = [&extremes.normal, &extremes.anomalous];
    let mut rows: Vec<ExtremeRow> = ends
        .into_iter()
        .flat_map(|ends| ends.worst().chain(ends.best()).cloned())
        .collect();
    rows.sort_by(Row::order);
    attempt.put_table(names::EXTREMES, rows)?;
    Ok(())
}

/// Those of the whole run. A task of a version that had none leaves none.
pub fn of_run(attempt: &Attempt) -> Result<Extremes, TaskError> {
    let mut extremes = Extremes::default();
    for part in attempt.accepted(TaskKind::Score) {
        if part.object(names::EXTREMES).is_none() {
            continue;
        }
        let path = part.path(names::EXTREMES);
        attempt.each_batch::<ExtremeRow>(&path, |batch| {
            for row in batch {
                let score = RawScore::new(row.score)
                    .map_err(|error| TaskError::Assignment(format!("{path}: {error}")))?;
                let anomalous = row.label == Label::Anomalous.as_str();
                extremes.of(anomalous).offer(score, row.sample, || row);
            }
            Ok(())
        })?;
    }
    Ok(extremes)
}

/// Values of a model's grid as tables hold them: little endian.
pub fn bytes(cells: &[f32]) -> Vec<u8> {
    cells.iter().flat_map(|cell| cell.to_le_bytes()).collect()
}

/// The values that were put into a row.
pub fn cells(row: &ExtremeRow) -> Option<Vec<f32>> {
    let (values, _) = row.cells.as_ref()?.as_chunks();
    Some(
        values
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect(),
    )
}
