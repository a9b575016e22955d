//! The queue of what will happen, and the step that takes the next thing from it.

use std::collections::BTreeMap;

use coordinator_core::{
    Change, Claim, Event, Leftovers, OutboxRow, Registration, Removal, Reply, Rows, Sender, Submit,
    Ticket,
};
use job::Rethreshold;
use types::{
    Device, Devices, Failure as TaskFailure, JobId, LeaseNumber, OutputObject, Progress, RequestId,
    TaskKind, WorkerName,
};
use worker_core::{AgentEvent, Call};

use crate::{
    broker::{Broker, BrokerDoes, BrokerFaults},
    chance::Chance,
    coordinator::Coordinator,
    disk::Disk,
    faults::{Faults, Mutation},
    invariants::{About, Check, History},
    store::Store,
    takeover::Predecessor,
    user::Users,
    worker::{ExecutorDoes, Machine},
};

pub struct World {
    pub seed: u64,
    pub now_ms: u64,
    queue: BTreeMap<(u64, u64), Item>,
    scheduled: u64,
    pub chance: Chance,
    pub faults: Faults,
    pub mutation: Option<Mutation>,
    pub disk: Disk,
    pub store: Store,
    /// Settings of the sweeper.
    pub retention_ms: u64,
    pub late_ms: u64,
    pub coordinator: Coordinator,
    /// One that stood still while another one took over.
    pub predecessor: Option<Predecessor>,
    /// Of predecessors.
    pub refused_commits: u64,
    /// Without one, the coordinator holds claims until there is something to do.
    pub broker: Option<Broker>,
    pub machines: Vec<Machine>,
    pub users: Users,
    pub history: History,
    pub assignments: BTreeMap<LeaseNumber, plan::Assignment>,
    pub commits: u64,
    /// I4 is checked after each so many commits.
    pub check_every: u64,
    pub steps: u64,
    pub calm: bool,
    /// Nobody hears that something may be claimed: for tests.
    pub wakes_lost: bool,
    pub trace: bool,
}

/// Something that will happen.
#[derive(Debug)]
pub enum Item {
    Arrive {
        who: Who,
        make: Box<MakeEvent>,
        about: About,
    },
    Batch,
    CoordinatorTick {
        life: u64,
    },
    CoordinatorStart,
    OperatorLooks,
    PredecessorWakes,
    LateCommit {
        epoch: u64,
        changes: Vec<Change>,
    },
    Put {
        row: Box<OutboxRow>,
        life: u64,
    },
    Remove {
        order: Box<Removal>,
        life: u64,
    },
    Sweep {
        order: Box<Leftovers>,
        life: u64,
    },
    LateWrite {
        path: String,
        digest: u64,
    },
    Broker(BrokerDoes),
    MachineStart {
        machine: usize,
    },
    MachineTick {
        machine: usize,
        life: u64,
    },
    Agent {
        machine: usize,
        life: u64,
        event: Box<AgentEvent>,
    },
    Executor {
        machine: usize,
        slot: u32,
        life: u64,
        does: ExecutorDoes,
    },
    User {
        place: usize,
    },
    UserHears {
        place: usize,
        reply: Box<Reply>,
    },
    CalmDown,
}

/// Who waits for an answer.
#[derive(Debug, Clone)]
pub enum Who {
    Worker {
        machine: usize,
        life: u64,
        call: Call,
        claim: Option<Claim>,
    },
    User {
        place: usize,
    },
}

/// A request on its way; the ticket is given when it arrives.
#[derive(Debug, Clone)]
pub enum MakeEvent {
    Submit(Box<Submit>),
    Cancel(RequestId, JobId),
    Retry(RequestId, JobId),
    Rethreshold(RequestId, JobId, Vec<u32>, Rethreshold),
    Delete(RequestId, JobId),
    Drain(WorkerName),
    ReleaseWorker(WorkerName),
    Register(Registration),
    Claim(Claim),
    Heartbeat(Sender, Vec<(LeaseNumber, Option<Progress>)>),
    Complete(
        Sender,
        LeaseNumber,
        Box<plan::TaskResult>,
        Vec<OutputObject>,
    ),
    Fail(Sender, LeaseNumber, TaskFailure),
    Release(Sender, LeaseNumber),
    Leave(Sender),
}

