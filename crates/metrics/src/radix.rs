//! Sorting of score keys.

/// An integer that is sorted digit by digit.
pub(crate) trait Key: Copy + Ord + Default {
    fn bits(self) -> u64;
}

impl Key for u32 {
    #[inline(always)]
    fn bits(self) -> u64 {
        u64::from(self)
    }
}

impl Key for u64 {
    #[inline(always)]
    fn bits(self) -> u64 {
        self
    }
}

/// Bits of a digit: 256 write positions stay in the first-level cache and their pages in the address cache. Three passes of
/// 11 bits over all of 26 million keys took 1.6 times as long.
const DIGIT_BITS: u32 = 8;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// The same where all keys are in the cache, which bears more positions.
const CACHED_DIGIT_BITS: u32 = 11;
const CACHED_BUCKETS: usize = 1 << CACHED_DIGIT_BITS;

/// Keys that are sorted in the second-level cache rather than split again.
const IN_CACHE: usize = 1 << 17;

/// Below this many keys the histograms cost more than they save.
const COMPARISON_SORT_LIMIT: usize = 1024;

/// Sorts ascending. Many keys are split by their leading bits until each share fits the cache, where they are sorted by
/// the bits that are left, least significant digit first.
pub(crate) fn sort<K: Key>(keys: &mut [K]) {
    let mut scratch = vec![K::default(); keys.len()];
    sort_into(keys, &mut scratch, Side::Here);
}

/// Where the sorted keys are wanted: every pass brings them to the other side.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Here,
    There,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Here => Self::There,
            Self::There => Self::Here,
        }
    }
}

fn sort_into<K: Key>(here: &mut [K], there: &mut [K], wanted: Side) {
    if here.len() < COMPARISON_SORT_LIMIT {
        here.sort_unstable();
        if wanted == Side::There {
            there.copy_from_slice(here);
        }
        return;
    }
    let (mut least, mut greatest) = (here[0], here[0]);
    for &key in here.iter() {
        least = least.min(key);
        greatest = greatest.max(key);
    }
    // Keys differ in these bits of their distance to the least.
    let bits = u64::BITS - (greatest.bits() - least.bits()).leading_zeros();
    let distance = |key: K| key.bits() - least.bits();
    if here.len() <= IN_CACHE {
        sort_in_cache(here, there, wanted, bits, distance);
        return;
    }
    let shift = bits.saturating_sub(DIGIT_BITS);
    let ends = scatter::<_, BUCKETS>(here, there, |key| (distance(key) >> shift) as usize);
    if shift == 0 {
        if wanted == Side::Here {
            here.copy_from_slice(there);
        }
        return;
    }
    let mut start = 0;
    for end in ends {
        sort_into(
            &mut there[start..end],
            &mut here[start..end],
            wanted.other(),
        );
        start = end;
    }
}

fn sort_in_cache<K: Key>(
    here: &mut [K],
    there: &mut [K],
    wanted: Side,
    bits: u32,
    distance: impl Fn(K) -> u64,
) {
    let (mut from, mut to) = (here, there);
    let mut side = Side::Here;
    let passes = bits.div_ceil(CACHED_DIGIT_BITS);
    let width = if passes == 0 {
        0
    } else {
        bits.div_ceil(passes)
    };
    for pass in 0..passes {
        scatter::<_, CACHED_BUCKETS>(from, to, |key| {
            (distance(key) >> (pass * width)) as usize & ((1 << width) - 1)
        });
        std::mem::swap(&mut from, &mut to);
        side = side.other();
    }
    if side != wanted {
        to.copy_from_slice(from);
    }
}

/// Orders keys by one digit, equal ones as they came; gives where each digit's keys end.
#[inline(always)]
fn scatter<K: Key, const BUCKETS: usize>(
    from: &[K],
    to: &mut [K],
    digit: impl Fn(K) -> usize,
) -> [usize; BUCKETS] {
    let mut positions = starts(from, &digit);
    for &key in from {
        let position = &mut positions[digit(key)];
        to[*position] = key;
        *position += 1;
    }
    positions
}

/// Where each digit's keys start.
#[inline(always)]
fn starts<K: Key, const BUCKETS: usize>(
    keys: &[K],
    digit: impl Fn(K) -> usize,
) -> [usize; BUCKETS] {
    let mut positions = [0; BUCKETS];
    for &key in keys {
        positions[digit(key)] += 1;
    }
    let mut next = 0;
    for position in &mut positions {
        let count = *position;
        *position = next;
        next += count;
    }
    positions
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn sorts_as_the_standard_library_does(
            seed: u64,
            n in prop_oneof![0usize..9000, Just(200_000)],
            mask in prop_oneof![
                Just(u64::MAX), Just(0xff), Just(0), Just(0xffff_0000_ffff_0000), Just(0xffff_ffff_0000_0fff)
            ],
        ) {
            let mut state = seed;
            let mut keys: Vec<u64> = (0..n).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state ^ state >> 32) & mask
            }).collect();
            let mut halves: Vec<u32> = keys.iter().map(|&key| (key >> 16) as u32).collect();
            let (mut expected, mut expected_halves) = (keys.clone(), halves.clone());
            expected.sort_unstable();
            expected_halves.sort_unstable();
            super::sort(&mut keys);
            super::sort(&mut halves);
            prop_assert!(keys == expected);
            prop_assert!(halves == expected_halves);
        }
    }
}
