//! Vectors as bytes with one scale, and what their products say of distances.

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

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn load(&self) -> __m512i {
        // SAFETY: it has the 64 bytes that are read, and begins at a multiple of 64.
        unsafe { _mm512_load_si512(self.0.as_ptr().cast()) }
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
fn squared_distance(x: &[f32], y: &[f32]) -> f32 {
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

/// Products of the codes of a block of queries with those of rows, by some instructions. A processor that has them has those of
/// [`ByBytes`], too.
pub(super) trait Products<const Q: usize> {
    /// Of the queries with two groups.
    type Block;

    /// Calls `each` with those of two groups after another, and the number of the first.
    fn each(&self, groups: Range<usize>, asked: &Asked<Q>, each: impl FnMut(usize, &Self::Block));

    /// Of a query with each row of one of the two groups.
    fn of(block: &Self::Block, query: usize, group: usize) -> __m512i;
}

/// Compares vectors with rows by their codes.
pub(super) struct ByBytes<'a, P> {
    pub(super) known: &'a KnownRows,
    /// Of a row.
    pub(super) parts: usize,
    pub(super) products: P,
}

impl<P> ByBytes<'_, P> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn least_of<const Q: usize>(&self, groups: Range<usize>, asked: &Asked<Q>) -> [f32; Q]
    where
        P: Products<Q>,
    {
        let mut least = [_mm512_set1_ps(f32::INFINITY); Q];
        self.products.each(groups, asked, |first, block| {
            for g in 0..GROUPS {
                let row = OfGroup::load(self.known, first + g);
                for q in 0..Q {
                    let value = row.value(P::of(block, q, g), asked.factors[q]);
                    least[q] = _mm512_min_ps(least[q], value);
                }
            }
        });
        least.map(|lanes| _mm512_reduce_min_ps(lanes))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn admitted_of<const Q: usize>(&self, groups: Range<usize>, asked: &Asked<Q>) -> [Admitted; Q]
    where
        P: Products<Q>,
    {
        let mut admitted = [[0; PANEL]; Q];
        let start = groups.start;
        self.products.each(groups, asked, |first, block| {
            let rows: [_; GROUPS] = array::from_fn(|g| OfGroup::load(self.known, first + g));
            for q in 0..Q {
                for g in 0..GROUPS {
                    let product = P::of(block, q, g);
                    admitted[q][first + g - start] = rows[g].admitted(product, asked, q);
                }
            }
        });
        admitted
    }
}

impl<P: Products<Q>, const Q: usize> Kernel<Q> for ByBytes<'_, P> {
    fn group_bytes(&self) -> usize {
        self.parts * size_of::<Quad>()
    }

    #[inline(always)]
    fn least(&self, groups: Range<usize>, asked: &Asked<Q>) -> [f32; Q] {
        // SAFETY: the machine has these instructions: there would be no such codes.
        unsafe { self.least_of(groups, asked) }
    }

    #[inline(always)]
    fn admitted(&self, groups: Range<usize>, asked: &Asked<Q>) -> [Admitted; Q] {
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
struct OfGroup {
    length: __m512,
    factor: __m512,
    error: __m512,
}

impl OfGroup {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(known: &KnownRows, group: usize) -> Self {
        Self {
            length: load(&known.lengths[group]),
            factor: load(&known.factors[group]),
            error: load(&known.errors[group]),
        }
    }

    /// [`Kernel`] says what that is.
    #[inline]
    #[target_feature(enable = "avx512f,fma")]
    fn value(&self, product: __m512i, factor: f32) -> __m512 {
        let factor = _mm512_mul_ps(self.factor, _mm512_set1_ps(factor));
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), factor, self.length)
    }

    #[inline]
    #[target_feature(enable = "avx512f,fma")]
    fn admitted<const Q: usize>(&self, product: __m512i, asked: &Asked<Q>, q: usize) -> u16 {
        let limit = asked.limits[q];
        let value = self.value(product, asked.factors[q]);
        let nearest = _mm512_fnmadd_ps(self.error, _mm512_set1_ps(limit.twice), value);
        _mm512_cmp_ps_mask::<_CMP_LE_OQ>(nearest, _mm512_set1_ps(limit.value))
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(rows: &Rows) -> __m512 {
    // SAFETY: it has the 64 bytes that are read, and begins at a multiple of 64.
    unsafe { _mm512_load_ps(rows.0.as_ptr()) }
}
