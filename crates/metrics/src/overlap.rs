//! Shares of defect regions and of images, added up exactly.

/// A sum of shares of wholes, such as regions, of which each pixel of a whole of n pixels is 1/n.
///
/// Counted in units of 2^-64 and each 1/n rounded down, so that sums do not depend on order or grouping, a whole is
/// never more than one, and the error of a whole stays below n / 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Overlap(u128);

const ONE: u128 = 1 << 64;

impl Overlap {
    /// One pixel of a whole of so many.
    ///
    /// # Panics
    /// If the area is zero: the whole has the pixel.
    #[inline]
    pub(crate) fn of_pixel(area: u32) -> Self {
        Self(match u64::MAX / u64::from(area) {
            _ if area.is_power_of_two() => ONE / u128::from(area),
            // The floor of 2^64 / area is that of (2^64 - 1) / area where area does not divide 2^64.
            share => u128::from(share),
        })
    }

    /// The area of which one pixel is this share. Inverse of [`Overlap::of_pixel`] for every area.
    #[inline]
    pub(crate) fn area_of_pixel(self) -> Option<u32> {
        u32::try_from(ONE.checked_div(self.0)?).ok()
    }

    /// All of so many wholes.
    #[inline]
    pub(crate) fn of_wholes(wholes: u64) -> Self {
        Self(u128::from(wholes) * ONE)
    }

    /// So many pixels of this share.
    #[inline]
    pub(crate) fn times(self, pixels: u64) -> Self {
        Self(self.0 * u128::from(pixels))
    }

    /// How many wholes these are all the pixels of.
    pub(crate) fn wholes(self) -> u64 {
        self.0.div_ceil(ONE) as u64 // rounding takes less than one from 2^32 wholes of 2^32 pixels
    }

    #[inline]
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Mean over so many wholes; between 0 and 1 if this is a sum of shares of these.
    #[inline]
    pub(crate) fn mean(self, wholes: u64) -> f64 {
        self.0 as f64 / (wholes as f64 * ONE as f64)
    }

    pub(crate) const fn units(self) -> u128 {
        self.0
    }

    pub(crate) const fn from_units(units: u128) -> Self {
        Self(units)
    }
}

impl std::ops::AddAssign for Overlap {
    /// Cannot overflow: a sum over wholes is at most their number (a `u64`) times 2^64.
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::ops::Sub for Overlap {
    type Output = Self;

    /// What a sum had before some of its shares were added.
    #[inline]
    fn sub(self, before: Self) -> Self {
        Self(self.0 - before.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pixels_share_gives_its_area_back_and_a_whole_is_nearly_one(
            area in prop_oneof![1..=u32::MAX, 1..5000u32, (0..32u32).prop_map(|bits| 1 << bits)],
        ) {
            let share = Overlap::of_pixel(area);
            prop_assert_eq!(share.area_of_pixel(), Some(area));
            let whole = share.times(u64::from(area));
            prop_assert!(whole.0 <= ONE && ONE - whole.0 < u128::from(area));
            prop_assert_eq!(whole.wholes(), 1);
        }
    }
}
