//! The one mergeable state that all metrics finish from.

use std::convert::Infallible;

use crate::aupimo::{FprBounds, SharedFpr};
use crate::false_positive_rate::{AtRate, FalsePositiveRate, Search};
use crate::ordered::{NO_KEY, Run, Runs, leading};
use crate::score_distribution::{Moments, ScoreDistribution};
use crate::{
    Asked, Overlap, Pass, RawScore, RawScores, Regions, StateError, StateWriter, Step, Summary,
    Totals, Undefined, radix, score,
};

/// How often each score was seen on normal and on anomalous items, these with what they are of their region and image.
///
/// Exact: merging states in any order and grouping gives the state of all their items. Memory is four bytes a normal item,
/// eight an anomalous one and eight a region; where that is too much, write states out ([`ScoreCounts::to_bytes`]) and
/// read them together with [`Merge`](crate::Merge).
#[derive(Debug, Clone, Default)]
pub struct ScoreCounts {
    /// Keys of scores of images without a defect, by the size of their maps: in order, nearly always one.
    clear: Vec<Clear>,
    /// Keys of the scores of normal pixels in images that have a defect.
    beside: Items<u32>,
    /// Keys of scores, and below them the index of the item's region.
    anomalous: Items<u64>,
    regions_seen: Vec<Region>,
    regions: u64,
    defective_images: u64,
}

/// Scores of images without a defect that have so many pixels.
#[derive(Debug, Clone)]
struct Clear {
    pixels: u32,
    items: Items<u32>,
}

/// What one of its pixels has to know of a region.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Region {
    /// Pixels of the region.
    area: u32,
    /// Pixels of all regions of its image.
    defect: u32,
}

/// Of an image that is scored as a whole.
const IMAGE: Region = Region { area: 1, defect: 1 };

#[derive(Debug, Clone)]
struct Items<K> {
    /// One an item, with repeats.
    keys: Vec<K>,
    /// How many at the front are in order; the rest was observed since.
    sorted: usize,
}

impl<K> Default for Items<K> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            sorted: 0,
        }
    }
}

impl<K: radix::Key> Items<K> {
    fn sort(&mut self) {
        if self.sorted < self.keys.len() {
            radix::sort(&mut self.keys);
            self.sorted = self.keys.len();
        }
    }

    /// Adds another's items, each renamed, in a way that keeps their order.
    fn merge(&mut self, other: &Self, renamed: impl Fn(K) -> K) {
        let in_order = |items: &Self| items.sorted == items.keys.len();
        if in_order(self) && in_order(other) {
            self.keys = merged(&self.keys, &other.keys, renamed);
            self.sorted = self.keys.len();
        } else {
            self.keys.extend(other.keys.iter().map(|&key| renamed(key)));
        }
    }
}

/// Two ascending runs as one, the second's keys renamed, without a branch that nobody could predict.
fn merged<K: radix::Key>(mut a: &[K], mut b: &[K], renamed: impl Fn(K) -> K) -> Vec<K> {
    let mut all = Vec::with_capacity(a.len() + b.len());
    while let (Some(&first), Some(&second)) = (a.first(), b.first()) {
        let second = renamed(second);
        let from_a = first <= second;
        all.push(if from_a { first } else { second });
        a = &a[usize::from(from_a)..];
        b = &b[usize::from(!from_a)..];
    }
    all.extend_from_slice(a);
    all.extend(b.iter().map(|&key| renamed(key)));
    all
}

fn keys(scores: &[f32]) -> impl Iterator<Item = u32> {
    scores.iter().map(|&score| score::key(score))
}

#[inline]
fn with_region(key: u32, region: u32) -> u64 {
    u64::from(key) << 32 | u64::from(region)
}

impl ScoreCounts {
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one image; an anomalous one is a region of its own.
    pub fn observe(&mut self, score: RawScore, anomalous: bool) {
        if !anomalous {
            self.clear_of(1).keys.push(score.key());
            return;
        }
        let region = match self.regions_seen.last() {
            Some(&IMAGE) => self.regions_seen.len() as u32 - 1,
            _ => self.see([IMAGE]),
        };
        self.anomalous.keys.push(with_region(score.key(), region));
        self.regions += 1;
        self.defective_images += 1;
    }

    /// Counts the pixels of one map, of an image that has no defect.
    ///
    /// # Panics
    /// If the map has 2^32 pixels or more.
    pub fn observe_normal(&mut self, scores: RawScores) {
        let scores = scores.values();
        if !scores.is_empty() {
            let pixels = u32::try_from(scores.len()).expect("a map below 2^32 pixels");
            self.clear_of(pixels).keys.extend(keys(scores));
        }
    }

