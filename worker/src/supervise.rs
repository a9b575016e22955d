//! One executor's life: orders to it, its words as events and log lines, and what is left to do when it dies.

use std::{collections::VecDeque, future::pending, io, time::Duration};

use proto::v1::{self, from_executor, to_executor};
use spans::Spans;
use store::Stores;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use types::{Failure, FailureClass, LeaseNumber, Progress};
use worker_core::{AgentEvent, Exit, SlotNumber, tells_of_memory};

use crate::{
    attempt_log::OpenSegment,
    executor_process::{ExecutorProcess, ExecutorReader, Spawned},
};

/// For what a dead executor still has in its pipes, and for one that lingers without its socket.
const GRACE: Duration = Duration::from_secs(5);

/// Lines of standard error that go into the message of a crash.
const LAST_WORDS: usize = 3;

pub enum Order {
    /// Once it is ready the executor gets the task of this log: what it says until then belongs to it.
    Expect(Box<OpenSegment>),
    /// With the log of the task that it begins, if it begins one.
    Send(Box<v1::ToExecutor>, Option<Box<OpenSegment>>),
    Kill,
}

/// Carries orders to one executor and its words back, until it is gone.
pub async fn supervise(
    slot: SlotNumber,
    spawned: Spawned,
    open: Option<OpenSegment>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    events: mpsc::UnboundedSender<AgentEvent>,
    stores: Stores,
    spans: Spans,
) {
    let Spawned {
        process,
        mut reader,
        mut stderr,
    } = spawned;
    let mut executor = Supervised {
        slot,
        process,
        open,
        last_words: VecDeque::new(),
        events,
        stores,
        spans,
    };
    executor
        .converse(&mut reader, &mut stderr, &mut orders)
        .await;
    orders.close();
    while let Ok(order) = orders.try_recv() {
        if let Order::Expect(log) = order {
            executor.begin(*log);
        }
    }
    executor.end(&mut stderr).await;
}

struct Supervised {
    slot: SlotNumber,
    process: ExecutorProcess,
    /// The log of the running task, or of the one that waits for the executor to be ready.
    open: Option<OpenSegment>,
    last_words: VecDeque<String>,
    events: mpsc::UnboundedSender<AgentEvent>,
    stores: Stores,
    spans: Spans,
}

impl Supervised {
    /// Ends when the executor has closed its end, by itself or because it was killed.
    async fn converse(
        &mut self,
        reader: &mut ExecutorReader,
        stderr: &mut mpsc::Receiver<String>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) {
        // Of one that was killed the rest is still heard.
        let mut killed: Option<Instant> = None;
        loop {
            tokio::select! {
                message = reader.next() => match message {
                    Ok(Some(message)) => self.heard(message),
                    Ok(None) => return,
                    Err(error) => {
                        let slot = self.slot;
                        self.in_span(|| tracing::error!(slot, %error, "the executor cannot be understood"));
                        self.process.kill();
                        return;
                    }
                },
                Some(line) = stderr.recv() => self.said(line),
                order = orders.recv(), if killed.is_none() => match order {
                    Some(Order::Expect(log)) => self.begin(*log),
                    Some(Order::Send(message, begins)) => self.send(*message, begins),
                    Some(Order::Kill) | None => {
                        let (slot, pid) = (self.slot, self.process.pid());
                        self.in_span(|| tracing::warn!(slot, pid, "executor killed"));
                        self.process.kill();
                        killed = Some(Instant::now() + GRACE);
                    }
                },
                sent = self.process.send_some(), if self.process.is_sending() => {
                    if let Err(error) = sent {
                        self.process.stop_sending();
                        let slot = self.slot;
                        self.in_span(|| tracing::debug!(slot, %error, "the executor does not listen any more"));
                    }
                }
                () = until(killed) => return,
            }
        }
    }

