//! Rows of luma and of colour differences to red, green and blue: to the bit as libjpeg.

use std::arch::x86_64::*;

/// Twice as many samples, each three parts its own and one part its neighbour's ("fancy" upsampling), of samples (`SHIFT` 2) or of
/// sums of three parts of a row and one of its neighbour (4). `sums` has a neighbour at either end.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn double<const SHIFT: u32>(sums: &[u16], out: &mut [u8]) {
    // Rounding alternates, so that the mean stays.
    let (early, late) = if SHIFT == 2 { (1, 2) } else { (8, 7) };
    let pairs = out.as_chunks_mut().0.iter_mut();
    for (((pair, before), own), after) in pairs.zip(sums).zip(&sums[1..]).zip(&sums[2..]) {
        let own = own.wrapping_mul(3);
        let first = own.wrapping_add(*before).wrapping_add(early) >> SHIFT;
        let second = own.wrapping_add(*after).wrapping_add(late) >> SHIFT;
        *pair = (first | second << 8).to_le_bytes();
    }
}

/// Pixels of one row, as many as `out` has room for.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn to_rgb([luma, blue, red]: [&[u8]; 3], out: &mut [u8]) {
    let count = out.len() / 3;
    let (sixteens, rest) = out.as_chunks_mut::<48>();
    let sources = luma
        .as_chunks()
        .0
        .iter()
        .zip(blue.as_chunks().0)
        .zip(red.as_chunks().0);
    for (out, ((luma, blue), red)) in sixteens.iter_mut().zip(sources) {
        sixteen(luma, blue, red, out);
    }
    if !rest.is_empty() {
        let last = |row: &[u8]| {
            let mut sixteen = [0; 16];
            let rest = &row[count - count % 16..count];
            sixteen[..rest.len()].copy_from_slice(rest);
            sixteen
        };
        let mut pixels = [0; 48];
        sixteen(&last(luma), &last(blue), &last(red), &mut pixels);
        rest.copy_from_slice(&pixels[..rest.len()]);
    }
}

/// T.871, section 7, with 16 bits behind the point.
#[inline]
#[target_feature(enable = "avx2")]
fn sixteen(luma: &[u8; 16], blue: &[u8; 16], red: &[u8; 16], out: &mut [u8; 48]) {
    const fn fixed(value: f64) -> i32 {
        (65536.0 * value + 0.5) as i32
    }
    let add = |one, other| _mm256_add_epi16(one, other);
    let middle = _mm256_set1_epi16(128);
    let around_zero = |bytes| _mm256_sub_epi16(_mm256_cvtepu8_epi16(load(bytes)), middle);
    let y = _mm256_cvtepu8_epi16(load(luma));
    let (cb, cr) = (around_zero(blue), around_zero(red));
    // Rounded: the upper half of twice the product, and one, halved.
    let times = |x, factor: i32| {
        let doubled = _mm256_mulhi_epi16(add(x, x), _mm256_set1_epi16(factor as i16));
        _mm256_srai_epi16::<1>(add(doubled, _mm256_set1_epi16(1)))
    };
    // Factors are split where they leave 16 bits.
    let r = add(y, add(cr, times(cr, fixed(1.402) - 0x10000)));
    let b = add(y, add(add(cb, cb), times(cb, fixed(1.772) - 0x20000)));
    let factors = -fixed(0.34414) & 0xffff | (0x10000 - fixed(0.71414)) << 16;
    let half = |mixed| {
        let product = _mm256_madd_epi16(mixed, _mm256_set1_epi32(factors));
        _mm256_srai_epi32::<16>(_mm256_add_epi32(product, _mm256_set1_epi32(0x8000)))
    };
    let (low, high) = (_mm256_unpacklo_epi16(cb, cr), _mm256_unpackhi_epi16(cb, cr));
    let g = add(
        y,
        _mm256_sub_epi16(_mm256_packs_epi32(half(low), half(high)), cr),
    );
    let bytes = |x| _mm_packus_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let channels = [bytes(r), bytes(g), bytes(b)];
    for (out, sources) in out.as_chunks_mut().0.iter_mut().zip(&INTERLEAVED) {
        let mut all = _mm_setzero_si128();
        for (channel, sources) in channels.into_iter().zip(sources) {
            all = _mm_or_si128(all, _mm_shuffle_epi8(channel, load(sources)));
        }
        store(out, all);
    }
}

/// For each third of the pixels' bytes: which of each channel's sixteen stand where; 255: none.
const INTERLEAVED: [[[u8; 16]; 3]; 3] = {
    let mut sources = [[[255; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        sources[at / 16][at % 3][at % 16] = (at / 3) as u8;
        at += 1;
    }
    sources
};

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the array has the 16 bytes that are read; they may stand anywhere.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(to: &mut [u8; 16], from: __m128i) {
    // SAFETY: the array has the 16 bytes that are written; they may stand anywhere.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), from) }
}
