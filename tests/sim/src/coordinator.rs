//! The coordinator's shell in miniature: inbox, batch, commit, then replies; and the ways it dies.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::{
    Change, Claim, ClaimAnswer, Core, Effect, Event, Mutations, Now, OutboxId, OutboxRow, Outcome,
    Reply, Settings, Ticket, Waiting, WorkerRow, WorkerState,
};
use job::resolved::{DeviceChoice, EngineChoice, ResolvedJob, Resources};
use types::{Device, Epoch, FailureClass, JobId, LeaseNumber, WorkerName};

use crate::{
    broker::WAKE_UP_TTL_MS,
    faults::Mutation,
    invariants::{About, Check},
    world::{Item, KEEP_JOBS_MS, Who, World},
};

#[derive(Default)]
pub struct Coordinator {
    pub core: Option<Core>,
    /// Of the process: what is under way for an older one is void.
    pub life: u64,
    pub epoch: u64,
    started_ms: u64,
    pub wall_offset_ms: i64,
    pub inbox: Vec<(Event, About)>,
    batch_planned: bool,
    pub paused_until_ms: u64,
    waiting: BTreeMap<Ticket, (Who, About)>,
    /// Claims held open: until when.
    parked: BTreeMap<Ticket, (Claim, u64)>,
    next_ticket: u64,
    /// Crash exactly there, at the next batch that persists something: for the crash points.
    pub crash_next: Option<CrashPoint>,
    /// The same at the next results that are published.
    pub crash_put: Option<PutPoint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    CommitFails,
    BeforeCommit,
    AfterCommit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutPoint {
    Before,
    /// The store has it, and nobody heard of that.
    After,
    /// It is about to be marked as done.
    BeforeDone,
}

impl Coordinator {
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// The calls that wait for an answer: whoever made them gives them up after a while.
    pub fn hand_over(&mut self) -> BTreeMap<Ticket, (Who, About)> {
        self.parked.clear();
        self.paused_until_ms = 0;
        std::mem::take(&mut self.waiting)
    }
}

/// How long a claim is held while there is nothing to do.
const LONG_WAIT_MS: u64 = 20_000;

impl World {
    pub fn now(&self) -> Now {
        Now {
            mono_ms: self.now_ms - self.coordinator.started_ms,
            wall_ms: 1_700_000_000_000 + self.now_ms as i64 + self.coordinator.wall_offset_ms,
        }
    }

    pub fn settings(&self) -> Settings {
        let is = |mutation| self.mutation == Some(mutation);
        Settings {
            mutations: Mutations {
                volatile_lease_counter: is(Mutation::VolatileLeaseCounter),
                forgotten_claims: is(Mutation::ForgottenClaims),
                repeated_expansion: is(Mutation::RepeatedExpansion),
                unbounded_wake_ups: is(Mutation::UnboundedWakeUps),
                manifests_ignored: is(Mutation::ManifestsIgnored),
            },
            retention_ms: self.retention_ms,
            late_ms: self.late_ms,
            keep_jobs_ms: KEEP_JOBS_MS,
            notices: self.history.notices,
            wake_up_ttl_ms: self.broker.as_ref().map(|_| WAKE_UP_TTL_MS),
            ..Settings::default()
        }
    }

