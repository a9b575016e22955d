//! The agent as a whole: one handler an event.

use std::collections::{BTreeMap, VecDeque};

use types::{Epoch, Failure, FailureClass, LeaseNumber, RequestId};

use crate::{
    event::{AgentEffect, AgentEvent, AgentSettings, Answer, Call, Exit, Grant, SlotNumber},
    report::{Outcome, Report, Resend},
    slot::{Executor, Phase, Slot, Work, failure_of},
    wake_up::{WakeUps, jittered},
};

#[derive(Debug)]
pub struct Agent {
    settings: AgentSettings,
    /// Highest seen: answers of a lower one come from a coordinator that has been replaced.
    epoch: Epoch,
    registered: bool,
    register: Resend,
    claim: Claiming,
    claims_made: u64,
    wake_ups: WakeUps,
    heartbeat_due_ms: u64,
    slots: Vec<Slot>,
    reports: BTreeMap<LeaseNumber, Report>,
    /// The last leases that were taken, so that an answer that comes twice is known.
    taken: VecDeque<LeaseNumber>,
    /// The coordinator wants this worker to get nothing more.
    drained_by_user: bool,
    /// SIGTERM: since when, on the monotonic clock.
    draining_since_ms: Option<u64>,
    /// When this ends whatever is still untold.
    end_by_ms: Option<u64>,
    /// Telling the coordinator that this ends, once nothing is held any more.
    leave: Resend,
    left: bool,
    exited: bool,
}

/// More than answers can be late by.
const TAKEN_KNOWN: usize = 256;

/// After a grant, so that an agent with short tasks does not send a heartbeat for each.
const FIRST_HEARTBEAT_MS: u64 = 100;

#[derive(Debug)]
enum Claiming {
    /// Nothing is asked; not before.
    Idle { not_before_ms: u64 },
    /// Until it is answered, the same id is asked again, so a lost answer loses nothing.
    Asking {
        id: RequestId,
        wake_up: Option<u64>,
        /// A task was completed meanwhile: the claim may have been judged before what waits for that task was ready.
        overtaken: bool,
        resend: Resend,
    },
}

impl Agent {
    pub fn new(settings: AgentSettings, now_ms: u64) -> Self {
        Self {
            epoch: Epoch(0),
            registered: false,
            register: Resend::now(now_ms),
            claim: Claiming::Idle {
                not_before_ms: now_ms,
            },
            claims_made: 0,
            wake_ups: WakeUps::default(),
            heartbeat_due_ms: now_ms,
            slots: (0..settings.slots).map(|_| Slot::default()).collect(),
            reports: BTreeMap::new(),
            taken: VecDeque::new(),
            drained_by_user: false,
            draining_since_ms: None,
            end_by_ms: None,
            leave: Resend::now(now_ms),
            left: false,
            exited: false,
            settings,
        }
    }

    /// Takes one fact and says what to do about it. `now_ms`: on a clock that never goes back.
    #[must_use = "what is not carried out is lost"]
    pub fn apply(&mut self, event: AgentEvent, now_ms: u64) -> Vec<AgentEffect> {
        let mut out = Vec::new();
        match event {
            AgentEvent::Ticked => self.judge(now_ms, &mut out),
            AgentEvent::Woken { number } => self.wake_ups.delivered(number, now_ms),
            AgentEvent::Answered {
                call,
                epoch,
                answer,
            } => {
                if epoch >= self.epoch {
                    self.epoch = epoch;
                    self.answered(&call, answer, now_ms, &mut out);
                } else {
                    self.call_failed(&call, now_ms);
                }
            }
            AgentEvent::CallFailed { call } => self.call_failed(&call, now_ms),
            AgentEvent::CallRefused { call, why } => self.refused(&call, &why, now_ms),
            AgentEvent::CallDenied { call, denial } => {
                if self.is_stranger() && !self.exited {
                    self.exited = true;
                    return vec![AgentEffect::GiveUp(denial)];
                }
                // It was known here before: tokens are being exchanged, or a coordinator is rolled back. What it computes
                // may still count.
                self.call_failed(&call, now_ms);
            }
            AgentEvent::ExecutorReady { slot } => self.executor_ready(slot),
            AgentEvent::ExecutorProgressed {
                slot,
                lease,
                progress,
                pulse,
                loading,
            } => {
                if let Some(work) = self.work_on(slot, lease) {
                    if pulse != work.pulse || loading != work.loading {
                        work.moved_ms = now_ms;
                    }
                    work.pulse = pulse;
                    work.loading = loading;
                    work.progress = Some(progress);
                }
            }
            AgentEvent::TaskDone {
                slot,
                lease,
                result_json,
                outputs_json,
            } => {
                self.task_ended(
                    slot,
                    lease,
                    Outcome::Complete {
                        result_json,
                        outputs_json,
                    },
                    now_ms,
                    &mut out,
                );
            }
            AgentEvent::TaskFailed {
                slot,
                lease,
                failure,
            } => {
                self.task_ended(slot, lease, Outcome::Fail(failure), now_ms, &mut out);
            }
            AgentEvent::ExecutorExited {
                slot,
                exit,
                last_words,
            } => self.executor_exited(slot, &exit, &last_words, now_ms, &mut out),
            AgentEvent::MemorySampled { slot, bytes } => {
                self.memory_sampled(slot, bytes, now_ms, &mut out)
            }
            AgentEvent::DrainRequested => self.drain(now_ms, &mut out),
            AgentEvent::EndRequested => self.end(now_ms, &mut out),
        }
        self.proceed(now_ms, &mut out);
        out
    }

