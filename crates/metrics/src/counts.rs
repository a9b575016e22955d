//! The one mergeable state that all metrics finish from.

#[cfg(test)]
use crate::{Merge, StateReader};
use crate::{Pass, RawScore, RawScores, StateError, StateWriter, Step, Summary, Threshold, Totals};
use crate::{radix, score};

/// How often each score was seen on normal and on anomalous items.
///
/// Exact: merging states in any order and grouping gives the state of all their items. Memory is four bytes an item;
/// where that is too much, write states out ([`ScoreCounts::to_bytes`]) and read them together with [`Merge`](crate::Merge).
#[derive(Debug, Clone, Default)]
pub struct ScoreCounts {
    normal: Class,
    anomalous: Class,
}

#[derive(Debug, Clone, Default)]
struct Class {
    /// One key an item, with repeats.
    keys: Vec<u32>,
    /// How many keys at the front are in order; the rest was observed since.
    sorted: usize,
}

impl Class {
    fn sort(&mut self) {
        if self.sorted < self.keys.len() {
            radix::sort(&mut self.keys);
            self.sorted = self.keys.len();
        }
    }

    fn merge(&mut self, other: &Self) {
        let in_order = |class: &Self| class.sorted == class.keys.len();
        if in_order(self) && in_order(other) {
            self.keys = merged(&self.keys, &other.keys);
            self.sorted = self.keys.len();
        } else {
            self.keys.extend_from_slice(&other.keys);
        }
    }
}

/// Two ascending runs as one, without a branch that nobody could predict.
fn merged(mut a: &[u32], mut b: &[u32]) -> Vec<u32> {
    let mut all = Vec::with_capacity(a.len() + b.len());
    while let (Some(&first), Some(&second)) = (a.first(), b.first()) {
        let from_a = first <= second;
        all.push(if from_a { first } else { second });
        a = &a[usize::from(from_a)..];
        b = &b[usize::from(!from_a)..];
    }
    all.extend_from_slice(a);
    all.extend_from_slice(b);
    all
}

impl ScoreCounts {
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one image.
    pub fn observe(&mut self, score: RawScore, anomalous: bool) {
        let class = if anomalous {
            &mut self.anomalous
        } else {
            &mut self.normal
        };
        class.keys.push(score.key());
    }

    /// Counts the pixels of a map that has no defect.
    pub fn observe_normal(&mut self, scores: RawScores) {
        self.normal
            .keys
            .extend(scores.values().iter().map(|&v| score::key(v)));
    }

    /// Counts the pixels of a map; where the mask is not zero, the pixel is anomalous.
    ///
    /// # Panics
    /// If the lengths differ: the caller has resized the mask to the map.
    pub fn observe_map(&mut self, scores: RawScores, mask: &[u8]) {
        assert_eq!(
            scores.values().len(),
            mask.len(),
            "a mask of another size than its map"
        );
        // Runs of one class are long in masks, so each run is copied at once.
        let mut rest = (scores.values(), mask);
        while let Some(&first) = rest.1.first() {
            let anomalous = first != 0;
            let run = rest
                .1
                .iter()
                .position(|&m| (m != 0) != anomalous)
                .unwrap_or(rest.1.len());
            let class = if anomalous {
                &mut self.anomalous
            } else {
                &mut self.normal
            };
            class
                .keys
                .extend(rest.0[..run].iter().map(|&v| score::key(v)));
            rest = (&rest.0[run..], &rest.1[run..]);
        }
    }

    /// Adds all items of another state.
    pub fn merge(&mut self, other: &Self) {
        self.normal.merge(&other.normal);
        self.anomalous.merge(&other.anomalous);
    }

    /// Puts everything in order now: several threads can do so with a state each before these are merged.
    pub fn sort(&mut self) {
        self.normal.sort();
        self.anomalous.sort();
    }

    pub fn totals(&self) -> Totals {
        Totals {
            normal: self.normal.keys.len() as u64,
            anomalous: self.anomalous.keys.len() as u64,
        }
    }

