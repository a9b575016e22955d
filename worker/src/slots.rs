//! The executors of this agent's slots: carrying out orders on them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use proto::v1::{self, to_executor};
use rustix::fs::{FlockOperation, flock};
use spans::{Beginning, Kind, Span, Spans};
use store::Stores;
use tokio::sync::mpsc::{self, error::SendError};
use types::{LeaseNumber, TraceContext};
use worker_core::{AgentEvent, Exit, Grant, SlotNumber};

use crate::{
    attempt_log::{About, OpenSegment, Traced},
    executor_process::{ExecutorCommand, MemoryGauge},
    pins::Pins,
    supervise::{Order, supervise},
    wake_ups::Woken,
};

/// In an agent's scratch folder, locked by it.
const LOCK: &str = ".lock";

/// The slots' processes and the scratch folders of their attempts.
pub struct Slots {
    command: ExecutorCommand,
    pins: Pins,
    scratch: PathBuf,
    stores: Stores,
    events: mpsc::UnboundedSender<AgentEvent>,
    /// Held while the agent lives: nobody else removes its scratch folder.
    _lock: File,
    running: BTreeMap<SlotNumber, Running>,
    /// The logs of attempts whose executors are about to be started, or are gone before they could take them.
    expected: BTreeMap<SlotNumber, OpenSegment>,
    /// The attempts that are not over here, for log lines about them.
    attempts: BTreeMap<LeaseNumber, Granted>,
    /// Scratch folders that nobody needs any more, and spans that say whose they were.
    over: Vec<(PathBuf, tracing::Span)>,
    spans: Spans,
}

struct Granted {
    about: About,
    beginning: Beginning,
    /// Until an executor is expected to take the task, or takes it.
    log: Option<OpenSegment>,
}

