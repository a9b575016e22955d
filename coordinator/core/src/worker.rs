//! Workers: which incarnation speaks, who is alive, who gets nothing more.

use std::collections::BTreeSet;

use types::{FailureClass, Incarnation, LeaseNumber, PoolName, WorkerName};

use crate::{
    core::Core,
    effect::{Effect, Refusal, Reply},
    event::{Now, Registration, Sender},
    placement::Needs,
    quarantine::Suspicion,
    query::WorkerState,
    rows::{Avoid, Change, WorkerRow},
};

#[derive(Debug)]
pub(crate) struct Worker {
    pub row: WorkerRow,
    /// Incarnations that were followed by another: their late messages change nothing, unless the one that followed has
    /// not been heard for a ttl. Then what follows was a dead process's late start, and who still speaks is the living one.
    /// Volatile.
    pub past: BTreeSet<Incarnation>,
    /// Of one that is only remembered: since when it is waited for.
    pub last_seen_ms: u64,
    /// When it last spoke to this coordinator; none of one that is only remembered, which may have ended with an earlier one.
    pub last_seen_wall_ms: Option<i64>,
    /// Left, or not seen for a ttl.
    pub gone: bool,
    pub held: BTreeSet<LeaseNumber>,
    /// What failed here in a way that may be the worker's fault, since something last completed. Volatile.
    pub streak: Vec<Suspicion>,
}

impl Worker {
    /// Is there and takes tasks.
    pub fn is_live(&self) -> bool {
        self.is_heard() && self.is_expected()
    }

    /// Has spoken to this coordinator.
    pub fn is_heard(&self) -> bool {
        self.last_seen_wall_ms.is_some()
    }

    /// Is there, or may be: what looks for the best worker waits a ttl for those that are remembered.
    pub fn is_expected(&self) -> bool {
        !self.gone && !self.row.draining && self.row.quarantine.is_none()
    }

    pub fn state(&self) -> WorkerState {
        match (self.gone, self.is_heard()) {
            (true, _) => WorkerState::Gone,
            (false, false) => WorkerState::Unheard,
            (false, true) if self.row.quarantine.is_some() => WorkerState::Quarantined,
            (false, true) if self.row.draining => WorkerState::Draining,
            (false, true) => WorkerState::Live,
        }
    }

    /// Slots in which nothing runs.
    pub fn free_slots(&self) -> usize {
        (self.row.slots as usize).saturating_sub(self.held.len())
    }

    pub fn seen(&mut self, now: Now) {
        self.last_seen_ms = now.mono_ms;
        self.last_seen_wall_ms = Some(now.wall_ms);
        self.gone = false;
    }
}

impl Core {
    /// Takes in a worker's start. What its earlier incarnation held is free at once.
    pub(crate) fn register(
        &mut self,
        worker: Registration,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        let start = (worker.worker.clone(), worker.incarnation);
        if self.departed.contains_key(&start) {
            return Err(Refusal::StaleIncarnation {
                worker: worker.worker,
            });
        }
        let mut row = WorkerRow {
            worker: worker.worker.clone(),
            incarnation: worker.incarnation,
            pool: worker.pool,
            slots: worker.slots,
            version: worker.version,
            engines: worker.engines,
            devices: worker.devices,
            kinds: worker.kinds,
            labels: worker.labels,
            memory_bytes: worker.memory_bytes,
            draining: false,
            quarantine: None,
            left: false,
            temporary: worker.temporary,
        };
        let known = self.workers.get_mut(&worker.worker);
        let mut orphans = Vec::new();
        match known {
            Some(known)
                if (known.past.contains(&worker.incarnation) && !known.gone)
                    || (known.row.left && known.row.incarnation == worker.incarnation) =>
            {
                return Err(Refusal::StaleIncarnation {
                    worker: worker.worker,
                });
            }
            Some(known) => {
                if known.row.incarnation == row.incarnation {
                    row.draining = known.row.draining;
                    row.quarantine = known.row.quarantine.clone();
                } else {
                    known.past.insert(known.row.incarnation);
                    // One that came back: the start that followed it was a late message of a dead process.
                    known.past.remove(&row.incarnation);
                    // Whoever started it again has looked after it.
                    known.streak.clear();
                    orphans.extend(known.held.iter().copied());
                }
                known.seen(now);
                if known.row != row {
                    known.row = row.clone();
                    out.push(Effect::Persist(Change::Worker(row)));
                }
            }
            None => {
                let mut new = Worker {
                    row: row.clone(),
                    past: BTreeSet::new(),
                    last_seen_ms: 0,
                    last_seen_wall_ms: None,
                    gone: false,
                    held: BTreeSet::new(),
                    streak: Vec::new(),
                };
                new.seen(now);
                self.workers.insert(worker.worker.clone(), new);
                out.push(Effect::Persist(Change::Worker(row)));
            }
        }
        for lease in orphans {
            self.end_lost(lease, "its worker was started again", now, out);
        }
        Ok(Reply::Registered {
            epoch: self.epoch,
            lease_ttl_ms: self.settings.lease_ttl_ms,
            heartbeat_ms: self.settings.heartbeat_ms,
        })
    }

