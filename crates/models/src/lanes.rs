//! Several numbers that go through the same arithmetic side by side, and the choice of instructions for it.
//!
//! Each lane sees the same operations in the same order, whatever the other lanes hold: results do not depend on
//! company. The compiler makes vector instructions of the loops over lanes.

// Loops over a constant range of indices are what becomes one instruction.
#![allow(clippy::needless_range_loop)]

/// `N` numbers in one register, or in a few.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes<T, const N: usize>(pub [T; N]);

/// Arithmetic of kernels; with `FUSED`, products are added without rounding in between.
pub(crate) trait Float: Copy {
    const ZERO: Self;
    fn fused<const FUSED: bool>(self, factor: Self, plus: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    /// The smaller; `self` if either is no number.
    fn least(self, other: Self) -> Self;
}

macro_rules! float {
    ($float:ty) => {
        impl Float for $float {
            const ZERO: Self = 0.0;

            #[inline(always)]
            fn fused<const FUSED: bool>(self, factor: Self, plus: Self) -> Self {
                // Without the instruction, `mul_add` is a slow function call.
                if FUSED {
                    self.mul_add(factor, plus)
                } else {
                    self * factor + plus
                }
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }

            #[inline(always)]
            fn least(self, other: Self) -> Self {
                if other < self { other } else { self }
            }
        }
    };
}

float!(f32);
float!(f64);

impl<T: Float, const N: usize> Lanes<T, N> {
    pub(crate) const ZERO: Self = Self([T::ZERO; N]);

    #[inline(always)]
    pub(crate) fn splat(value: T) -> Self {
        Self([value; N])
    }

    /// self · factor + plus
    #[inline(always)]
    pub(crate) fn fused<const FUSED: bool>(self, factor: Self, plus: Self) -> Self {
        let mut out = plus.0;
        for i in 0..N {
            out[i] = self.0[i].fused::<FUSED>(factor.0[i], out[i]);
        }
        Self(out)
    }

    #[inline(always)]
    pub(crate) fn times(self, other: Self) -> Self {
        let mut out = self.0;
        for i in 0..N {
            out[i] = out[i].times(other.0[i]);
        }
        Self(out)
    }

    #[inline(always)]
    pub(crate) fn minus(self, other: Self) -> Self {
        let mut out = self.0;
        for i in 0..N {
            out[i] = out[i].minus(other.0[i]);
        }
        Self(out)
    }

    #[inline(always)]
    pub(crate) fn least(self, other: Self) -> Self {
        let mut out = self.0;
        for i in 0..N {
            out[i] = out[i].least(other.0[i]);
        }
        Self(out)
    }
}

/// The instructions that this machine has for such kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instructions {
    Avx512,
    Avx2,
    /// Whatever the program was compiled for.
    Baseline,
}

impl Instructions {
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn of_this_machine() -> Self {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
            Self::Avx512
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            Self::Avx2
        } else {
            Self::Baseline
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn of_this_machine() -> Self {
        Self::Baseline
    }
}
