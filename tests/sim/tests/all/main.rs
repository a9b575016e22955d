//! The guarantees of the coordinator and its agents: random schedules, planted bugs, crash points, size.

// Helpers outside of test functions may panic as the tests do.
#![allow(clippy::unwrap_used)]

mod backlog;
mod crash_points;
mod deadlines;
mod deleting;
mod desk;
mod drain;
mod failed_jobs;
mod forgetting;
mod liveness;
mod nights;
mod outbox;
mod pace;
mod placement;
mod rethreshold;
mod schedules;
mod searches;
mod size;
mod skip;
mod sweeper;
mod takeovers;
mod wake_ups;
mod warned;
mod workers;
