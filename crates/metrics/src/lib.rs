//! Metrics of anomaly scores: mergeable states of exact integer counts, and the numbers that finish them.
//!
//! Everything starts from a [`RawScore`]: normalized or clamped scores have no way in. A [`ScoreCounts`] holds
//! how often each score was seen on normal and on anomalous items, with what each of these is of its image and of its
//! defect [`Regions`]; it merges in any order to the same state, goes to bytes and back, and many of them are read as one
//! by a [`Merge`] in bounded memory. One ascending [`Pass`] over either gives every number of a [`Summary`].
//!
//! A number that cannot exist is a reason ([`Undefined`]), never NaN.

mod agreement;
pub mod aupimo;
pub mod aupr;
pub mod aupro;
pub mod auroc;
mod binned;
mod counts;
mod curves;
mod extremes;
pub mod f1_adaptive_threshold;
pub mod f1_score;
pub mod false_positive_rate;
pub mod manual_threshold;
pub mod min_max;
mod ordered;
mod overlap;
pub mod paired;
pub mod pro;
mod radix;
mod regions;
mod registry;
mod score;
pub mod score_distribution;
mod state;
mod summary;
mod threshold;
mod undefined;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;

pub use agreement::{Agreement, Comparison, Difference, Incomparable, rank_correlation};
pub use aupimo::{FprBounds, PimoPoint, SharedFpr};
pub use aupro::FprLimit;
pub use auroc::auroc_interval;
pub use binned::{Binned, BinnedCounts, Bounded};
pub use counts::ScoreCounts;
pub use curves::{CURVE_POINTS, Curves, Points};
pub use extremes::{EXTREMES, Ends, Extremes};
pub use f1_score::{Confusion, Decided};
pub use false_positive_rate::{AtRate, FalsePositiveRate};
pub use min_max::{MinMax, normalize};
pub use ordered::{Step, Totals};
pub use overlap::Overlap;
pub use regions::{Extent, Regions};
pub use registry::{OF_PIXELS_ONLY, REGISTRY, THRESHOLDS};
pub use score::{NotFinite, RawScore, RawScores};
pub use score_distribution::ScoreDistribution;
pub use state::{Merge, StateError, StateReader, StateWriter};
pub use summary::{Asked, Pass, Summary};
pub use threshold::{Origin, SplitRole, Threshold};
pub use undefined::Undefined;

/// Lower and upper end of a 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Two-sided 95 % quantile of the standard normal distribution.
pub(crate) const Z_95: f64 = 1.959_963_984_540_054;
