//! The inverse transform of two blocks at once: to the bit the exact one of libjpeg-turbo ("islow") in its vector forms.

use std::arch::x86_64::*;

use super::huffman::Content;

/// Coefficients, or what they are multiplied by, of two blocks: row by row, eight of the one, then eight of the other.
pub(super) type Pair = [i16; 128];

/// Samples of two blocks, two rows each: both of the one, both of the other.
pub(super) type Samples = [[u8; 32]; 4];

/// `None`: a coefficient that no image has. Beyond 13 bits, sums overflow in other ways here than there.
#[inline(never)]
#[target_feature(enable = "avx2")]
pub(super) fn samples(coefficients: &Pair, quanta: &Pair, content: Content) -> Option<Samples> {
    let mut rows = [_mm256_setzero_si256(); 8];
    let sources = coefficients.as_chunks().0.iter().zip(quanta.as_chunks().0);
    for (row, (coefficients, quanta)) in rows.iter_mut().zip(sources) {
        *row = _mm256_mullo_epi16(load(coefficients), load(quanta));
    }
    let (sign, high) = (
        _mm256_srai_epi16::<15>(rows[0]),
        _mm256_srai_epi16::<13>(rows[0]),
    );
    let beyond = _mm256_xor_si256(sign, high);
    if _mm256_testz_si256(beyond, beyond) == 0 {
        return None;
    }
    if content == Content::Flat {
        let sample = |at: usize| {
            let mean = i32::from(coefficients[at].wrapping_mul(quanta[at]));
            (((4 * mean + 16) >> 5).clamp(-128, 127) + 128) as u8
        };
        let mut row = [sample(0); 32];
        row[16..].fill(sample(8));
        return Some([row; 4]);
    }
    Some(rows_of_bytes(pass::<18>(transposed(pass::<11>(rows)))))
}

/// One dimension (Loeffler, Ligtenberg and Moschytz 1989), with 13 bits behind the point; `SHIFT` bits are rounded away.
#[inline]
#[target_feature(enable = "avx2")]
fn pass<const SHIFT: i32>(x: [__m256i; 8]) -> [__m256i; 8] {
    const fn fixed(value: f64) -> i32 {
        (8192.0 * value + 0.5) as i32
    }
    // The rotations' sines and cosines, times the square root of 2 and combined.
    const C0_298: i32 = fixed(0.298_631_336);
    const C0_390: i32 = fixed(0.390_180_644);
    const C0_541: i32 = fixed(0.541_196_100);
    const C0_765: i32 = fixed(0.765_366_865);
    const C0_899: i32 = fixed(0.899_976_223);
    const C1_175: i32 = fixed(1.175_875_602);
    const C1_501: i32 = fixed(1.501_321_110);
    const C1_847: i32 = fixed(1.847_759_065);
    const C1_961: i32 = fixed(1.961_570_560);
    const C2_053: i32 = fixed(2.053_119_869);
    const C2_562: i32 = fixed(2.562_915_447);
    const C3_072: i32 = fixed(3.072_711_026);

    let zero = _mm256_setzero_si256();
    let round = _mm256_set1_epi32(1 << (SHIFT - 1));
    let (sum, difference) = (_mm256_add_epi16(x[0], x[4]), _mm256_sub_epi16(x[0], x[4]));
    let (threes, fives) = (_mm256_add_epi16(x[3], x[7]), _mm256_add_epi16(x[1], x[5]));
    let half = |is_low: bool| {
        let mixed = |one, other| {
            if is_low {
                _mm256_unpacklo_epi16(one, other)
            } else {
                _mm256_unpackhi_epi16(one, other)
            }
        };
        let weighed = |mixed, one: i32, other: i32| {
            _mm256_madd_epi16(mixed, _mm256_set1_epi32(one & 0xffff | other << 16))
        };
        let add = |one, other| _mm256_add_epi32(one, other);
        let sub = |one, other| _mm256_sub_epi32(one, other);
        // In the upper half of 32 bits, and three down: times 2^13.
        let scaled = |x| add(_mm256_srai_epi32::<3>(mixed(zero, x)), round);
        let (sum, difference) = (scaled(sum), scaled(difference));
        let twos = mixed(x[2], x[6]);
        let wide = weighed(twos, C0_541 + C0_765, C0_541);
        let narrow = weighed(twos, C0_541, C0_541 - C1_847);
        let even = [
            add(sum, wide),
            add(difference, narrow),
            sub(difference, narrow),
            sub(sum, wide),
        ];
        let crossed = mixed(threes, fives);
        let threes = weighed(crossed, C1_175 - C1_961, C1_175);
        let fives = weighed(crossed, C1_175, C1_175 - C0_390);
        let (outer, inner) = (mixed(x[7], x[1]), mixed(x[5], x[3]));
        let odd = [
            add(weighed(outer, -C0_899, C1_501 - C0_899), fives),
            add(weighed(inner, -C2_562, C3_072 - C2_562), threes),
            add(weighed(inner, C2_053 - C2_562, -C2_562), fives),
            add(weighed(outer, C0_298 - C0_899, -C0_899), threes),
        ];
        let mut y = [zero; 8];
        for at in 0..4 {
            y[at] = _mm256_srai_epi32::<SHIFT>(add(even[at], odd[at]));
            y[7 - at] = _mm256_srai_epi32::<SHIFT>(sub(even[at], odd[at]));
        }
        y
    };
    let (low, high) = (half(true), half(false));
    let mut y = [zero; 8];
    for at in 0..8 {
        y[at] = _mm256_packs_epi32(low[at], high[at]);
    }
    y
}

