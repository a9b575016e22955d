//! What is said of a broker that cannot be reached: that it is gone, at growing intervals that it still is, and once that it
//! is back. Tries come every few seconds; a line for each would fill the log of a night.

use std::time::{Duration, Instant};

/// Between the first two lines; doubles.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);
/// A connection that lasts no longer than this has ended no outage: a broker may accept and drop everybody.
const STEADY: Duration = Duration::from_secs(30);

/// What was said so far. Knows only what it is told.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    now: Option<Now>,
    connected: Option<Instant>,
}

#[derive(Debug)]
struct Now {
    since: Instant,
    /// When it is said again.
    due: Instant,
    interval: Duration,
    /// Somebody has to change something: said at once, even if it was an outage before.
    needs_somebody: bool,
    /// A line says that there is no connection, and none since that there is one.
    said: bool,
}

impl Outage {
    /// A try failed or the connection is lost. Whether to say so.
    pub(crate) fn failed(&mut self, now: Instant, needs_somebody: bool) -> bool {
        let lasted = self.connected.take().map(|since| now - since);
        if lasted.is_some_and(|lasted| lasted >= STEADY) {
            self.now = None;
        }
        let Some(outage) = &mut self.now else {
            self.now = Some(Now {
                since: now,
                due: now + FIRST,
                interval: FIRST,
                needs_somebody,
                said: true,
            });
            return true;
        };
        let say = now >= outage.due || (needs_somebody && !outage.needs_somebody);
        if now >= outage.due {
            outage.interval = (outage.interval * 2).min(LONGEST);
            outage.due = now + outage.interval;
        }
        outage.needs_somebody |= needs_somebody;
        outage.said |= say;
        say
    }

    /// There is a connection. Whether to say so.
    pub(crate) fn connected(&mut self, now: Instant) -> bool {
        self.connected = Some(now);
        match &mut self.now {
            Some(outage) => std::mem::take(&mut outage.said),
            None => true,
        }
    }

    /// How long it has lasted, in whole seconds; 0 for the first failure.
    pub(crate) fn seconds(&self, now: Instant) -> u64 {
        let since = self.now.as_ref().map_or(now, |outage| outage.since);
        (now - since).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds at which something was said, of a broker that fails every 5 s.
    fn said(outage: &mut Outage, start: Instant, from: u64, to: u64) -> Vec<u64> {
        let times = (from..to).step_by(5);
        times
            .filter(|second| outage.failed(start + Duration::from_secs(*second), false))
            .collect()
    }

    #[test]
    fn an_outage_is_said_once_then_at_growing_intervals_and_its_end_once() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        assert!(outage.connected(at(0)));
        let night = said(&mut outage, start, 100, 40_000);
        assert_eq!(night[..5], [100, 160, 280, 520, 1_000]);
        assert!(night.len() < 20, "{night:?}");
        assert_eq!(outage.seconds(at(40_000)), 39_900);
        assert!(outage.connected(at(40_000)));
        // The next one is news again.
        assert!(outage.failed(at(50_000), false));
        assert_eq!(outage.seconds(at(50_000)), 0);
    }

    #[test]
    fn a_broker_that_accepts_and_drops_is_one_outage() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let mut lines = 0;
        for second in (0..600).step_by(5) {
            lines += u32::from(outage.failed(start + Duration::from_secs(second), false));
            lines += u32::from(outage.connected(start + Duration::from_secs(second + 1)));
        }
        assert_eq!(lines, 8);
    }

    #[test]
    fn what_somebody_has_to_change_does_not_wait() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        assert!(outage.failed(start, false));
        assert!(!outage.failed(start, false));
        assert!(outage.failed(start, true));
        assert!(!outage.failed(start, true));
    }
}
