//! How many calls a connection may make: as many as one makes in earnest and far more, but not as many as it can.

use std::time::{Duration, Instant};

/// A worker of 256 slots whose tasks take half a second makes as many: a claim and a result a task. With one heartbeat a
/// second it makes two or three.
pub const CALLS_A_SECOND: u32 = 1_000;
/// At once, after it was idle: what was waiting when a coordinator came back.
const BURST: u32 = 2 * CALLS_A_SECOND;

/// The calls that a connection may still make now.
#[derive(Debug)]
pub struct Pace {
    left: u32,
    /// Up to then it has been given what it may make.
    since: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    /// Whether one more call is in time; then it counts.
    pub fn takes(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / CALLS_A_SECOND;
        let passed = now.saturating_duration_since(self.since).as_nanos() / each.as_nanos();
        let gained = u32::try_from(passed).unwrap_or(u32::MAX).min(BURST);
        if gained == BURST {
            *self = Self::new(now);
        } else {
            self.since += each * gained;
            self.left = BURST.min(self.left + gained);
        }
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or_default();
        taken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of calls that come at this distance, those that are taken within a time.
    fn taken(pace: &mut Pace, from: Instant, each: Duration, calls: u32) -> u32 {
        let in_time = |call: &u32| pace.takes(from + each * *call);
        (0..calls).filter(in_time).count() as u32
    }

    #[test]
    fn a_burst_is_taken_and_then_so_many_a_second() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        assert_eq!(taken(&mut pace, begin, Duration::ZERO, 10_000), BURST);
        // 10 s at ten times the rate.
        let each = Duration::from_micros(100);
        let in_ten_seconds = taken(&mut pace, begin, each, 100_000);
        assert!(
            (10 * CALLS_A_SECOND - 1..=10 * CALLS_A_SECOND).contains(&in_ten_seconds),
            "{in_ten_seconds}"
        );
        // Whoever was silent has the burst again, and no more than that.
        let later = begin + Duration::from_secs(3600);
        assert_eq!(taken(&mut pace, later, Duration::ZERO, 10_000), BURST);
    }

    #[test]
    fn who_keeps_to_the_pace_is_never_refused() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let each = Duration::from_secs(1) / CALLS_A_SECOND;
        assert_eq!(taken(&mut pace, begin, each, 20_000), 20_000);
        // Nor is one that calls at odd times: nothing is lost between two calls.
        let each = Duration::from_micros(1_700);
        let later = begin + Duration::from_secs(20);
        assert_eq!(taken(&mut pace, later, each, 20_000), 20_000);
    }
}
