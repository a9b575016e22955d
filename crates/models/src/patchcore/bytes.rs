//! Vectors as bytes with one scale, and their products by the instructions that add up products of four bytes at once.

// Several vectors and registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::{arch::x86_64::*, array, ops::Range};

use super::nearest::{Admitted, Asked, GROUPS, Kernel, KnownRows, LANES, LONGEST, PANEL, Rows};

/// Dimensions of a part.
pub(super) const DIMS: usize = 4;

/// A part of a query: four codes, the first in the lowest byte.
pub(super) type Part = i32;

/// A code as a row has it here is above its value by so much: one side of such products has no signs.
pub(super) const ABOVE: i32 = 128;

/// Codes go so far from 0.
const MOST: i32 = 127;

/// A part of each row of a group.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Quad([u8; DIMS * LANES]);

impl Quad {
    /// Codes that are so much above their values.
    pub(super) fn zero(above: i32) -> Self {
        Self([above as u8; DIMS * LANES])
    }

    pub(super) fn set(&mut self, lane: usize, part: Part, above: i32) {
        for (out, code) in self.0[lane * DIMS..].iter_mut().zip(part.to_le_bytes()) {
            *out = (i32::from(code as i8) + above) as u8;
        }
    }
}

/// Of a vector's code.
pub(super) struct Known {
    /// Squared, of what the code stands for.
    pub length: f64,
    /// What the code stands for is so many times it.
    pub scale: f32,
    /// How far the vector is from that.
    pub error: f64,
    /// Of the code's numbers.
    pub sum: i32,
}

/// The code of a vector relative to a centre, as many parts as its dimensions need. `None`: it is no vector of numbers, or too long.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn encode(vector: &[f32], centre: &[f32], code: &mut [Part]) -> Option<Known> {
    let centred = || {
        let pairs = vector.chunks(LANES).zip(centre.chunks(LANES));
        pairs.map(|(values, centre)| _mm512_sub_ps(load_some(values), load_some(centre)))
    };
    let (mut most, mut squares) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    for values in centred() {
        most = _mm512_max_ps(most, _mm512_abs_ps(values));
        squares = _mm512_fmadd_ps(values, values, squares);
    }
    let length = f64::from(_mm512_reduce_add_ps(squares));
    if length.is_nan() || length > LONGEST {
        return None;
    }
    let scale = _mm512_reduce_max_ps(most) / MOST as f32;
    // Taking the centre away has rounded the vector itself.
    let rounding = 1e-7 * length.sqrt();
    if scale == 0.0 {
        code.fill(0);
        return Some(Known {
            length: 0.0,
            scale,
            error: length.sqrt() + rounding,
            sum: 0,
        });
    }
    let scales = _mm512_set1_ps(scale);
    let (mut squares, mut errors) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    let mut sum = _mm512_setzero_si512();
    for (values, code) in centred().zip(code.chunks_mut(LANES / DIMS)) {
        let whole = _mm512_cvtps_epi32(_mm512_div_ps(values, scales));
        // The scale of very short vectors is not exact.
        let whole = _mm512_max_epi32(whole, _mm512_set1_epi32(-MOST));
        let whole = _mm512_min_epi32(whole, _mm512_set1_epi32(MOST));
        sum = _mm512_add_epi32(sum, whole);
        let parts = parts_of(whole);
        let count = code.len();
        code.copy_from_slice(&parts[..count]);
        let whole = _mm512_cvtepi32_ps(whole);
        squares = _mm512_fmadd_ps(whole, whole, squares);
        let error = _mm512_fnmadd_ps(whole, scales, values);
        errors = _mm512_fmadd_ps(error, error, errors);
    }
    let squares = f64::from(_mm512_reduce_add_ps(squares));
    let errors = f64::from(_mm512_reduce_add_ps(errors));
    Some(Known {
        length: squares * f64::from(scale) * f64::from(scale),
        scale,
        // Not less by what rounding takes from the sum.
        error: 1.001 * errors.sqrt() + rounding,
        sum: _mm512_reduce_add_epi32(sum),
    })
}

/// |x - y|², added up as [`super::plain`] does without these instructions.
#[inline]
#[target_feature(enable = "avx512f,fma")]
pub(super) fn squared_distance(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = _mm512_setzero_ps();
    for (x, y) in x.chunks(LANES).zip(y.chunks(LANES)) {
        let difference = _mm512_sub_ps(load_some(x), load_some(y));
        sums = _mm512_fmadd_ps(difference, difference, sums);
    }
    _mm512_reduce_add_ps(sums)
}

