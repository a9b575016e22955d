//! Who gets what: priority, then fair share between jobs, then age. Looks at heads of queues only.

use types::{FailureClass, LeaseNumber, TaskIndex, TaskKind, TaskState, WorkerName};

use crate::{
    core::{Core, Held},
    effect::{ClaimAnswer, Effect},
    event::{Claim, Now},
    job::JobNumber,
    rows::{AttemptRow, Change, Outcome},
    worker::Worker,
};

impl Core {
    pub(crate) fn claim(&mut self, claim: Claim, now: Now, out: &mut Vec<Effect>) -> ClaimAnswer {
        let known = self.speaking(&claim.from).map(|worker| {
            worker.seen(now);
            !worker.row.draining && worker.row.quarantine.is_none()
        });
        let takes_tasks = known == Some(true) && claim.free_slots > 0;
        let woken = self.wake_up_arrived(&claim, takes_tasks);
        if known.is_none() {
            return ClaimAnswer::Unregistered;
        }
        if let Some(&lease) = self.claims.get(&claim.id) {
            let current = self.held.contains_key(&lease)
                && self.would_accept(lease)
                && self.attempts.get(&lease).is_some_and(|a| {
                    a.worker == claim.from.worker && a.incarnation == claim.from.incarnation
                });
            return match current.then(|| self.assignment(lease)).flatten() {
                Some(assignment) => ClaimAnswer::Granted(Box::new(assignment)),
                None => ClaimAnswer::Ended,
            };
        }
        if !takes_tasks {
            return ClaimAnswer::Nothing;
        }
        let Some((number, index)) = self.choose(&claim.from.worker) else {
            if let Some(pool) = woken {
                self.wake_up_suited_nobody(pool);
            }
            return ClaimAnswer::Nothing;
        };
        let lease = self.grant(number, index, claim, now, out);
        match self.assignment(lease) {
            Some(assignment) => ClaimAnswer::Granted(Box::new(assignment)),
            None => ClaimAnswer::Ended,
        }
    }

    /// The best task that the worker may take.
    fn choose(&mut self, name: &WorkerName) -> Option<(JobNumber, TaskIndex)> {
        let mut steps = 0;
        let worker = self.workers.get(name)?;
        let chosen = self.choose_counting(worker, &mut steps);
        self.claim_steps = steps;
        chosen
    }

    /// Whether the worker would get something if it asked.
    pub(crate) fn has_something_for(&self, worker: &Worker) -> bool {
        self.choose_counting(worker, &mut 0).is_some()
    }

    fn choose_counting(&self, worker: &Worker, steps: &mut u64) -> Option<(JobNumber, TaskIndex)> {
        let free_memory = worker
            .row
            .memory_bytes
            .saturating_sub(self.memory_held(worker));
        for &(_, _, number) in self.pools.get(&worker.row.pool)? {
            *steps += 1;
            let Some(job) = self.jobs.get(&number) else {
                continue;
            };
            let needs = job.needs();
            if needs.memory_bytes > free_memory || !needs.are_met_by(&worker.row) {
                continue;
            }
            let mut best = job.ready.anywhere.first().copied();
            for (avoid, tasks) in &job.ready.avoiding {
                *steps += 1;
                if let Some(&first) = tasks.first()
                    && best.is_none_or(|best| first < best)
                    && self.may_take(worker, avoid, &needs)
                {
                    best = Some(first);
                }
            }
            if let Some(index) = best {
                return Some((number, index));
            }
        }
        None
    }

    /// What the tasks that the worker runs may use.
    pub(crate) fn memory_held(&self, worker: &Worker) -> u64 {
        let of = |lease: &LeaseNumber| {
            self.jobs
                .get(&self.held.get(lease)?.job)?
                .resolved
                .resources
                .memory_bytes
        };
        worker.held.iter().filter_map(of).sum()
    }

    fn grant(
        &mut self,
        number: JobNumber,
        index: TaskIndex,
        claim: Claim,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> LeaseNumber {
        self.counters.lease += 1;
        let lease = LeaseNumber(self.counters.lease);
        #[cfg(feature = "mutations")]
        let persisted = !self.settings.mutations.volatile_lease_counter;
        #[cfg(not(feature = "mutations"))]
        let persisted = true;
        if persisted {
            out.push(Effect::Persist(Change::Counters(self.counters)));
        }
        let Some(job) = self.jobs.get_mut(&number) else {
            return lease;
        };
        let task = &mut job.tasks[index.0 as usize];
        task.attempts.push(lease);
        let attempt = AttemptRow {
            lease,
            job: job.row.id.clone(),
            task: index,
            generation: task.generation,
            number: task.attempts.len() as u32,
            nonce: claim.nonce,
            claim: claim.id.clone(),
            worker: claim.from.worker.clone(),
            incarnation: claim.from.incarnation,
            granted_ms: now.wall_ms,
            started: false,
            ended_ms: None,
            outcome: Outcome::Running,
            counted: false,
            message: None,
            verdict: None,
            ran_ms: 0,
            delay_ms: 0,
            result_json: None,
            outputs_json: None,
            sweep: None,
        };
        job.any_granted = true;
        if let Some(run) = task
            .spec
            .run()
            .and_then(|run| job.runs.get_mut(run as usize))
        {
            run.granted = true;
        }
        job.set_state(index, TaskState::Running, out);
        if job.tasks[index.0 as usize].spec.kind() == TaskKind::Score {
            job.speed.count(0, now.mono_ms);
        }
        self.attempts.insert(lease, attempt);
        self.persist_attempt(lease, out);
        #[cfg(feature = "mutations")]
        let remembered = !self.settings.mutations.forgotten_claims;
        #[cfg(not(feature = "mutations"))]
        let remembered = true;
        if remembered {
            self.claims.insert(claim.id, lease);
        }
        let deadline_ms = now.mono_ms + self.settings.lease_ttl_ms;
        self.held.insert(
            lease,
            Held {
                job: number,
                deadline_ms,
                since_ms: now.mono_ms,
                before_ms: 0,
                progress: None,
                images: Some(0),
            },
        );
        if let Some(worker) = self.workers.get_mut(&claim.from.worker) {
            worker.held.insert(lease);
        }
        self.settle(number, now, out);
        lease
    }

    /// Whether attempts that end this way say nothing about the task.
    pub(crate) fn is_uncounted(class: FailureClass) -> bool {
        matches!(class, FailureClass::Released | FailureClass::NeverStarted)
    }
}