    /// No coordinator has answered it yet.
    fn is_stranger(&self) -> bool {
        self.epoch == Epoch(0)
    }

    /// Leases that are held here: those being worked on and those whose outcome is not answered.
    pub fn leases(&self) -> Vec<LeaseNumber> {
        let working = self
            .slots
            .iter()
            .filter_map(|s| s.work.as_ref())
            .map(|w| w.grant.lease);
        let mut leases: Vec<LeaseNumber> = working.chain(self.reports.keys().copied()).collect();
        leases.sort();
        leases
    }

    /// Whether the coordinator said that a user wants this worker to get nothing more.
    pub fn is_drained_by_user(&self) -> bool {
        self.drained_by_user
    }

    fn answered(&mut self, call: &Call, answer: Answer, now_ms: u64, out: &mut Vec<AgentEffect>) {
        match (call, answer) {
            (Call::Register, Answer::Registered { heartbeat_ms }) => {
                self.settings.heartbeat_ms = heartbeat_ms;
                if !self.registered {
                    self.registered = true;
                    self.register.in_flight = false;
                }
            }
            (Call::Claim { id, .. }, answer) => self.claim_answered(id, answer, now_ms, out),
            (
                Call::Heartbeat { .. },
                Answer::Heartbeat {
                    cancel,
                    drain,
                    register,
                },
            ) => {
                if register {
                    self.unregistered(now_ms);
                }
                self.drained_by_user = drain;
                for lease in cancel {
                    self.cancel(lease, now_ms, out);
                }
            }
            (Call::Complete { lease, .. }, Answer::Completed(_)) => {
                self.reports.remove(lease);
                self.ask_on(now_ms);
            }
            (Call::Fail { lease, .. } | Call::Release { lease }, Answer::Noted) => {
                self.reports.remove(lease);
            }
            (Call::Leave, Answer::Noted) => self.left = true,
            // An answer that does not belong to its call says nothing.
            (call, _) => self.call_failed(&call.clone(), now_ms),
        }
    }

    fn claim_answered(
        &mut self,
        id: &RequestId,
        answer: Answer,
        now_ms: u64,
        out: &mut Vec<AgentEffect>,
    ) {
        let overtaken = match &self.claim {
            Claiming::Asking {
                id: asked,
                overtaken,
                ..
            } if asked == id => Some(*overtaken),
            _ => None,
        };
        let current = overtaken.is_some();
        if current {
            self.wake_up_answered(matches!(answer, Answer::Granted(_)));
        }
        match answer {
            Answer::Granted(grant) => {
                if current {
                    self.claim = Claiming::Idle {
                        not_before_ms: now_ms,
                    };
                }
                // A claim that was sent twice may have got nothing first and a lease later: the lease counts.
                self.take(*grant, now_ms, out);
            }
            Answer::Unregistered if current => {
                self.unregistered(now_ms);
                self.claim = Claiming::Idle {
                    not_before_ms: now_ms + self.settings.claim_pause_ms,
                };
            }
            _ if current => {
                let pause_ms = match self.settings.poll_ms {
                    Some(_) if answer == Answer::Nothing && overtaken == Some(true) => 0,
                    Some(poll_ms) if answer == Answer::Nothing => jittered(poll_ms, id),
                    _ => self.settings.claim_pause_ms,
                };
                self.claim = Claiming::Idle {
                    not_before_ms: now_ms + pause_ms,
                }
            }
            _ => {}
        }
    }

