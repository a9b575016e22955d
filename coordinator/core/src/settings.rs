//! The numbers of the design, and the planner's function that the core calls.

use plan::{Expansion, Plan, TaskResult};
use types::TaskIndex;

use crate::retry::Policy;

/// What [`plan::expand`] is: the simulation brings its own.
pub type Expand = fn(&Plan, TaskIndex, &TaskResult, TaskIndex) -> Expansion;

#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a lease lives without a heartbeat.
    pub lease_ttl_ms: u64,
    /// A worker that was silent for so long and holds nothing is forgotten: pods get new names, their rows would pile up.
    pub forget_after_ms: u64,
    /// How often agents are told to send one.
    pub heartbeat_ms: u64,
    /// After this a wake-up that led to no claim is taken for lost; none: there is no broker to publish to.
    pub wake_up_ttl_ms: Option<u64>,
    pub policy: Policy,
    /// Failures in a row, on as many tasks, that put a worker into quarantine.
    pub quarantine_after: usize,
    /// What a job's reduce gets after its deadline, to tell what became of each run.
    pub deadline_grace_ms: u64,
    /// How long what attempts wrote that do not count is kept, with their logs.
    pub retention_ms: u64,
    /// It is kept at least so long if the attempt may still be completed: for half an hour an agent tries to reach the
    /// coordinator, after a lease and a bit.
    pub late_ms: u64,
    /// How long a job is known after its end.
    pub keep_jobs_ms: u64,
    /// Whether somebody wants to be told when a job has ended.
    pub notices: bool,
    /// Whether assignments may name local files only where the worker's machine declares them.
    pub confined: bool,
    pub expand: Expand,
    #[cfg(feature = "mutations")]
    pub mutations: Mutations,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_ttl_ms: 60_000,
            forget_after_ms: 24 * 3_600_000,
            heartbeat_ms: 10_000,
            wake_up_ttl_ms: None,
            policy: Policy::default(),
            quarantine_after: 3,
            deadline_grace_ms: 300_000,
            retention_ms: 14 * 24 * 3_600_000,
            late_ms: 32 * 60_000,
            keep_jobs_ms: 90 * 24 * 3_600_000,
            notices: false,
            confined: false,
            expand: plan::expand,
            #[cfg(feature = "mutations")]
            mutations: Mutations::default(),
        }
    }
}

/// Bugs that the simulation plants in order to see itself find them.
#[cfg(feature = "mutations")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Mutations {
    /// M3: the lease counter lives in memory only.
    pub volatile_lease_counter: bool,
    /// M5: a granted claim's id is not remembered.
    pub forgotten_claims: bool,
    /// M6: a Complete that comes twice expands twice.
    pub repeated_expansion: bool,
    /// M7: what was accepted after its lease had ended is swept all the same.
    pub manifests_ignored: bool,
    /// M9: a wake-up for each task that is ready, however many are on their way.
    pub unbounded_wake_ups: bool,
}
