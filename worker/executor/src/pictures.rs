//! Pictures of the images that a run gets most wrong and most right: in small, and with the anomaly map over them.
//!
//! For people alone: no number depends on them, and a picture that cannot be drawn is a row that says why, whatever the reason.

use std::sync::Mutex;

use data::Label;
use plan::PlannedRun;
use tables::{ExtremeRow, PictureRow, Row};
use types::{FailureClass, TaskKind};
use vision::{Heat, HeatScale, Image, Mask, Thumbnail, encode_jpeg};

use crate::{
    attempt::Attempt,
    error::{TaskError, one_line},
    extremes::{self, Extremes},
    images::{BadImage, Images},
    model::Sight,
    parallel::{Waits, for_each_item},
    stages::lock,
    tasks::names,
};

/// Pixels along the longer side: as wide as a report shows them.
const SIDE: u32 = 176;
/// Of JPEG: about 10 KB a picture, in which thin lines are still clear.
const QUALITY: u8 = 85;

/// One of the images, and its map.
struct Chosen {
    row: ExtremeRow,
    list: &'static str,
    rank: u32,
    map: Option<Vec<f32>>,
    /// Why there is no map where the model has maps.
    lacks: Option<String>,
}

/// What could be drawn of an image, and what could not and why.
#[derive(Default)]
struct Drawn {
    image: Option<Vec<u8>>,
    overlay: Option<Vec<u8>>,
    error: Option<String>,
}

/// Leaves the run's table `pictures`; returns what people should know of it.
pub fn put(
    attempt: &Attempt,
    run: &PlannedRun,
    sight: &Sight,
) -> Result<Option<String>, TaskError> {
    if let Some(rows) = earlier(attempt)? {
        let warning = warning(&rows);
        attempt.put_table(names::PICTURES, rows)?;
        return Ok(warning);
    }
    let extremes = extremes::of_run(attempt)?;
    let chosen = attempt.stages.time("draw", 0, || chosen(extremes, sight));
    let scale = scale(&chosen);
    let artist = Artist {
        attempt,
        images: Images::new(attempt, sight.preprocess),
        scale,
        outage: Mutex::default(),
    };
    let (drawn, _) = for_each_item(
        vec![(); attempt.threads],
        chosen.len(),
        &attempt.cancelled,
        Waits(&attempt.stages, "draw"),
        |(), index| artist.drawn(&chosen[index]),
    )?;
    let mut rows: Vec<PictureRow> = chosen
        .into_iter()
        .zip(drawn)
        .map(|(chosen, drawn)| row(run, chosen, drawn, scale))
        .collect();
    rows.sort_by(Row::order);
    let warning = warning(&rows);
    attempt.put_table(names::PICTURES, rows)?;
    Ok(warning)
}

/// Those of the same evaluation before it was done anew for another threshold: they know of none, and the images may have
/// gone since.
fn earlier(attempt: &Attempt) -> Result<Option<Vec<PictureRow>>, TaskError> {
    let earlier = attempt.accepted(TaskKind::Evaluate).next();
    let Some(earlier) = earlier.filter(|left| left.object(names::PICTURES).is_some()) else {
        return Ok(None);
    };
    attempt.rows(&earlier.path(names::PICTURES)).map(Some)
}

fn row(run: &PlannedRun, chosen: Chosen, drawn: Drawn, scale: Option<Scale>) -> PictureRow {
    let scale = scale.filter(|_| drawn.overlay.is_some());
    PictureRow {
        run: run.index,
        uri: chosen.row.uri,
        label: chosen.row.label,
        score: chosen.row.score,
        list: chosen.list.to_owned(),
        rank: chosen.rank,
        image: drawn.image,
        overlay: drawn.overlay,
        heat_low: scale.map(|scale| scale.low),
        heat_high: scale.map(|scale| scale.high),
        error: drawn.error,
    }
}

fn warning(rows: &[PictureRow]) -> Option<String> {
    let mut missing = rows.iter().filter_map(|row| row.error.as_ref());
    let first = missing.next()?;
    Some(format!(
        "{} of {} pictures for the report could not be drawn in full: {first}",
        1 + missing.count(),
        rows.len()
    ))
}