    fn send(&mut self, message: v1::ToExecutor, begins: Option<Box<OpenSegment>>) {
        if let Some(log) = begins {
            self.begin(*log);
        }
        let Err(error) = self.process.queue(&message) else {
            return;
        };
        if let Some(to_executor::Message::Run(run)) = message.message {
            self.open = None;
            self.tell(AgentEvent::TaskFailed {
                slot: self.slot,
                lease: LeaseNumber(run.lease),
                failure: Failure {
                    class: FailureClass::Internal,
                    message: error.to_string(),
                },
            });
        }
    }

    /// What it said before is another task's.
    fn begin(&mut self, log: OpenSegment) {
        self.open = Some(log);
        self.last_words.clear();
    }

    fn heard(&mut self, message: v1::FromExecutor) {
        match message.message {
            Some(from_executor::Message::Log(log)) => {
                if let Some(open) = &mut self.open {
                    open.heard(log);
                }
            }
            Some(from_executor::Message::Spans(measured)) => {
                self.spans.forward("nightshift-executor", measured.spans);
            }
            Some(message) => {
                // The executor has stored its log before it says so.
                if matches!(
                    message,
                    from_executor::Message::Done(_) | from_executor::Message::Failed(_)
                ) {
                    self.open = None;
                }
                self.tell(event(self.slot, message));
            }
            None => {}
        }
    }

    fn said(&mut self, line: String) {
        let (slot, pid) = (self.slot, self.process.pid());
        self.in_span(|| tracing::warn!(slot, pid, line, "the executor says"));
        if let Some(open) = &mut self.open {
            open.said(&line);
        }
        if self.last_words.len() == LAST_WORDS {
            // The words that decide what it died of stay, however long the trace below them.
            let decide = |line: &String| tells_of_memory(line);
            let least = self.last_words.iter().position(|line| !decide(line));
            self.last_words.remove(least.unwrap_or(0));
        }
        self.last_words.push_back(line);
    }

    /// It closed its end or was killed; one that lingers without its socket is of no use.
    async fn end(mut self, stderr: &mut mpsc::Receiver<String>) {
        let ended = match timeout(GRACE, self.process.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.process.kill();
                // One that hangs in the kernel does not die of it; the task must not wait for that.
                timeout(GRACE, self.process.wait())
                    .await
                    .unwrap_or_else(|_| Err(io::Error::other("killed, but it does not die: does a disk or a network file system hang?")))
            }
        };
        // Its last words may be under way; something that it started and that outlives it must not hold this up.
        let rest = timeout(Duration::from_secs(1), async {
            while let Some(line) = stderr.recv().await {
                self.said(line);
            }
        });
        let _ = rest.await;
        let exit = match ended {
            Ok(exit) => exit.meaning(),
            Err(error) => Exit::NotStarted(format!("cannot learn how the executor ended: {error}")),
        };
        let last_words = self.last_words.make_contiguous().join(" | ");
        let (slot, pid) = (self.slot, self.process.pid());
        self.in_span(|| tracing::info!(slot, pid, last_words, "executor ended: {exit}"));
        if let Some(open) = self.open.take() {
            open.close(&self.stores, &exit.to_string()).await;
        }
        self.tell(AgentEvent::ExecutorExited {
            slot,
            exit,
            last_words,
        });
    }

    fn tell(&self, event: AgentEvent) {
        // The receiver lives as long as the agent's loop.
        let _ = self.events.send(event);
    }

    /// Says something with job, task and attempt, if there is one.
    fn in_span(&self, say: impl FnOnce()) {
        match &self.open {
            Some(open) => open.about.span().in_scope(say),
            None => say(),
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// The event that an executor's message is.
fn event(slot: SlotNumber, message: from_executor::Message) -> AgentEvent {
    match message {
        from_executor::Message::Ready(_)
        | from_executor::Message::Log(_)
        | from_executor::Message::Spans(_) => AgentEvent::ExecutorReady { slot },
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
            AgentEvent::TaskFailed {
                slot,
                lease: LeaseNumber(failed.lease),
                failure: Failure {
                    class,
                    message: failed.message,
                },
            }
        }
    }
}
