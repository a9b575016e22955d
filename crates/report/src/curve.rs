//! Curves in the unit square.

use metrics::{FprLimit, Points};

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
}

/// The curves of a run's pixels, where it has them: the scores of images give none of these.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PixelCurves {
    /// True-positive rate over false-positive rate.
    pub roc: Option<Curve>,
    /// Precision over recall.
    pub precision_recall: Option<Curve>,
    /// Per-region overlap over false-positive rate.
    pub pro: Option<Curve>,
    /// Where the area of AUPRO ends, if it is a metric of the run.
    pub fpr_limit: Option<FprLimit>,
    /// Per-image overlap over the false-positive rate of images without a defect, between the bounds of AUPIMO.
    pub pimo: Option<Curve>,
}

/// The curves that the scores of a run's images give.
pub struct ImageCurves {
    pub roc: Points,
    pub precision_recall: Points,
}

#[cfg(test)]
mod tests {
    use super::*;

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