struct Running {
    memory: Option<MemoryGauge>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Slots {
    /// `scratch` is that of the worker's name; this agent takes a folder in it and removes those of agents that are gone.
    /// Process numbers do not tell: a restarted container's agent has the same as its predecessor.
    pub fn new(
        command: ExecutorCommand,
        pins: Pins,
        scratch: &Path,
        stores: Stores,
        events: mpsc::UnboundedSender<AgentEvent>,
        spans: Spans,
    ) -> io::Result<Self> {
        fs::create_dir_all(scratch)?;
        // One agent at a time looks round and settles.
        let all = File::create(scratch.join(LOCK))?;
        flock(&all, FlockOperation::LockExclusive)?;
        for entry in fs::read_dir(scratch)? {
            let folder = entry?.path();
            if !folder.is_dir() {
                continue;
            }
            let lock = File::open(folder.join(LOCK)).ok();
            let alive = lock
                .as_ref()
                .is_some_and(|lock| flock(lock, FlockOperation::NonBlockingLockExclusive).is_err());
            if !alive {
                fs::remove_dir_all(&folder)?;
            }
        }
        let (scratch, lock) = own_folder(scratch)?;
        Ok(Self {
            command,
            pins,
            scratch,
            stores,
            events,
            _lock: lock,
            running: BTreeMap::new(),
            expected: BTreeMap::new(),
            attempts: BTreeMap::new(),
            over: Vec::new(),
            spans,
        })
    }

    /// The attempt waits for the slot's executor, which may be gone before it begins: what it says is kept from now on.
    pub fn expect(&mut self, slot: SlotNumber, lease: LeaseNumber) {
        let granted = self.attempts.get_mut(&lease);
        let Some(log) = granted.and_then(|granted| granted.log.take()) else {
            return;
        };
        let untaken = match self.running.get(&slot) {
            Some(running) => running.orders.send(Order::Expect(Box::new(log))).err(),
            None => Some(SendError(Order::Expect(Box::new(log)))),
        };
        if let Some(SendError(Order::Expect(log))) = untaken {
            self.expected.insert(slot, *log);
        }
    }

    /// None: the event comes again once the log of an attempt is stored that began to wait for an executor after that executor
    /// had gone. The attempt's failure is told when its log can be read.
    pub fn with_logs_kept(&mut self, event: AgentEvent) -> Option<AgentEvent> {
        let AgentEvent::ExecutorExited { slot, exit, .. } = &event else {
            return Some(event);
        };
        let Some(log) = self.expected.remove(slot) else {
            return Some(event);
        };
        let (exit, events, stores) = (exit.to_string(), self.events.clone(), self.stores.clone());
        tokio::spawn(async move {
            log.close(&stores, &exit).await;
            // The receiver lives as long as the agent's loop.
            let _ = events.send(event);
        });
        None
    }

    pub fn start(&mut self, slot: SlotNumber) {
        let log = self.expected.remove(&slot);
        let spawned = match self.pins.of(slot) {
            Some(pin) => self.command.spawn(pin),
            None => Err(io::Error::other("there is no such slot")),
        };
        match spawned {
            Ok(spawned) => {
                let (pid, device) = (spawned.process.pid(), self.device(slot));
                tracing::info!(slot, pid, device, "executor started");
                let (orders, inbox) = mpsc::unbounded_channel();
                let memory = MemoryGauge::open(pid);
                self.running.insert(slot, Running { memory, orders });
                let (events, stores) = (self.events.clone(), self.stores.clone());
                let spans = self.spans.clone();
                tokio::spawn(supervise(slot, spawned, log, inbox, events, stores, spans));
            }
            Err(error) => {
                let program = self.command.program.display();
                let message = format!(
                    "cannot start the executor {program}: {error}; `ctl doctor` says what is missing"
                );
                let exit = Exit::NotStarted(message);
                let (events, stores) = (self.events.clone(), self.stores.clone());
                tokio::spawn(async move {
                    if let Some(log) = log {
                        log.close(&stores, &exit.to_string()).await;
                    }
                    // The receiver lives as long as the agent's loop.
                    let _ = events.send(AgentEvent::ExecutorExited {
                        slot,
                        exit,
                        last_words: String::new(),
                    });
                });
            }
        }
    }

    pub fn run(&mut self, slot: SlotNumber, grant: &Grant) {
        let granted = self.attempts.get_mut(&grant.lease);
        // None where its executor was expected to take it, and has its log.
        let log = granted.and_then(|granted| granted.log.take());
        let device = self.device(slot);
        self.span(grant.lease)
            .in_scope(|| tracing::info!(slot, device, "task begun"));
        let scratch = self.scratch_of(grant.lease);
        // Only where somebody will hear of what the executor measures.
        let granted = self.attempts.get(&grant.lease);
        let traced = granted.and_then(|granted| granted.about.traced.as_ref());
        let task = traced.map(|traced| &traced.task);
        let task = task.filter(|task| self.spans.is_on() && task.sampled);
        let message = to_executor::Message::Run(v1::RunTask {
            assignment_json: grant.assignment_json.clone(),
            scratch: scratch.display().to_string(),
            threads: u32::try_from(self.command.threads).unwrap_or(1),
            lease: grant.lease.0,
            traceparent: task.map(TraceContext::traceparent).unwrap_or_default(),
            tracestate: task
                .and_then(TraceContext::tracestate)
                .unwrap_or_default()
                .to_owned(),
            device,
        });
        self.send(slot, message, log);
    }

    fn device(&self, slot: SlotNumber) -> String {
        let pin = self.pins.of(slot);
        pin.map(|pin| pin.device.to_string()).unwrap_or_default()
    }

    /// From now on lines about the lease say which attempt is meant. `woken`: the message that led to it.
    pub fn granted(&mut self, grant: &Grant, woken: Option<Woken>) {
        let Some(log) = self.open_log(grant) else {
            return;
        };
        if let (Some(traced), Some(woken)) = (&log.about.traced, woken) {
            self.record_claim(&traced.attempt, &woken, &log.about);
        }
        let beginning = Beginning::now();
        // A claim's answer may come twice.
        self.attempts.entry(grant.lease).or_insert(Granted {
            about: log.about.clone(),
            beginning,
            log: Some(log),
        });
    }

    /// From the message to the grant. One that led to another job's task says nothing about either.
    fn record_claim(&self, attempt: &TraceContext, woken: &Woken, about: &About) {
        let job = woken.trace.as_ref();
        if let Some(job) = job.filter(|job| job.trace == attempt.trace) {
            let context = self.spans.child(job, "claim", woken.number);
            let times = woken.beginning.until_now();
            let span = Span::new("claim", Kind::Consumer, &context, Some(job), times)
                .with("messaging.system", "rabbitmq")
                .with("nightshift.task", about.task.to_string());
            self.spans.record(span);
        }
    }

    /// The attempt's log, which the executor's supervisor keeps while it runs.
    fn open_log(&self, grant: &Grant) -> Option<OpenSegment> {
        let (worker, json) = (self.command.worker.clone(), self.command.json_logs);
        match OpenSegment::begin(grant, worker, json, &self.spans) {
            Ok(log) => Some(log),
            Err(error) => {
                tracing::error!(job = %grant.task.job, task = %grant.task, lease = grant.lease.0, %error, "the assignment cannot be read");
                None
            }
        }
    }

    /// A span that says which attempt is meant, while it is known here.
    pub fn span(&self, lease: LeaseNumber) -> tracing::Span {
        self.attempts
            .get(&lease)
            .map_or_else(tracing::Span::none, |granted| granted.about.span())
    }

    pub fn cancel(&mut self, slot: SlotNumber, lease: LeaseNumber) {
        let message = to_executor::Message::Cancel(v1::CancelTask { lease: lease.0 });
        self.send(slot, message, None);
    }

    fn send(&self, slot: SlotNumber, message: to_executor::Message, begins: Option<OpenSegment>) {
        let message = v1::ToExecutor {
            message: Some(message),
        };
        self.order(slot, Order::Send(Box::new(message), begins.map(Box::new)));
    }

    pub fn kill(&mut self, slot: SlotNumber) {
        self.order(slot, Order::Kill);
    }

    /// The attempt is over: its scratch folder goes with the next [`Slots::clean`].
    pub fn forget(&mut self, lease: LeaseNumber) {
        self.over.push((self.scratch_of(lease), self.span(lease)));
    }

    /// Removes the scratch folders of attempts that are over, beside the loop: leases are renewed even if the disk hangs.
    pub fn clean(&mut self) {
        if self.over.is_empty() {
            return;
        }
        let over = std::mem::take(&mut self.over);
        tokio::task::spawn_blocking(move || {
            for (folder, span) in over {
                if let Err(error) = fs::remove_dir_all(&folder)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    span.in_scope(|| tracing::warn!(folder = %folder.display(), %error, "cannot remove a scratch folder"));
                }
            }
        });
    }

