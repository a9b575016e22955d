//! Greedy k-centre: from many points those that leave no other far from all chosen ones.
//!
//! Each pick is the point farthest from all picks before it. Distances to picks only shrink, so that a block of points whose
//! largest known distance is below another's cannot hold the next pick, whatever picks it has not been compared with yet: it
//! waits until it could, and is then compared with all of these together, while it is in the cache. The picks are exactly
//! those of comparing every point with every pick.

// Several registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, OnceLock};

use crate::Progress;
use crate::lanes::{Instructions, Lanes};

const LANES: usize = 16;

/// Registers of points in a block.
const GROUPS: usize = 4;

/// Points that are compared together.
pub(super) const BLOCK: usize = GROUPS * LANES;

/// Added to each difference of coordinates, as in the reference: it decides between points that are equal.
const EPS: f32 = 1e-6;

/// Picks between two words of progress.
const WORD: usize = 64;

/// One coordinate of a block's points.
type Coordinates = [Lanes<f32, LANES>; GROUPS];

/// Points, block by block, each coordinate's values side by side.
pub(super) struct Points {
    count: usize,
    dims: usize,
    /// [blocks, dims]
    data: Vec<Coordinates>,
}

/// Bytes that [`Points`] and [`select`] take for each point.
pub(super) fn memory(dims: usize) -> usize {
    (dims + 1) * size_of::<f32>()
}

impl Points {
    /// All at 0.
    pub(super) fn new(count: usize, dims: usize) -> Self {
        Self {
            count,
            dims,
            data: vec![[Lanes::ZERO; GROUPS]; count.div_ceil(BLOCK) * dims],
        }
    }

    /// Blocks of points, to be filled side by side.
    pub(super) fn blocks_mut(&mut self) -> impl Iterator<Item = Block<'_>> {
        self.data.chunks_exact_mut(self.dims).map(Block)
    }

    fn block(&self, index: usize) -> &[Coordinates] {
        &self.data[index * self.dims..(index + 1) * self.dims]
    }

    fn point(&self, index: usize) -> impl Iterator<Item = f32> + '_ {
        let (group, lane) = (index % BLOCK / LANES, index % LANES);
        self.block(index / BLOCK)
            .iter()
            .map(move |coordinates| coordinates[group].0[lane])
    }
}

/// A block of points that is being filled.
pub(super) struct Block<'a>(&'a mut [Coordinates]);

impl Block<'_> {
    /// Sets the point at a place below [`BLOCK`].
    pub(super) fn set(&mut self, place: usize, point: &[f32]) {
        for (coordinates, &value) in self.0.iter_mut().zip(point) {
            coordinates[place / LANES].0[place % LANES] = value;
        }
    }
}

/// A point that is far from all picks: its squared distance in the upper half, and below it the point, so that a larger
/// number is farther, and among equals has the lower index. 0: no point.
type Far = u64;

fn far(squared: f32, point: usize) -> Far {
    // Floats from 0 are ordered as their bits.
    (u64::from(squared.to_bits()) + 1) << 32 | (u64::from(u32::MAX) - point as u64)
}

fn squared_of(far: Far) -> f32 {
    f32::from_bits(((far >> 32).saturating_sub(1)) as u32)
}

fn point_of(far: Far) -> usize {
    (u64::from(u32::MAX) - (far & u64::from(u32::MAX))) as usize
}

/// What is known of a block: an upper bound while there are picks that it has not been compared with.
struct Known {
    /// Squared distances to the nearest pick; below 0 what cannot be picked.
    nearest: Coordinates,
    /// Picks that it has been compared with.
    compared: usize,
}

/// Never picked: picked before, or no point at all.
const NEVER: f32 = -1.0;

impl Known {
    fn farthest(&self, first: usize) -> Far {
        let mut farthest = 0;
        for (group, lanes) in self.nearest.iter().enumerate() {
            for (lane, &squared) in lanes.0.iter().enumerate() {
                if squared >= 0.0 {
                    farthest = farthest.max(far(squared, first + group * LANES + lane));
                }
            }
        }
        farthest
    }
}

