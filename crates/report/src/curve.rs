//! Curves in the unit square, and as few of their points as show the same line.

use std::collections::BinaryHeap;

use metrics::{FprLimit, ScoreCounts, Undefined};

/// Points that a drawn curve has at most.
const DRAWN: usize = 240;
/// How far a left-out point may lie beside the drawn line: a tenth of a pixel of the charts.
const TOLERANCE: f64 = 0.0004;

/// At least two points in the unit square, joined by straight lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve(Vec<[f64; 2]>);

/// Why points are no curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NotACurve {
    TooFew,
    /// The position of a point that is not in the unit square.
    Outside {
        at: usize,
    },
}

impl std::error::Error for NotACurve {}

impl std::fmt::Display for NotACurve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooFew => f.write_str("a curve needs two points"),
            Self::Outside { at } => write!(f, "point {at} of the curve is not within 0 and 1"),
        }
    }
}

impl Curve {
    pub fn new(points: Vec<[f64; 2]>) -> Result<Self, NotACurve> {
        let inside = |point: &[f64; 2]| point.iter().all(|part| (0.0..=1.0).contains(part));
        if let Some(at) = points.iter().position(|point| !inside(point)) {
            return Err(NotACurve::Outside { at });
        }
        if points.len() < 2 {
            return Err(NotACurve::TooFew);
        }
        Ok(Self(points))
    }

    pub fn points(&self) -> &[[f64; 2]] {
        &self.0
    }

    /// False-positive rate and true-positive rate at every score that occurs.
    pub(crate) fn roc(counts: &mut ScoreCounts) -> Result<Self, Undefined> {
        let totals = both_classes(counts)?;
        let [normals, anomalous] = totals.map(|total| total as f64);
        Ok(Self::of_tails(counts, [0.0, 0.0], |[fp, tp]| {
            [fp / normals, tp / anomalous]
        }))
    }

    /// Recall and precision at every score that occurs, from recall 0 with precision 1 on, as AUPR counts.
    pub(crate) fn precision_recall(counts: &mut ScoreCounts) -> Result<Self, Undefined> {
        let [_, anomalous] = both_classes(counts)?.map(|total| total as f64);
        Ok(Self::of_tails(counts, [0.0, 1.0], |[fp, tp]| {
            [tp / anomalous, tp / (tp + fp)]
        }))
    }

    /// `point` of how many normal and anomalous items are at or above each score, from the highest on.
    fn of_tails(
        counts: &mut ScoreCounts,
        first: [f64; 2],
        point: impl Fn([f64; 2]) -> [f64; 2],
    ) -> Self {
        let totals = counts.totals();
        let (mut normal, mut anomalous) = (totals.normal, totals.anomalous);
        let mut points: Vec<[f64; 2]> = counts
            .ordered()
            .map(|step| {
                let here = point([normal as f64, anomalous as f64]);
                normal -= step.normal;
                anomalous -= step.anomalous;
                here
            })
            .collect();
        points.push(first);
        points.reverse();
        Self(points)
    }

    /// The same line with at most [`DRAWN`] points.
    pub(crate) fn thinned(&self) -> Vec<[f64; 2]> {
        thin(&self.0, DRAWN, TOLERANCE)
    }
}

fn both_classes(counts: &ScoreCounts) -> Result<[u64; 2], Undefined> {
    let totals = counts.totals();
    if totals.is_empty() {
        Err(Undefined::Empty)
    } else if totals.normal == 0 || totals.anomalous == 0 {
        Err(Undefined::OneClass)
    } else {
        Ok([totals.normal, totals.anomalous])
    }
}

/// The per-region overlap over the false-positive rate of pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct ProCurve {
    pub curve: Curve,
    /// Where the area of AUPRO ends.
    pub limit: FprLimit,
}

/// A piece of a curve and its point that lies farthest from the straight line between the ends.
struct Piece {
    distance: f64,
    first: usize,
    farthest: usize,
    last: usize,
}

