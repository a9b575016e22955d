//! Random numbers by counter: a pure function of seed, purpose and index, the same on every machine and thread.

/// A stream of numbers; number `i` does not depend on which others were drawn.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    key: u64,
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Stream {
    /// The stream of a purpose under a seed.
    pub fn new(seed: u64, purpose: &str) -> Self {
        // FNV-1a of the purpose, then mixed with the seed, so that neighbouring seeds share nothing.
        let hash = purpose.bytes().fold(0xCBF2_9CE4_8422_2325, |h: u64, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3)
        });
        Self {
            key: mix(hash ^ mix(seed.wrapping_add(STEP))),
        }
    }

    /// 64 random bits.
    pub fn bits(&self, index: u64) -> u64 {
        mix(self
            .key
            .wrapping_add(index.wrapping_add(1).wrapping_mul(STEP)))
    }

    /// Uniform in [0, 1), exact in f32.
    pub fn uniform(&self, index: u64) -> f32 {
        (self.bits(index) >> 40) as f32 / (1u64 << 24) as f32
    }

    /// One of the numbers `0..total`, each equally likely up to 2^-32; 0 if there is none.
    pub fn below(&self, index: u64, total: usize) -> usize {
        ((u128::from(self.bits(index)) * total as u128) >> 64) as usize
    }

    /// `count` of the numbers `0..total` without replacement, ascending; each subset is equally likely up to 2^-32.
    pub fn choose(&self, count: usize, total: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..total).collect();
        for i in 0..count.min(total) {
            all.swap(i, i + self.below(i as u64, total - i));
        }
        all.truncate(count);
        all.sort_unstable();
        all
    }
}

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_has_no_duplicates_and_depends_on_the_seed_only() {
        let choose = |seed| Stream::new(seed, "test").choose(100, 152);
        let picked = choose(0);
        assert!(
            picked.windows(2).all(|pair| pair[0] < pair[1])
                && picked.len() == 100
                && picked[99] < 152
        );
        assert_eq!(picked, choose(0));
        assert_ne!(picked, choose(1));
        assert_eq!(Stream::new(3, "all").choose(5, 5), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn every_number_is_chosen_about_equally_often() {
        let mut counts = [0u32; 10];
        for seed in 0..2000 {
            for i in Stream::new(seed, "fair").choose(3, 10) {
                counts[i] += 1;
            }
        }
        // 600 expected, standard deviation 20.5.
        assert!(
            counts.iter().all(|&n| (500..700).contains(&n)),
            "{counts:?}"
        );
    }

    #[test]
    fn uniform_numbers_fill_the_unit_interval() {
        let stream = Stream::new(7, "u");
        let mean = (0..10_000)
            .map(|i| f64::from(stream.uniform(i)))
            .sum::<f64>()
            / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert!((0..10_000).all(|i| (0.0..1.0).contains(&stream.uniform(i))));
    }
}
