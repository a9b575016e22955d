//! How often scores occur, in bins that no threshold cuts.

use crate::scores::{Cut, Scores, Truth};

/// Bins that a histogram has about.
const BINS: usize = 40;

/// Counts of each class over the same bins of equal width.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Lower end of the first bin.
    pub low: f64,
    pub width: f64,
    pub normal: Vec<u64>,
    pub anomalous: Vec<u64>,
    /// Images of which nobody has said what they show.
    pub unknown: Vec<u64>,
    /// Bins below this one are below the threshold; the number of bins if all are.
    pub decided_from: Option<usize>,
}

impl Histogram {
    /// `None` without a score. The threshold is always within, at the edge of a bin, so that a bin is on one side of it.
    pub fn new(scores: &Scores, cut: Option<&Cut>) -> Option<Self> {
        let threshold = cut.map(|cut| f64::from(cut.threshold.value()));
        let values = || scores.iter().map(|scored| f64::from(scored.score.value()));
        if scores.is_empty() {
            return None;
        }
        let all = || values().chain(threshold);
        let (low, high) = (
            all().fold(f64::INFINITY, f64::min),
            all().fold(f64::NEG_INFINITY, f64::max),
        );
        // Scores that are all the same still have a place in the middle of something.
        let span = if high > low {
            high - low
        } else {
            low.abs().max(1.0) * 1e-3
        };
        let width = span / BINS as f64;
        let (first, below) = match threshold {
            Some(threshold) => {
                let below = ((threshold - low) / width).ceil();
                (threshold - below * width, Some(below as usize))
            }
            None => (low, None),
        };
        let bins = (((high - first) / width).floor() as usize + 1).max(below.unwrap_or(0));
        let mut histogram = Self {
            low: first,
            width,
            normal: vec![0; bins],
            anomalous: vec![0; bins],
            unknown: vec![0; bins],
            decided_from: below,
        };
        for scored in scores.iter() {
            let at = ((f64::from(scored.score.value()) - first) / width).floor();
            let at = (at.max(0.0) as usize).min(bins - 1);
            // The decision counts, not the rounding of an edge.
            let at = match (cut, below) {
                (Some(cut), Some(edge)) if cut.threshold.is_anomalous(scored.score) => at.max(edge),
                (Some(_), Some(edge)) => at.min(edge.saturating_sub(1)),
                _ => at,
            };
            let counts = match scored.truth {
                Truth::Normal => &mut histogram.normal,
                Truth::Anomalous => &mut histogram.anomalous,
                Truth::Unknown => &mut histogram.unknown,
            };
            if let Some(count) = counts.get_mut(at) {
                *count += 1;
            }
        }
        Some(histogram)
    }

    /// The classes that are drawn: both that labels name unless there is no label at all, and what has none.
    pub(crate) fn classes(&self) -> Vec<(Truth, &[u64])> {
        let has = |counts: &[u64]| counts.iter().any(|count| *count > 0);
        let mut classes = Vec::new();
        if has(&self.normal) || has(&self.anomalous) || !has(&self.unknown) {
            classes.push((Truth::Normal, &self.normal[..]));
            classes.push((Truth::Anomalous, &self.anomalous[..]));
        }
        if has(&self.unknown) {
            classes.push((Truth::Unknown, &self.unknown[..]));
        }
        classes
    }

    pub fn high(&self) -> f64 {
        self.low + self.width * self.normal.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use metrics::{Origin, RawScore, Threshold};

    use super::*;
    use crate::scores::Scored;

    fn scores(normal: &[f32], anomalous: &[f32]) -> Scores {
        let of = |truth, scores: &[f32]| -> Vec<Scored> {
            scores
                .iter()
                .map(|score| Scored {
                    uri: format!("{score}.png"),
                    truth,
                    score: RawScore::new(*score).unwrap(),
                })
                .collect()
        };
        let mut all = of(Truth::Normal, normal);
        all.extend(of(Truth::Anomalous, anomalous));
        Scores::new(all)
    }

    fn cut(threshold: f32) -> Cut {
        Cut {
            threshold: Threshold::restore(threshold, Origin::Manual).unwrap(),
            of_package: false,
        }
    }

    #[test]
    fn every_score_is_counted_once_and_on_its_side_of_the_threshold() {
        let normal: Vec<f32> = (0..500).map(|i| (i % 97) as f32 / 7.0).collect();
        let anomalous: Vec<f32> = (0..300).map(|i| 5.0 + (i % 89) as f32 / 3.0).collect();
        let scores = scores(&normal, &anomalous);
        for threshold in [-3.0, 0.0, 5.0, 7.123, 13.714, 34.333, 90.0] {
            let cut = cut(threshold);
            let histogram = Histogram::new(&scores, Some(&cut)).unwrap();
            let edge = histogram.decided_from.unwrap();
            let place = histogram.low + edge as f64 * histogram.width;
            assert!((place - f64::from(threshold)).abs() < 1e-9 * place.abs().max(1.0));
            let confusion = scores.confusion(&cut);
            let below: u64 = histogram.normal[..edge].iter().sum();
            let above: u64 = histogram.anomalous[edge..].iter().sum();
            assert_eq!(
                (below, above),
                (confusion.true_negatives, confusion.true_positives),
                "threshold {threshold}"
            );
            assert_eq!(histogram.normal.iter().sum::<u64>(), 500);
            assert_eq!(histogram.anomalous.iter().sum::<u64>(), 300);
            assert!(histogram.normal.len() <= BINS + 2);
        }
    }

    #[test]
    fn scores_that_are_all_the_same_or_very_large_have_bins_too() {
        for value in [0.0, 7.0, -1e-30, f32::MAX, f32::MIN] {
            for cut in [None, Some(cut(value)), Some(cut(1.0))] {
                let scores = scores(&[value; 3], &[value]);
                let histogram = Histogram::new(&scores, cut.as_ref()).unwrap();
                assert_eq!(histogram.normal.iter().sum::<u64>(), 3);
                assert!(histogram.width > 0.0 && histogram.high().is_finite());
            }
        }
        assert_eq!(Histogram::new(&Scores::default(), Some(&cut(1.0))), None);
    }

    #[test]
    fn images_without_label_are_a_class_of_their_own() {
        let unlabelled = |scores: &Scores| {
            let unknown = |scored: &Scored| Scored {
                truth: Truth::Unknown,
                ..scored.clone()
            };
            Scores::new(scores.iter().map(unknown).collect())
        };
        let all = unlabelled(&scores(&[1.0, 2.0], &[9.0]));
        let histogram = Histogram::new(&all, Some(&cut(5.0))).unwrap();
        let drawn: Vec<Truth> = histogram
            .classes()
            .iter()
            .map(|(truth, _)| *truth)
            .collect();
        assert_eq!(drawn, [Truth::Unknown]);
        let edge = histogram.decided_from.unwrap();
        let (below, above) = histogram.unknown.split_at(edge);
        assert_eq!([below, above].map(|part| part.iter().sum::<u64>()), [2, 1]);
        assert_eq!(histogram.normal.iter().sum::<u64>(), 0);
        let labelled = Histogram::new(&scores(&[1.0], &[]), None).unwrap();
        assert_eq!(labelled.classes().len(), 2);
    }
}
