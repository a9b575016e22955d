//! Loops compiled once for the oldest processors and once for those with wider registers, chosen at run time.
//!
//! No fused multiply-add is used: both forms give the same bits.

/// Defines a function whose body is compiled for AVX2, too.
macro_rules! for_wide_registers {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $kind),*) {
            #[inline(always)]
            fn plain($($arg: $kind),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($arg: $kind),*) {
                    plain($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has AVX2.
                    return unsafe { wide($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}

for_wide_registers! {
    /// `sums[i] = weights[0] * rows[i] + weights[1] * rows[stride + i] + ...`: added in this order, in registers.
    fn weigh_rows(sums: &mut [f32], rows: &[u8], stride: usize, weights: &[f32]) {
        const BLOCK: usize = 32;
        let mut blocks = sums.chunks_exact_mut(BLOCK);
        let mut first = 0;
        for block in &mut blocks {
            let mut held = [0.0_f32; BLOCK];
            for (row, weight) in weights.iter().enumerate() {
                let at = row * stride + first;
                for (sum, byte) in held.iter_mut().zip(&rows[at..at + BLOCK]) {
                    *sum += weight * f32::from(*byte);
                }
            }
            block.copy_from_slice(&held);
            first += BLOCK;
        }
        for (sum, at) in blocks.into_remainder().iter_mut().zip(first..) {
            let values = weights.iter().enumerate().map(|(row, weight)| weight * f32::from(rows[row * stride + at]));
            *sum = values.fold(0.0, |sum, value| sum + value);
        }
    }
}

for_wide_registers! {
    /// Each output is a weighted sum of the pixels of three values that begin at its place in `line`, as many as it has its share of
    /// `weights`, added in order. A pixel is read with one value more, so that it fits a register: an output's last value means
    /// nothing.
    fn weigh_pixels(line: &[f32], firsts: &[usize], weights: &[[f32; 4]], outputs: &mut [[f32; 4]]) {
        let fours = weights.len() / outputs.len().max(1);
        for ((output, first), weights) in outputs.iter_mut().zip(firsts).zip(weights.chunks_exact(fours.max(1))) {
            let mut sums = [0.0_f32; 4];
            let mut rest = &line[*first..];
            for four in weights {
                let Some(sources) = rest.first_chunk::<13>() else {
                    break;
                };
                for (tap, weight) in four.iter().enumerate() {
                    for lane in 0..4 {
                        sums[lane] += weight * sources[3 * tap + lane];
                    }
                }
                rest = &rest[12..];
            }
            *output = sums;
        }
    }
}

for_wide_registers! {
    /// `sums[i] += weight * values[i]`.
    fn add_weighted(sums: &mut [f32], values: &[f32], weight: f32) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += weight * value;
        }
    }
}