/// Picks `count` points; the first is the one that is farthest from the point `start`, which is not picked for being that.
/// Neither the number of threads nor the machine's load changes a pick. At most 2^32 - 1 points, and at least as many as picks.
pub(super) fn select(
    points: &Points,
    start: usize,
    count: usize,
    threads: usize,
    progress: &Progress,
) -> Vec<usize> {
    let picks = pick(points, start, count, threads, progress).into_iter();
    picks.map(point_of).collect()
}

/// The same with the largest distance of a point from its nearest pick; 0 where every point is picked.
pub(super) fn cover(
    points: &Points,
    start: usize,
    count: usize,
    threads: usize,
    progress: &Progress,
) -> (Vec<usize>, f32) {
    // The next pick would be the farthest point.
    let asked = (count + 1).min(points.count);
    let mut picks = pick(points, start, asked, threads, progress);
    let next = picks.split_off(count.min(asked));
    let radius = next.first().map_or(0.0, |&far| squared_of(far).sqrt());
    (picks.into_iter().map(point_of).collect(), radius)
}

fn pick(
    points: &Points,
    start: usize,
    count: usize,
    threads: usize,
    progress: &Progress,
) -> Vec<Far> {
    let blocks = points.count.div_ceil(BLOCK);
    let share = blocks.div_ceil(threads.clamp(1, blocks.max(1)));
    let shares: Vec<_> = (0..blocks)
        .step_by(share.max(1))
        .map(|first| first..(first + share).min(blocks))
        .collect();
    let board = Board {
        points,
        centres: (0..count).map(|_| OnceLock::new()).collect(),
        farthest: (0..count).map(|_| AtomicU64::new(0)).collect(),
        barrier: Barrier::new(shares.len()),
    };
    let told = |done: usize| progress(done as u64, count as u64);
    std::thread::scope(|scope| {
        for (index, share) in shares.into_iter().enumerate() {
            let (board, told) = (&board, &told);
            scope.spawn(move || {
                let word = |done| {
                    if index == 0 && (done % WORD == 0 || done == count) {
                        told(done);
                    }
                };
                Share::new(points, share).pick(board, start, word);
            });
        }
    });
    let picks = board.farthest.into_iter();
    picks.map(AtomicU64::into_inner).collect()
}

/// What all threads see.
struct Board<'a> {
    points: &'a Points,
    /// The start and all picks but the last, less [`EPS`].
    centres: Vec<OnceLock<Box<[f32]>>>,
    /// For each pick the farthest point that a thread has found.
    farthest: Vec<AtomicU64>,
    barrier: Barrier,
}

impl Board<'_> {
    fn centre(&self, index: usize, point: usize) {
        // Whoever comes first; all would write the same.
        self.centres[index]
            .get_or_init(|| self.points.point(point).map(|value| value - EPS).collect());
    }
}

/// One thread's blocks.
struct Share {
    first: usize,
    known: Vec<Known>,
    /// Farthest points by block, the farthest on top; bounds only, where picks are outstanding.
    order: BinaryHeap<(Far, usize)>,
    instructions: Instructions,
}

impl Share {
    fn new(points: &Points, blocks: std::ops::Range<usize>) -> Self {
        let known: Vec<Known> = blocks
            .clone()
            .map(|block| {
                let there = |place: usize| block * BLOCK + place < points.count;
                let lane = |place| if there(place) { f32::INFINITY } else { NEVER };
                Known {
                    nearest: std::array::from_fn(|group| {
                        Lanes(std::array::from_fn(|i| lane(group * LANES + i)))
                    }),
                    compared: 0,
                }
            })
            .collect();
        Self {
            first: blocks.start,
            order: known
                .iter()
                .enumerate()
                .map(|(i, known)| (known.farthest((blocks.start + i) * BLOCK), i))
                .collect(),
            known,
            instructions: Instructions::of_this_machine(),
        }
    }

