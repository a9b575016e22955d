//! How many wake-ups are on their way to the workers of each pool, and when there should be more.
//!
//! A wake-up only makes an idle worker ask; one that is lost, doubled or late costs an empty claim or one poll. So
//! nothing of this is written down: a coordinator that was started again knows of none and publishes anew.

use std::collections::{BTreeMap, BTreeSet};

use types::{Epoch, PoolName, TaskId, TraceContext};

use crate::{
    core::Core,
    effect::Effect,
    event::{Claim, Now},
    worker::Worker,
};

/// A message for whoever of the pool has a free slot: ask for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeUp {
    pub pool: PoolName,
    /// Comes back with the claim that it leads to. No two of a coordinator's life and its successors are equal.
    pub number: u64,
    /// The task that is likely to be granted, for whoever looks at the message.
    pub hint: Option<TaskId>,
    /// Of the hint's job.
    pub trace: Option<TraceContext>,
}

/// Fewer are not worth counting: a few more than there are tasks reach those whom a task suits.
const FEW: usize = 4;

#[derive(Debug)]
pub(crate) struct WakeUps {
    last_number: u64,
    /// On their way, by pool and number: when each is taken for lost, on the monotonic clock.
    unsettled: BTreeMap<PoolName, BTreeMap<u64, u64>>,
    /// Pools to look at with the next tick. Not at once: a broker that is down would be asked without end.
    short: BTreeSet<PoolName>,
    /// Where the event's wake-up has missed somebody: everybody who is idle is to be woken.
    missed: Option<PoolName>,
    /// Pools in which that was done since something last became claimable.
    spread: BTreeSet<PoolName>,
}

impl WakeUps {
    pub fn new(epoch: Epoch) -> Self {
        Self {
            last_number: epoch.0 << 32,
            unsettled: BTreeMap::new(),
            short: BTreeSet::new(),
            missed: None,
            spread: BTreeSet::new(),
        }
    }

    /// The wake-up has arrived, or never will. The pool that it was for.
    fn settle(&mut self, number: u64) -> Option<PoolName> {
        let mut pools = self.unsettled.iter_mut();
        let (pool, _) = pools.find_map(|(pool, numbers)| Some((pool, numbers.remove(&number)?)))?;
        Some(pool.clone())
    }

    /// Forgets those that are too old to arrive any more.
    pub fn expire(&mut self, now: Now) {
        for (pool, numbers) in &mut self.unsettled {
            let before = numbers.len();
            numbers.retain(|_, lost_ms| *lost_ms > now.mono_ms);
            if numbers.len() < before {
                self.short.insert(pool.clone());
            }
        }
    }
}

impl Core {
    /// Pools that jobs or workers have named.
    pub fn named_pools(&self) -> impl Iterator<Item = &PoolName> {
        let of_jobs = self.jobs.values().map(|job| &job.resolved.resources.pool);
        of_jobs.chain(self.workers.values().map(|worker| &worker.row.pool))
    }

    /// Whoever claims has been woken: the pool, if a wake-up has arrived with it. Who can take nothing has been woken in
    /// vain.
    pub(crate) fn wake_up_arrived(&mut self, claim: &Claim, takes_tasks: bool) -> Option<PoolName> {
        let pool = self.wake_ups.settle(claim.wake_up?)?;
        if !takes_tasks {
            self.wake_ups.short.insert(pool.clone());
        }
        Some(pool)
    }

    /// The wake-up led to a claim that got nothing although a slot was free. If what is ready suits somebody else who has
    /// one, that one would wait for its poll: everybody who is idle is woken, once. If that does not reach it, it does
    /// not listen, and others go out with each tick, until it has asked by itself or is gone.
    pub(crate) fn wake_up_suited_nobody(&mut self, pool: PoolName) {
        let misses = self.idle_in(&pool).any(|idle| self.has_something_for(idle));
        if !misses {
            return;
        }
        match self.wake_ups.spread.insert(pool.clone()) {
            true => self.wake_ups.missed = Some(pool),
            false => _ = self.wake_ups.short.insert(pool),
        }
    }

    pub(crate) fn publish_failed(&mut self, number: u64) {
        if let Some(pool) = self.wake_ups.settle(number) {
            self.wake_ups.short.insert(pool);
        }
    }

    /// After a restart nothing is known to be on its way.
    pub(crate) fn wake_every_pool(&mut self) {
        self.wake_ups.short.extend(self.pools.keys().cloned());
    }

    /// Publishes what is missing for pools in which something may have become claimable, and with a tick for all
    /// that are short.
    pub(crate) fn publish_wake_ups(&mut self, ticked: bool, now: Now, out: &mut Vec<Effect>) {
        let Some(ttl_ms) = self.settings.wake_up_ttl_ms else {
            return;
        };
        let mut pools = BTreeSet::new();
        if ticked {
            pools.append(&mut self.wake_ups.short);
        }
        for effect in out.iter() {
            if let Effect::Wake { pool } = effect {
                self.wake_ups.spread.remove(pool);
                pools.insert(pool.clone());
            }
        }
        let missed = self.wake_ups.missed.take();
        pools.extend(missed.clone());
        for pool in pools {
            let to_all = missed.as_ref() == Some(&pool);
            let (wanted, hint, trace) = self.wanted_wake_ups(&pool, to_all);
            let unsettled = self.wake_ups.unsettled.entry(pool.clone()).or_default();
            while unsettled.len() < wanted {
                self.wake_ups.last_number += 1;
                let number = self.wake_ups.last_number;
                unsettled.insert(number, now.mono_ms + ttl_ms);
                out.push(Effect::Publish(WakeUp {
                    pool: pool.clone(),
                    number,
                    hint: hint.clone(),
                    trace: trace.clone(),
                }));
            }
        }
    }

    /// As many as tasks are ready, but a few at least, and never more than the window of twice the free slots: the
    /// order in which tasks are granted stays here, and the broker holds next to nothing. `to_all`: one for each who is
    /// idle, at least.
    fn wanted_wake_ups(
        &self,
        pool: &PoolName,
        to_all: bool,
    ) -> (usize, Option<TaskId>, Option<TraceContext>) {
        let ranks = self.pools.get(pool).into_iter().flatten();
        let mut jobs = ranks.filter_map(|(_, _, number)| self.jobs.get(number));
        let Some(first) = jobs.next() else {
            return (0, None, None);
        };
        let hint = first.ready.first().map(|index| TaskId {
            job: first.row.id.clone(),
            index,
        });
        let free = self.idle_in(pool).map(Worker::free_slots);
        let window = FEW.max(2 * free.sum::<usize>());
        let least = match to_all {
            true => FEW.max(self.idle_in(pool).count()),
            false => FEW,
        };
        #[cfg(feature = "mutations")]
        let window = match self.settings.mutations.unbounded_wake_ups {
            true => usize::MAX,
            false => window,
        };
        // Each of these jobs has a task that is ready.
        let ready = jobs.take(window).map(|job| job.ready.len()).sum::<usize>() + first.ready.len();
        (ready.clamp(least, window), hint, first.row.trace.clone())
    }
}