    /// The coordinator knows how the attempt ended: nothing more is said about it. `failure`: why it did not succeed.
    pub fn told(&mut self, lease: LeaseNumber, failure: Option<&str>) {
        let Some(Granted {
            about, beginning, ..
        }) = self.attempts.remove(&lease)
        else {
            return;
        };
        if let Some(Traced { attempt, task }) = &about.traced {
            let name = format!("task {}", about.kind);
            let span = Span::new(
                name,
                Kind::Internal,
                task,
                Some(attempt),
                beginning.until_now(),
            )
            .with("nightshift.job", about.job.as_str())
            .with("nightshift.task", about.task.to_string())
            .with("nightshift.worker", self.command.worker.as_str());
            self.spans.record(match failure {
                Some(failure) => span.failed(failure),
                None => span,
            });
        }
    }

    /// Memory of every executor, as events.
    pub fn sample_memory(&self) {
        for slot in self.running.keys() {
            self.sample_memory_of(*slot);
        }
    }

    /// Told after what was told before.
    pub fn sample_memory_of(&self, slot: SlotNumber) {
        let running = self.running.get(&slot);
        let gauge = running.and_then(|running| running.memory.as_ref());
        if let Some(bytes) = gauge.and_then(MemoryGauge::resident_bytes) {
            self.tell(AgentEvent::MemorySampled { slot, bytes });
        }
    }

    /// To be called when an executor has gone.
    pub fn gone(&mut self, slot: SlotNumber) {
        self.running.remove(&slot);
    }

    pub fn kill_all(&mut self) {
        for running in self.running.values() {
            let _ = running.orders.send(Order::Kill);
        }
    }

    fn scratch_of(&self, lease: LeaseNumber) -> PathBuf {
        self.scratch.join(lease.to_string())
    }

    fn order(&self, slot: SlotNumber, order: Order) {
        // An executor that has just gone says so by its exit; the order is then void.
        if let Some(running) = self.running.get(&slot) {
            let _ = running.orders.send(order);
        }
    }

    fn tell(&self, event: AgentEvent) {
        // The receiver lives as long as the agent's loop, which owns this.
        let _ = self.events.send(event);
    }
}

impl Drop for Slots {
    /// What cannot be removed now goes with the next start of an agent.
    fn drop(&mut self) {
        let all = self.scratch.parent().map(|all| File::open(all.join(LOCK)));
        if let Some(Ok(all)) = all
            && flock(&all, FlockOperation::LockExclusive).is_ok()
        {
            let _ = fs::remove_dir_all(&self.scratch);
        }
    }
}

/// A new folder that this agent holds.
fn own_folder(scratch: &Path) -> io::Result<(PathBuf, File)> {
    let number = std::process::id();
    for attempt in 0_u32.. {
        let folder = scratch.join(format!("{number}-{attempt}"));
        match fs::create_dir(&folder) {
            Ok(()) => {
                let lock = File::create(folder.join(LOCK))?;
                flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
                return Ok((folder, lock));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no name is free"))
}
