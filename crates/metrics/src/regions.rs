//! Defect regions: 8-connected components of a mask.

use std::ops::Range;

use crate::RawScores;

/// The defects of one mask, row by row, each run of pixels with its region.
///
/// Pixels that touch, also at a corner, are of one region (MVTec AD's own evaluation counts so). A mask that is defect
/// everywhere is one region; Anomalib 1.0.1 loses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions {
    runs: Vec<Run>,
    /// Pixels of each region.
    areas: Vec<u32>,
    pixels: usize,
}

/// Where a region is.
#[derive(Debug, Clone, PartialEq)]
pub struct Extent {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Of its values.
    pub highest: f32,
}

/// Neighbouring defect pixels of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Positions in the mask, the end excluded.
    pub start: usize,
    pub end: usize,
    /// Index of the region.
    pub region: u32,
}

impl Regions {
    /// Of a mask of rows of `width` pixels: what is not zero is defect.
    ///
    /// # Panics
    /// If the mask does not consist of whole rows, or has 2^32 pixels or more.
    pub fn of_mask(mask: &[u8], width: usize) -> Self {
        assert!(
            mask.is_empty() || (width > 0 && mask.len().is_multiple_of(width)),
            "a mask without whole rows"
        );
        assert!(u32::try_from(mask.len()).is_ok(), "a mask beyond 32 bits");
        let mut runs: Vec<Run> = Vec::new();
        let mut sets = Sets::default();
        // Runs of the row above, and those of this one.
        let (mut above, mut row_start) = (0..0, 0);
        while row_start < mask.len() {
            let first = runs.len();
            push_runs(&mask[row_start..row_start + width], row_start, &mut runs);
            for run in first..runs.len() {
                sets.push(runs[run].end - runs[run].start);
                // Those above that end left of the run touch no later run either. The last that touches may touch the
                // next run, too, so it stays.
                let Run { start, end, .. } = runs[run];
                while !above.is_empty() && runs[above.start].end + width < start {
                    above.start += 1;
                }
                for other in above.clone() {
                    if runs[other].start + width > end {
                        break;
                    }
                    sets.join(run, other);
                }
            }
            above = first..runs.len();
            row_start += width;
        }
        let mut areas = Vec::new();
        for index in 0..runs.len() {
            // A root is the first run of its region.
            let root = sets.root(index);
            runs[index].region = if root == index {
                areas.push(sets.areas[root]);
                areas.len() as u32 - 1
            } else {
                runs[root].region
            };
        }
        Self {
            runs,
            areas,
            pixels: mask.len(),
        }
    }

    /// How many regions there are.
    pub fn count(&self) -> u64 {
        self.areas.len() as u64
    }

    /// Pixels of the mask.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// The smallest rectangle around each region of a mask whose rows are `width` pixels, and the highest of a map's values in the
    /// region itself.
    ///
    /// # Panics
    /// If the map has another size.
    pub fn extents(&self, map: &[f32], width: usize) -> Vec<Extent> {
        assert_eq!(
            map.len(),
            self.pixels,
            "a mask of another size than its map"
        );
        let mut extents: Vec<Option<Extent>> = vec![None; self.areas.len()];
        for run in &self.runs {
            let row = run.start / width;
            let first = run.start - row * width;
            let columns = first..first + (run.end - run.start);
            let here = map[run.start..run.end].iter().copied();
            let highest = here.fold(f32::NEG_INFINITY, f32::max);
            let extent = &mut extents[run.region as usize];
            *extent = Some(match extent.take() {
                None => Extent {
                    rows: row..row + 1,
                    columns,
                    highest,
                },
                Some(known) => Extent {
                    rows: known.rows.start..row + 1,
                    columns: known.columns.start.min(columns.start)
                        ..known.columns.end.max(columns.end),
                    highest: known.highest.max(highest),
                },
            });
        }
        extents.into_iter().flatten().collect()
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Pixels of each region; a run's `region` is an index here.
    pub(crate) fn areas(&self) -> &[u32] {
        &self.areas
    }

    /// The scores of the defect's pixels, of all regions together, row by row.
    ///
    /// # Panics
    /// If the map has another size.
    pub fn of_defect(&self, scores: RawScores<'_>) -> Vec<f32> {
        let scores = scores.values();
        assert_eq!(
            scores.len(),
            self.pixels,
            "a mask of another size than its map"
        );
        let runs = self.runs.iter();
        runs.flat_map(|run| &scores[run.start..run.end])
            .copied()
            .collect()
    }
}

fn push_runs(row: &[u8], offset: usize, runs: &mut Vec<Run>) {
    let mut at = 0;
    while let Some(clear) = row[at..].iter().position(|&pixel| pixel != 0) {
        let start = at + clear;
        let length = row[start..].iter().position(|&pixel| pixel == 0);
        at = length.map_or(row.len(), |length| start + length);
        runs.push(Run {
            start: offset + start,
            end: offset + at,
            region: 0, // known once all rows are
        });
    }
}

/// Runs that belong together: a forest in which every run points to an earlier one, or to itself.
#[derive(Default)]
struct Sets {
    parents: Vec<usize>,
    /// Pixels, right for roots.
    areas: Vec<u32>,
}

impl Sets {
    fn push(&mut self, pixels: usize) {
        self.parents.push(self.parents.len());
        self.areas.push(pixels as u32); // below 2^32, as the mask is
    }