    pub fn start_coordinator(&mut self) -> Check {
        if self.coordinator.core.is_some() {
            return Ok(());
        }
        self.coordinator.life += 1;
        self.coordinator.started_ms = self.now_ms;
        self.coordinator.epoch = self.disk.take_over();
        let rows = self.disk.rows.clone();
        let core = Core::rebuild(
            self.settings(),
            rows,
            Epoch(self.coordinator.epoch),
            self.now(),
        )
        .map_err(|e| format!("I4: {e}"))?;
        self.note(|| format!("coordinator starts in epoch {}", core.epoch().0));
        if core.rows() != self.disk.rows {
            return Err("I4: the rebuilt core says other rows than it was built from".to_owned());
        }
        if let Some(wrong) = core.audit().into_iter().next() {
            return Err(format!("I4: after a rebuild {wrong}"));
        }
        if let Some(view) = core
            .worker_views()
            .find(|w| matches!(w.state, WorkerState::Live | WorkerState::Draining))
        {
            return Err(format!(
                "I3: worker {} is {} before it has spoken",
                view.row.worker,
                view.state.as_str()
            ));
        }
        let undelivered: Vec<OutboxRow> = core.outbox().cloned().collect();
        self.coordinator.core = Some(core);
        for row in undelivered {
            self.deliver(row);
        }
        self.at(
            1000,
            Item::CoordinatorTick {
                life: self.coordinator.life,
            },
        );
        Ok(())
    }

    pub fn crash_coordinator(&mut self, why: &str) {
        self.note(|| format!("coordinator dies: {why}"));
        let coordinator = &mut self.coordinator;
        coordinator.core = None;
        coordinator.inbox.clear();
        coordinator.parked.clear();
        coordinator.paused_until_ms = 0;
        if let Some(broker) = &mut self.broker {
            broker.forget_coordinator();
        }
        // Whoever waits for an answer sees the connection break.
        for (who, _) in std::mem::take(&mut coordinator.waiting).into_values() {
            self.call_failed_soon(&who);
        }
        let after = self.chance.between(100, 5_000);
        self.at(after, Item::CoordinatorStart);
    }

    pub fn coordinator_tick(&mut self, life: u64) -> Check {
        if life != self.coordinator.life || self.coordinator.core.is_none() {
            return Ok(());
        }
        if self.now_ms < self.coordinator.paused_until_ms {
            let left = self.coordinator.paused_until_ms - self.now_ms;
            self.at(left, Item::CoordinatorTick { life });
            return Ok(());
        }
        if self.chance.hits(self.faults.wall_jump * 0.05) {
            self.coordinator.wall_offset_ms = *self.chance.pick(&[-3_600_000, 0, 3_600_000]);
        }
        if self.chance.hits(self.faults.takeover * 0.1) {
            return self.take_over();
        }
        if self.chance.hits(self.faults.coordinator_pause * 0.1) {
            let pause = *self
                .chance
                .pick(&[3_000, 10_000, 19_000, 19_000, 120_000, 3_600_000]);
            self.note(|| format!("coordinator stands still for {} s", pause / 1000));
            self.coordinator.paused_until_ms = self.now_ms + pause;
        }
        let over: Vec<Ticket> = self
            .coordinator
            .parked
            .iter()
            .filter(|(_, (_, until))| *until <= self.now_ms)
            .map(|(t, _)| *t)
            .collect();
        for ticket in over {
            self.coordinator.parked.remove(&ticket);
            if let Some((who, _)) = self.coordinator.waiting.remove(&ticket) {
                let reply = Reply::Claimed {
                    epoch: Epoch(self.coordinator.epoch),
                    answer: ClaimAnswer::Nothing,
                };
                self.send_reply(&who, reply);
            }
        }
        self.coordinator.inbox.push((Event::Ticked, About::Nothing));
        self.plan_batch();
        self.at(1000, Item::CoordinatorTick { life });
        Ok(())
    }

    /// A request reaches the coordinator's machine.
    pub fn arrive(&mut self, who: Who, make: crate::world::MakeEvent, about: About) {
        if self.coordinator.core.is_none() {
            self.call_failed_soon(&who);
            return;
        }
        self.coordinator.next_ticket += 1;
        let ticket = Ticket(self.coordinator.next_ticket);
        let nonce = self.chance.draw() as u32;
        let event = make.event(ticket, nonce);
        self.overhear(ticket, &who, &event, &about);
        self.coordinator
            .waiting
            .insert(ticket, (who, about.clone()));
        self.coordinator.inbox.push((event, about));
        self.plan_batch();
    }

