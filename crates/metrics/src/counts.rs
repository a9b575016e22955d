//! The one mergeable state that all metrics finish from.

use crate::{
    Asked, Overlap, Pass, RawScore, RawScores, Regions, StateError, StateWriter, Step, Summary,
    Totals, radix, score,
};

/// How often each score was seen on normal and on anomalous items, these with the area of their region.
///
/// Exact: merging states in any order and grouping gives the state of all their items. Memory is four bytes a normal item
/// and eight an anomalous one; where that is too much, write states out ([`ScoreCounts::to_bytes`]) and read them together
/// with [`Merge`](crate::Merge).
#[derive(Debug, Clone, Default)]
pub struct ScoreCounts {
    /// Keys of scores.
    normal: Items<u32>,
    /// Keys of scores, and below them the area of the item's region.
    anomalous: Items<u64>,
    regions: u64,
}

#[derive(Debug, Clone, Default)]
struct Items<K> {
    /// One an item, with repeats.
    keys: Vec<K>,
    /// How many at the front are in order; the rest was observed since.
    sorted: usize,
}

impl<K: radix::Key> Items<K> {
    fn sort(&mut self) {
        if self.sorted < self.keys.len() {
            radix::sort(&mut self.keys);
            self.sorted = self.keys.len();
        }
    }

    fn merge(&mut self, other: &Self) {
        let in_order = |items: &Self| items.sorted == items.keys.len();
        if in_order(self) && in_order(other) {
            self.keys = merged(&self.keys, &other.keys);
            self.sorted = self.keys.len();
        } else {
            self.keys.extend_from_slice(&other.keys);
        }
    }
}

/// Two ascending runs as one, without a branch that nobody could predict.
fn merged<K: radix::Key>(mut a: &[K], mut b: &[K]) -> Vec<K> {
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

fn keys(scores: &[f32]) -> impl Iterator<Item = u32> {
    scores.iter().map(|&score| score::key(score))
}

#[inline]
fn with_area(key: u32, area: u32) -> u64 {
    u64::from(key) << 32 | u64::from(area)
}

impl ScoreCounts {
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one image; an anomalous one is a region of its own.
    pub fn observe(&mut self, score: RawScore, anomalous: bool) {
        if anomalous {
            self.anomalous.keys.push(with_area(score.key(), 1));
            self.regions += 1;
        } else {
            self.normal.keys.push(score.key());
        }
    }

    /// Counts the pixels of a map that has no defect.
    pub fn observe_normal(&mut self, scores: RawScores) {
        self.normal.keys.extend(keys(scores.values()));
    }

    /// Counts the pixels of a map; those of its mask's regions are anomalous.
    ///
    /// # Panics
    /// If the sizes differ: the caller has resized the mask to the map.
    pub fn observe_map(&mut self, scores: RawScores, regions: &Regions) {
        let scores = scores.values();
        assert_eq!(
            scores.len(),
            regions.pixels(),
            "a mask of another size than its map"
        );
        let mut clear = 0;
        for run in regions.runs() {
            self.normal.keys.extend(keys(&scores[clear..run.start]));
            let defect = keys(&scores[run.start..run.end]);
            let item = |key| with_area(key, run.area);
            self.anomalous.keys.extend(defect.map(item));
            clear = run.end;
        }
        self.normal.keys.extend(keys(&scores[clear..]));
        self.regions += regions.count();
    }

    /// Adds all items of another state.
    pub fn merge(&mut self, other: &Self) {
        self.normal.merge(&other.normal);
        self.anomalous.merge(&other.anomalous);
        self.regions += other.regions;
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
            regions: self.regions,
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

    /// All numbers at once, for some thresholds or more ([`Asked`]).
    pub fn summary<'a>(&mut self, asked: impl Into<Asked<'a>>) -> Summary {
        let asked = asked.into();
        let mut pass = Pass::new(self.totals(), asked);
        self.sort();
        let mut rest = Ordered {
            normal: &self.normal.keys,
            anomalous: &self.anomalous.keys,
        };
        // Between two anomalous items, or thresholds, it matters how many normal ones there are, not which.
        let mut cuts: Vec<u32> = asked.thresholds.iter().map(|cut| cut.key()).collect();
        cuts.sort_unstable();
        let mut cuts = cuts.into_iter().peekable();
        loop {
            let anomalous = rest.anomalous.first().map(|&item| key_of(item));
            while let Some(cut) = cuts.next_if(|&cut| anomalous.is_none_or(|key| cut <= key)) {
                rest.normals_below(cut, &mut pass);
            }
            match anomalous {
                Some(key) => {
                    rest.normals_below(key, &mut pass);
                    rest.next().into_iter().for_each(|step| pass.step(step));
                }
                None => {
                    rest.normals_below(u32::MAX, &mut pass);
                    return pass.finish();
                }
            }
        }
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
    anomalous: &'a [u64],
}

impl Ordered<'_> {
    /// Hands all normal items below a key to the pass.
    fn normals_below(&mut self, key: u32, pass: &mut Pass) {
        let count = leading(self.normal, |&normal| normal < key);
        let (run, rest) = self.normal.split_at(count);
        self.normal = rest;
        let score = |key: Option<&u32>| RawScore::from_key(*key?); // some: keys come from checked scores
        if let (Some(lowest), Some(highest)) = (score(run.first()), score(run.last())) {
            pass.normals(lowest, highest, count as u64);
        }
    }
}

/// How many items at the front of an ordered slice fulfil what no later one does: in steps that double, so that it costs
/// little where they are few.
fn leading<T>(items: &[T], fulfils: impl Fn(&T) -> bool) -> usize {
    let mut bound = 1;
    while items.get(bound - 1).is_some_and(&fulfils) {
        bound *= 2;
    }
    // Item bound / 2 - 1 fulfils it, item bound - 1 does not.
    let known = bound / 2;
    known + items[known..items.len().min(bound)].partition_point(fulfils)
}

impl Iterator for Ordered<'_> {
    type Item = Step;

    #[inline]
    fn next(&mut self) -> Option<Step> {
        let anomalous = self.anomalous.first().map(|&item| key_of(item));
        let key = match (self.normal.first(), anomalous) {
            (Some(&n), Some(a)) => n.min(a),
            (Some(&one), None) | (None, Some(one)) => one,
            (None, None) => return None,
        };
        let score = RawScore::from_key(key)?; // always some: keys come from checked scores
        let mut step = Step {
            score,
            normal: 0,
            anomalous: 0,
            overlap: Overlap::default(),
        };
        while let [first, rest @ ..] = self.normal
            && *first == key
        {
            self.normal = rest;
            step.normal += 1;
        }
        while let [first, rest @ ..] = self.anomalous
            && key_of(*first) == key
        {
            self.anomalous = rest;
            step.anomalous += 1;
            step.overlap += Overlap::of_pixel(*first as u32); // the lower half
        }
        Some(step)
    }
}

#[inline]
fn key_of(item: u64) -> u32 {
    (item >> 32) as u32
}