    /// Counts the pixels of a map; those of its mask's regions are anomalous. Without any, the image is a normal one.
    ///
    /// # Panics
    /// If the sizes differ: the caller has resized the mask to the map. Or if the state has seen 2^32 regions.
    pub fn observe_map(&mut self, scores: RawScores, regions: &Regions) {
        let values = scores.values();
        assert_eq!(
            values.len(),
            regions.pixels(),
            "a mask of another size than its map"
        );
        if regions.count() == 0 {
            return self.observe_normal(scores);
        }
        let defect = regions.areas().iter().sum(); // below 2^32, as the mask is
        let region = |&area| Region { area, defect };
        let first = self.see(regions.areas().iter().map(region));
        let mut clear = 0;
        for run in regions.runs() {
            self.beside.keys.extend(keys(&values[clear..run.start]));
            let defect = keys(&values[run.start..run.end]);
            let item = |key| with_region(key, first + run.region);
            self.anomalous.keys.extend(defect.map(item));
            clear = run.end;
        }
        self.beside.keys.extend(keys(&values[clear..]));
        self.regions += regions.count();
        self.defective_images += 1;
    }

    /// Adds all items of another state.
    ///
    /// # Panics
    /// If both have seen 2^32 regions together.
    pub fn merge(&mut self, other: &Self) {
        for clear in &other.clear {
            self.clear_of(clear.pixels).merge(&clear.items, |key| key);
        }
        self.beside.merge(&other.beside, |key| key);
        let first = self.see(other.regions_seen.iter().copied());
        let renamed = |item| item + u64::from(first);
        self.anomalous.merge(&other.anomalous, renamed);
        self.regions += other.regions;
        self.defective_images += other.defective_images;
    }

    /// Puts everything in order now: several threads can do so with a state each before these are merged.
    pub fn sort(&mut self) {
        self.clear.iter_mut().for_each(|clear| clear.items.sort());
        self.beside.sort();
        self.anomalous.sort();
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            normal: self.beside.keys.len() as u64,
            anomalous: self.anomalous.keys.len() as u64,
            regions: self.regions,
            defective_images: self.defective_images,
            clear: Overlap::default(),
            clear_pixels: self.clear.first().map_or(0, |smallest| smallest.pixels),
        };
        for clear in &self.clear {
            let items = clear.items.keys.len() as u64;
            totals.normal += items;
            totals.clear += Overlap::of_pixel(clear.pixels).times(items);
        }
        totals
    }

    /// Gives the index of the first.
    fn see(&mut self, regions: impl IntoIterator<Item = Region>) -> u32 {
        let first = self.regions_seen.len();
        self.regions_seen.extend(regions);
        assert!(
            self.regions_seen.len() <= u32::MAX as usize,
            "2^32 regions in one state: write states out before"
        );
        first as u32
    }

    fn clear_of(&mut self, pixels: u32) -> &mut Items<u32> {
        let found = self.clear.binary_search_by_key(&pixels, |one| one.pixels);
        let at = found.unwrap_or_else(|at| {
            let items = Items::default();
            self.clear.insert(at, Clear { pixels, items });
            at
        });
        &mut self.clear[at].items
    }

    /// A walk over everything, once it is in order.
    fn walk(&self) -> Ordered<'_> {
        let beside = Normals {
            share: Overlap::default(),
            keys: &self.beside.keys,
        };
        let mut clear = self.clear.iter().map(|clear| Normals {
            share: Overlap::of_pixel(clear.pixels),
            keys: &clear.items.keys,
        });
        Ordered {
            normal: [clear.next().unwrap_or_default(), beside],
            others: clear.collect(),
            anomalous: &self.anomalous.keys,
            regions: &self.regions_seen,
        }
    }

    /// Steps of ascending score.
    pub fn ordered(&mut self) -> impl Iterator<Item = Step> + '_ {
        self.sort();
        self.walk()
    }

    /// The false-positive rates of images without a defect, by which the curves of single images are drawn.
    pub fn shared_fpr(&mut self, bounds: FprBounds) -> Result<SharedFpr, Undefined> {
        let mut rates = SharedFpr::new(self.totals(), bounds);
        self.ordered().for_each(|step| rates.step(step));
        rates.finish()
    }

    /// The threshold for a false-positive rate.
    pub fn at_rate(&mut self, rate: FalsePositiveRate) -> Result<AtRate, Undefined> {
        let mut search = Search::new(self.totals(), rate);
        self.ordered().for_each(|step| search.step(step));
        search.finish()
    }

    /// The distribution of the logarithms of normal scores.
    pub fn score_distribution(&mut self) -> Result<ScoreDistribution, Undefined> {
        let mut moments = Moments::default();
        self.ordered().for_each(|step| moments.step(step));
        moments.finish()
    }

    /// All numbers at once, for some thresholds or more ([`Asked`]).
    pub fn summary<'a>(&mut self, asked: impl Into<Asked<'a>>) -> Summary {
        let asked = asked.into();
        let mut pass = Pass::new(self.totals(), asked);
        self.sort();
        pass.take_below(NO_KEY, &mut self.walk(), &mut asked.cuts());
        pass.finish()
    }

    /// Writes what [`ScoreCounts::to_bytes`] gives, without holding it.
    pub fn write(&mut self, sink: &mut impl std::io::Write) -> Result<(), StateError> {
        let mut writer = StateWriter::new(Vec::new(), self.totals());
        self.write_steps(&mut writer, |writer| writer.pass_on(sink))?;
        sink.write_all(&writer.finish()).map_err(StateError::Write)
    }

    /// The compact form that [`crate::StateReader`] reads. Equal states give equal bytes.
    pub fn to_bytes(&mut self) -> Vec<u8> {
        let totals = self.totals();
        let mut writer = StateWriter::new(
            Vec::with_capacity(128 + totals.normal as usize / 4 * 5),
            totals,
        );
        let Ok(()) = self.write_steps(&mut writer, |_| Ok::<_, Infallible>(()));
        writer.finish()
    }

    /// Calls `each` after every step.
    fn write_steps<E>(
        &mut self,
        writer: &mut StateWriter,
        mut each: impl FnMut(&mut StateWriter) -> Result<(), E>,
    ) -> Result<(), E> {
        self.sort();
        let mut rest = self.walk();
        loop {
            // Nearly all steps are of normal items in maps of one size.
            let end = match rest.others[..] {
                [] => rest.next_anomalous().unwrap_or(NO_KEY),
                _ => 0,
            };
            let [clear, beside] = &mut rest.normal;
            while let key = clear.lowest().min(beside.lowest())
                && key < end
            {
                writer.normals(key, clear.take(key), beside.take(key));
                each(writer)?;
            }
            let Some(step) = rest.next() else {
                return Ok(());
            };
            writer.step(step);
            each(writer)?;
        }
    }
}