/// The images at both ends, with their maps.
fn chosen(extremes: Extremes, sight: &Sight) -> Vec<Chosen> {
    let mut all = Vec::new();
    for ends in [extremes.normal, extremes.anomalous] {
        let of_list = |list| move |(rank, row): (u32, &ExtremeRow)| (row.clone(), list, rank);
        let worst = (0..).zip(ends.worst()).map(of_list("worst"));
        let best = (0..).zip(ends.best()).map(of_list("best"));
        for (row, list, rank) in worst.chain(best) {
            let (map, lacks) = match (&sight.map, extremes::cells(&row)) {
                (Some(finish), Some(cells)) if cells.len() == finish.cells() => {
                    (Some(finish.apply(&cells)), None)
                }
                (Some(_), Some(_)) => {
                    let other = "the image was scored by a version of the model with other maps";
                    (None, Some(other.to_owned()))
                }
                _ => (None, None),
            };
            all.push(Chosen {
                row,
                list,
                rank,
                map,
                lacks,
            });
        }
    }
    all
}

/// What is shown as nothing and as the strongest colour.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    low: f32,
    high: f32,
    heat: HeatScale,
}

/// The same for all pictures of the run: from the value below which nearly all of the normal images lies, so that these look as
/// they are, to that which the defect of every second anomalous image reaches. `None` without maps, or if they say nothing.
fn scale(chosen: &[Chosen]) -> Option<Scale> {
    let maps = |normal: bool| {
        let maps = chosen.iter().filter(move |chosen| {
            let is_normal = chosen.row.label == Label::Normal.as_str();
            is_normal == normal
        });
        maps.filter_map(|chosen| chosen.map.as_deref())
    };
    let highest = |map: &[f32]| map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut background: Vec<f32> = maps(true).flatten().copied().collect();
    if background.is_empty() {
        background = maps(false).flatten().copied().collect();
    }
    let low = quantile(&mut background, 0.95)?;
    let mut peaks: Vec<f32> = maps(false).map(highest).collect();
    // Where defects are no higher than what is normal, what is highest of all is shown.
    let high = quantile(&mut peaks, 0.5)
        .filter(|high| *high > low)
        .unwrap_or_else(|| {
            chosen
                .iter()
                .filter_map(|chosen| chosen.map.as_deref())
                .map(highest)
                .fold(low, f32::max)
        });
    let heat = HeatScale::new(low, high)?;
    Some(Scale { low, high, heat })
}

fn quantile(values: &mut [f32], share: f64) -> Option<f32> {
    let place = (share * values.len().checked_sub(1)? as f64).round() as usize;
    let (_, value, _) = values.select_nth_unstable_by(place, f32::total_cmp);
    Some(*value)
}

/// Draws the images of a run; shared by its threads.
struct Artist<'a> {
    attempt: &'a Attempt,
    images: Images<'a>,
    scale: Option<Scale>,
    /// A store that does not answer would be waited for again with every image.
    outage: Mutex<Option<String>>,
}