    pub fn plan_batch(&mut self) {
        if !self.coordinator.batch_planned {
            self.coordinator.batch_planned = true;
            let after = self.chance.between(0, 3);
            self.at(after, Item::Batch);
        }
    }

    pub fn batch(&mut self) -> Check {
        if self.now_ms < self.coordinator.paused_until_ms {
            let left = self.coordinator.paused_until_ms - self.now_ms;
            self.at(left, Item::Batch);
            return Ok(());
        }
        self.coordinator.batch_planned = false;
        let now = self.now();
        let mut inbox = std::mem::take(&mut self.coordinator.inbox);
        if self.coordinator.core.is_none() || inbox.is_empty() {
            return Ok(());
        }
        // Time is judged when everything that had arrived is applied; M4 judges it first.
        let ticks_first = self.mutation == Some(Mutation::ExpiryBeforeInbox);
        inbox.sort_by_key(|(event, _)| matches!(event, Event::Ticked) != ticks_first);
        let mut effects = Vec::new();
        let mut heard = BTreeSet::new();
        for (event, _) in inbox {
            if let Event::HeartbeatReceived { leases, .. } = &event {
                heard.extend(leases.iter().map(|(lease, _)| *lease));
            }
            self.note_wake_up(&event);
            let Some(core) = &mut self.coordinator.core else {
                return Ok(());
            };
            let some = core.apply(event, now);
            self.wake_ups_stay_within_the_window(&some)?;
            self.grants_respect_priority_and_resources(&some)?;
            effects.extend(some);
        }
        let changes: Vec<Change> = effects
            .iter()
            .filter_map(|e| {
                if let Effect::Persist(c) = e {
                    Some(c.clone())
                } else {
                    None
                }
            })
            .collect();
        no_lease_expires_while_its_heartbeat_waits(&changes, &heard)?;
        if self.mutation == Some(Mutation::ReplyBeforeCommit) {
            self.carry_out_replies(&mut effects)?;
        }
        if !changes.is_empty() && !self.commit(&changes)? {
            return Ok(());
        }
        self.carry_out_replies(&mut effects)?;
        self.carry_out(effects);
        Ok(())
    }

    /// Writes the batch; false if the process died over it.
    fn commit(&mut self, changes: &[Change]) -> Result<bool, String> {
        let point = self.coordinator.crash_next.take();
        if point == Some(CrashPoint::CommitFails)
            || self.chance.hits(self.faults.commit_fails * 0.2)
        {
            self.crash_coordinator("the commit failed");
            return Ok(false);
        }
        let epoch = self.coordinator.epoch;
        if point == Some(CrashPoint::BeforeCommit)
            || self.chance.hits(self.faults.crash_before_commit * 0.2)
        {
            self.crash_coordinator("before the commit");
            // The write may have left the dying process: it reaches the disk when the next one has taken over.
            let after = self.chance.between(1, 20_000);
            self.at(
                after,
                Item::LateCommit {
                    epoch,
                    changes: changes.to_vec(),
                },
            );
            return Ok(false);
        }
        self.write(epoch, changes)?;
        if point == Some(CrashPoint::AfterCommit)
            || self.chance.hits(self.faults.crash_after_commit * 0.2)
        {
            self.crash_coordinator("after the commit");
            return Ok(false);
        }
        self.commits += 1;
        if self.commits.is_multiple_of(self.check_every) {
            self.rebuild_equals_the_core()?;
        }
        Ok(true)
    }

    /// A transaction at the disk, with everything that must hold after it.
    pub fn write(&mut self, epoch: u64, changes: &[Change]) -> Check {
        let current = self.disk.epoch;
        if epoch != current && !self.disk.epoch_not_asserted {
            return self
                .disk
                .commit(epoch, changes)
                .map_or(Ok(()), |()| Err("I6: a stale epoch was let in".to_owned()));
        }
        let touched = touched(&self.disk.rows, changes);
        if self.disk.commit(epoch, changes).is_err() {
            return Ok(());
        }
        self.history
            .commit(&touched, &self.disk.rows, changes, epoch, current)
    }

