//! Curves for drawing: few points, of which the ends are exact.
//!
//! Every score that occurs is a threshold and gives a point; the points are to be joined by straight lines. While they are
//! no more than wanted, all are there but those in the middle of a level or upright line. Else points are left out that are
//! nearer to the last one kept than a distance that doubles until few enough are left. What is drawn from one pass of
//! any state, in memory for the wanted points only, depends on nothing but the scores.

#[cfg(test)]
mod tests;

use std::io::Read;

use crate::ordered::Below;
use crate::{Merge, ScoreCounts, StateError, Step, Totals, Undefined};

/// A point of a curve, both from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// The curves of one level of one split.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Share of anomalous items at or above a score, over that of normal ones: from (0, 0) to (1, 1).
    pub roc: Result<Vec<Point>, Undefined>,
    /// Share of anomalous items among those at or above a score, over the share of all anomalous ones that are: from (0, 1)
    /// to recall 1 at the lowest score.
    pub precision_recall: Result<Vec<Point>, Undefined>,
    /// Mean share of a defect region at or above a score, over the share of normal pixels: from (0, 0) to (1, 1).
    pub pro: Result<Vec<Point>, Undefined>,
}

/// Takes all scores in ascending order.
struct CurvePass {
    totals: Totals,
    below: Below,
    roc: Thinned,
    precision_recall: Thinned,
    pro: Thinned,
}

impl CurvePass {
    fn new(totals: Totals, most: usize) -> Self {
        Self {
            totals,
            below: Below::default(),
            roc: Thinned::new(most),
            precision_recall: Thinned::new(most),
            pro: Thinned::new(most),
        }
    }

    /// Adds the points of the threshold at this step.
    fn step(&mut self, step: Step) {
        let (all, below) = (self.totals, self.below);
        let (normal, found) = (all.normal - below.normal, all.anomalous - below.anomalous);
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        let (fpr, recall) = (share(normal, all.normal), share(found, all.anomalous));
        if all.anomalous > 0 {
            let precision = share(found, found + normal);
            self.precision_recall.push(Point {
                x: recall,
                y: precision,
            });
            if all.normal > 0 {
                self.roc.push(Point { x: fpr, y: recall });
                let overlap = 1.0 - below.overlap.mean(all.regions);
                self.pro.push(Point { x: fpr, y: overlap });
            }
        }
        self.below.add(step);
    }

    fn finish(self) -> Curves {
        let totals = self.totals;
        let finished = |thinned: Thinned, end: Point, defined: bool| {
            if totals.is_empty() {
                Err(Undefined::Empty)
            } else if !defined {
                Err(Undefined::OneClass)
            } else {
                Ok(thinned.finish(end))
            }
        };
        let both = totals.normal > 0 && totals.anomalous > 0;
        let nothing = Point { x: 0.0, y: 0.0 };
        Curves {
            roc: finished(self.roc, nothing, both),
            precision_recall: finished(
                self.precision_recall,
                Point { x: 0.0, y: 1.0 },
                totals.anomalous > 0,
            ),
            pro: finished(self.pro, nothing, both),
        }
    }
}

/// Points of a curve so far, the first among them, and no more than wanted.
struct Thinned {
    most: usize,
    kept: Vec<Point>,
    /// The last point at which the curve turned, whether kept or not, and the last that came.
    turn: Option<Point>,
    last: Option<Point>,
    /// What is nearer to the last one kept is not.
    spacing: f64,
}

impl Thinned {
    /// At least 2 points: the ends.
    fn new(most: usize) -> Self {
        Self {
            most: most.max(2),
            kept: Vec::new(),
            turn: None,
            last: None,
            spacing: 0.0,
        }
    }

    fn push(&mut self, point: Point) {
        let last = self.last.replace(point).unwrap_or(point);
        let goes_on = self.turn.is_some_and(|turn| {
            let level = turn.y == last.y && last.y == point.y;
            let upright = turn.x == last.x && last.x == point.x;
            level || upright
        });
        if !goes_on {
            self.turn = Some(last);
            self.keep(last);
        }
    }

    fn keep(&mut self, point: Point) {
        if self.is_far(point) {
            self.kept.push(point);
        }
        // One place is for the end.
        while self.kept.len() >= self.most {
            self.spacing = (2.0 * self.spacing).max(0.5 / self.most as f64);
            let all = std::mem::take(&mut self.kept);
            for point in all {
                if self.is_far(point) {
                    self.kept.push(point);
                }
            }
        }
    }

    fn is_far(&self, point: Point) -> bool {
        let distance = |kept: &Point| (kept.x - point.x).abs() + (kept.y - point.y).abs();
        let last = self.kept.last().map(distance);
        last.is_none_or(|distance| distance > 0.0 && distance >= self.spacing)
    }

    /// The points from the end backwards.
    fn finish(mut self, end: Point) -> Vec<Point> {
        self.push(end);
        if self.kept.last() != Some(&end) {
            self.kept.push(end);
        }
        self.kept.reverse();
        self.kept
    }
}

impl ScoreCounts {
    /// All curves, each of at most so many points, but at least its ends.
    pub fn curves(&mut self, most: usize) -> Curves {
        let mut pass = CurvePass::new(self.totals(), most);
        self.ordered().for_each(|step| pass.step(step));
        pass.finish()
    }

    /// The points of the ROC curve ([`Curves::roc`]).
    pub fn roc_points(&mut self, most: usize) -> Result<Vec<Point>, Undefined> {
        self.curves(most).roc
    }

    /// The points of the precision-recall curve ([`Curves::precision_recall`]).
    pub fn pr_points(&mut self, most: usize) -> Result<Vec<Point>, Undefined> {
        self.curves(most).precision_recall
    }
}

impl<R: Read> Merge<R> {
    /// All curves, each of at most so many points, but at least its ends.
    pub fn curves(self, most: usize) -> Result<Curves, StateError> {
        let mut pass = CurvePass::new(self.totals(), most);
        self.for_each(|step| {
            pass.step(step);
            Ok(())
        })?;
        Ok(pass.finish())
    }
}
