//! The core as a whole: what it holds, and which handler an event goes to.

use std::collections::{BTreeMap, BTreeSet};

use types::{Epoch, Incarnation, JobId, LeaseNumber, PoolName, Progress, RequestId, WorkerName};

use crate::{
    census::EndedAttempts,
    effect::{Effect, Refusal, Reply},
    event::{Event, Now, Ticket},
    job::{Job, JobNumber, Rank},
    rows::{AttemptRow, Change, Counters, ModelKey, ModelRow, OutboxId, OutboxRow, RequestRow},
    settings::Settings,
    wake_up::WakeUps,
    worker::Worker,
};

/// The coordinator's state and everything it decides. See the crate's documentation for how it is driven.
pub struct Core {
    pub(crate) settings: Settings,
    pub(crate) epoch: Epoch,
    pub(crate) jobs: BTreeMap<JobNumber, Job>,
    pub(crate) job_numbers: BTreeMap<JobId, JobNumber>,
    pub(crate) keys: BTreeMap<String, JobNumber>,
    pub(crate) attempts: BTreeMap<LeaseNumber, AttemptRow>,
    pub(crate) claims: BTreeMap<RequestId, LeaseNumber>,
    pub(crate) requests: BTreeMap<RequestId, RequestRow>,
    pub(crate) outbox: BTreeMap<OutboxId, OutboxRow>,
    /// What was not taken so far. Volatile: after a restart each entry is tried anew.
    pub(crate) undelivered: BTreeMap<OutboxId, Undelivered>,
    pub(crate) models: BTreeMap<ModelKey, ModelRow>,
    pub(crate) workers: BTreeMap<WorkerName, Worker>,
    /// Incarnations that left without being registered, and when: their start may still be under way. Volatile.
    pub(crate) departed: BTreeMap<(WorkerName, Incarnation), u64>,
    pub(crate) counters: Counters,
    /// Of jobs that were forgotten. Volatile.
    pub(crate) forgotten: EndedAttempts,
    /// Leases that are current.
    pub(crate) held: BTreeMap<LeaseNumber, Held>,
    /// Jobs with something to grant now, best first.
    pub(crate) pools: BTreeMap<PoolName, BTreeSet<Rank>>,
    /// Volatile.
    pub(crate) wake_ups: WakeUps,
    pub(crate) timers: BTreeSet<(u64, Timer)>,
    pub(crate) last_tick_ms: u64,
    /// Steps that the last claim took, over jobs and heads of queues: must not grow with the tasks.
    pub(crate) claim_steps: u64,
}

/// The volatile side of a current lease.
#[derive(Debug)]
pub(crate) struct Held {
    pub job: JobNumber,
    pub deadline_ms: u64,
    /// On the monotonic clock; of the restart, for a lease that is older.
    pub since_ms: u64,
    /// What it ran before the restart, by the wall clock.
    pub before_ms: u64,
    pub progress: Option<Progress>,
    /// Images that it has scored, as far as heartbeats told; none until one tells it of a lease that is older than the restart.
    pub images: Option<u64>,
}

impl Held {
    /// How long it has run.
    pub fn ran_ms(&self, now: Now) -> u64 {
        self.before_ms + now.mono_ms.saturating_sub(self.since_ms)
    }
}

/// Failed tries to deliver one entry of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undelivered {
    /// By the wall clock, for people.
    pub since_ms: i64,
    pub tries: u32,
    /// Why the last one failed.
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A task's backoff.
    Backoff(JobNumber, types::TaskIndex),
    /// A job's pause.
    Pause(JobNumber),
    /// A job's time limit.
    Limit(JobNumber),
    /// An attempt that does not count is to be swept.
    Sweep(LeaseNumber),
    /// A job that ended long ago is to be forgotten.
    Forget(JobNumber),
}

impl Core {
    /// An empty core.
    pub fn new(settings: Settings, epoch: Epoch, now: Now) -> Self {
        Self {
            settings,
            epoch,
            jobs: BTreeMap::new(),
            job_numbers: BTreeMap::new(),
            keys: BTreeMap::new(),
            attempts: BTreeMap::new(),
            claims: BTreeMap::new(),
            requests: BTreeMap::new(),
            outbox: BTreeMap::new(),
            undelivered: BTreeMap::new(),
            models: BTreeMap::new(),
            workers: BTreeMap::new(),
            departed: BTreeMap::new(),
            counters: Counters::default(),
            forgotten: EndedAttempts::default(),
            held: BTreeMap::new(),
            pools: BTreeMap::new(),
            wake_ups: WakeUps::new(epoch),
            timers: BTreeSet::new(),
            last_tick_ms: now.mono_ms,
            claim_steps: 0,
        }
    }

