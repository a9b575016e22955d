//! Numbers drawn by counting: the draws of a trial follow from the search's seed and the trial's index.

/// A stream of draws of its own for each pair of seed and trial.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    state: u64,
}

/// The odd number nearest to 2^64 divided by the golden ratio: steps of SplitMix64 (Steele, Lea, Flood 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draws {
    pub fn new(seed: u64, trial: u64) -> Self {
        Self {
            state: mix(mix(seed.wrapping_add(STEP)) ^ trial.wrapping_mul(STEP)),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        // 53 bits are exact.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `0..below`; `below` is at least 1 and far below 2^53.
    pub fn below(&mut self, below: usize) -> usize {
        ((self.unit() * below as f64) as usize).min(below.saturating_sub(1))
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.unit())
    }
}

/// The finalizer of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Points that fill the unit cube evenly: multiples of powers of the root of x^(d+1) = x + 1 (Roberts 2018), shifted by the seed.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    steps: Vec<f64>,
    shifts: Vec<f64>,
}

impl Spread {
    pub fn new(seed: u64, dimensions: usize) -> Self {
        let mut root = 1.5;
        for _ in 0..64 {
            root = libm::pow(1.0 + root, 1.0 / (dimensions as f64 + 1.0));
        }
        let mut draws = Draws::new(seed, u64::MAX);
        let steps = (1..=dimensions).map(|power| libm::pow(1.0 / root, power as f64));
        Self {
            steps: steps.collect(),
            shifts: (0..dimensions).map(|_| draws.unit()).collect(),
        }
    }

    /// The place of this index along a dimension, in [0, 1).
    pub fn unit(&self, index: usize, dimension: usize) -> f64 {
        let place = self.shifts[dimension] + index as f64 * self.steps[dimension];
        place - libm::floor(place)
    }
}
