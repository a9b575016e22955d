//! What happens to a task after a failed attempt: the table of failure classes, as a function of values.

use types::{FailureClass, JobId, TaskIndex, WorkerName};

use crate::rows::Avoid;

/// The bounds that all jobs share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub backoff_first_ms: u64,
    pub backoff_max_ms: u64,
    /// `lost` attempts that are tried again.
    pub lost_retries: u32,
    /// `timed_out` attempts that are tried again.
    pub timed_out_retries: u32,
    /// Of `stalled`, `out_of_memory` and `disk_full`.
    pub single_retries: u32,
    /// How long one outage may last, waiting and running together.
    pub unavailable_ms: u64,
    /// An attempt that ran longer had got on with its work: the outage that ended it began with it. Also bounds what a
    /// jump of the wall clock over a restart can add.
    pub outage_begins_ms: u64,
    /// Outages that may begin during one task.
    pub outages: u32,
    /// A task that crashed on this many workers is dead, where there are as many.
    pub crashed_workers: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            backoff_first_ms: 1_000,
            backoff_max_ms: 60_000,
            lost_retries: 5,
            timed_out_retries: 0,
            single_retries: 1,
            unavailable_ms: 3_600_000,
            outage_begins_ms: 600_000,
            outages: 5,
            crashed_workers: 2,
        }
    }
}

/// An attempt of the task's present generation that has failed.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    pub class: FailureClass,
    pub worker: &'a WorkerName,
    pub ran_ms: u64,
    /// The backoff that followed it.
    pub delay_ms: u64,
}

/// Where the decision is made: the task, its job's own bounds, and what else is alive.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    pub job: &'a JobId,
    pub task: TaskIndex,
    /// `retries` of the job file.
    pub crashed_retries: u32,
    /// Workers that can do it and live or are waited for, the failed one included if it lives.
    pub live_workers: usize,
    /// Pauses that the job already made in a row because something did not answer.
    pub pauses: u32,
    /// Memory of the worker that failed it.
    pub memory_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextRetry {
    Again {
        delay_ms: u64,
        avoid: Option<Avoid>,
        counted: bool,
    },
    /// Another try would not mend it.
    Failed,
    /// Tried as often as allowed.
    Dead,
}

/// Decides after the last of `tried` (in order, all of one generation).
pub fn next_retry(policy: &Policy, tried: &[Tried<'_>], site: &Site<'_>) -> NextRetry {
    use FailureClass as Class;
    let Some(last) = tried.last() else {
        return NextRetry::Again {
            delay_ms: 0,
            avoid: None,
            counted: false,
        };
    };
    let same = tried.iter().filter(|t| t.class == last.class);
    let count = same.clone().count() as u32;
    let elsewhere = || Some(Avoid::Worker(last.worker.clone()));
    let again = |avoid| NextRetry::Again {
        delay_ms: backoff_ms(policy, tried, site),
        avoid,
        counted: true,
    };
    match last.class {
        Class::InvalidInput | Class::Internal => NextRetry::Failed,
        Class::Released => NextRetry::Again {
            delay_ms: 0,
            avoid: None,
            counted: false,
        },
        Class::NeverStarted => NextRetry::Again {
            delay_ms: 0,
            avoid: elsewhere(),
            counted: false,
        },
        Class::Unavailable => {
            let worked = |t: &Tried<'_>| t.ran_ms > policy.outage_begins_ms;
            let outages = same.clone().filter(|t| worked(t)).count() as u32;
            let mut spent = 0_u64;
            for one in same.rev() {
                spent = spent.saturating_add(one.delay_ms);
                if worked(one) {
                    break;
                }
                spent = spent.saturating_add(one.ran_ms);
            }
            if spent >= policy.unavailable_ms || outages > policy.outages {
                NextRetry::Dead
            } else {
                again(None)
            }
        }
        Class::Lost if count <= policy.lost_retries => again(elsewhere()),
        Class::Crashed => {
            let mut workers: Vec<&WorkerName> = same.map(|t| t.worker).collect();
            workers.sort();
            workers.dedup();
            let everywhere = site.live_workers >= policy.crashed_workers
                && workers.len() >= policy.crashed_workers;
            if count > site.crashed_retries || everywhere {
                NextRetry::Dead
            } else {
                again(elsewhere())
            }
        }
        Class::OutOfMemory if count <= policy.single_retries => {
            again(Some(Avoid::MemoryUpTo(site.memory_bytes)))
        }
        Class::DiskFull if count <= policy.single_retries => again(elsewhere()),
        Class::Stalled if count <= policy.single_retries => again(None),
        Class::TimedOut if count <= policy.timed_out_retries => again(None),
        Class::TimedOut if policy.timed_out_retries == 0 => NextRetry::Failed,
        Class::Lost | Class::OutOfMemory | Class::DiskFull | Class::Stalled | Class::TimedOut => {
            NextRetry::Dead
        }
    }
}

/// Doubles with each counted failure (with each pause of the job, for `unavailable`), and is spread over
/// the upper half by a hash of task and attempt, so that tasks that failed together do not return together.
fn backoff_ms(policy: &Policy, tried: &[Tried<'_>], site: &Site<'_>) -> u64 {
    let counted = tried
        .iter()
        .filter(|t| !matches!(t.class, FailureClass::Released | FailureClass::NeverStarted))
        .count() as u32;
    let unavailable = tried
        .last()
        .is_some_and(|t| t.class == FailureClass::Unavailable);
    let doublings = if unavailable {
        site.pauses
    } else {
        counted.saturating_sub(1)
    };
    let full = policy
        .backoff_first_ms
        .saturating_mul(1u64.checked_shl(doublings.min(32)).unwrap_or(u64::MAX))
        .min(policy.backoff_max_ms);
    let half = full / 2;
    full - hash(site.job, site.task, tried.len() as u64) % (half + 1)
}

/// FNV-1a over the id, then the finalizer of splitmix64: spreads well enough for jitter.
fn hash(job: &JobId, task: TaskIndex, attempt: u64) -> u64 {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in job.as_str().bytes() {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    h ^= (u64::from(task.0) << 32) ^ attempt;
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests;
