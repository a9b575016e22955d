//! The images at both ends of each class: those that a model gets most wrong, and those it gets most right.

use std::cmp::Ordering;

use crate::RawScore;

/// Images in each of the four lists.
pub const EXTREMES: usize = 6;

/// The ends of both classes, with something kept of each image. A mergeable state: in any order and grouping the same
/// images are left.
#[derive(Debug, Clone)]
pub struct Extremes<Id, T> {
    /// Highest score first.
    pub normal: Ends<Id, T>,
    /// Lowest score first.
    pub anomalous: Ends<Id, T>,
}

/// One class, the most wrong first; of equal scores the image with the lower id.
#[derive(Debug, Clone)]
pub struct Ends<Id, T> {
    /// Whether a high score is wrong.
    high_is_wrong: bool,
    /// In order; the first and the last [`EXTREMES`] of all that were offered, or all.
    kept: Vec<Kept<Id, T>>,
}

#[derive(Debug, Clone)]
struct Kept<Id, T> {
    score: RawScore,
    id: Id,
    item: T,
}

impl<Id, T> Default for Extremes<Id, T> {
    fn default() -> Self {
        let ends = |high_is_wrong| Ends {
            high_is_wrong,
            kept: Vec::new(),
        };
        Self {
            normal: ends(true),
            anomalous: ends(false),
        }
    }
}

impl<Id: Ord, T> Extremes<Id, T> {
    pub fn of(&mut self, anomalous: bool) -> &mut Ends<Id, T> {
        if anomalous {
            &mut self.anomalous
        } else {
            &mut self.normal
        }
    }

    pub fn merge(&mut self, other: Self) {
        for (ends, others) in [
            (&mut self.normal, other.normal),
            (&mut self.anomalous, other.anomalous),
        ] {
            for one in others.kept {
                ends.offer(one.score, one.id, || one.item);
            }
        }
    }
}

impl<Id: Ord, T> Ends<Id, T> {
    /// Takes an image in if it is among the most extreme so far; only then is what is kept of it made.
    pub fn offer(&mut self, score: RawScore, id: Id, item: impl FnOnce() -> T) {
        let mut place = self
            .kept
            .partition_point(|kept| self.order(kept, score, &id).is_lt());
        if self.kept.len() == 2 * EXTREMES {
            // Of one more than both ends hold, the one between them goes.
            match place.cmp(&EXTREMES) {
                Ordering::Equal => return,
                Ordering::Less => drop(self.kept.remove(EXTREMES - 1)),
                Ordering::Greater => {
                    drop(self.kept.remove(EXTREMES));
                    place -= 1;
                }
            }
        }
        let item = item();
        self.kept.insert(place, Kept { score, id, item });
    }

    fn order(&self, kept: &Kept<Id, T>, score: RawScore, id: &Id) -> Ordering {
        let ascending = kept.score.key().cmp(&score.key());
        let by_score = if self.high_is_wrong {
            ascending.reverse()
        } else {
            ascending
        };
        by_score.then_with(|| kept.id.cmp(id))
    }
}

impl<Id, T> Ends<Id, T> {
    /// The most wrong, the worst of them first.
    pub fn worst(&self) -> impl Iterator<Item = &T> {
        self.kept.iter().take(EXTREMES).map(|kept| &kept.item)
    }

    /// The most right, the best of them first. No image is in both lists: of few images all are among the worst.
    pub fn best(&self) -> impl Iterator<Item = &T> {
        let best = self.kept.iter().skip(EXTREMES).rev();
        best.map(|kept| &kept.item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(images: &[(bool, u8)]) -> Extremes<usize, usize> {
        let mut extremes = Extremes::default();
        for (id, (anomalous, score)) in images.iter().enumerate() {
            let score = RawScore::new(f32::from(*score)).unwrap();
            extremes.of(*anomalous).offer(score, id, || id);
        }
        extremes
    }

    fn lists(extremes: &Extremes<usize, usize>) -> [Vec<usize>; 4] {
        let Extremes { normal, anomalous } = extremes;
        [
            normal.worst().copied().collect(),
            normal.best().copied().collect(),
            anomalous.worst().copied().collect(),
            anomalous.best().copied().collect(),
        ]
    }

    #[test]
    fn the_most_wrong_come_first_and_no_image_twice() {
        let images: Vec<(bool, u8)> = (0..14).map(|i| (i % 2 == 1, i)).collect();
        let normal = vec![12, 10, 8, 6, 4, 2];
        let anomalous = vec![1, 3, 5, 7, 9, 11];
        assert_eq!(lists(&of(&images)), [normal, vec![0], anomalous, vec![13]]);
        assert_eq!(lists(&of(&[])), [const { Vec::<usize>::new() }; 4]);
    }

    #[test]
    fn what_is_not_kept_is_not_made() {
        let mut extremes = Extremes::default();
        let score = RawScore::new(0.0).unwrap();
        for id in (0..6).chain(7..13) {
            extremes.normal.offer(score, id, || id);
        }
        extremes.normal.offer(score, 6, || panic!("it is made"));
    }

    proptest! {
        #[test]
        fn any_grouping_gives_the_ends_of_all_in_order(
            images in proptest::collection::vec((any::<bool>(), 0..20_u8), 0..60),
            cut in 0..60_usize,
        ) {
            let all = of(&images);
            let mut expected = [const { Vec::new() }; 4];
            for anomalous in [false, true] {
                let mut class: Vec<usize> = (0..images.len()).filter(|id| images[*id].0 == anomalous).collect();
                // Stable: the lower id first.
                class.sort_by_key(|id| {
                    let score = i16::from(images[*id].1);
                    if anomalous { score } else { -score }
                });
                let worst = class.len().min(EXTREMES);
                let best = EXTREMES.min(class.len() - worst);
                let at = 2 * usize::from(anomalous);
                expected[at + 1] = class.iter().rev().take(best).copied().collect();
                expected[at] = class[..worst].to_vec();
            }
            prop_assert_eq!(lists(&all), expected);
            let mut parts = [Extremes::default(), Extremes::default()];
            for (id, (anomalous, score)) in images.iter().enumerate().rev() {
                let score = RawScore::new(f32::from(*score)).unwrap();
                parts[usize::from(id < cut)].of(*anomalous).offer(score, id, || id);
            }
            let [mut one, other] = parts;
            one.merge(other);
            prop_assert_eq!(lists(&one), lists(&all));
        }
    }
}
