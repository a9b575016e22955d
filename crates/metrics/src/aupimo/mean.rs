//! The mean of the PIMO curves of all images with a defect.

use super::{FprBounds, Rate, check};
use crate::curves::{CURVE_POINTS, Points, Sketch, thin};
use crate::ordered::Below;
use crate::{Totals, Undefined};

/// The curve so far, from rate 1 on downwards, between the bounds.
#[derive(Debug)]
pub(crate) struct MeanPimo {
    totals: Totals,
    rate: Rate,
    bounds: FprBounds,
    /// Of the last point: shared false-positive rate, mean share of defects found.
    last: [f64; 2],
    /// The rates by their logarithm, from 0 to 1 between the bounds: as they are drawn.
    sketch: Sketch,
}

impl MeanPimo {
    pub(crate) fn new(totals: Totals, bounds: FprBounds) -> Self {
        Self {
            totals,
            rate: Rate::of(totals),
            bounds,
            last: [1.0, 1.0],
            sketch: Sketch::default(),
        }
    }

    /// Of the threshold above all that is below.
    pub(crate) fn point(&mut self, below: Below) {
        // Before the upper bound nothing is drawn.
        if self.totals.clear_pixels > 0 && self.last[0] >= self.bounds.lower() {
            let found = 1.0 - below.defect.mean(self.totals.defective_images);
            self.line_to([self.rate.without(below.clear), found]);
        }
    }

    fn line_to(&mut self, next: [f64; 2]) {
        let FprBounds { lower, upper } = self.bounds;
        let last = std::mem::replace(&mut self.last, next);
        for bound in [upper, lower] {
            if next[0] < bound && bound < last[0] {
                let share = (bound - last[0]) / (next[0] - last[0]);
                self.push([bound, last[1] + share * (next[1] - last[1])]);
            }
        }
        if (lower..=upper).contains(&next[0]) {
            self.push(next);
        }
    }

    fn push(&mut self, [rate, found]: [f64; 2]) {
        let FprBounds { lower, upper } = self.bounds;
        let place = (rate / lower).ln() / (upper / lower).ln();
        self.sketch.push([place, found]);
    }

    pub(crate) fn finish(mut self) -> Points {
        check(self.totals, self.bounds)?;
        if self.totals.defective_images == 0 {
            return Err(Undefined::OneClass);
        }
        if self.last[0] >= self.bounds.lower() {
            self.line_to([0.0, 0.0]);
        }
        let FprBounds { lower, upper } = self.bounds;
        let mut points = thin(&self.sketch.into_points(), CURVE_POINTS);
        for point in &mut points {
            point[0] = (lower * (upper / lower).powf(point[0])).clamp(lower, upper);
        }
        Ok(points)
    }
}