    fn pick(&mut self, board: &Board, start: usize, word: impl Fn(usize)) {
        for (index, farthest) in board.farthest.iter().enumerate() {
            let centre = match index {
                0 => start,
                _ => point_of(board.farthest[index - 1].load(Ordering::Acquire)),
            };
            board.centre(index, centre);
            farthest.fetch_max(self.farthest(board, index + 1, farthest), Ordering::AcqRel);
            board.barrier.wait();
            self.take(point_of(farthest.load(Ordering::Acquire)));
            word(index + 1);
        }
    }

    /// The farthest of this thread's points from all centres so far, unless another thread is known to have one farther.
    fn farthest(&mut self, board: &Board, centres: usize, elsewhere: &AtomicU64) -> Far {
        while let Some(mut top) = self.order.peek_mut() {
            let (far, index) = *top;
            let known = &mut self.known[index];
            if known.compared == centres || far <= elsewhere.load(Ordering::Relaxed) {
                return far;
            }
            let block = self.first + index;
            let outstanding = &board.centres[known.compared..centres];
            compare(
                self.instructions,
                board.points.block(block),
                outstanding,
                &mut known.nearest,
            );
            known.compared = centres;
            top.0 = known.farthest(block * BLOCK);
        }
        0
    }

    /// A point that was picked is picked never again.
    fn take(&mut self, point: usize) {
        let block = point / BLOCK;
        let Some(index) = block
            .checked_sub(self.first)
            .filter(|i| *i < self.known.len())
        else {
            return;
        };
        let known = &mut self.known[index];
        known.nearest[point % BLOCK / LANES].0[point % LANES] = NEVER;
        // The farthest of all is on top of its thread's order.
        if let Some(mut top) = self.order.peek_mut() {
            top.0 = known.farthest(block * BLOCK);
        }
    }
}

/// Lowers the squared distances to those to any of the centres.
fn compare(
    instructions: Instructions,
    block: &[Coordinates],
    centres: &[OnceLock<Box<[f32]>>],
    nearest: &mut Coordinates,
) {
    match instructions {
        // SAFETY: the machine has these instructions: that is what `Instructions` says.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => unsafe { avx512(block, centres, nearest) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => unsafe { avx2(block, centres, nearest) },
        _ => compare_by::<1, false>(block, centres, nearest),
    }
}

/// Centres at once: with four, each coordinate is loaded once for all, and the sums fill the registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn avx512(block: &[Coordinates], centres: &[OnceLock<Box<[f32]>>], nearest: &mut Coordinates) {
    let (fours, rest) = centres.split_at(centres.len() / 4 * 4);
    compare_by::<4, true>(block, fours, nearest);
    compare_by::<1, true>(block, rest, nearest);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(block: &[Coordinates], centres: &[OnceLock<Box<[f32]>>], nearest: &mut Coordinates) {
    compare_by::<1, true>(block, centres, nearest);
}

#[inline(always)]
fn compare_by<const C: usize, const FUSED: bool>(
    block: &[Coordinates],
    centres: &[OnceLock<Box<[f32]>>],
    nearest: &mut Coordinates,
) {
    for centres in centres.chunks_exact(C) {
        // All are there before anybody compares with them.
        let centres: [&[f32]; C] = std::array::from_fn(|c| match centres[c].get() {
            Some(centre) => &centre[..block.len()],
            None => &[],
        });
        let mut sums = [[Lanes::ZERO; GROUPS]; C];
        for (dim, coordinates) in block.iter().enumerate() {
            for c in 0..C {
                let centre = Lanes::splat(centres[c][dim]);
                for g in 0..GROUPS {
                    let difference = coordinates[g].minus(centre);
                    sums[c][g] = difference.fused::<FUSED>(difference, sums[c][g]);
                }
            }
        }
        for squared in sums {
            for g in 0..GROUPS {
                nearest[g] = nearest[g].least(squared[g]);
            }
        }
    }
}