/// Each block's rows become its columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(mut x: [__m256i; 8]) -> [__m256i; 8] {
    for _ in 0..3 {
        let from = x;
        for at in 0..4 {
            x[2 * at] = _mm256_unpacklo_epi16(from[at], from[at + 4]);
            x[2 * at + 1] = _mm256_unpackhi_epi16(from[at], from[at + 4]);
        }
    }
    x
}

/// From columns, around 0.
#[inline]
#[target_feature(enable = "avx2")]
fn rows_of_bytes(columns: [__m256i; 8]) -> Samples {
    let middle = _mm256_set1_epi8(-128);
    let packed = |one: usize, other: usize| {
        _mm256_xor_si256(_mm256_packs_epi16(columns[one], columns[other]), middle)
    };
    let (c04, c26, c15, c37) = (packed(0, 4), packed(2, 6), packed(1, 5), packed(3, 7));
    let (c01, c45) = (
        _mm256_unpacklo_epi8(c04, c15),
        _mm256_unpackhi_epi8(c04, c15),
    );
    let (c23, c67) = (
        _mm256_unpacklo_epi8(c26, c37),
        _mm256_unpackhi_epi8(c26, c37),
    );
    let halves = |left, right| {
        [
            _mm256_unpacklo_epi32(left, right),
            _mm256_unpackhi_epi32(left, right),
        ]
    };
    let upper = halves(
        _mm256_unpacklo_epi16(c01, c23),
        _mm256_unpacklo_epi16(c45, c67),
    );
    let lower = halves(
        _mm256_unpackhi_epi16(c01, c23),
        _mm256_unpackhi_epi16(c45, c67),
    );
    let mut samples = [[0; 32]; 4];
    for (to, from) in samples.iter_mut().zip(upper.into_iter().chain(lower)) {
        store(to, from);
    }
    samples
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(row: &[i16; 16]) -> __m256i {
    // SAFETY: the array has the 32 bytes that are read; they may stand anywhere.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(to: &mut [u8; 32], from: __m256i) {
    // SAFETY: the array has the 32 bytes that are written; they may stand anywhere.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), from) }
}