    pub(crate) fn drain(
        &mut self,
        name: &WorkerName,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        let worker = self
            .workers
            .get_mut(name)
            .ok_or_else(|| Refusal::UnknownWorker(name.clone()))?;
        if !worker.row.draining {
            worker.row.draining = true;
            out.push(Effect::Persist(Change::Worker(worker.row.clone())));
            // What waited for this worker to come first may go elsewhere now.
            out.push(Effect::Wake {
                pool: worker.row.pool.clone(),
            });
        }
        Ok(Reply::Draining)
    }

    /// Takes an incarnation's leave: it is gone at once, and its late messages find it unregistered.
    pub(crate) fn leave(&mut self, from: &Sender, now: Now, out: &mut Vec<Effect>) -> Reply {
        let epoch = self.epoch;
        let Some(worker) = self.speaking(from) else {
            // Said before, followed by another, or its start has not arrived yet and must not count when it does.
            let start = (from.worker.clone(), from.incarnation);
            self.departed.insert(start, now.mono_ms);
            return Reply::Noted { epoch };
        };
        worker.seen(now);
        worker.gone = true;
        worker.row.left = true;
        out.push(Effect::Persist(Change::Worker(worker.row.clone())));
        // What waited for this worker to come first may go elsewhere now.
        out.push(Effect::Wake {
            pool: worker.row.pool.clone(),
        });
        // A grant whose answer it did not hear: nobody has begun it.
        for lease in worker.held.clone() {
            self.end_failed(lease, FailureClass::Released, "its worker left", now, out);
        }
        Reply::Noted { epoch }
    }

    /// The worker, if it is this incarnation that is registered and has not left.
    pub(crate) fn speaking(&mut self, from: &Sender) -> Option<&mut Worker> {
        self.workers
            .get_mut(&from.worker)
            .filter(|w| w.row.incarnation == from.incarnation && !w.row.left)
    }

    pub(crate) fn live_in<'a>(
        &'a self,
        pool: &'a PoolName,
    ) -> impl Iterator<Item = &'a Worker> + 'a {
        self.workers
            .values()
            .filter(move |w| w.is_live() && w.row.pool == *pool)
    }

    /// Those of them with a free slot.
    pub(crate) fn idle_in<'a>(
        &'a self,
        pool: &'a PoolName,
    ) -> impl Iterator<Item = &'a Worker> + 'a {
        self.live_in(pool).filter(|w| w.free_slots() > 0)
    }

    /// Those of the pool that take tasks, or may do so as soon as they are heard.
    pub(crate) fn expected_in<'a>(
        &'a self,
        pool: &'a PoolName,
    ) -> impl Iterator<Item = &'a Worker> + 'a {
        self.workers
            .values()
            .filter(move |w| w.is_expected() && w.row.pool == *pool)
    }

    /// Whether the worker may take what wants to avoid `avoid`: if it is not meant, or nobody better is there.
    pub(crate) fn may_take(&self, worker: &Worker, avoid: &Avoid, needs: &Needs<'_>) -> bool {
        let mut fits = self
            .expected_in(&worker.row.pool)
            .filter(|w| needs.are_met_by(&w.row));
        match avoid {
            Avoid::Worker(name) => {
                worker.row.worker != *name || !fits.any(|w| w.row.worker != *name)
            }
            Avoid::MemoryUpTo(bytes) => {
                worker.row.memory_bytes > *bytes || !fits.any(|w| w.row.memory_bytes > *bytes)
            }
        }
    }

    /// Marks those not seen for a ttl, and forgets those that do not come back; called by the tick.
    pub(crate) fn judge_workers(&mut self, gap_ms: u64, now: Now, out: &mut Vec<Effect>) {
        let mut forgotten = Vec::new();
        for worker in self.workers.values_mut() {
            worker.last_seen_ms = worker.last_seen_ms.saturating_add(gap_ms).min(now.mono_ms);
            let silent_ms = now.mono_ms.saturating_sub(worker.last_seen_ms);
            let gone = silent_ms >= self.settings.lease_ttl_ms;
            if gone && !worker.gone {
                worker.gone = true;
                out.push(Effect::Wake {
                    pool: worker.row.pool.clone(),
                });
            }
            // A ttl later than its leave: whatever it had sent before has arrived.
            let comes_back = !worker.row.temporary && silent_ms < self.settings.forget_after_ms;
            if gone && !comes_back && worker.held.is_empty() {
                forgotten.push(worker.row.worker.clone());
            }
        }
        for name in forgotten {
            self.workers.remove(&name);
            out.push(Effect::Persist(Change::WorkerForgotten(name)));
        }
        let ttl_ms = self.settings.lease_ttl_ms;
        self.departed
            .retain(|_, left_ms| now.mono_ms.saturating_sub(*left_ms) < ttl_ms);
    }

    /// A lease whose holder is not there any more: lost, or never started.
    pub(crate) fn end_lost(
        &mut self,
        lease: LeaseNumber,
        why: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let started = self.attempts.get(&lease).is_some_and(|a| a.started);
        let class = if started {
            FailureClass::Lost
        } else {
            FailureClass::NeverStarted
        };
        self.end_failed(lease, class, why, now, out);
    }
}