    pub fn rebuild_equals_the_core(&self) -> Check {
        let Some(core) = &self.coordinator.core else {
            return Ok(());
        };
        if let Some(wrong) = core.audit().into_iter().next() {
            return Err(format!("I10: {wrong}"));
        }
        crate::invariants::jobs_stop_when_too_many_tasks_failed(&self.disk.rows)?;
        if core.rows() != self.disk.rows {
            return Err(format!(
                "I4: the core and the disk differ: {}",
                difference(&core.rows(), &self.disk.rows)
            ));
        }
        let again = Core::rebuild(
            self.settings(),
            self.disk.rows.clone(),
            core.epoch(),
            self.now(),
        )
        .map_err(|e| format!("I4: {e}"))?;
        if again.rows() != self.disk.rows {
            return Err("I4: a rebuilt core differs".to_owned());
        }
        again
            .audit()
            .into_iter()
            .next()
            .map_or(Ok(()), |wrong| Err(format!("I4: rebuilt, {wrong}")))
    }

    /// I13.
    fn grants_respect_priority_and_resources(&mut self, effects: &[Effect]) -> Check {
        let granted = effects.iter().find_map(|e| match e {
            Effect::Reply {
                reply:
                    Reply::Claimed {
                        answer: ClaimAnswer::Granted(a),
                        ..
                    },
                ..
            } => Some(a),
            _ => None,
        });
        let fresh = effects
            .iter()
            .any(|e| matches!(e, Effect::Persist(Change::Attempt(_))));
        let (Some(assignment), true, Some(core)) = (granted, fresh, &self.coordinator.core) else {
            return Ok(());
        };
        let Some(attempt) = core.attempt(assignment.lease) else {
            return Err("I13: a grant without an attempt".to_owned());
        };
        let Some(worker) = core
            .worker_views()
            .find(|w| w.row.worker == attempt.row.worker)
        else {
            return Err("I13: a grant to nobody".to_owned());
        };
        let beside = worker.tasks.iter().filter(|t| **t != assignment.task);
        let mut held_bytes = 0;
        for task in beside {
            held_bytes += resources_of(core, &task.job)?.memory_bytes.unwrap_or(0);
        }
        let knows = worker.row.kinds.contains(&assignment.spec.kind());
        if !knows || !does_fit(&assignment.resources, worker.row, held_bytes) {
            return Err(format!(
                "I13: lease {} needs what its worker {} has not",
                assignment.lease, worker.row.worker
            ));
        }
        let priority = core
            .job_view(&assignment.task.job)
            .map_or(0, |j| j.priority);
        for job in core
            .job_views()
            .filter(|j| j.priority > priority && !j.state.is_terminal())
        {
            if !does_fit(&resources_of(core, job.id)?, worker.row, held_bytes) {
                continue;
            }
            let better = core.task_views(job.id, self.now()).unwrap_or_default();
            if !better.iter().all(|t| worker.row.kinds.contains(&t.kind)) {
                continue;
            }
            if let Some(task) = better
                .iter()
                .find(|t| t.attempts.is_empty() && matches!(t.waiting, Some(Waiting::Turn { .. })))
            {
                return Err(format!(
                    "I13: lease {} was granted although task {} goes first",
                    assignment.lease, task.id
                ));
            }
        }
        Ok(())
    }

