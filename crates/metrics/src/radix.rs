//! Sorting of score keys.

const DIGIT_BITS: u32 = 11;
const BUCKETS: usize = 1 << DIGIT_BITS;
const PASSES: usize = 3;

/// Below this many keys the histograms cost more than they save.
const COMPARISON_SORT_LIMIT: usize = 2048;

/// Sorts ascending: least significant digit first, three passes of 11 bits, one histogram read for all.
///
/// 11 bits keep each pass's 2,048 write positions in the first-level cache; 16 bits (two passes) do not.
pub(crate) fn sort(keys: &mut Vec<u32>) {
    if keys.len() < COMPARISON_SORT_LIMIT {
        keys.sort_unstable();
        return;
    }
    let mut histograms = vec![[0usize; BUCKETS]; PASSES];
    for &key in keys.iter() {
        for (pass, histogram) in histograms.iter_mut().enumerate() {
            histogram[digit(key, pass)] += 1;
        }
    }
    let mut other = vec![0u32; keys.len()];
    for (pass, histogram) in histograms.iter_mut().enumerate() {
        if histogram[digit(keys[0], pass)] == keys.len() {
            continue; // one digit only: already in order
        }
        let mut position = 0;
        for count in histogram.iter_mut() {
            let here = position;
            position += *count;
            *count = here;
        }
        for &key in keys.iter() {
            let slot = &mut histogram[digit(key, pass)];
            other[*slot] = key;
            *slot += 1;
        }
        std::mem::swap(keys, &mut other);
    }
}

#[inline(always)]
fn digit(key: u32, pass: usize) -> usize {
    (key >> (pass as u32 * DIGIT_BITS)) as usize & (BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn sorts_as_the_standard_library_does(seed: u64, n in 0usize..9000, mask in prop_oneof![Just(u32::MAX), Just(0xff), Just(0xffff_0000)]) {
            let mut state = seed;
            let mut keys: Vec<u32> = (0..n).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 32) as u32 & mask
            }).collect();
            let mut expected = keys.clone();
            expected.sort_unstable();
            super::sort(&mut keys);
            prop_assert_eq!(keys, expected);
        }
    }
}