    /// Steps of ascending score.
    pub fn ordered(&mut self) -> impl Iterator<Item = Step> + '_ {
        self.sort();
        Ordered {
            normal: &self.normal.keys,
            anomalous: &self.anomalous.keys,
        }
    }

    /// All numbers at once; confusions come back in the order of `thresholds`.
    pub fn summary(&mut self, thresholds: &[Threshold]) -> Summary {
        let mut pass = Pass::new(self.totals(), thresholds);
        self.ordered().for_each(|step| pass.step(step));
        pass.finish()
    }

    /// Writes what [`ScoreCounts::to_bytes`] gives, without holding it.
    pub fn write(&mut self, sink: &mut impl std::io::Write) -> Result<(), StateError> {
        let mut writer = StateWriter::new(Vec::new(), self.totals());
        for step in self.ordered() {
            writer.step(step);
            writer.pass_on(sink)?;
        }
        sink.write_all(&writer.finish()).map_err(StateError::Write)
    }

    /// The compact form that [`crate::StateReader`] reads. Equal states give equal bytes.
    pub fn to_bytes(&mut self) -> Vec<u8> {
        let totals = self.totals();
        let mut writer = StateWriter::new(
            Vec::with_capacity(64 + self.normal.keys.len() / 4 * 5),
            totals,
        );
        for step in self.ordered() {
            writer.step(step);
        }
        writer.finish()
    }
}

/// Back from bytes: the programs read written states with a merge.
#[cfg(test)]
impl ScoreCounts {
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut rest = bytes;
        let mut counts = Self::default();
        let mut reader = StateReader::new(&mut rest)?;
        while let Some(step) = reader.next_step()? {
            // Totals are not trusted for a reservation: a few damaged bytes must not ask for all memory. A repeated
            // score may stand for many items, but a writer had to hold them, too.
            counts.push(step)?;
        }
        drop(reader);
        if !rest.is_empty() {
            return Err(StateError::Malformed("bytes after its end"));
        }
        counts.normal.sorted = counts.normal.keys.len();
        counts.anomalous.sorted = counts.anomalous.keys.len();
        Ok(counts)
    }

    fn push(&mut self, step: Step) -> Result<(), StateError> {
        for (class, count) in [
            (&mut self.normal, step.normal),
            (&mut self.anomalous, step.anomalous),
        ] {
            let count = usize::try_from(count).map_err(|_| StateError::TooLarge)?;
            class
                .keys
                .try_reserve(count)
                .map_err(|_| StateError::TooLarge)?;
            class
                .keys
                .extend(std::iter::repeat_n(step.score.key(), count));
        }
        Ok(())
    }

    /// Reads several written states into one.
    pub fn from_many<R: std::io::Read>(
        sources: impl IntoIterator<Item = R>,
    ) -> Result<Self, StateError> {
        let mut counts = Self::default();
        Merge::open(sources)?.for_each(|step| counts.push(step))?;
        counts.normal.sorted = counts.normal.keys.len();
        counts.anomalous.sorted = counts.anomalous.keys.len();
        Ok(counts)
    }
}

/// Two states are equal when they hold the same items, in whatever order those were observed.
impl PartialEq for ScoreCounts {
    fn eq(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.clone(), other.clone());
        a.totals() == b.totals() && a.ordered().eq(b.ordered())
    }
}

/// Walks two sorted multisets as one.
struct Ordered<'a> {
    normal: &'a [u32],
    anomalous: &'a [u32],
}

impl Iterator for Ordered<'_> {
    type Item = Step;

    #[inline]
    fn next(&mut self) -> Option<Step> {
        let key = match (self.normal.first(), self.anomalous.first()) {
            (Some(&n), Some(&a)) => n.min(a),
            (Some(&one), None) | (None, Some(&one)) => one,
            (None, None) => return None,
        };
        let score = RawScore::from_key(key)?; // always some: keys come from checked scores
        Some(Step {
            score,
            normal: take(&mut self.normal, key),
            anomalous: take(&mut self.anomalous, key),
        })
    }
}

#[inline]
fn take(keys: &mut &[u32], key: u32) -> u64 {
    let mut count = 0;
    while keys.get(count) == Some(&key) {
        count += 1;
    }
    *keys = &keys[count..];
    count as u64
}