    /// What waits for a task of this worker is ready now, and may suit no other: a claim that got nothing before is made
    /// again. One that the coordinator holds is answered as soon as there is something.
    fn ask_on(&mut self, now_ms: u64) {
        if self.settings.poll_ms.is_none() {
            return;
        }
        match &mut self.claim {
            Claiming::Idle { not_before_ms } => *not_before_ms = now_ms.min(*not_before_ms),
            Claiming::Asking { overtaken, .. } => *overtaken = true,
        }
    }

    /// The present claim is over.
    fn wake_up_answered(&mut self, granted: bool) {
        if let Claiming::Asking { wake_up, .. } = self.claim {
            self.wake_ups.answered(wake_up, granted);
        }
    }

    fn take(&mut self, grant: Grant, now_ms: u64, out: &mut Vec<AgentEffect>) {
        let lease = grant.lease;
        if self.taken.contains(&lease) {
            return;
        }
        self.taken.push_back(lease);
        if self.taken.len() > TAKEN_KNOWN {
            self.taken.pop_front();
        }
        let free = self
            .slots
            .iter()
            .position(Slot::is_free)
            .filter(|_| self.draining_since_ms.is_none());
        let Some(place) = free else {
            self.report(lease, Outcome::Release, now_ms, out);
            return;
        };
        let slot = &mut self.slots[place];
        slot.work = Some(Work::new(grant, now_ms));
        if slot.is_overgrown() {
            slot.executor = Executor::Dying;
            out.push(AgentEffect::KillExecutor {
                slot: place as SlotNumber,
            });
        }
        slot.start_if_absent(place as SlotNumber, out);
        // The first heartbeat of a lease says that it was begun; what is over before then says so itself.
        self.heartbeat_due_ms = self.heartbeat_due_ms.min(now_ms + FIRST_HEARTBEAT_MS);
    }

    fn executor_ready(&mut self, slot: SlotNumber) {
        if let Some(slot) = self.slots.get_mut(slot as usize)
            && slot.executor == Executor::Starting
        {
            slot.executor = Executor::Ready;
        }
    }

    fn work_on(&mut self, slot: SlotNumber, lease: LeaseNumber) -> Option<&mut Work> {
        self.slots
            .get_mut(slot as usize)?
            .work
            .as_mut()
            .filter(|w| w.grant.lease == lease)
    }

