//! What an open task waits for, in the words of those who wait for it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use types::{Failure, JobId, LeaseNumber, PoolName, TaskId, TaskIndex, TaskState, WorkerName};

use crate::{
    core::Core,
    event::Now,
    job::{Job, is_met},
    placement::{Nobody, Offer, Placement, Standing, place, position, size},
    rows::Avoid,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// For so many tasks, of which this is the first.
    Tasks {
        unmet: u32,
        first: TaskId,
    },
    Backoff {
        left_ms: u64,
        failure: Failure,
    },
    /// The whole job pauses because something did not answer.
    Outage {
        left_ms: u64,
        /// What the task itself heard.
        failure: Option<Failure>,
    },
    /// For a worker that can do it.
    Nobody(Nobody),
    /// Slots are free, but the tasks beside them hold the memory.
    Memory {
        needed_bytes: u64,
        free_bytes: u64,
    },
    /// For its turn.
    Turn {
        pool: String,
        /// From 1.
        position: u64,
        /// Slots of the workers that can do it.
        free: u32,
        slots: u32,
        /// Who does not get it, because another can.
        avoid: Option<Avoid>,
    },
    /// It runs: for the end of its attempt, or of its lease.
    Lease {
        lease: LeaseNumber,
        worker: WorkerName,
        left_ms: u64,
    },
}

impl Waiting {
    /// The word for programs; several, with a comma between them, where no worker has several things.
    pub fn word(&self) -> Cow<'static, str> {
        match self {
            Self::Tasks { .. } => "tasks",
            Self::Backoff { .. } => "backoff",
            Self::Outage { .. } => "outage",
            Self::Nobody(nobody) => return nobody.words().join(",").into(),
            Self::Memory { .. } => "free_memory",
            Self::Turn { .. } => "turn",
            Self::Lease { .. } => "lease",
        }
        .into()
    }

    /// When it is over by itself, if it is: a lease only if its worker is not heard any more.
    pub fn left_ms(&self) -> Option<u64> {
        match self {
            Self::Backoff { left_ms, .. }
            | Self::Outage { left_ms, .. }
            | Self::Lease { left_ms, .. } => Some(*left_ms),
            Self::Tasks { .. } | Self::Nobody(_) | Self::Memory { .. } | Self::Turn { .. } => None,
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tasks { unmet: 1, first } => write!(f, "waits for task {first}"),
            Self::Tasks { unmet, first } => {
                write!(f, "waits for {unmet} tasks, the first of them {first}")
            }
            Self::Backoff { left_ms, failure } => write!(
                f,
                "tried again in {} s after {failure}",
                left_ms.div_ceil(1000)
            ),
            Self::Outage { left_ms, failure } => {
                write!(
                    f,
                    "the job pauses for {} s because something did not answer",
                    left_ms.div_ceil(1000)
                )?;
                match failure {
                    Some(failure) => write!(f, ": {failure}"),
                    None => Ok(()),
                }
            }
            Self::Nobody(nobody) => nobody.fmt(f),
            Self::Memory {
                needed_bytes,
                free_bytes,
            } => write!(
                f,
                "waits for memory: it may use {}, and beside what runs a worker with a free slot has at most {}",
                size(*needed_bytes),
                size(*free_bytes)
            ),
            Self::Turn {
                pool,
                position,
                free,
                slots,
                avoid,
            } => {
                match (free, slots) {
                    (0, 1) => write!(f, "the only slot of pool {pool} is busy")?,
                    (0, slots) => write!(f, "all {slots} slots of pool {pool} are busy")?,
                    (1, 1) => write!(f, "the only slot of pool {pool} is free")?,
                    (1, slots) => write!(f, "1 of {slots} slots of pool {pool} is free")?,
                    (free, slots) => write!(f, "{free} of {slots} slots of pool {pool} are free")?,
                }
                write!(f, ", position {position}")?;
                match avoid {
                    None => Ok(()),
                    Some(Avoid::Worker(name)) => {
                        write!(f, ", not on worker {name}, where it failed")
                    }
                    Some(Avoid::MemoryUpTo(bytes)) => {
                        write!(f, ", on a worker with more than {} of memory", size(*bytes))
                    }
                }
            }
            Self::Lease {
                lease,
                worker,
                left_ms,
            } => write!(
                f,
                "lease {lease} is held by worker {worker}, for {} s unless renewed",
                left_ms.div_ceil(1000)
            ),
        }
    }
}

/// What all tasks of a job have in common as they wait.
pub(crate) struct Outlook<'a> {
    placement: Placement,
    own: Standing,
    /// The jobs of its pool that have something ready, itself among them.
    pool: &'a [Standing],
}