impl MakeEvent {
    pub fn event(self, to: Ticket, nonce: u32) -> Event {
        match self {
            Self::Submit(submit) => Event::SubmitRequested { to, submit },
            Self::Cancel(request, job) => Event::CancelRequested { to, request, job },
            Self::Retry(request, job) => Event::RetryRequested { to, request, job },
            Self::Rethreshold(request, job, runs, new) => Event::RethresholdRequested {
                to,
                request,
                job,
                runs,
                new,
            },
            Self::Delete(request, job) => Event::DeleteRequested { to, request, job },
            Self::ReleaseWorker(worker) => Event::ReleaseRequested { to, worker },
            Self::Drain(worker) => Event::DrainRequested { to, worker },
            Self::Register(worker) => Event::WorkerRegistered { to, worker },
            Self::Claim(claim) => Event::ClaimRequested {
                to,
                claim: Claim { nonce, ..claim },
            },
            Self::Heartbeat(from, leases) => Event::HeartbeatReceived { to, from, leases },
            Self::Complete(from, lease, result, outputs) => Event::AttemptCompleted {
                to,
                from,
                lease,
                result,
                outputs,
            },
            Self::Fail(from, lease, failure) => Event::AttemptFailed {
                to,
                from,
                lease,
                failure,
            },
            Self::Leave(from) => Event::WorkerLeft { to, from },
            Self::Release(from, lease) => Event::AttemptReleased { to, from, lease },
        }
    }
}

/// A schedule in which something did not hold.
#[derive(Debug, Clone)]
pub struct Failure {
    pub seed: u64,
    pub at_ms: u64,
    pub what: String,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub steps: u64,
    pub simulated_ms: u64,
    pub commits: u64,
}

/// Faults stop here, and everything has to come to its end.
const FAULTY_MS: u64 = 240_000;
/// From then on somebody looks so often at the workers that failed too much: without them a job may wait for ever.
const OPERATOR_MS: u64 = 60_000;
/// How long ended jobs are known: longer than anything else here takes.
pub const KEEP_JOBS_MS: u64 = 6 * 3_600_000;
/// L1: from then on, how long a job may take: retries for an hour, and a half.
const BOUND_MS: u64 = FAULTY_MS + 5_400_000 + 3_600_000;

impl World {
    /// An empty world without faults and users.
    pub fn new(seed: u64, faults: Faults, mutation: Option<Mutation>) -> Self {
        let disk = Disk {
            epoch_not_asserted: mutation == Some(Mutation::EpochNotAsserted),
            ..Disk::default()
        };
        Self {
            seed,
            now_ms: 1_000,
            queue: BTreeMap::new(),
            scheduled: 0,
            chance: Chance::new(seed),
            faults,
            mutation,
            disk,
            store: Store::default(),
            retention_ms: 120_000,
            late_ms: 60_000,
            coordinator: Coordinator::default(),
            predecessor: None,
            refused_commits: 0,
            broker: None,
            machines: Vec::new(),
            users: Users::default(),
            history: History::default(),
            assignments: BTreeMap::new(),
            commits: 0,
            check_every: if seed.is_multiple_of(16) { 1 } else { 32 },
            steps: 0,
            calm: false,
            wakes_lost: false,
            trace: false,
        }
    }

