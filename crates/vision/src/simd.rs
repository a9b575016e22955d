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
    /// `sums[i] += weight * bytes[i]`.
    fn add_weighted_bytes(sums: &mut [f32], bytes: &[u8], weight: f32) {
        for (sum, byte) in sums.iter_mut().zip(bytes) {
            *sum += weight * f32::from(*byte);
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