impl Outlook<'_> {
    fn others(&self) -> impl Iterator<Item = Standing> {
        let others = self.pool.iter().copied();
        others.filter(|standing| standing.number != self.own.number)
    }
}

impl Core {
    /// What the job's pool has for it.
    pub(crate) fn placement(&self, job: &Job) -> Placement {
        let resources = &job.resolved.resources;
        let offers: Vec<Offer<'_>> = self
            .workers
            .values()
            .filter(|worker| worker.row.pool == resources.pool)
            .map(|worker| Offer {
                row: &worker.row,
                state: worker.state(),
                busy: u32::try_from(worker.held.len()).unwrap_or(u32::MAX),
                held_bytes: self.memory_held(worker),
            })
            .collect();
        place(&job.needs(), &offers)
    }

    /// How the jobs of a pool stand that have something ready.
    pub(crate) fn standings(&self, pool: &PoolName) -> Vec<Standing> {
        let ranks = self.pools.get(pool).into_iter().flatten();
        ranks
            .filter_map(|(_, _, number)| self.jobs.get(number))
            .map(Job::standing)
            .collect()
    }

    /// `pool`: how the jobs of the job's pool stand.
    pub(crate) fn outlook<'a>(&self, job: &Job, pool: &'a [Standing]) -> Outlook<'a> {
        Outlook {
            placement: self.placement(job),
            own: job.standing(),
            pool,
        }
    }

    /// What open jobs wait for of which nothing runs: what the first of their tasks waits for that is ready.
    pub fn waiting_jobs(&self, now: Now) -> BTreeMap<&JobId, Waiting> {
        let mut pools = BTreeMap::new();
        let idle = self.jobs.values().filter(|job| job.counts.held() == 0);
        idle.filter_map(|job| {
            let name = &job.resolved.resources.pool;
            let pool = pools.entry(name).or_insert_with(|| self.standings(name));
            Some((job.id(), self.waiting_job(job, pool, now)?))
        })
        .collect()
    }

    /// The same of one job.
    pub fn job_waiting(&self, id: &JobId, now: Now) -> Option<Waiting> {
        let job = self.job(id).filter(|job| job.counts.held() == 0)?;
        let pool = self.standings(&job.resolved.resources.pool);
        self.waiting_job(job, &pool, now)
    }

    fn waiting_job(&self, job: &Job, pool: &[Standing], now: Now) -> Option<Waiting> {
        if job.counts.of(TaskState::Ready) == 0 {
            return None;
        }
        let first = job.tasks.iter().position(|t| t.state == TaskState::Ready)?;
        let index = TaskIndex(u32::try_from(first).ok()?);
        self.waiting(job, index, &self.outlook(job, pool), 0, now)
    }

    /// What an open task waits for. `before`: tasks of the job that are granted before it.
    pub(crate) fn waiting(
        &self,
        job: &Job,
        index: TaskIndex,
        outlook: &Outlook<'_>,
        before: u64,
        now: Now,
    ) -> Option<Waiting> {
        let task = job.task(index)?;
        match task.state {
            TaskState::Blocked => {
                let first = task
                    .depends_on
                    .iter()
                    .find(|d| !is_met(d.rule, job.tasks[d.task.0 as usize].state))?;
                return Some(Waiting::Tasks {
                    unmet: task.unmet,
                    first: TaskId {
                        job: job.id().clone(),
                        index: first.task,
                    },
                });
            }
            TaskState::Running => {
                let lease = *task.attempts.last()?;
                return Some(Waiting::Lease {
                    lease,
                    worker: self.attempts.get(&lease)?.worker.clone(),
                    left_ms: self
                        .held
                        .get(&lease)?
                        .deadline_ms
                        .saturating_sub(now.mono_ms),
                });
            }
            TaskState::Ready => {}
            _ => return None,
        }
        if let Some(due_ms) = task.due_ms {
            return Some(Waiting::Backoff {
                left_ms: due_ms.saturating_sub(now.mono_ms),
                failure: self.failure(job, index),
            });
        }
        if let Some(until_ms) = job.paused_until_ms {
            return Some(Waiting::Outage {
                left_ms: until_ms.saturating_sub(now.mono_ms),
                failure: (!task.attempts.is_empty()).then(|| self.failure(job, index)),
            });
        }
        Some(match &outlook.placement {
            Placement::Nobody(nobody) => Waiting::Nobody(nobody.clone()),
            &Placement::NoRoom {
                needed_bytes,
                free_bytes,
            } => Waiting::Memory {
                needed_bytes,
                free_bytes,
            },
            &Placement::Slots { free, all } => Waiting::Turn {
                pool: job.resolved.resources.pool.to_string(),
                position: position(&outlook.own, before, outlook.others()),
                free,
                slots: all,
                avoid: task.avoid.clone(),
            },
        })
    }
}