    /// The executor says that the task is over. Of a task that was to be cancelled nobody wants the outcome.
    fn task_ended(
        &mut self,
        slot: SlotNumber,
        lease: LeaseNumber,
        outcome: Outcome,
        now_ms: u64,
        out: &mut Vec<AgentEffect>,
    ) {
        let Some(work) = self.work_on(slot, lease) else {
            return;
        };
        let outcome = match &work.phase {
            Phase::Waiting => return,
            Phase::Running => outcome,
            Phase::Cancelling => Outcome::Release,
            // The exit that follows the kill ends it.
            Phase::Killed(_) => return,
        };
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.work = None;
        }
        self.report(lease, outcome, now_ms, out);
    }

    fn executor_exited(
        &mut self,
        number: SlotNumber,
        exit: &Exit,
        last_words: &str,
        now_ms: u64,
        out: &mut Vec<AgentEffect>,
    ) {
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return;
        };
        let recycled = slot.executor == Executor::Dying;
        slot.executor = Executor::Absent;
        slot.idle_bytes = 0;
        if recycled
            && slot
                .work
                .as_ref()
                .is_some_and(|w| w.phase == Phase::Waiting)
        {
            slot.start_if_absent(number, out);
            return;
        }
        let Some(work) = slot.work.take() else { return };
        let outcome = match work.phase {
            Phase::Waiting | Phase::Running => Outcome::Fail(failure_of(exit, &work, last_words)),
            Phase::Cancelling | Phase::Killed(None) => Outcome::Release,
            Phase::Killed(Some(failure)) => Outcome::Fail(failure),
        };
        self.report(work.grant.lease, outcome, now_ms, out);
    }

    fn memory_sampled(
        &mut self,
        number: SlotNumber,
        bytes: u64,
        now_ms: u64,
        out: &mut Vec<AgentEffect>,
    ) {
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return;
        };
        let Some(work) = &slot.work else {
            slot.idle_bytes = bytes;
            return;
        };
        let Some(limit) = work.grant.memory_bytes.filter(|limit| bytes > *limit) else {
            return;
        };
        if matches!(work.phase, Phase::Running | Phase::Cancelling) {
            // What is above the limit by less than a tenth of a MiB still reads as more.
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let message = format!(
                "the executor used {:.1} MiB of memory, more than its limit of {:.1} MiB; raise resources.memory",
                (mib(bytes) * 10.0).ceil() / 10.0,
                mib(limit)
            );
            let failure = Failure {
                class: FailureClass::OutOfMemory,
                message,
            };
            self.kill(number, Some(failure), now_ms, out);
        }
    }

    fn kill(
        &mut self,
        number: SlotNumber,
        failure: Option<Failure>,
        now_ms: u64,
        out: &mut Vec<AgentEffect>,
    ) {
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return;
        };
        if let Some(work) = &mut slot.work {
            work.enter(Phase::Killed(failure), now_ms);
        }
        slot.executor = Executor::Dying;
        out.push(AgentEffect::KillExecutor { slot: number });
    }

    /// The coordinator would not accept the lease's outcome any more.
    fn cancel(&mut self, lease: LeaseNumber, now_ms: u64, out: &mut Vec<AgentEffect>) {
        // A Complete is told to the end all the same: its answer belongs to the attempt's record.
        let Some(place) = self
            .slots
            .iter()
            .position(|s| s.work.as_ref().is_some_and(|w| w.grant.lease == lease))
        else {
            return;
        };
        let slot = &mut self.slots[place];
        let Some(work) = &mut slot.work else { return };
        match work.phase {
            Phase::Waiting => {
                slot.work = None;
                self.report(lease, Outcome::Release, now_ms, out);
            }
            Phase::Running => {
                work.enter(Phase::Cancelling, now_ms);
                out.push(AgentEffect::CancelTask {
                    slot: place as SlotNumber,
                    lease,
                });
            }
            Phase::Cancelling | Phase::Killed(_) => {}
        }
    }

    fn report(
        &mut self,
        lease: LeaseNumber,
        outcome: Outcome,
        now_ms: u64,
        out: &mut Vec<AgentEffect>,
    ) {
        self.reports.insert(lease, Report::new(outcome, now_ms));
        out.push(AgentEffect::Finished { lease });
    }

    fn call_failed(&mut self, call: &Call, now_ms: u64) {
        match call {
            Call::Register => self.register.failed(&self.settings, now_ms),
            Call::Leave => self.leave.failed(&self.settings, now_ms),
            Call::Claim { id, .. } => {
                if let Claiming::Asking {
                    id: asked, resend, ..
                } = &mut self.claim
                    && asked == id
                {
                    resend.failed(&self.settings, now_ms);
                }
            }
            // The next one says the same.
            Call::Heartbeat { .. } => {}
            Call::Complete { lease, .. } | Call::Fail { lease, .. } | Call::Release { lease } => {
                if let Some(report) = self.reports.get_mut(lease) {
                    report.resend.failed(&self.settings, now_ms);
                }
            }
        }
    }

    fn refused(&mut self, call: &Call, why: &str, now_ms: u64) {
        match call {
            Call::Complete { lease, .. } => {
                // What it made is not accepted as a result; the task is told apart from a lost one.
                let refused = self.reports.remove(lease).is_some();
                if refused {
                    let message = format!("the coordinator refused the task's result: {why}");
                    self.reports.insert(
                        *lease,
                        Report::new(
                            Outcome::Fail(Failure {
                                class: FailureClass::Internal,
                                message,
                            }),
                            now_ms,
                        ),
                    );
                }
            }
            Call::Fail { lease, .. } | Call::Release { lease } => _ = self.reports.remove(lease),
            Call::Claim { .. } => {
                self.wake_up_answered(false);
                self.claim = Claiming::Idle {
                    not_before_ms: now_ms + self.settings.call_retry_max_ms,
                }
            }
            // Whoever does not know this call does not miss it.
            Call::Leave => self.left = true,
            Call::Register | Call::Heartbeat { .. } => self.call_failed(call, now_ms),
        }
    }

    fn unregistered(&mut self, now_ms: u64) {
        if self.registered {
            self.registered = false;
            self.register = Resend::now(now_ms);
        }
    }

    fn drain(&mut self, now_ms: u64, out: &mut Vec<AgentEffect>) {
        if self.draining_since_ms.is_some() {
            self.release_all(now_ms, out);
        } else {
            self.draining_since_ms = Some(now_ms);
            let settings = &self.settings;
            let wait_ms = settings
                .drain_grace_ms
                .saturating_add(settings.drain_tell_ms);
            self.end_by_ms.get_or_insert(now_ms.saturating_add(wait_ms));
        }
    }

    fn end(&mut self, now_ms: u64, out: &mut Vec<AgentEffect>) {
        let by_ms = now_ms + self.settings.end_tell_ms;
        self.end_by_ms = Some(self.end_by_ms.map_or(by_ms, |set| set.min(by_ms)));
        self.draining_since_ms.get_or_insert(now_ms);
        self.release_all(now_ms, out);
    }

    /// What is not finished is given back, uncounted.
    fn release_all(&mut self, now_ms: u64, out: &mut Vec<AgentEffect>) {
        for place in 0..self.slots.len() {
            let Some(work) = &self.slots[place].work else {
                continue;
            };
            match work.phase {
                Phase::Waiting => {
                    let lease = work.grant.lease;
                    self.slots[place].work = None;
                    self.report(lease, Outcome::Release, now_ms, out);
                }
                Phase::Running | Phase::Cancelling => {
                    self.kill(place as SlotNumber, None, now_ms, out)
                }
                Phase::Killed(_) => {}
            }
        }
    }

    /// Everything that depends on time.
    fn judge(&mut self, now_ms: u64, out: &mut Vec<AgentEffect>) {
        if self
            .draining_since_ms
            .is_some_and(|since| now_ms.saturating_sub(since) >= self.settings.drain_grace_ms)
        {
            self.release_all(now_ms, out);
        }
        for place in 0..self.slots.len() {
            let Some(work) = &self.slots[place].work else {
                continue;
            };
            let over = now_ms.saturating_sub(work.since_ms);
            match work.phase {
                Phase::Running | Phase::Waiting => {
                    if let Some(failure) = work.overdue(&self.settings, now_ms) {
                        self.kill(place as SlotNumber, Some(failure), now_ms, out);
                    }
                }
                Phase::Cancelling if over >= self.settings.cancel_grace_ms => {
                    self.kill(place as SlotNumber, None, now_ms, out)
                }
                Phase::Cancelling | Phase::Killed(_) => {}
            }
        }
        self.wake_ups.judge(self.settings.hold_wake_up_ms, now_ms);
        let report_for_ms = self.settings.report_for_ms;
        self.reports
            .retain(|_, report| now_ms.saturating_sub(report.since_ms) < report_for_ms);
    }

    /// Sends whatever is due, hands tasks to executors that are ready, and ends when all is told.
    fn proceed(&mut self, now_ms: u64, out: &mut Vec<AgentEffect>) {
        if self.exited {
            out.clear();
            return;
        }
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if slot.executor == Executor::Ready
                && let Some(work) = slot.work.as_mut().filter(|w| w.phase == Phase::Waiting)
            {
                work.enter(Phase::Running, now_ms);
                work.begun_ms = now_ms;
                work.moved_ms = now_ms;
                out.push(AgentEffect::RunTask {
                    slot: place as SlotNumber,
                    grant: Box::new(work.grant.clone()),
                });
            }
        }
        if !self.registered && self.register.is_due(now_ms) {
            self.register.sent();
            out.push(AgentEffect::Send(Call::Register));
        }
        for (lease, report) in &mut self.reports {
            if report.resend.is_due(now_ms) {
                report.resend.sent();
                out.push(AgentEffect::Send(report.call(*lease)));
            }
        }
        if self.registered && now_ms >= self.heartbeat_due_ms {
            self.heartbeat_due_ms = now_ms + self.settings.heartbeat_ms;
            out.push(AgentEffect::Send(Call::Heartbeat {
                leases: self.heartbeat(),
            }));
        }
        self.follow_wake_ups(now_ms, out);
        if self.draining_since_ms.is_some()
            && self.reports.is_empty()
            && self.slots.iter().all(|s| s.work.is_none())
        {
            self.say_goodbye(now_ms, out);
        } else {
            self.ask(now_ms, out);
        }
        if self.end_by_ms.is_some_and(|by_ms| now_ms >= by_ms) {
            self.exited = true;
        }
        if self.exited {
            out.push(AgentEffect::Exit);
        }
    }

    /// Nothing is held any more: the coordinator hears it, and this ends. A claim that is still open is closed with it.
    fn say_goodbye(&mut self, now_ms: u64, out: &mut Vec<AgentEffect>) {
        // A registration on its way is waited for, shortly: it must not arrive after its end.
        let registering = self.register.in_flight
            && self
                .draining_since_ms
                .is_some_and(|since| now_ms.saturating_sub(since) < self.settings.end_tell_ms);
        if self.left || !(self.registered || registering) {
            self.exited = true;
        } else if !self.registered {
            // Its answer or the next tick goes on.
        } else if self.leave.is_due(now_ms) {
            self.leave.sent();
            out.push(AgentEffect::Send(Call::Leave));
        }
    }

    fn heartbeat(&self) -> Vec<(LeaseNumber, Option<types::Progress>)> {
        let working = self
            .slots
            .iter()
            .filter_map(|s| s.work.as_ref())
            .map(|w| (w.grant.lease, w.progress.clone()));
        working
            .chain(self.reports.keys().map(|lease| (*lease, None)))
            .collect()
    }

    /// Slots that may be claimed for.
    fn free_slots(&self) -> u32 {
        if self.drained_by_user || self.draining_since_ms.is_some() {
            return 0;
        }
        self.slots.iter().filter(|s| s.is_free()).count() as u32
    }

    fn follow_wake_ups(&mut self, now_ms: u64, out: &mut Vec<AgentEffect>) {
        let has_broker = self.settings.poll_ms.is_some();
        let free = has_broker && self.registered && self.free_slots() > 0;
        let waiting =
            matches!(self.claim, Claiming::Idle { not_before_ms } if not_before_ms > now_ms);
        self.wake_ups.follow(free, waiting, out);
    }

    fn ask(&mut self, now_ms: u64, out: &mut Vec<AgentEffect>) {
        // With no free slot the same claim gets the lease that it has, but none that it has not.
        let free = self.free_slots();
        let wake_up = self.wake_ups.held();
        // Whoever was woken claims in any case: so the coordinator hears that the wake-up has arrived.
        if let Claiming::Idle { not_before_ms } = self.claim
            && self.registered
            && (wake_up.is_some() || (free > 0 && now_ms >= not_before_ms))
        {
            self.claims_made += 1;
            let text = format!(
                "{}-{}-{}",
                self.settings.worker, self.settings.incarnation.0, self.claims_made
            );
            // A worker's name is at most 128 long, as is an id: a long one is cut, the numbers tell them apart.
            let cut = text.len().saturating_sub(128);
            match text[cut..].trim_start_matches('.').parse() {
                Ok(id) => {
                    self.claim = Claiming::Asking {
                        id,
                        wake_up,
                        overtaken: false,
                        resend: Resend::now(now_ms),
                    }
                }
                Err(_) => {
                    self.claim = Claiming::Idle {
                        not_before_ms: u64::MAX,
                    }
                }
            }
        }
        // Asked again even while draining: a grant whose answer was lost is released then, not left to expire.
        if let Claiming::Asking {
            id,
            wake_up,
            resend,
            ..
        } = &mut self.claim
            && self.registered
            && resend.is_due(now_ms)
        {
            resend.sent();
            out.push(AgentEffect::Send(Call::Claim {
                id: id.clone(),
                free_slots: free,
                wake_up: *wake_up,
            }));
        }
    }
}