    fn carry_out_replies(&mut self, effects: &mut Vec<Effect>) -> Check {
        let (replies, others): (Vec<_>, Vec<_>) = std::mem::take(effects)
            .into_iter()
            .partition(|e| matches!(e, Effect::Reply { .. }));
        *effects = others;
        for effect in replies {
            let Effect::Reply { to, reply } = effect else {
                continue;
            };
            if let Reply::Claimed {
                answer: ClaimAnswer::Nothing,
                ..
            } = &reply
            {
                let until = self.now_ms + LONG_WAIT_MS;
                if let Some((
                    Who::Worker {
                        claim: Some(claim), ..
                    },
                    _,
                )) = self.coordinator.waiting.get(&to)
                    && claim.free_slots > 0
                    && self.broker.is_none()
                {
                    self.coordinator
                        .parked
                        .entry(to)
                        .or_insert((claim.clone(), until));
                    continue;
                }
            }
            self.coordinator.parked.remove(&to);
            let Some((who, about)) = self.coordinator.waiting.remove(&to) else {
                continue;
            };
            self.history.reply(&self.disk.rows, &about, &reply)?;
            self.send_reply(&who, reply);
        }
        Ok(())
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut woken = false;
        for effect in effects {
            match effect {
                Effect::Wake { .. } => woken = true,
                Effect::Publish(wake_up) => self.publish(&wake_up),
                Effect::Deliver(row) => self.deliver(row),
                Effect::Sweep(order) => {
                    let after = self.chance.between(5, 500);
                    self.sweep_soon(order, self.coordinator.life, after);
                }
                Effect::Remove(order) => {
                    let after = self.chance.between(5, 500);
                    self.remove_soon(order, self.coordinator.life, after);
                }
                Effect::Persist(_) | Effect::Reply { .. } | Effect::JobChanged(_) => {}
            }
        }
        if woken && !self.wakes_lost && !self.coordinator.parked.is_empty() {
            for (ticket, (claim, _)) in self.coordinator.parked.clone() {
                let claim = Claim {
                    nonce: self.chance.draw() as u32,
                    ..claim
                };
                let about = About::Claim(claim.id.clone());
                self.coordinator
                    .inbox
                    .push((Event::ClaimRequested { to: ticket, claim }, about));
            }
            self.plan_batch();
        }
    }

    /// The claim of a worker that waits for something to do: for tests.
    pub fn parked_claim(&self) -> Option<Claim> {
        self.coordinator
            .parked
            .values()
            .next()
            .map(|(claim, _)| claim.clone())
    }

    /// Puts an event that nobody waits for into the inbox: for tests.
    pub fn inject(&mut self, make: impl FnOnce(Ticket) -> Event) {
        self.coordinator.next_ticket += 1;
        let event = make(Ticket(self.coordinator.next_ticket));
        self.coordinator.inbox.push((event, About::Nothing));
        self.plan_batch();
    }

    pub fn is_idle(&self) -> bool {
        let Some(core) = &self.coordinator.core else {
            return false;
        };
        core.job_views().all(|job| job.state.is_terminal()) && core.outbox().next().is_none()
    }

    pub fn quarantined(&self) -> Vec<WorkerName> {
        let core = self.coordinator.core.as_ref();
        let views = core.into_iter().flat_map(|core| core.worker_views());
        let found = views.filter(|worker| worker.state == WorkerState::Quarantined);
        found.map(|worker| worker.row.worker.clone()).collect()
    }

    /// What jobs that have not ended wait for, and the workers that there are.
    pub fn unfinished(&self) -> String {
        let Some(core) = &self.coordinator.core else {
            return "the coordinator is down".to_owned();
        };
        let mut lines = Vec::new();
        for job in core.job_views().filter(|job| !job.state.is_terminal()) {
            lines.push(format!("{} is {:?}", job.id, job.state));
            for task in core.task_views(job.id, self.now()).into_iter().flatten() {
                if let Some(why) = task.waiting {
                    lines.push(format!("  {} {:?} {why}", task.id, task.state));
                }
            }
        }
        for worker in core.worker_views() {
            lines.push(format!("{} is {:?}", worker.row.worker, worker.state));
        }
        let owed = core
            .outbox()
            .map(|row| format!("{:?} is not published", row.id));
        lines.extend(owed);
        lines.join("\n  ")
    }