    /// The world that a seed describes.
    pub fn of_seed(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut chance = Chance::new(seed ^ 0xfa17);
        let faults = Faults::draw(&mut chance, seed);
        let mut world = Self::new(seed, faults, mutation);
        world.retention_ms = *chance.pick(&[60_000, 120_000]);
        world.late_ms = *chance.pick(&[30_000, 90_000, 180_000]);
        world.history.notices = seed % 4 < 2;
        let machines = world.chance.between(1, 6);
        for number in 0..machines {
            let slots = world.chance.between(1, 2) as u32;
            let memory = world.chance.between(2, 8) << 30;
            world.add_machine(number as usize, slots, memory);
            let zone = *world.chance.pick(&["zone=a", "zone=b"]);
            let machine = &mut world.machines[number as usize];
            machine.labels = zone.parse().expect("a label");
            if number % 2 == 1 {
                machine.engines.push("onnxruntime".to_owned());
            }
            if chance.hits(0.3) {
                let gpus = (0..slots).map(Device::Cuda).collect();
                machine.devices = Devices::new(gpus).expect("a GPU for each slot");
            }
            if number > 0 && chance.hits(0.1) {
                // One release behind.
                machine.kinds.remove(chance.pick(TaskKind::ALL));
            }
        }
        world.plan_users();
        // Every other world has a broker.
        if seed % 2 == 1 {
            world.add_broker(BrokerFaults::draw(&mut chance));
        }
        world.at(0, Item::CoordinatorStart);
        world.at(FAULTY_MS, Item::CalmDown);
        world
    }

    /// Plans an item so many milliseconds from now.
    pub fn at(&mut self, after_ms: u64, item: Item) {
        self.scheduled += 1;
        self.queue
            .insert((self.now_ms + after_ms, self.scheduled), item);
    }

