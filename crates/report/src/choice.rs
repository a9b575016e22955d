//! Which images of a run are shown.

use metrics::{EXTREMES, Extremes};

use crate::scores::{Scored, Scores, Truth};
use crate::values::Finished;

/// Images in each of the lists of a run.
pub const PICTURES_PER_LIST: usize = EXTREMES;

/// The two ends of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Normal images with the highest scores: false alarms, or what is nearest to one.
    WorstNormal,
    /// Anomalous images with the lowest scores: misses, or what is nearest to one.
    WorstAnomalous,
    BestAnomalous,
    BestNormal,
    /// The highest scores of images of which nobody has said what they show.
    Highest,
    Lowest,
}

impl List {
    /// What matters most comes first: it is shown first, and has its pictures first.
    pub const ALL: [Self; 6] = [
        Self::WorstNormal,
        Self::WorstAnomalous,
        Self::BestAnomalous,
        Self::BestNormal,
        Self::Highest,
        Self::Lowest,
    ];

    /// The images of each list, in the order of [`List::ALL`].
    pub fn choose(scores: &Scores) -> [Vec<&Scored>; 6] {
        let [mut extremes, mut of_unknown] = [Extremes::default(), Extremes::default()];
        for scored in scores.iter() {
            let class = match scored.truth {
                Truth::Normal => extremes.of(false),
                Truth::Anomalous => extremes.of(true),
                // As where their pictures are drawn.
                Truth::Unknown => of_unknown.of(false),
            };
            class.offer(scored.score, scored.uri.as_str(), || scored);
        }
        let Extremes { normal, anomalous } = &extremes;
        Self::ALL.map(|list| match list {
            Self::WorstNormal => normal.worst().copied().collect(),
            Self::WorstAnomalous => anomalous.worst().copied().collect(),
            Self::BestAnomalous => anomalous.best().copied().collect(),
            Self::BestNormal => normal.best().copied().collect(),
            Self::Highest => of_unknown.normal.worst().copied().collect(),
            Self::Lowest => of_unknown.normal.best().copied().collect(),
        })
    }
}

impl Finished {
    /// The images that a report shows, the most important first: fetch the pictures of these.
    pub fn shown(scores: &Scores) -> Vec<&Scored> {
        List::choose(scores).into_iter().flatten().collect()
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
        let lists = List::choose(&scores);
        let values = lists
            .each_ref()
            .map(|list| list.iter().map(|s| s.score.value()).collect::<Vec<_>>());
        let [highest, lowest] = [
            [50.0, 49.0, 49.0, 48.0, 48.0, 47.0],
            [0.0, 0.0, 1.0, 1.0, 2.0, 2.0],
        ];
        assert_eq!(values[..4], [highest, lowest, highest, lowest]);
        assert_eq!(values[4..], [vec![], vec![]]);
        for list in &lists[..4] {
            let truths: BTreeSet<_> = list.iter().map(|s| s.truth.word()).collect();
            assert_eq!(truths.len(), 1);
        }
    }

    #[test]
    fn of_images_without_label_both_ends_are_shown() {
        let unknown = |scored: &Scored| Scored {
            truth: Truth::Unknown,
            ..scored.clone()
        };
        let scores = Scores::new(scores(100, 0).iter().map(unknown).collect());
        let lists = List::choose(&scores);
        let ends = lists.each_ref().map(|list| {
            let first = list.first()?;
            Some((first.score.value(), list.len()))
        });
        let [highest, lowest] = [Some((50.0, 6)), Some((0.0, 6))];
        assert_eq!(ends, [None, None, None, None, highest, lowest]);
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