impl Piece {
    fn new(points: &[[f64; 2]], first: usize, last: usize) -> Self {
        let mut piece = Self {
            distance: 0.0,
            first,
            farthest: first,
            last,
        };
        for at in first + 1..last {
            let distance = distance(points[at], points[first], points[last]);
            if distance > piece.distance {
                (piece.distance, piece.farthest) = (distance, at);
            }
        }
        piece
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Piece {}

impl PartialOrd for Piece {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Piece {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Of equal distances the earlier piece: the same points give the same drawing.
        let by_distance = self.distance.total_cmp(&other.distance);
        by_distance.then(other.first.cmp(&self.first))
    }
}

/// Keeps both ends, then again and again the point that the line misses most, until it misses none or there are enough.
fn thin(points: &[[f64; 2]], most: usize, tolerance: f64) -> Vec<[f64; 2]> {
    let Some(last) = points.len().checked_sub(1).filter(|last| *last > 0) else {
        return points.to_vec();
    };
    let mut kept = vec![0, last];
    let mut pieces = BinaryHeap::from([Piece::new(points, 0, last)]);
    while let Some(piece) = pieces.pop()
        && piece.distance > tolerance
        && kept.len() < most
    {
        kept.push(piece.farthest);
        pieces.push(Piece::new(points, piece.first, piece.farthest));
        pieces.push(Piece::new(points, piece.farthest, piece.last));
    }
    kept.sort_unstable();
    kept.into_iter().map(|at| points[at]).collect()
}

/// Of a point from the line between two others.
fn distance(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let away = [point[0] - from[0], point[1] - from[1]];
    let length = along[0].hypot(along[1]);
    if length == 0.0 {
        away[0].hypot(away[1])
    } else {
        // Beyond an end the nearest place of the line is that end.
        let share = ((away[0] * along[0] + away[1] * along[1]) / (length * length)).clamp(0.0, 1.0);
        (away[0] - share * along[0]).hypot(away[1] - share * along[1])
    }
}

#[cfg(test)]
mod tests {
    use metrics::RawScore;

    use super::*;

    fn counts(normal: &[f32], anomalous: &[f32]) -> ScoreCounts {
        let mut counts = ScoreCounts::new();
        for (scores, label) in [(normal, false), (anomalous, true)] {
            for score in scores {
                counts.observe(RawScore::new(*score).unwrap(), label);
            }
        }
        counts
    }

    /// By the trapezoid rule.
    fn area(points: &[[f64; 2]]) -> f64 {
        points
            .windows(2)
            .map(|pair| (pair[1][0] - pair[0][0]) * (pair[0][1] + pair[1][1]) / 2.0)
            .sum()
    }

    /// Scores that overlap, with ties.
    fn many() -> ScoreCounts {
        let scores = |offset: u32| -> Vec<f32> {
            (0..4_000_u32)
                .map(|i| ((i * 7919 % 1009 + i * 31 % 577 + offset) / 3) as f32)
                .collect()
        };
        counts(&scores(0), &scores(400))
    }

    #[test]
    fn curves_by_hand() {
        // Descending: 4 anomalous, 3 both, 1 normal.
        let mut counts = counts(&[1.0, 3.0], &[3.0, 4.0]);
        assert_eq!(
            Curve::roc(&mut counts).unwrap().points(),
            [[0.0, 0.0], [0.0, 0.5], [0.5, 1.0], [1.0, 1.0]]
        );
        assert_eq!(
            Curve::precision_recall(&mut counts).unwrap().points(),
            [[0.0, 1.0], [0.5, 1.0], [1.0, 2.0 / 3.0], [1.0, 0.5]]
        );
    }

    #[test]
    fn the_areas_below_are_the_metrics() {
        let mut counts = many();
        let summary = counts.summary(&[]);
        let roc = Curve::roc(&mut counts).unwrap();
        assert!((area(roc.points()) - summary.auroc.unwrap()).abs() < 1e-12);
        let pr = Curve::precision_recall(&mut counts).unwrap();
        assert!((area(pr.points()) - summary.aupr.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn one_class_has_no_curve_and_a_reason() {
        for (normal, anomalous, reason) in [
            (&[][..], &[][..], Undefined::Empty),
            (&[1.0], &[], Undefined::OneClass),
            (&[], &[1.0], Undefined::OneClass),
        ] {
            let mut counts = counts(normal, anomalous);
            assert_eq!(Curve::roc(&mut counts), Err(reason));
            assert_eq!(Curve::precision_recall(&mut counts), Err(reason));
        }
    }

    #[test]
    fn what_is_drawn_is_short_and_the_same_line() {
        let mut counts = many();
        for curve in [
            Curve::roc(&mut counts),
            Curve::precision_recall(&mut counts),
        ] {
            let curve = curve.unwrap();
            let thinned = curve.thinned();
            assert!(curve.points().len() > 2 * DRAWN && thinned.len() <= DRAWN);
            assert_eq!(thinned.first(), curve.points().first());
            assert_eq!(thinned.last(), curve.points().last());
            // Every point lies within a third of a pixel of the drawn line, of 300 pixels.
            for point in curve.points() {
                let nearest = thinned
                    .windows(2)
                    .map(|pair| distance(*point, pair[0], pair[1]))
                    .fold(f64::INFINITY, f64::min);
                assert!(nearest < 0.001, "{point:?} is {nearest} away");
            }
        }
    }

    #[test]
    fn a_corner_survives_and_a_straight_line_has_two_points() {
        let corner: Vec<[f64; 2]> = (0..=1000)
            .map(|i| [0.0, f64::from(i) / 1000.0])
            .chain((0..=1000).map(|i| [f64::from(i) / 1000.0, 1.0]))
            .collect();
        assert_eq!(
            thin(&corner, DRAWN, TOLERANCE),
            [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
        );
        assert_eq!(thin(&corner[..2], DRAWN, TOLERANCE), corner[..2]);
        assert_eq!(thin(&[], DRAWN, TOLERANCE), [[0.0; 2]; 0]);
    }

    #[test]
    fn what_leaves_the_square_is_no_curve() {
        assert_eq!(Curve::new(vec![[0.0, 0.0]]), Err(NotACurve::TooFew));
        for bad in [f64::NAN, -0.1, 1.1] {
            let points = vec![[0.0, 0.0], [0.5, bad]];
            assert_eq!(Curve::new(points), Err(NotACurve::Outside { at: 1 }));
        }
        assert!(Curve::new(vec![[0.0, 0.0], [1.0, 1.0]]).is_ok());
    }
}
