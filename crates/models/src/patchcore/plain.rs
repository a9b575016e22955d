//! Vectors and rows as the numbers that they are, compared by whatever instructions the compiler has for that.

// Several vectors and registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::{array, ops::Range};

use super::nearest::{Admitted, Asked, Kernel, KnownRows, LANES, PANEL, Rows};
use crate::lanes::Lanes;

/// Compares with `G` groups at once.
pub(super) struct Plain<'a, const G: usize, const FUSED: bool> {
    pub(super) known: &'a KnownRows,
    /// [groups, dims]
    pub(super) rows: &'a [Rows],
    /// [vectors, dims]
    pub(super) codes: &'a [f32],
}

impl<const G: usize, const FUSED: bool> Plain<'_, G, FUSED> {
    fn dims(&self) -> usize {
        self.rows.len() / self.known.lengths.len()
    }

    /// Calls `each` with the values of each query and group: [`Kernel`] says what they are.
    #[inline(always)]
    fn values<const Q: usize>(
        &self,
        groups: Range<usize>,
        asked: &Asked<Q>,
        mut each: impl FnMut(usize, usize, Rows),
    ) {
        let (known, dims) = (self.known, self.dims());
        let queries = asked
            .at
            .map(|query| &self.codes[query * dims..(query + 1) * dims]);
        for first in groups.step_by(G) {
            let products = products::<Q, G, FUSED>(&self.rows[first * dims..], dims, queries);
            for q in 0..Q {
                for g in 0..G {
                    let (length, factor) = (known.lengths[first + g], known.factors[first + g]);
                    each(q, first + g, products[q][g].fused::<FUSED>(factor, length));
                }
            }
        }
    }
}

impl<const Q: usize, const G: usize, const FUSED: bool> Kernel<Q> for Plain<'_, G, FUSED> {
    fn group_bytes(&self) -> usize {
        self.dims() * size_of::<Rows>()
    }

    #[inline(always)]
    fn least(&self, groups: Range<usize>, asked: &Asked<Q>) -> [f32; Q] {
        let mut least = [Rows::splat(f32::INFINITY); Q];
        self.values(groups, asked, |q, _, value| {
            least[q] = least[q].least(value)
        });
        least.map(|lanes| lanes.0.into_iter().fold(f32::INFINITY, f32::min))
    }

    #[inline(always)]
    fn admitted(&self, groups: Range<usize>, asked: &Asked<Q>) -> [Admitted; Q] {
        let mut admitted = [[0; PANEL]; Q];
        let start = groups.start;
        self.values(groups, asked, |q, group, value| {
            let (limit, errors) = (asked.limits[q], self.known.errors[group]);
            let mut lanes = 0;
            for lane in 0..LANES {
                let nearest = value.0[lane] - errors.0[lane] * limit.twice;
                lanes |= u16::from(nearest <= limit.value) << lane;
            }
            admitted[q][group - start] = lanes;
        });
        admitted
    }

    #[inline(always)]
    fn squared_distance(x: &[f32], y: &[f32]) -> f32 {
        squared_distance::<FUSED>(x, y)
    }
}

/// x·y of each query with each row of `G` groups.
#[inline(always)]
fn products<const Q: usize, const G: usize, const FUSED: bool>(
    rows: &[Rows],
    dims: usize,
    queries: [&[f32]; Q],
) -> [[Rows; G]; Q] {
    let rows: [&[Rows]; G] = array::from_fn(|g| &rows[g * dims..(g + 1) * dims]);
    let queries = queries.map(|query| &query[..dims]);
    let mut sums = [[Rows::ZERO; G]; Q];
    for dim in 0..dims {
        for q in 0..Q {
            let value = Rows::splat(queries[q][dim]);
            for g in 0..G {
                sums[q][g] = value.fused::<FUSED>(rows[g][dim], sums[q][g]);
            }
        }
    }
    sums
}

/// |x - y|²
#[inline(always)]
pub(super) fn squared_distance<const FUSED: bool>(x: &[f32], y: &[f32]) -> f32 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut sums = Rows::ZERO;
    for (x, y) in x.iter().zip(y) {
        let difference = Lanes(*x).minus(Lanes(*y));
        sums = difference.fused::<FUSED>(difference, sums);
    }
    let mut rest = Rows::ZERO;
    for ((out, x), y) in rest.0.iter_mut().zip(x_rest).zip(y_rest) {
        *out = x - y;
    }
    sum(rest.fused::<FUSED>(rest, sums))
}

/// Not inlined: the compiler would take the loop before it for sums of pairs, too.
#[inline(never)]
fn sum(lanes: Rows) -> f32 {
    let mut sums = lanes.0;
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}
