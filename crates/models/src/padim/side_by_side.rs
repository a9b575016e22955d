//! Features of several images turned so that the same number of each lies beside the others'.

use super::layout::{Layout, Part};
use crate::lanes::Lanes;

/// Images side by side.
pub(super) const LANES: usize = 16;

pub(super) type Images = Lanes<f32, LANES>;

/// The cell of each layer that a position sees, images side by side. Neighbouring positions see the same cells of deeper layers,
/// which are brought side by side once for them.
///
/// `AVX512`: whoever calls is compiled for it, which [`SideBySide::new`] trusts.
pub(super) struct SideBySide<const G: usize, const AVX512: bool> {
    /// Where each layer's cell begins, and its channels. Lanes without an image keep zeros.
    cells: Vec<(Option<usize>, Vec<[Images; G]>)>,
}

impl<const G: usize, const AVX512: bool> SideBySide<G, AVX512> {
    /// # Safety
    ///
    /// With `AVX512` the processor has AVX-512F, and whoever calls [`SideBySide::centre`] is compiled for it.
    pub(super) unsafe fn new(layout: &Layout) -> Self {
        let room = |part: &Part| (None, vec![[Images::ZERO; G]; part.channels.len()]);
        Self {
            cells: layout.parts.iter().map(room).collect(),
        }
    }

    /// Fills `centred` with what the position sees less its mean.
    #[inline(always)]
    pub(super) fn centre(
        &mut self,
        features: &[&[f32]],
        (layout, position): (&Layout, usize),
        mean: &[f32],
        centred: &mut [[Images; G]],
    ) {
        for (part, (held, lanes)) in layout.parts.iter().zip(&mut self.cells) {
            let cell = part.cell(position);
            if *held != Some(cell) {
                *held = Some(cell);
                turn::<G, AVX512>(features, cell, lanes);
            }
            for (&dim, lanes) in part.dims.iter().zip(&*lanes) {
                let mean = Images::splat(mean[dim]);
                for (centred, lanes) in centred[dim].iter_mut().zip(lanes) {
                    *centred = lanes.minus(mean);
                }
            }
        }
    }
}

/// The numbers of each image from `first` on, as many as `lanes`.
#[inline(always)]
fn turn<const G: usize, const AVX512: bool>(
    features: &[&[f32]],
    first: usize,
    lanes: &mut [[Images; G]],
) {
    for (group, images) in features.chunks(LANES).enumerate() {
        #[cfg(target_arch = "x86_64")]
        if AVX512 {
            // SAFETY: whoever made a `SideBySide` has promised it.
            unsafe { avx512::turn(images, first, lanes, group) };
            continue;
        }
        for (lane, features) in images.iter().enumerate() {
            for (out, &value) in lanes.iter_mut().zip(&features[first..]) {
                out[group].0[lane] = value;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{Images, LANES};

    /// Sixteen images' numbers at a time.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn turn<const G: usize>(
        images: &[&[f32]],
        first: usize,
        lanes: &mut [[Images; G]],
        group: usize,
    ) {
        for (block, lanes) in lanes.chunks_mut(LANES).enumerate() {
            let first = first + block * LANES;
            let mut rows = [_mm512_setzero_ps(); LANES];
            for (row, features) in rows.iter_mut().zip(images) {
                *row = load(&features[first..first + lanes.len()]);
            }
            let columns = transposed(rows);
            for (out, column) in lanes.iter_mut().zip(columns) {
                store(&mut out[group], column);
            }
        }
    }

    /// Rows become columns: each of four rounds mixes the first half of the rows with the second.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transposed(mut x: [__m512; LANES]) -> [__m512; LANES] {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        for _ in 0..4 {
            let from = x;
            for at in 0..LANES / 2 {
                let (one, other) = (from[at], from[at + LANES / 2]);
                x[2 * at] = _mm512_permutex2var_ps(one, low, other);
                x[2 * at + 1] = _mm512_permutex2var_ps(one, high, other);
            }
        }
        x
    }

    /// At most sixteen numbers; zeros behind them.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(values: &[f32]) -> __m512 {
        let mask = u16::MAX >> LANES.saturating_sub(values.len());
        // SAFETY: as many are read as there are, at most sixteen; they may stand anywhere.
        unsafe { _mm512_maskz_loadu_ps(mask, values.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(to: &mut Images, from: __m512) {
        // SAFETY: there is room for sixteen.
        unsafe { _mm512_storeu_ps(to.0.as_mut_ptr(), from) }
    }
}
