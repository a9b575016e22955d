//! Which images of a run are shown.

use std::cmp::Ordering;

use crate::scores::{Scored, Scores, Truth};
use crate::values::Finished;

/// Images in each of the four lists of a run.
pub const PICTURES_PER_LIST: usize = 6;

/// The two ends of both classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Normal images with the highest scores: false alarms, or what is nearest to one.
    WorstNormal,
    /// Anomalous images with the lowest scores: misses, or what is nearest to one.
    WorstAnomalous,
    BestAnomalous,
    BestNormal,
}

impl List {
    /// What matters most comes first: it is shown first, and has its pictures first.
    pub const ALL: [Self; 4] = [
        Self::WorstNormal,
        Self::WorstAnomalous,
        Self::BestAnomalous,
        Self::BestNormal,
    ];

    /// The most extreme first; the uri decides between equal scores. No image is in two lists: where a class has few
    /// images, the worst of them are not shown as best, too.
    pub fn choose(self, scores: &Scores) -> Vec<&Scored> {
        let (truth, highest_first, is_best) = match self {
            Self::WorstNormal => (Truth::Normal, true, false),
            Self::WorstAnomalous => (Truth::Anomalous, false, false),
            Self::BestAnomalous => (Truth::Anomalous, true, true),
            Self::BestNormal => (Truth::Normal, false, true),
        };
        let order = |a: &&Scored, b: &&Scored| -> Ordering {
            let (a_score, b_score) = (a.score.value(), b.score.value());
            let ascending = a_score.partial_cmp(&b_score).unwrap_or(Ordering::Equal);
            let by_score = if highest_first {
                ascending.reverse()
            } else {
                ascending
            };
            // The worst list takes from the other end of the very same order.
            let by_uri = a.uri.cmp(&b.uri);
            by_score.then(if is_best { by_uri.reverse() } else { by_uri })
        };
        let mut all: Vec<&Scored> = scores.of(truth).collect();
        let wanted = if is_best {
            PICTURES_PER_LIST.min(all.len().saturating_sub(PICTURES_PER_LIST))
        } else {
            PICTURES_PER_LIST.min(all.len())
        };
        if wanted > 0 && wanted < all.len() {
            all.select_nth_unstable_by(wanted - 1, order);
        }
        all.truncate(wanted);
        all.sort_unstable_by(order);
        all
    }
}

impl Finished {
    /// The images that a report shows, the most important first: fetch the pictures of these.
    pub fn shown(scores: &Scores) -> Vec<&Scored> {
        List::ALL
            .into_iter()
            .flat_map(|list| list.choose(scores))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use metrics::RawScore;

    use super::*;

    fn scores(normal: usize, anomalous: usize) -> Scores {
        let of = |truth, count: usize| {
            (0..count).map(move |i| Scored {
                uri: format!("{}/{i:03}", Truth::word(truth)),
                truth,
                score: RawScore::new((i * 37 % 101 / 2) as f32).unwrap(),
            })
        };
        Scores::new(
            of(Truth::Normal, normal)
                .chain(of(Truth::Anomalous, anomalous))
                .collect(),
        )
    }

    #[test]
    fn the_most_wrong_come_first() {
        let scores = scores(100, 100);
        let values = |list: List| -> Vec<f32> {
            list.choose(&scores)
                .iter()
                .map(|s| s.score.value())
                .collect()
        };
        assert_eq!(
            values(List::WorstNormal),
            [50.0, 49.0, 49.0, 48.0, 48.0, 47.0]
        );
        assert_eq!(values(List::WorstAnomalous), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(values(List::BestAnomalous), values(List::WorstNormal));
        assert_eq!(values(List::BestNormal), values(List::WorstAnomalous));
        for list in List::ALL {
            let truths: BTreeSet<_> = list
                .choose(&scores)
                .iter()
                .map(|s| s.truth.word())
                .collect();
            assert_eq!(truths.len(), 1);
        }
    }

    #[test]
    fn no_image_is_shown_twice_however_few_there_are() {
        for normal in [0, 1, 5, 6, 7, 11, 12, 13, 40] {
            for anomalous in [0, 1, 6, 9, 13] {
                let scores = scores(normal, anomalous);
                let shown = Finished::shown(&scores);
                let expected =
                    normal.min(2 * PICTURES_PER_LIST) + anomalous.min(2 * PICTURES_PER_LIST);
                assert_eq!(shown.len(), expected, "{normal} and {anomalous}");
                let distinct: BTreeSet<&str> = shown.iter().map(|s| s.uri.as_str()).collect();
                assert_eq!(distinct.len(), expected);
            }
        }
    }
}
