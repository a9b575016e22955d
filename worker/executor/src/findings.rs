//! What a job that scores images without labels finds in one besides its score: boxes around what is unusual, and the maps and
//! pictures that it keeps.

use std::borrow::Cow;

use job::resolved::Kept;
use metrics::{MinMax, RawScore, Regions, Threshold};
use plan::PlannedRun;
use tables::{AnomalyBox, MapRow, RenderRow, SampleRow};
use vision::{Heat, HeatScale, Image, Thumbnail, VisionError, encode_jpeg, encode_png};

use crate::{
    attempt::Attempt,
    decision::{Given, Scaling, given_threshold},
    error::{TaskError, one_line},
    extremes,
    head::{Finished, Head},
    images::{Images, Seen},
    packages::Opened,
    tasks::names,
};

/// Pixels along the longer side of a picture: as people look at one at a time.
const SIDE: u32 = 512;
/// Of JPEG.
const QUALITY: u8 = 85;
/// Boxes of an image, those with the highest scores: more say that all of it is unusual.
const BOXES: usize = 100;

/// What is looked for.
pub struct Findings {
    run: u32,
    maps: Kept,
    pictures: Kept,
    image: Option<Threshold>,
    /// Of pixels; of images where there is none, as the reference has it.
    pixel: Option<Threshold>,
    /// Of the values of maps that the package has seen.
    scale: Option<Scaling>,
}

/// What one thread keeps.
#[derive(Default)]
pub struct KeptRows {
    maps: Vec<MapRow>,
    renders: Vec<RenderRow>,
}

/// A finished image.
pub struct Subject<'a> {
    pub sample: &'a SampleRow,
    pub seen: Seen,
    pub score: RawScore,
    pub finished: &'a Finished,
}

impl Findings {
    /// `None` for jobs that measure on images with labels.
    pub fn of(run: &PlannedRun, package: Option<&Opened>) -> Result<Option<Self>, TaskError> {
        let spec = &run.spec;
        let Some(package) = package.filter(|_| spec.max_error_rows.is_some()) else {
            return Ok(None);
        };
        let threshold = |of, given: Given| {
            let given = given_threshold(of, Some(&given))?;
            Ok::<_, TaskError>(given.and_then(|(threshold, _)| threshold.ok()))
        };
        let image = threshold(spec.metrics.image_threshold, Given::image(package))?;
        let pixel = threshold(spec.metrics.pixel_threshold, Given::pixel(package))?;
        let scale = package.normalization();
        let scale = scale.pixel.or(scale.image);
        Ok(Some(Self {
            run: run.index,
            maps: spec.maps,
            pictures: spec.pictures,
            image,
            pixel: pixel.or(image),
            scale: scale.map(Scaling::from),
        }))
    }

    /// What a user should know before looking for what is not there.
    pub fn warning(&self) -> Option<String> {
        let anomalous = [self.maps, self.pictures].contains(&Kept::Anomalous);
        (anomalous && self.image.is_none()).then(|| {
            "the package has no threshold, so no image is anomalous: neither maps nor pictures of such are kept; `metrics: {threshold: X}` gives one"
                .to_owned()
        })
    }

    /// Boxes of an image that is anomalous; keeps what is asked for.
    pub fn find(
        &self,
        images: &Images<'_>,
        head: &Head,
        subject: &Subject<'_>,
        kept: &mut KeptRows,
    ) -> Result<Option<Vec<AnomalyBox>>, TaskError> {
        let anomalous = self
            .image
            .map(|threshold| threshold.is_anomalous(subject.score));
        let is_anomalous = anomalous == Some(true);
        let cells = subject.finished.cells.as_deref();
        if let Some(cells) = cells.filter(|_| self.maps.has(is_anomalous)) {
            kept.maps.push(self.map_row(subject, head, cells));
        }
        let is_drawn = self.pictures.has(is_anomalous);
        if !is_anomalous && !is_drawn {
            return Ok(None);
        }
        let map = match (&subject.finished.map, cells) {
            (Some(map), _) => Some(Cow::Borrowed(map.as_slice())),
            (None, cells) => cells.and_then(|cells| head.map(cells)).map(Cow::Owned),
        };
        if is_drawn {
            let row = self.drawn(images, subject, anomalous, map.as_deref())?;
            kept.renders.push(row);
        }
        let boxes = map.zip(self.pixel).filter(|_| is_anomalous);
        let boxes = boxes.map(|(map, pixel)| boxes_of(images, subject.seen, &map, pixel));
        // The size of the map is that of the preprocessor's output: both are the model's.
        boxes
            .transpose()
            .map_err(|error| TaskError::Assignment(error.to_string()))
    }

    fn map_row(&self, subject: &Subject<'_>, head: &Head, cells: &[f32]) -> MapRow {
        let [height, width] = head.grid().unwrap_or_default();
        MapRow {
            sample: subject.sample.sample,
            uri: subject.sample.uri.clone(),
            etag: subject.sample.etag.clone(),
            score: subject.score.value(),
            height: height as u32,
            width: width as u32,
            values: extremes::bytes(cells),
        }
    }