impl Artist<'_> {
    /// Fails only if the attempt is cancelled.
    fn drawn(&self, chosen: &Chosen) -> Result<Drawn, TaskError> {
        let failed = |error: String| Drawn {
            error: Some(error),
            ..Drawn::default()
        };
        if let Some(outage) = lock(&self.outage).clone() {
            return Ok(failed(outage));
        }
        let row = &chosen.row;
        let read = (self.images).image(
            (&row.uri, &row.etag, row.entry.as_deref()),
            row.size,
            row.synthetic,
        );
        let image = match self.read(read)? {
            Ok((image, _)) => image,
            Err(reason) => return Ok(failed(reason)),
        };
        let (mask, unread) = match (row.synthetic, &row.mask_uri, &chosen.map) {
            (Some(seed), _, Some(_)) => {
                let mask = (self.images).synthetic_mask(seed, image.width, image.height);
                (Some(mask), None)
            }
            (None, Some(uri), Some(_)) => {
                let etag = row.mask_etag.as_deref().unwrap_or_default();
                match self.read(self.images.mask_image(uri, etag))? {
                    Ok(mask) => (Some(mask), None),
                    Err(reason) => (None, Some(reason)),
                }
            }
            _ => (None, chosen.lacks.clone()),
        };
        let drawn = self.attempt.stages.time("draw", 0, || {
            self.pictures(&image, chosen.map.as_deref(), mask.as_ref())
        });
        Ok(match drawn {
            Ok((image, overlay)) => Drawn {
                image: Some(image),
                overlay,
                error: unread,
            },
            Err(error) => failed(one_line(&error)),
        })
    }

    /// Whatever is wrong with an image or its store becomes a reason.
    fn read<T>(
        &self,
        outcome: Result<Result<T, BadImage>, TaskError>,
    ) -> Result<Result<T, String>, TaskError> {
        match outcome {
            Ok(Ok(read)) => Ok(Ok(read)),
            Ok(Err(bad)) => Ok(Err(bad.describe())),
            Err(TaskError::Cancelled) => Err(TaskError::Cancelled),
            Err(error) => {
                let reason = one_line(&error);
                if error.class() == FailureClass::Unavailable {
                    lock(&self.outage).get_or_insert_with(|| reason.clone());
                }
                Ok(Err(reason))
            }
        }
    }

    fn pictures(
        &self,
        image: &Image,
        map: Option<&[f32]>,
        mask: Option<&Mask>,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), vision::VisionError> {
        let small = Thumbnail::new(image, SIDE);
        let plain = encode_jpeg(&small.image, QUALITY)?;
        let Some((map, scale)) = map.zip(self.scale) else {
            return Ok((plain, None));
        };
        let heat = Heat::new(map, self.images.preprocess, scale.heat)?;
        let overlay = encode_jpeg(&small.overlay(&heat, mask)?, QUALITY)?;
        Ok((plain, Some(overlay)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(label: Label, map: Option<Vec<f32>>) -> Chosen {
        Chosen {
            row: ExtremeRow {
                sample: 0,
                uri: "a".to_owned(),
                etag: String::new(),
                size: 0,
                label: label.as_str().to_owned(),
                score: 0.0,
                mask_uri: None,
                mask_etag: None,
                synthetic: None,
                entry: None,
                cells: None,
            },
            list: "worst",
            rank: 0,
            map,
            lacks: None,
        }
    }

    fn bounds(chosen: &[Chosen]) -> Option<[f32; 2]> {
        scale(chosen).map(|scale| [scale.low, scale.high])
    }

    #[test]
    fn heat_begins_above_what_is_normal_and_is_full_where_defects_are() {
        let normal = || chosen(Label::Normal, Some((0..=100).map(|i| i as f32).collect()));
        let defect = |high: f32| chosen(Label::Anomalous, Some(vec![1.0, high, 2.0]));
        assert_eq!(
            bounds(&[normal(), defect(900.0), defect(200.0), defect(300.0)]),
            Some([95.0, 300.0])
        );
        // No defect stands out, or there is none.
        assert_eq!(bounds(&[normal(), defect(50.0)]), Some([95.0, 100.0]));
        assert_eq!(bounds(&[normal()]), Some([95.0, 100.0]));
        assert_eq!(bounds(&[defect(7.0)]), None);
        // Maps that say nothing, and no maps.
        assert_eq!(bounds(&[chosen(Label::Normal, Some(vec![3.0; 9]))]), None);
        assert_eq!(bounds(&[chosen(Label::Anomalous, None)]), None);
    }

    #[test]
    fn what_is_missing_is_counted_and_the_first_reason_said() {
        let of = |error: Option<&str>| PictureRow {
            run: 0,
            uri: String::new(),
            label: String::new(),
            score: 0.0,
            list: String::new(),
            rank: 0,
            image: None,
            overlay: None,
            heat_low: None,
            heat_high: None,
            error: error.map(str::to_owned),
        };
        assert_eq!(warning(&[of(None)]), None);
        let said = warning(&[of(None), of(Some("gone")), of(Some("cut"))]).unwrap();
        assert!(said.contains("2 of 3") && said.contains("gone"), "{said}");
    }
}