    /// Whether the outbox has this entry: for tests.
    pub fn owes(&self, id: OutboxId) -> bool {
        self.disk.rows.outbox.contains_key(&id)
    }
}

/// The part of the rows that a transaction may change, as it was before: copying all of them each time would be slow.
fn touched(rows: &coordinator_core::Rows, changes: &[Change]) -> coordinator_core::Rows {
    let mut before = coordinator_core::Rows::default();
    for change in changes {
        if let Change::JobProgress(row) = change
            && let Some(old) = rows.job_progress.get(&row.job)
        {
            before.job_progress.insert(row.job.clone(), old.clone());
        }
        if let Change::Attempt(row) = change {
            if let Some(old) = rows.attempts.get(&row.lease) {
                before.attempts.insert(row.lease, old.clone());
            }
            if let Some(old) = rows.rethresholds.get(&row.job) {
                before.rethresholds.insert(row.job.clone(), old.clone());
            }
            if let Some(old) = rows.job_progress.get(&row.job) {
                before.job_progress.insert(row.job.clone(), old.clone());
            }
            if let Some(old) = rows.workers.get(&row.worker) {
                before.workers.insert(row.worker.clone(), old.clone());
            }
        }
    }
    before
}

/// C6, C9: a heartbeat that had arrived counts before time does.
fn no_lease_expires_while_its_heartbeat_waits(
    changes: &[Change],
    heard: &BTreeSet<LeaseNumber>,
) -> Check {
    for change in changes {
        if let Change::Attempt(row) = change
            && matches!(row.outcome, Outcome::Failed(FailureClass::Lost | FailureClass::NeverStarted))
            && row.message.as_deref().is_some_and(|m| m.starts_with("no heartbeat"))
            && row.ended_ms.is_some()
            && row.verdict.is_none()
            && heard.contains(&row.lease)
            && !changes.iter().any(|c| matches!(c, Change::Attempt(a) if a.lease == row.lease && a.outcome != row.outcome && !matches!(a.outcome, Outcome::Running)))
        {
            return Err(format!("C6: lease {} expired although its heartbeat had arrived", row.lease));
        }
    }
    Ok(())
}

fn difference(core: &coordinator_core::Rows, disk: &coordinator_core::Rows) -> String {
    let pairs = [
        ("jobs", core.jobs == disk.jobs),
        ("job progress", core.job_progress == disk.job_progress),
        ("expansions", core.expansions == disk.expansions),
        ("tasks", core.tasks == disk.tasks),
        ("attempts", core.attempts == disk.attempts),
        ("requests", core.requests == disk.requests),
        ("outbox", core.outbox == disk.outbox),
        ("workers", core.workers == disk.workers),
        ("models", core.models == disk.models),
        ("counters", core.counters == disk.counters),
    ];
    pairs
        .iter()
        .filter(|(_, same)| !same)
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn resources_of(core: &Core, job: &JobId) -> Result<Resources, String> {
    let job = core.job_view(job).ok_or("I13: a task without its job")?;
    let resolved: ResolvedJob =
        serde_json::from_str(job.resolved_json).map_err(|e| e.to_string())?;
    Ok(resolved.resources)
}

/// Whether the worker has what the job asks for beside what it holds: said once more, in other words than the core's.
fn does_fit(resources: &Resources, worker: &WorkerRow, held_bytes: u64) -> bool {
    let engine = resources.engine;
    let has_engine =
        engine == EngineChoice::Auto || worker.engines.contains(&engine.as_str().to_owned());
    let has_gpus = !worker.devices.as_slice().contains(&Device::Cpu);
    let has_device = match resources.device {
        DeviceChoice::Auto => true,
        DeviceChoice::Gpu => has_gpus,
        DeviceChoice::Cpu => !has_gpus,
    };
    let offered: BTreeSet<_> = worker.labels.iter().collect();
    let has_labels = resources
        .labels
        .iter()
        .all(|label| offered.contains(&label));
    has_engine
        && has_device
        && has_labels
        && resources
            .memory_bytes
            .is_none_or(|b| b + held_bytes <= worker.memory_bytes)
}