    fn drawn(
        &self,
        images: &Images<'_>,
        subject: &Subject<'_>,
        is_anomalous: Option<bool>,
        map: Option<&[f32]>,
    ) -> Result<RenderRow, TaskError> {
        let sample = subject.sample;
        let row = RenderRow {
            run: self.run,
            uri: sample.uri.clone(),
            etag: sample.etag.clone(),
            score: subject.score.value(),
            is_anomalous,
            ..RenderRow::default()
        };
        let read = images.image(
            (&sample.uri, &sample.etag, sample.entry.as_deref()),
            sample.size,
            sample.synthetic,
        )?;
        let image = match read {
            Ok((image, _)) => image,
            Err(bad) => {
                return Ok(RenderRow {
                    error: Some(bad.describe()),
                    ..row
                });
            }
        };
        let drawn = images.time("draw", || self.pictures(images, &image, map));
        Ok(match drawn {
            Ok(pictures) => RenderRow {
                image: Some(pictures.image),
                overlay: pictures.overlay,
                mask: pictures.mask,
                heat_low: pictures.heat.map(|[low, _]| low),
                heat_high: pictures.heat.map(|[_, high]| high),
                ..row
            },
            Err(error) => RenderRow {
                error: Some(one_line(&error)),
                ..row
            },
        })
    }

    fn pictures(
        &self,
        images: &Images<'_>,
        image: &Image,
        map: Option<&[f32]>,
    ) -> Result<Pictures, VisionError> {
        let small = Thumbnail::new(image, SIDE);
        let plain = encode_jpeg(&small.image, QUALITY)?;
        let heat = map.and_then(|map| Some((map, self.heat(map)?)));
        let Some((map, (ends, scale))) = heat else {
            return Ok(Pictures {
                image: plain,
                overlay: None,
                mask: None,
                heat: None,
            });
        };
        let heat = Heat::new(map, images.preprocess, scale)?;
        let of = [image.height as usize, image.width as usize];
        let above = match self.pixel {
            Some(pixel) => Some(heat.above(of, pixel.value())?),
            None => None,
        };
        let overlay = small.overlay(&heat, above.as_ref())?;
        let mask = above.map(|above| encode_png(&above.to_image()));
        Ok(Pictures {
            image: plain,
            overlay: Some(encode_jpeg(&overlay, QUALITY)?),
            mask: mask.transpose()?,
            heat: Some(ends),
        })
    }

    /// Half of the way from the lowest value that the package has seen to the threshold is nothing, the highest is full. By a
    /// distribution it is two standard deviations to each side of the threshold. Without such values the map's own. `None` if the map
    /// says nothing.
    fn heat(&self, map: &[f32]) -> Option<([f32; 2], HeatScale)> {
        let scale = |[low, high]: [f32; 2]| Some(([low, high], HeatScale::new(low, high)?));
        let own = || {
            let ends = map
                .iter()
                .fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| {
                    [low.min(*value), high.max(*value)]
                });
            scale(ends)
        };
        let known = self.scale.zip(self.pixel);
        let known = known.map(|(scale, pixel)| match scale {
            Scaling::Range(MinMax { min, max }) => [min + (pixel.value() - min) / 2.0, max],
            Scaling::Distribution(values) => [-2.0, 2.0].map(|side| values.score_at(side, pixel)),
        });
        known.and_then(scale).or_else(own)
    }
}

struct Pictures {
    image: Vec<u8>,
    overlay: Option<Vec<u8>>,
    mask: Option<Vec<u8>>,
    heat: Option<[f32; 2]>,
}

/// Around the regions at or above the threshold, in pixels of the image.
fn boxes_of(
    images: &Images<'_>,
    seen: Seen,
    map: &[f32],
    threshold: Threshold,
) -> Result<Vec<AnomalyBox>, VisionError> {
    let [_, width] = images.preprocess.output();
    let mask: Vec<u8> = map
        .iter()
        .map(|value| u8::from(*value >= threshold.value()))
        .collect();
    let size = [seen.height as usize, seen.width as usize];
    let mut boxes = Vec::new();
    for extent in Regions::of_mask(&mask, width).extents(map, width) {
        let corner = |y: usize, x: usize| images.preprocess.source(size, [y as f64, x as f64]);
        let [top, left] = corner(extent.rows.start, extent.columns.start)?;
        let [bottom, right] = corner(extent.rows.end, extent.columns.end)?;
        // Whole pixels: none of the region is outside.
        let along = |first: f64, end: f64, side: u32| {
            let first = (first.max(0.0) as u32).min(side.saturating_sub(1));
            let end = (end.ceil() as u32).clamp(first + 1, side.max(first + 1));
            (first, end - first)
        };
        let (y, height) = along(top, bottom, seen.height);
        let (x, width_of) = along(left, right, seen.width);
        boxes.push(AnomalyBox {
            x,
            y,
            width: width_of,
            height,
            score: extent.highest,
        });
    }
    boxes.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then(a.y.cmp(&b.y))
            .then(a.x.cmp(&b.x))
    });
    boxes.truncate(BOXES);
    Ok(boxes)
}

impl KeptRows {
    pub fn merge(&mut self, other: Self) {
        self.maps.extend(other.maps);
        self.renders.extend(other.renders);
    }

    /// Leaves the tables that there is something for. Of each sample that has a map, the row in theirs, in ascending order.
    pub fn put(mut self, attempt: &Attempt) -> Result<Vec<u64>, TaskError> {
        self.maps.sort_by(|a, b| a.uri.cmp(&b.uri));
        self.renders.sort_by(|a, b| a.uri.cmp(&b.uri));
        let samples = self.maps.iter().map(|row| row.sample).collect();
        if !self.maps.is_empty() {
            attempt.put_table(names::MAPS, self.maps)?;
        }
        if !self.renders.is_empty() {
            attempt.put_table(names::RENDERS, self.renders)?;
        }
        Ok(samples)
    }
}
