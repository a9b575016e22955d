//! How long to wait before the next connection attempt: doubling, bounded, with jitter.

use std::time::Duration;

/// The waits of one outage; made anew when a connection has proved to work.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            attempts: 0,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Between half and all of the doubled wait, so that a thousand workers do not return in the same moment.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1 << self.attempts.min(16))
            .min(self.longest);
        self.attempts = self.attempts.saturating_add(1);
        doubled.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
    }
}

/// Without a random source every client waits the longest time: correct, only less spread.
pub(crate) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}
