//! As few points as show the same line.

use std::collections::BinaryHeap;

/// How far a left-out point may lie beside the line that is drawn: a tenth of a pixel of a chart of 250.
const TOLERANCE: f64 = 0.0004;
/// Points that a sketch holds at most: of a curve that only rises or only falls, which is never longer than 2, its points are then
/// less than a tenth of a percent apart.
const HELD: usize = 4096;

/// The points of a curve so far, from its end to its beginning: all of them, or, where that would be too many, those that
/// are at least some distance apart.
#[derive(Debug, Default)]
pub(crate) struct Sketch {
    held: Vec<[f64; 2]>,
    spacing: f64,
}

impl Sketch {
    #[inline]
    pub(crate) fn push(&mut self, point: [f64; 2]) {
        if self.is_far(point) {
            self.held.push(point);
            while self.held.len() >= HELD {
                self.space_out();
            }
        }
    }

    fn space_out(&mut self) {
        self.spacing = (2.0 * self.spacing).max(0.5 / HELD as f64);
        for point in std::mem::take(&mut self.held) {
            if self.is_far(point) {
                self.held.push(point);
            }
        }
    }

    #[inline]
    fn is_far(&self, [x, y]: [f64; 2]) -> bool {
        self.held.last().is_none_or(|[last_x, last_y]| {
            let distance = (last_x - x).abs() + (last_y - y).abs();
            distance > 0.0 && distance >= self.spacing
        })
    }

    /// The points from the curve's beginning on.
    pub(crate) fn finish(mut self, beginning: [f64; 2]) -> Vec<[f64; 2]> {
        if self.held.last() != Some(&beginning) {
            self.held.push(beginning);
        }
        self.into_points()
    }

    /// The same of a curve whose beginning came last.
    pub(crate) fn into_points(mut self) -> Vec<[f64; 2]> {
        self.held.reverse();
        self.held
    }
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
pub(crate) fn thin(points: &[[f64; 2]], most: usize) -> Vec<[f64; 2]> {
    let Some(last) = points.len().checked_sub(1).filter(|last| *last > 0) else {
        return points.to_vec();
    };
    let mut kept = vec![0, last];
    let mut pieces = BinaryHeap::from([Piece::new(points, 0, last)]);
    while let Some(piece) = pieces.pop()
        && piece.distance > TOLERANCE
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
pub(crate) fn distance(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
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
    use super::*;

    #[test]
    fn a_corner_survives_and_a_straight_line_has_two_points() {
        let corner: Vec<[f64; 2]> = (0..=1000)
            .map(|i| [0.0, f64::from(i) / 1000.0])
            .chain((0..=1000).map(|i| [f64::from(i) / 1000.0, 1.0]))
            .collect();
        assert_eq!(thin(&corner, 240), [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]);
        assert_eq!(thin(&corner[..2], 240), corner[..2]);
        assert_eq!(thin(&[], 240), [[0.0; 2]; 0]);
    }

    #[test]
    fn a_sketch_is_bounded_keeps_its_ends_and_leaves_no_gap() {
        let point = |i: u32| {
            let x = 1.0 - f64::from(i) / 1e6;
            [x, x.sqrt()]
        };
        let mut sketch = Sketch::default();
        for i in 0..=1_000_000 {
            sketch.push(point(i));
            assert!(sketch.held.len() < HELD);
        }
        let points = sketch.finish([0.0, 0.0]);
        assert!(points.len() > HELD / 3);
        assert_eq!((points[0], points[points.len() - 1]), ([0.0; 2], [1.0; 2]));
        for pair in points.windows(2) {
            assert!(pair[1][0] - pair[0][0] + pair[1][1] - pair[0][1] < 0.0021);
        }
    }
}