/// Two states are equal when they hold the same items, in whatever order those were observed.
impl PartialEq for ScoreCounts {
    fn eq(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.clone(), other.clone());
        a.totals() == b.totals() && a.ordered().eq(b.ordered())
    }
}

/// Walks sorted multisets as one.
struct Ordered<'a> {
    normal: [Normals<'a>; 2],
    /// Where maps have several sizes.
    others: Vec<Normals<'a>>,
    anomalous: &'a [u64],
    regions: &'a [Region],
}

/// Normal items that are the same share of their images, if these have no defect.
#[derive(Default)]
struct Normals<'a> {
    share: Overlap,
    keys: &'a [u32],
}

impl Normals<'_> {
    #[inline]
    fn lowest(&self) -> u32 {
        self.keys.first().copied().unwrap_or(NO_KEY)
    }

    /// Takes those of a key, which is at most the lowest.
    #[inline(always)]
    fn take(&mut self, key: u32) -> u64 {
        let mut count = 0;
        while let [first, rest @ ..] = self.keys
            && *first == key
        {
            self.keys = rest;
            count += 1;
        }
        count
    }

    #[inline(always)]
    fn take_into(&mut self, key: u32, step: &mut Step) {
        let count = self.take(key);
        if count > 0 {
            step.normal += count;
            step.clear += self.share.times(count);
        }
    }
}

impl Ordered<'_> {
    /// The lowest key of all.
    #[inline]
    fn lowest(&self) -> u32 {
        let [clear, beside] = &self.normal;
        let least = clear.lowest().min(beside.lowest());
        let least = least.min(self.next_anomalous().unwrap_or(NO_KEY));
        let others = self.others.iter().map(Normals::lowest);
        others.fold(least, u32::min)
    }
}

impl Runs for Ordered<'_> {
    #[inline]
    fn next_anomalous(&self) -> Option<u32> {
        self.anomalous.first().map(|&item| key_of(item))
    }

    fn take_normals(&mut self, key: u32) -> Option<Run> {
        let mut taken = None;
        for normals in self.normal.iter_mut().chain(&mut self.others) {
            let leading = leading(normals.keys, |&normal| normal < key);
            let (run, rest) = normals.keys.split_at(leading);
            if let (Some(&lowest), Some(&highest)) = (run.first(), run.last()) {
                let count = leading as u64;
                let clear = normals.share.times(count);
                let run = Run {
                    lowest,
                    highest,
                    count,
                    clear,
                };
                taken = Some(run.and(taken));
            }
            normals.keys = rest;
        }
        taken
    }

    fn take_step(&mut self) -> Option<Step> {
        self.next()
    }
}

impl Iterator for Ordered<'_> {
    type Item = Step;

    #[inline]
    fn next(&mut self) -> Option<Step> {
        let key = self.lowest();
        // None at the end only: keys come from checked scores.
        let mut step = Step::empty(RawScore::from_key(key)?);
        for normals in &mut self.normal {
            normals.take_into(key, &mut step);
        }
        for normals in &mut self.others {
            normals.take_into(key, &mut step);
        }
        while let [first, rest @ ..] = self.anomalous
            && key_of(*first) == key
        {
            self.anomalous = rest;
            step.anomalous += 1;
            let region = self.regions[*first as u32 as usize]; // the lower half
            step.overlap += Overlap::of_pixel(region.area);
            step.defect += Overlap::of_pixel(region.defect);
        }
        Some(step)
    }
}

#[inline]
fn key_of(item: u64) -> u32 {
    (item >> 32) as u32
}
