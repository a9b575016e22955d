//! The executors of this agent's slots: carrying out orders on them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use proto::v1::{self, to_executor};
use tokio::sync::mpsc;
use types::{Failure, FailureClass, LeaseNumber};
use worker_core::{AgentEvent, Exit, Grant, SlotNumber};

use crate::{
    attempt_log::{About, OpenSegment},
    executor_process::{ExecutorCommand, resident_bytes},
    supervise::{Order, supervise},
};

/// The slots' processes and the scratch folders of their attempts.
pub struct Slots {
    command: ExecutorCommand,
    scratch: PathBuf,
    events: mpsc::UnboundedSender<AgentEvent>,
    running: BTreeMap<SlotNumber, Running>,
    /// The attempts that are not over here, for log lines about them.
    attempts: BTreeMap<LeaseNumber, About>,
}

struct Running {
    pid: u32,
    orders: mpsc::UnboundedSender<Order>,
}

impl Slots {
    /// `scratch` is that of the worker's name; this agent takes a folder in it and removes those of agents that are gone.
    pub fn new(
        command: ExecutorCommand,
        scratch: &Path,
        events: mpsc::UnboundedSender<AgentEvent>,
    ) -> io::Result<Self> {
        fs::create_dir_all(scratch)?;
        for entry in fs::read_dir(scratch)? {
            let folder = entry?.path();
            let owner = folder
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            if owner.is_none_or(|pid| !is_alive(pid)) {
                fs::remove_dir_all(&folder)?;
            }
        }
        let scratch = scratch.join(std::process::id().to_string());
        fs::create_dir_all(&scratch)?;
        Ok(Self {
            command,
            scratch,
            events,
            running: BTreeMap::new(),
            attempts: BTreeMap::new(),
        })
    }

    pub fn start(&mut self, slot: SlotNumber) {
        match self.command.spawn() {
            Ok(spawned) => {
                let pid = spawned.process.pid();
                tracing::info!(slot, pid, "executor started");
                let (orders, inbox) = mpsc::unbounded_channel();
                self.running.insert(slot, Running { pid, orders });
                tokio::spawn(supervise(slot, spawned, inbox, self.events.clone()));
            }
            Err(error) => {
                let program = self.command.program.display();
                let message = format!(
                    "cannot start the executor {program}: {error}; `ctl doctor` says what is missing"
                );
                self.tell(AgentEvent::ExecutorExited {
                    slot,
                    exit: Exit::NotStarted(message),
                    last_words: String::new(),
                });
            }
        }
    }

    pub fn run(&mut self, slot: SlotNumber, grant: &Grant) {
        let log = self.open_log(grant);
        self.span(grant.lease)
            .in_scope(|| tracing::info!(slot, "task begun"));
        let scratch = self.scratch_of(grant.lease);
        if let Err(error) = fs::create_dir_all(&scratch) {
            let class = if error.kind() == io::ErrorKind::StorageFull {
                FailureClass::DiskFull
            } else {
                FailureClass::Internal
            };
            let message = format!(
                "cannot make the scratch folder {}: {error}",
                scratch.display()
            );
            self.tell(AgentEvent::TaskFailed {
                slot,
                lease: grant.lease,
                failure: Failure { class, message },
            });
            return;
        }
        let message = to_executor::Message::Run(v1::RunTask {
            assignment_json: grant.assignment_json.clone(),
            scratch: scratch.display().to_string(),
            threads: u32::try_from(self.command.threads).unwrap_or(1),
        });
        self.send(slot, message, log);
    }

    /// From now on lines about the lease say which attempt is meant.
    pub fn granted(&mut self, grant: &Grant) {
        if let Some(log) = self.open_log(grant) {
            self.attempts.insert(grant.lease, log.about);
        }
    }

    /// The attempt's log, which the executor's supervisor keeps while it runs.
    fn open_log(&self, grant: &Grant) -> Option<OpenSegment> {
        match OpenSegment::begin(grant, self.command.worker.clone(), self.command.json_logs) {
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
            .map_or_else(tracing::Span::none, About::span)
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

    /// Removes the attempt's scratch folder.
    pub fn forget(&self, lease: LeaseNumber) {
        let folder = self.scratch_of(lease);
        if let Err(error) = fs::remove_dir_all(&folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            self.span(lease).in_scope(|| tracing::warn!(folder = %folder.display(), %error, "cannot remove a scratch folder"));
        }
    }

    /// The coordinator knows how the attempt ended: nothing more is said about it.
    pub fn told(&mut self, lease: LeaseNumber) {
        self.attempts.remove(&lease);
    }

    /// Memory of every executor, as events.
    pub fn sample_memory(&self) {
        for (slot, running) in &self.running {
            if let Some(bytes) = resident_bytes(running.pid) {
                self.tell(AgentEvent::MemorySampled { slot: *slot, bytes });
            }
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

/// Whether a process of this machine has the number.
fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