    fn root(&mut self, mut run: usize) -> usize {
        while self.parents[run] != run {
            // Halving the path keeps later ones short.
            self.parents[run] = self.parents[self.parents[run]];
            run = self.parents[run];
        }
        run
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            let (root, other) = (a.min(b), a.max(b));
            self.parents[other] = root;
            self.areas[root] += self.areas[other];
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every pixel's region, numbered from 1 by its first pixel; 0 where there is no defect. By flooding.
    pub(crate) fn flooded(mask: &[u8], width: usize) -> Vec<u32> {
        let (mut labels, mut next) = (vec![0; mask.len()], 0);
        for seed in 0..mask.len() {
            if mask[seed] == 0 || labels[seed] != 0 {
                continue;
            }
            next += 1;
            let mut open = vec![seed];
            while let Some(at) = open.pop() {
                if labels[at] != 0 {
                    continue;
                }
                labels[at] = next;
                let (y, x) = ((at / width) as isize, (at % width) as isize);
                for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
                    let inside = (0..(mask.len() / width) as isize).contains(&(y + dy))
                        && (0..width as isize).contains(&(x + dx));
                    let other = (y + dy) * width as isize + x + dx;
                    if inside && mask[other as usize] != 0 {
                        open.push(other as usize);
                    }
                }
            }
        }
        labels
    }

    /// Area of each pixel's region, and the number of regions.
    fn areas(regions: &Regions) -> (Vec<u32>, u64) {
        let mut areas = vec![0; regions.pixels()];
        for run in regions.runs() {
            areas[run.start..run.end].fill(regions.areas()[run.region as usize]);
        }
        (areas, regions.count())
    }

    #[test]
    fn corners_join_and_rows_do_not_wrap() {
        #[rustfmt::skip]
        let mask = [
            1, 0, 0, 1,
            0, 1, 0, 0,
            0, 0, 0, 9,
            1, 0, 0, 0,
        ];
        let (areas, count) = areas(&Regions::of_mask(&mask, 4));
        #[rustfmt::skip]
        assert_eq!(areas, [
            2, 0, 0, 1,
            0, 2, 0, 0,
            0, 0, 0, 1,
            1, 0, 0, 0,
        ]);
        assert_eq!(count, 4);
    }

    #[test]
    fn a_spiral_is_one_region_and_all_or_nothing_is_one_or_none() {
        #[rustfmt::skip]
        let spiral = [
            1, 1, 1, 1, 1,
            0, 0, 0, 0, 1,
            1, 1, 1, 0, 1,
            1, 0, 0, 0, 1,
            1, 1, 1, 1, 1,
        ];
        assert_eq!(areas(&Regions::of_mask(&spiral, 5)).0[0], 17);
        assert_eq!(Regions::of_mask(&[255; 6], 3).count(), 1);
        assert_eq!(Regions::of_mask(&[0; 6], 3).count(), 0);
        assert_eq!(Regions::of_mask(&[], 0).count(), 0);
    }

    /// A mask of as many rows as there are pixels for.
    fn whole_rows(pixels: &[bool], width: usize) -> Vec<u8> {
        let whole = pixels.len() / width * width;
        pixels[..whole]
            .iter()
            .map(|&defect| u8::from(defect))
            .collect()
    }

    proptest! {
        #[test]
        fn extents_are_those_of_flooding(
            width in 1usize..20,
            pixels in prop::collection::vec(prop::bool::weighted(0.4), 0..400),
        ) {
            let mask = whole_rows(&pixels, width);
            let labels = flooded(&mask, width);
            let map: Vec<f32> = (0..mask.len()).map(|at| (at * 7919 % 101) as f32).collect();
            let of = |label: u32| {
                let places = || (0..labels.len()).filter(|&at| labels[at] == label);
                let range = |along: &dyn Fn(usize) -> usize| {
                    let ends = (places().map(along).min(), places().map(along).max());
                    ends.0.unwrap_or(0)..ends.1.unwrap_or(0) + 1
                };
                let highest = places().map(|at| map[at]).fold(f32::NEG_INFINITY, f32::max);
                Extent { rows: range(&|at| at / width), columns: range(&|at| at % width), highest }
            };
            let expected: Vec<Extent> = (1..=labels.iter().max().copied().unwrap_or(0)).map(of).collect();
            prop_assert_eq!(Regions::of_mask(&mask, width).extents(&map, width), expected);
        }

        #[test]
        fn agrees_with_flooding(
            width in 1usize..20,
            pixels in prop::collection::vec(prop::bool::weighted(0.5), 0..400),
        ) {
            let mask = whole_rows(&pixels, width);
            let labels = flooded(&mask, width);
            let area = |label: u32| labels.iter().filter(|&&other| other == label).count() as u32;
            let expected: Vec<u32> = labels.iter().map(|&label| if label == 0 { 0 } else { area(label) }).collect();
            let found = areas(&Regions::of_mask(&mask, width));
            prop_assert_eq!(found, (expected, u64::from(labels.iter().max().copied().unwrap_or(0))));
        }
    }
}
