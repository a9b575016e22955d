//! Images that earlier jobs had scored: a run that answers for them decides them as its own.

use std::collections::HashMap;

use job::resolved::Kept;
use plan::PlannedRun;
use store::StoreError;
use tables::ScoreRow;
use types::TaskKind;

use super::{evaluate::decided, names};
use crate::{attempt::Attempt, decision::Decision, error::TaskError};

/// Writes them with this run's decisions. Returns a warning of those whose maps the job is to keep, if the model has any, and
/// that the jobs that scored them did not: only these have an image's map when it is scored. Of pictures nothing is said: the
/// rows do not tell who has one, and they can be drawn at any time.
pub fn decide(
    attempt: &Attempt,
    run: &PlannedRun,
    has_maps: bool,
    decision: &Decision,
) -> Result<Option<String>, TaskError> {
    let list = attempt.input(TaskKind::List)?;
    if list.object(names::REUSED).is_none() {
        return Ok(None);
    }
    let kept = if has_maps { run.spec.maps } else { Kept::None };
    let mut table = attempt.begin_table::<ScoreRow>(names::REUSED)?;
    let (mut without_map, mut parts) = (0, HashMap::new());
    attempt.each_batch::<ScoreRow>(&list.path(names::REUSED), |batch| {
        batch.into_iter().try_for_each(|row| {
            let row = ScoreRow {
                run: run.index,
                ..row
            };
            let mut row = decided(row, decision);
            // A map goes with the job that made it.
            if is_wanted(&row, kept)
                && let Some(part) = &row.map_part
                && !is_there(attempt, part, &mut parts)?
            {
                (row.map_part, row.map_row) = (None, None);
            }
            without_map += u64::from(lacks_map(&row, kept));
            table.push(row)
        })
    })?;
    table.finish()?;
    Ok(warning(without_map))
}

/// Whether the store has a part; asked once.
fn is_there(
    attempt: &Attempt,
    part: &str,
    known: &mut HashMap<String, bool>,
) -> Result<bool, TaskError> {
    if let Some(is_there) = known.get(part) {
        return Ok(*is_there);
    }
    let is_there = match attempt.runtime.block_on(attempt.store.head(part)) {
        Ok(_) => true,
        Err(StoreError::NotFound { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    known.insert(part.to_owned(), is_there);
    Ok(is_there)
}

/// Whether an image's map should be kept. One that could not be scored has none to keep.
fn is_wanted(row: &ScoreRow, kept: Kept) -> bool {
    kept.has(row.is_anomalous == Some(true)) && row.score.is_some()
}

fn lacks_map(row: &ScoreRow, kept: Kept) -> bool {
    is_wanted(row, kept) && row.map_part.is_none()
}

fn warning(without_map: u64) -> Option<String> {
    let of = match without_map {
        0 => return None,
        1 => "1 image that an earlier job has scored".to_owned(),
        images => format!("{images} images that earlier jobs have scored"),
    };
    Some(format!(
        "`maps`: there is none of {of}; a job without `incremental` and `skip` makes them"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_should_be_kept_and_are_not_are_counted() {
        let row = |is_anomalous, map_part: Option<&str>| ScoreRow {
            score: Some(1.0),
            is_anomalous,
            map_part: map_part.map(str::to_owned),
            ..ScoreRow::default()
        };
        let rows = [
            row(Some(true), None),
            row(Some(true), Some("m")),
            row(Some(false), None),
            row(None, None),
            // One that could not be scored.
            ScoreRow::default(),
        ];
        for (kept, expected) in [(Kept::None, 0), (Kept::Anomalous, 1), (Kept::All, 3)] {
            let found = rows.iter().filter(|row| lacks_map(row, kept)).count();
            assert_eq!(found, expected, "{kept:?}");
        }
    }

    #[test]
    fn a_warning_says_of_how_many_images_there_is_no_map() {
        assert_eq!(warning(0), None);
        for (images, said) in [
            (1, "there is none of 1 image that"),
            (2, "there is none of 2 images that"),
        ] {
            let warned = warning(images).unwrap_or_default();
            assert!(warned.contains(said), "{warned}");
        }
    }
}