    /// Takes one fact and says what to do about it. `now` never goes back within one core.
    #[must_use = "what is not carried out is lost"]
    pub fn apply(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut out = Vec::new();
        let ticked = matches!(event, Event::Ticked);
        match event {
            Event::SubmitRequested { to, submit } => {
                let reply = self.submit(*submit, now, &mut out);
                answer(to, reply, &mut out);
            }
            Event::CancelRequested { to, request, job } => {
                let reply = self.cancel(request, &job, now, &mut out);
                answer(to, reply, &mut out);
            }
            Event::RetryRequested { to, request, job } => {
                let reply = self.retry(request, &job, now, &mut out);
                answer(to, reply, &mut out);
            }
            Event::RethresholdRequested {
                to,
                request,
                job,
                runs,
                new,
            } => {
                let reply = self.rethreshold(request, &job, (&runs, new), now, &mut out);
                answer(to, reply, &mut out);
            }
            Event::DeleteRequested { to, request, job } => {
                let reply = self.delete(request, &job, now, &mut out);
                answer(to, reply, &mut out);
            }
            Event::DrainRequested { to, worker } => {
                let reply = self.drain(&worker, &mut out);
                answer(to, reply, &mut out);
            }
            Event::ReleaseRequested { to, worker } => {
                let reply = self.release_worker(&worker, &mut out);
                answer(to, reply, &mut out);
            }
            Event::WorkerRegistered { to, worker } => {
                let reply = self.register(worker, now, &mut out);
                answer(to, reply, &mut out);
            }
            Event::ClaimRequested { to, claim } => {
                let reply = Reply::Claimed {
                    epoch: self.epoch,
                    answer: self.claim(claim, now, &mut out),
                };
                answer(to, Ok(reply), &mut out);
            }
            Event::HeartbeatReceived { to, from, leases } => {
                let reply = Reply::Heartbeat {
                    epoch: self.epoch,
                    answer: self.heartbeat(&from, leases, now, &mut out),
                };
                answer(to, Ok(reply), &mut out);
            }
            Event::AttemptCompleted {
                to,
                from,
                lease,
                result,
                outputs,
            } => {
                let reply = self.complete(&from, lease, *result, outputs, now, &mut out);
                answer(to, reply, &mut out);
            }
            Event::AttemptFailed {
                to,
                from,
                lease,
                failure,
            } => {
                let reply = self.fail(&from, lease, failure, now, &mut out);
                answer(to, reply, &mut out);
            }
            Event::AttemptReleased { to, from, lease } => {
                let reply = self.release(&from, lease, now, &mut out);
                answer(to, reply, &mut out);
            }
            Event::WorkerLeft { to, from } => {
                let reply = self.leave(&from, now, &mut out);
                answer(to, Ok(reply), &mut out);
            }
            Event::PublishFailed { number } => self.publish_failed(number),
            Event::OutboxDelivered { id, version } => self.delivered(id, version, now, &mut out),
            Event::DeliveryFailed { id, why } => self.delivery_failed(id, why, now, &mut out),
            Event::DeliveryGivenUp { id } => self.delivery_given_up(id, &mut out),
            Event::PrefixSwept { lease, objects } => self.swept(lease, objects, now, &mut out),
            Event::JobRemoved { job, again } => self.removed(&job, again, now, &mut out),
            Event::Ticked => self.tick(now, &mut out),
        }
        self.publish_wake_ups(ticked, now, &mut out);
        out
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Steps of the last claim, over jobs and heads of queues.
    pub fn claim_steps(&self) -> u64 {
        self.claim_steps
    }

    /// What must be called after anything about a job changed: its end, its rank in the pool, its row, its watchers.
    pub(crate) fn settle(&mut self, number: JobNumber, now: Now, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        if job.finish_if_done(now) {
            self.notify(number, now, out);
        }
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        if job.dirty {
            job.dirty = false;
            out.push(Effect::Persist(Change::JobProgress(job.progress.clone())));
        }
        let pool = &job.resolved.resources.pool;
        let wanted = (!job.is_cancelled()
            && job.paused_until_ms.is_none()
            && !job.ready.is_empty())
        .then(|| {
            (
                std::cmp::Reverse(job.resolved.priority),
                job.counts.held(),
                number,
            )
        });
        if wanted != job.rank {
            let ranks = self.pools.entry(pool.clone()).or_default();
            if let Some(old) = job.rank.take() {
                ranks.remove(&old);
            }
            if let Some(new) = wanted {
                ranks.insert(new);
            }
            job.rank = wanted;
        }
        if wanted.is_some() {
            out.push(Effect::Wake { pool: pool.clone() });
        }
        out.push(Effect::JobChanged(job.row.id.clone()));
        self.forget_later(number, now);
    }

    pub(crate) fn job(&self, id: &JobId) -> Option<&Job> {
        self.jobs.get(self.job_numbers.get(id)?)
    }

    pub(crate) fn persist_attempt(&self, lease: LeaseNumber, out: &mut Vec<Effect>) {
        if let Some(row) = self.attempts.get(&lease) {
            out.push(Effect::Persist(Change::Attempt(row.clone())));
        }
    }

    pub(crate) fn next_outbox_id(&mut self, out: &mut Vec<Effect>) -> OutboxId {
        self.counters.outbox += 1;
        out.push(Effect::Persist(Change::Counters(self.counters)));
        OutboxId(self.counters.outbox)
    }
}

fn answer(to: Ticket, reply: Result<Reply, Refusal>, out: &mut Vec<Effect>) {
    out.push(Effect::Reply {
        to,
        reply: reply.unwrap_or_else(Reply::Refused),
    });
}
