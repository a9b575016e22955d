//! Products of vectors as bytes by the instructions that add up products of four bytes at once (AVX-512 VNNI).

// Several vectors and registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::{arch::x86_64::*, array, ops::Range};

use super::bytes::{ABOVE, Part, Products, Quad};
use super::nearest::{Asked, GROUPS};

/// Vectors that are compared with two groups at once: their sums take half of the 32 registers.
const QUERIES: usize = 8;

/// Products of codes, of each query and group.
type Sums = [[__m512i; GROUPS]; QUERIES];

/// Codes of rows are above their values.
pub(super) struct ByQuads<'a> {
    /// [groups, parts]
    pub(super) rows: &'a [Quad],
    /// [vectors, parts]
    pub(super) codes: &'a [Part],
    pub(super) parts: usize,
}

impl ByQuads<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn each_of(
        &self,
        groups: Range<usize>,
        asked: &Asked<QUERIES>,
        mut each: impl FnMut(usize, &Sums),
    ) {
        let parts = self.parts;
        let codes = asked
            .at
            .map(|query| &self.codes[query * parts..(query + 1) * parts]);
        // Beside each other, so that one address is kept for all.
        let codes: Vec<[Part; QUERIES]> = (0..parts)
            .map(|part| codes.map(|code| code[part]))
            .collect();
        // What the rows' codes are above their values counts once for each of the query's.
        let start = asked
            .sums
            .map(|sum| [_mm512_set1_epi32(-ABOVE * sum); GROUPS]);
        for first in groups.step_by(GROUPS) {
            let [one, other]: [&[Quad]; GROUPS] =
                array::from_fn(|g| &self.rows[(first + g) * parts..(first + g + 1) * parts]);
            let mut sums = start;
            for ((codes, one), other) in codes.iter().zip(one).zip(other) {
                let quads = [one.load(), other.load()];
                for q in 0..QUERIES {
                    let code = _mm512_set1_epi32(codes[q]);
                    for g in 0..GROUPS {
                        sums[q][g] = _mm512_dpbusd_epi32(sums[q][g], quads[g], code);
                    }
                }
            }
            each(first, &sums);
        }
    }
}

impl Products<QUERIES> for ByQuads<'_> {
    type Block = Sums;

    #[inline(always)]
    fn each(&self, groups: Range<usize>, asked: &Asked<QUERIES>, each: impl FnMut(usize, &Sums)) {
        // SAFETY: the machine has these instructions: there would be no such codes.
        unsafe { self.each_of(groups, asked, each) }
    }

    #[inline(always)]
    fn of(sums: &Sums, query: usize, group: usize) -> __m512i {
        sums[query][group]
    }
}
