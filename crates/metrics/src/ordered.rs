//! Scores in ascending order, as steps of integer counts.

use crate::{Overlap, RawScore};

/// How many items of each class a state holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub normal: u64,
    pub anomalous: u64,
    /// Defect regions to which the anomalous items belong; an image is one of its own.
    pub regions: u64,
    /// Images to which the anomalous items belong.
    pub defective_images: u64,
    /// Shares of all images without a defect: nearly one each.
    pub clear: Overlap,
    /// Pixels of the smallest map of these, an image being one pixel; 0 without any.
    pub clear_pixels: u32,
}

impl Totals {
    /// `None` if there are more than integers can count.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        let sizes = [self.clear_pixels, other.clear_pixels];
        Some(Self {
            normal: self.normal.checked_add(other.normal)?,
            anomalous: self.anomalous.checked_add(other.anomalous)?,
            regions: self.regions.checked_add(other.regions)?,
            defective_images: self.defective_images.checked_add(other.defective_images)?,
            clear: self.clear.checked_add(other.clear)?,
            clear_pixels: sizes
                .into_iter()
                .filter(|&size| size > 0)
                .min()
                .unwrap_or(0),
        })
    }

    pub fn is_empty(self) -> bool {
        self.normal == 0 && self.anomalous == 0
    }

    /// Images without a defect.
    pub fn clear_images(self) -> u64 {
        self.clear.wholes()
    }

    /// What one pixel of the smallest of these is of it.
    pub(crate) fn clear_pixel(self) -> Overlap {
        match self.clear_pixels {
            0 => Overlap::default(),
            pixels => Overlap::of_pixel(pixels),
        }
    }
}

/// All items that share one score. At least one of the counts is positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub score: RawScore,
    pub normal: u64,
    /// The normal items' shares of their images, of those images that have no defect.
    pub clear: Overlap,
    pub anomalous: u64,
    /// The anomalous items' shares of their regions.
    pub overlap: Overlap,
    /// The anomalous items' shares of all that is defect in their images.
    pub defect: Overlap,
}

impl Step {
    /// Of no item yet.
    pub(crate) fn empty(score: RawScore) -> Self {
        Self {
            score,
            normal: 0,
            clear: Overlap::default(),
            anomalous: 0,
            overlap: Overlap::default(),
            defect: Overlap::default(),
        }
    }

    /// Adds the items of another state that have the same score.
    #[inline]
    pub(crate) fn add(&mut self, other: Self) {
        self.normal += other.normal;
        self.clear += other.clear;
        self.anomalous += other.anomalous;
        self.overlap += other.overlap;
        self.defect += other.defect;
    }
}

/// All items below a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Below {
    pub normal: u64,
    pub clear: Overlap,
    pub anomalous: u64,
    pub overlap: Overlap,
    pub defect: Overlap,
}

impl Below {
    #[inline]
    pub(crate) fn add(&mut self, step: Step) {
        self.normal += step.normal;
        self.clear += step.clear;
        // Most steps have none.
        if step.anomalous > 0 {
            self.anomalous += step.anomalous;
            self.overlap += step.overlap;
            self.defect += step.defect;
        }
    }

    /// False if that is more than all there is.
    #[inline]
    pub(crate) fn add_within(&mut self, step: Step, totals: &Totals) -> bool {
        self.add_checked(step).is_some()
            && self.normal <= totals.normal
            && self.clear <= totals.clear
            && (step.anomalous == 0
                || self.anomalous <= totals.anomalous
                    && self.overlap <= Overlap::of_wholes(totals.regions)
                    && self.defect <= Overlap::of_wholes(totals.defective_images))
    }

    #[inline]
    fn add_checked(&mut self, step: Step) -> Option<()> {
        self.normal = self.normal.checked_add(step.normal)?;
        self.clear = self.clear.checked_add(step.clear)?;
        if step.anomalous > 0 {
            self.anomalous = self.anomalous.checked_add(step.anomalous)?;
            self.overlap = self.overlap.checked_add(step.overlap)?;
            self.defect = self.defect.checked_add(step.defect)?;
        }
        Some(())
    }
}

/// Above the key of every score.
pub(crate) const NO_KEY: u32 = u32::MAX;

/// Some normal items of neighbouring scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Keys of the lowest and of the highest score.
    pub lowest: u32,
    pub highest: u32,
    pub count: u64,
    /// Shares of their images, of those that have no defect.
    pub clear: Overlap,
}

impl Run {
    #[inline]
    pub(crate) fn and(self, other: Option<Self>) -> Self {
        let Some(mut all) = other else { return self };
        all.lowest = all.lowest.min(self.lowest);
        all.highest = all.highest.max(self.highest);
        all.count += self.count;
        all.clear += self.clear;
        all
    }
}

/// Items in order that are taken from the front: one step at a time, or all normal ones up to the next that is not.
pub(crate) trait Runs {
    /// Key of the first anomalous item.
    fn next_anomalous(&self) -> Option<u32>;

    /// Takes all normal items below a key; no anomalous one is.
    fn take_normals(&mut self, key: u32) -> Option<Run>;

    /// Takes all items of the lowest score.
    fn take_step(&mut self) -> Option<Step>;
}

/// How many items at the front of an ordered slice fulfil what no later one does: in steps that double, so that it costs
/// little where they are few.
pub(crate) fn leading<T>(items: &[T], fulfils: impl Fn(&T) -> bool) -> usize {
    let mut bound = 1;
    while items.get(bound - 1).is_some_and(&fulfils) {
        bound *= 2;
    }
    // Item bound / 2 - 1 fulfils it, item bound - 1 does not.
    let known = bound / 2;
    known + items[known..items.len().min(bound)].partition_point(fulfils)
}
