//! A database that was restored from a backup: what it handed out after the backup was made must not be handed out again.

use crate::rows::{Change, Counters, JobProgressRow, Rows};

/// By how much epoch and lease numbers jump: more than any coordinator hands out.
pub const RESTORED_JUMP: u64 = 1 << 32;

/// The same for each job's generations of results, which stand in names of six digits: one is made by each of a user's retries.
const GENERATIONS: u64 = 1_000;

impl Rows {
    /// What to change in rows that were restored, before a core is rebuilt from them.
    ///
    /// What happened to them after the backup is not known. So no lease, prefix or generation comes twice, and attempts that
    /// were open then can neither be accepted (their prefix may have been swept since) nor swept (they may have been
    /// accepted since, and stand in a manifest).
    pub fn restored(&self) -> Vec<Change> {
        let lease = self.counters.lease.saturating_add(RESTORED_JUMP);
        let counters = Counters {
            lease,
            restored: lease,
            ..self.counters
        };
        let beyond = |row: &JobProgressRow| {
            Change::JobProgress(JobProgressRow {
                results_planned: row.results_planned + GENERATIONS,
                ..row.clone()
            })
        };
        let jobs = self.job_progress.values().map(beyond);
        jobs.chain([Change::Counters(counters)]).collect()
    }
}
