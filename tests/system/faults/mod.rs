//! Programs, connections, brokers and buckets that fail in the middle of work.
//!
//! Each test disturbs a job at a moment that a seed draws, on both queues where both are concerned, and looks from outside at
//! what came of it: the job succeeds, `ctl verify` proves that each sample was scored once, the results are those of a quiet
//! night to the last bit, calls that were repeated got the answer of the first time, no message is left with the broker
//! ([`Site::end`]), and nothing is left running (when the last of a [`crate::sandbox::Sandbox`] goes).

mod broker;
mod buckets;
mod calls;
mod cut_off;
mod killed;
mod lost_answers;
mod night;
mod silent;
mod site;
mod stopped;

use site::Site;

/// What is drawn from one seed.
struct Chance(u64);

impl Chance {
    /// Of splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// How often something is done: more with `NIGHTSHIFT_CHAOS` (`make chaos`).
fn rounds(some: u64, with_chaos: u64) -> u64 {
    match std::env::var_os("NIGHTSHIFT_CHAOS") {
        Some(_) => with_chaos,
        None => some,
    }
}

/// Disturbs with a few seeds, or with that of `NIGHTSHIFT_SEED` alone.
fn with_seeds(mut disturb: impl FnMut(u64, &mut Chance)) {
    let seeds = match std::env::var("NIGHTSHIFT_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..rounds(2, 12)).collect(),
    };
    for seed in seeds {
        eprintln!("NIGHTSHIFT_SEED={seed} repeats what follows");
        disturb(seed, &mut Chance(seed));
    }
}
