//! The executors of this agent's slots: carrying out orders on them, and turning what they say into events.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use proto::v1::{self, from_executor, to_executor};
use tokio::sync::mpsc;
use types::{Failure, FailureClass, LeaseNumber, Progress};
use worker_core::{AgentEvent, Exit, Grant, SlotNumber};

use crate::executor_process::{ExecutorCommand, ExecutorProcess, ExecutorReader, resident_bytes};

/// The slots' processes and the scratch folders of their attempts.
pub struct Slots {
    command: ExecutorCommand,
    scratch: PathBuf,
    events: mpsc::UnboundedSender<AgentEvent>,
    running: BTreeMap<SlotNumber, Running>,
}

struct Running {
    pid: u32,
    orders: mpsc::UnboundedSender<Order>,
}

enum Order {
    Send(Box<v1::ToExecutor>),
    Kill,
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
        })
    }

    pub fn start(&mut self, slot: SlotNumber) {
        match self.command.spawn() {
            Ok((process, reader)) => {
                tracing::info!(slot, pid = process.pid(), "executor started");
                let (orders, inbox) = mpsc::unbounded_channel();
                self.running.insert(
                    slot,
                    Running {
                        pid: process.pid(),
                        orders,
                    },
                );
                tokio::spawn(supervise(slot, process, reader, inbox, self.events.clone()));
            }
            Err(error) => {
                let program = self.command.program.display();
                let message = format!(
                    "cannot start the executor {program}: {error}; `ctl doctor` says what is missing"
                );
                self.tell(AgentEvent::ExecutorExited {
                    slot,
                    exit: Exit::NotStarted(message),
                });
            }
        }
    }

    pub fn run(&mut self, slot: SlotNumber, grant: &Grant) {
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
        self.order(
            slot,
            Order::Send(Box::new(v1::ToExecutor {
                message: Some(message),
            })),
        );
    }

    pub fn cancel(&mut self, slot: SlotNumber, lease: LeaseNumber) {
        let message = to_executor::Message::Cancel(v1::CancelTask { lease: lease.0 });
        self.order(
            slot,
            Order::Send(Box::new(v1::ToExecutor {
                message: Some(message),
            })),
        );
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
            tracing::warn!(folder = %folder.display(), %error, "cannot remove a scratch folder");
        }
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

/// Carries orders to one executor and its words back, until it is gone.
async fn supervise(
    slot: SlotNumber,
    mut process: ExecutorProcess,
    mut reader: ExecutorReader,
    mut orders: mpsc::UnboundedReceiver<Order>,
    events: mpsc::UnboundedSender<AgentEvent>,
) {
    loop {
        tokio::select! {
            message = reader.next() => match message {
                Ok(Some(message)) => {
                    if let Some(event) = heard(slot, message) {
                        let _ = events.send(event);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(slot, %error, "the executor cannot be understood");
                    process.kill();
                    break;
                }
            },
            order = orders.recv() => match order {
                Some(Order::Send(message)) => {
                    if let Err(error) = process.send(&message).await {
                        tracing::debug!(slot, %error, "the executor does not listen any more");
                    }
                }
                Some(Order::Kill) | None => {
                    process.kill();
                    break;
                }
            },
        }
    }
    // It closed its end or was killed; one that lingers without its socket is of no use.
    let exit = match tokio::time::timeout(std::time::Duration::from_secs(5), process.wait()).await {
        Ok(exit) => exit,
        Err(_) => {
            process.kill();
            process.wait().await
        }
    };
    let exit = match exit {
        Ok(exit) => {
            tracing::info!(
                slot,
                pid = process.pid(),
                code = exit.code,
                signal = exit.signal,
                last_words = exit.last_words,
                "executor ended"
            );
            exit.meaning()
        }
        Err(error) => Exit::NotStarted(format!("cannot learn how the executor ended: {error}")),
    };
    let _ = events.send(AgentEvent::ExecutorExited { slot, exit });
}

/// The event that an executor's message is.
fn heard(slot: SlotNumber, message: v1::FromExecutor) -> Option<AgentEvent> {
    Some(match message.message? {
        from_executor::Message::Ready(_) => AgentEvent::ExecutorReady { slot },
        from_executor::Message::Progress(report) => {
            let progress = report.progress.unwrap_or_default();
            AgentEvent::ExecutorProgressed {
                slot,
                lease: LeaseNumber(report.lease),
                progress: Progress {
                    stage: progress.stage,
                    done: progress.done,
                    total: progress.total,
                    rate: progress.rate,
                },
                pulse: report.pulse,
                loading: report.loading,
            }
        }
        from_executor::Message::Done(done) => AgentEvent::TaskDone {
            slot,
            lease: LeaseNumber(done.lease),
            result_json: done.result_json,
            outputs_json: done.outputs_json,
        },
        from_executor::Message::Failed(failed) => {
            let class = FailureClass::parse(&failed.class).unwrap_or(FailureClass::Internal);
            let failure = Failure {
                class,
                message: failed.message,
            };
            AgentEvent::TaskFailed {
                slot,
                lease: LeaseNumber(failed.lease),
                failure,
            }
        }
    })
}