/// Sixteen numbers, zeros where there are fewer.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_some(values: &[f32]) -> __m512 {
    let mask = u16::MAX >> (LANES - values.len().min(LANES));
    // SAFETY: where there are fewer than 16, the mask keeps the others from being read.
    unsafe { _mm512_maskz_loadu_ps(mask, values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn parts_of(whole: __m512i) -> [Part; LANES / DIMS] {
    let mut parts = [0; LANES / DIMS];
    // SAFETY: there is room for the 16 bytes that are written.
    unsafe { _mm_storeu_si128(parts.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(whole)) };
    parts
}

/// Compares eight vectors with two groups of rows at once: their sums take half of the 32 registers.
pub(super) struct ByBytes<'a> {
    pub(super) known: &'a KnownRows,
    /// [groups, parts]
    pub(super) rows: &'a [Quad],
    /// [vectors, parts]
    pub(super) codes: &'a [Part],
    pub(super) parts: usize,
}

const QUERIES: usize = 8;

/// Products of codes, of each query and group.
type Sums = [[__m512i; GROUPS]; QUERIES];

impl ByBytes<'_> {
    /// Calls `each` with the products of two groups after another.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn products(
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
                let quads = [load_quad(one), load_quad(other)];
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

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn least_of(&self, groups: Range<usize>, asked: &Asked<QUERIES>) -> [f32; QUERIES] {
        let mut least = [_mm512_set1_ps(f32::INFINITY); QUERIES];
        self.products(groups, asked, |first, sums| {
            for g in 0..GROUPS {
                let row = OfGroup::load(self.known, first + g);
                for q in 0..QUERIES {
                    least[q] = _mm512_min_ps(least[q], row.value(sums[q][g], asked.factors[q]));
                }
            }
        });
        least.map(|lanes| _mm512_reduce_min_ps(lanes))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn admitted_of(&self, groups: Range<usize>, asked: &Asked<QUERIES>) -> [Admitted; QUERIES] {
        let mut admitted = [[0; PANEL]; QUERIES];
        let start = groups.start;
        self.products(groups, asked, |first, sums| {
            for g in 0..GROUPS {
                let row = OfGroup::load(self.known, first + g);
                for q in 0..QUERIES {
                    admitted[q][first + g - start] = row.admitted(sums[q][g], asked, q);
                }
            }
        });
        admitted
    }
}

impl Kernel<QUERIES> for ByBytes<'_> {
    fn group_bytes(&self) -> usize {
        self.parts * size_of::<Quad>()
    }

    #[inline(always)]
    fn least(&self, groups: Range<usize>, asked: &Asked<QUERIES>) -> [f32; QUERIES] {
        // SAFETY: the machine has these instructions: there would be no such codes.
        unsafe { self.least_of(groups, asked) }
    }

    #[inline(always)]
    fn admitted(&self, groups: Range<usize>, asked: &Asked<QUERIES>) -> [Admitted; QUERIES] {
        // SAFETY: as above.
        unsafe { self.admitted_of(groups, asked) }
    }

    #[inline(always)]
    fn squared_distance(x: &[f32], y: &[f32]) -> f32 {
        // SAFETY: as above.
        unsafe { squared_distance(x, y) }
    }
}

/// What is known of a group's rows.
pub(super) struct OfGroup {
    length: __m512,
    factor: __m512,
    error: __m512,
}

impl OfGroup {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn load(known: &KnownRows, group: usize) -> Self {
        Self {
            length: load(&known.lengths[group]),
            factor: load(&known.factors[group]),
            error: load(&known.errors[group]),
        }
    }

    /// [`Kernel`] says what that is.
    #[inline]
    #[target_feature(enable = "avx512f,fma")]
    pub(super) fn value(&self, product: __m512i, factor: f32) -> __m512 {
        let factor = _mm512_mul_ps(self.factor, _mm512_set1_ps(factor));
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), factor, self.length)
    }

    #[inline]
    #[target_feature(enable = "avx512f,fma")]
    pub(super) fn admitted<const Q: usize>(
        &self,
        product: __m512i,
        asked: &Asked<Q>,
        q: usize,
    ) -> u16 {
        let limit = asked.limits[q];
        let value = self.value(product, asked.factors[q]);
        let nearest = _mm512_fnmadd_ps(self.error, _mm512_set1_ps(limit.twice), value);
        _mm512_cmp_ps_mask::<_CMP_LE_OQ>(nearest, _mm512_set1_ps(limit.value))
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_quad(quad: &Quad) -> __m512i {
    // SAFETY: it has the 64 bytes that are read, and begins at a multiple of 64.
    unsafe { _mm512_load_si512(quad.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(rows: &Rows) -> __m512 {
    // SAFETY: it has the 64 bytes that are read, and begins at a multiple of 64.
    unsafe { _mm512_load_ps(rows.0.as_ptr()) }
}