    pub fn note(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9.3} {}", self.now_ms as f64 / 1000.0, text());
        }
    }

    /// Takes the next thing that happens.
    pub fn step(&mut self) -> Check {
        let Some(((at_ms, _), item)) = self.queue.pop_first() else {
            return Ok(());
        };
        self.now_ms = self.now_ms.max(at_ms);
        self.steps += 1;
        match item {
            Item::Arrive { who, make, about } => self.arrive(who, *make, about),
            Item::Batch => self.batch()?,
            Item::CoordinatorTick { life } => self.coordinator_tick(life)?,
            Item::CoordinatorStart => self.start_coordinator()?,
            Item::PredecessorWakes => self.predecessor_wakes()?,
            Item::Sweep { order, life } => self.sweep(*order, life)?,
            Item::Remove { order, life } => self.remove(*order, life)?,
            Item::LateWrite { path, digest } => self.late_write(path, digest),
            Item::LateCommit { epoch, changes } => {
                self.note(|| format!("a write of epoch {epoch} reaches the disk"));
                self.write(epoch, &changes)?;
            }
            Item::Put { row, life } => self.put(*row, life)?,
            Item::Broker(does) => self.broker_does(does),
            Item::MachineStart { machine } => self.start_machine(machine),
            Item::MachineTick { machine, life } => self.machine_tick(machine, life)?,
            Item::Agent {
                machine,
                life,
                event,
            } => self.agent(machine, life, *event)?,
            Item::Executor {
                machine,
                slot,
                life,
                does,
            } => self.executor(machine, slot, life, does)?,
            Item::User { place } => self.user_sends(place),
            Item::UserHears { place, reply } => self.user_hears(place, *reply),
            Item::CalmDown => self.calm_down(),
            Item::OperatorLooks => self.operator_looks(),
        }
        Ok(())
    }

    /// Ends all faults; what is down comes back.
    pub fn calm_down(&mut self) {
        self.note(|| "faults end".to_owned());
        self.faults = Faults::default();
        if let Some(broker) = &mut self.broker {
            broker.faults = BrokerFaults::default();
        }
        self.calm = true;
        self.coordinator.paused_until_ms = self.coordinator.paused_until_ms.min(self.now_ms);
        for machine in &mut self.machines {
            machine.cut_off_until_ms = 0;
        }
        self.at(OPERATOR_MS, Item::OperatorLooks);
        self.plan_batch();
    }

    fn operator_looks(&mut self) {
        for worker in self.quarantined() {
            self.user_asks(0, MakeEvent::ReleaseWorker(worker), About::Nothing);
        }
        self.at(OPERATOR_MS, Item::OperatorLooks);
    }

    /// Runs until `done` or the bound; what did not hold.
    pub fn run_until(&mut self, bound_ms: u64, done: impl Fn(&Self) -> bool) -> Check {
        while !done(self) {
            if self.now_ms > bound_ms {
                let seconds = bound_ms / 1000;
                return Err(format!(
                    "L1: not done after {seconds} s\n  {}",
                    self.unfinished()
                ));
            }
            self.step()?;
        }
        Ok(())
    }

    /// No user's request is on its way any more: one that was refused is done if a copy of it comes later.
    fn nothing_is_asked(&self) -> bool {
        let asked = |item: &Item| {
            matches!(
                item,
                Item::User { .. }
                    | Item::Arrive {
                        who: Who::User { .. },
                        ..
                    }
            )
        };
        let heard = |(_, about): &(Event, About)| matches!(about, About::Request(_));
        !self.queue.values().any(asked) && !self.coordinator.inbox.iter().any(heard)
    }

    /// Runs for a time.
    pub fn run_for(&mut self, ms: u64) -> Check {
        let until = self.now_ms + ms;
        while self
            .queue
            .first_key_value()
            .is_some_and(|((at, _), _)| *at <= until)
        {
            self.step()?;
        }
        self.now_ms = until;
        Ok(())
    }

    /// What must hold when everything has come to its end.
    pub fn final_checks(&self) -> Check {
        self.rebuild_equals_the_core()?;
        crate::invariants::ends_make_sense(&self.disk.rows)?;
        crate::invariants::jobs_stop_when_too_many_tasks_failed(&self.disk.rows)?;
        if !self.disk.rows.outbox.is_empty() {
            return Err("L4: the outbox is not empty".to_owned());
        }
        self.results_equal_the_fault_free_run()
    }

    /// The workers' machines are switched off, and time passes until everything is swept that ever will be.
    pub fn sweep_up(&mut self) -> Check {
        for machine in &mut self.machines {
            machine.agent = None;
            machine.life += 1;
            machine.executors.iter_mut().for_each(|life| *life += 1);
        }
        // A coordinator may have begun to stand still for an hour.
        let bound_ms = self.now_ms + 7_200_000;
        while !self.is_swept() {
            if self.now_ms > bound_ms {
                return Err("L5: the sweeper comes to no end".to_owned());
            }
            self.run_for(10_000)?;
        }
        self.nothing_unnamed_is_left()?;
        self.store.named_objects_exist()
    }

    /// A long time passes, in which nobody does anything: what had ended is forgotten, and what it published stays.
    pub fn forget(&mut self) -> Check {
        // Nothing is on its way for hours, nor waits for a coordinator that stands still.
        self.run_for(120_000)?;
        while !self.coordinator.inbox.is_empty() {
            self.run_for(10_000)?;
        }
        // More often than once where the wall clock had been ahead.
        for _ in 0..8 {
            self.now_ms += KEEP_JOBS_MS;
            self.run_for(10_000)?;
        }
        let rows = &self.disk.rows;
        let left = Rows {
            workers: rows.workers.clone(),
            models: rows.models.clone(),
            counters: rows.counters,
            ..Rows::default()
        };
        if *rows != left {
            let jobs: Vec<_> = rows.jobs.keys().collect();
            return Err(format!("jobs {jobs:?} are not forgotten, or not wholly"));
        }
        self.store.named_objects_exist()
    }
}

/// One schedule from beginning to end.
pub fn run_seed(seed: u64, mutation: Option<Mutation>, trace: bool) -> Result<Outcome, Failure> {
    let mut world = World::of_seed(seed, mutation);
    world.trace = trace;
    let checked = world
        .run_until(BOUND_MS, |w| {
            w.calm && w.users.are_done() && w.is_idle() && w.nothing_is_asked()
        })
        .and_then(|()| world.run_for(1_000))
        .and_then(|()| world.final_checks())
        .and_then(|()| world.sweep_up())
        .and_then(|()| world.forget())
        .and_then(|()| world.rebuild_equals_the_core());
    match checked {
        Ok(()) => Ok(Outcome {
            steps: world.steps,
            simulated_ms: world.now_ms,
            commits: world.commits,
        }),
        Err(what) => Err(Failure {
            seed,
            at_ms: world.now_ms,
            what,
        }),
    }
}
