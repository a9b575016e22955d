//! One slot: its executor and the task on it.

use types::{Failure, FailureClass, Progress};

use crate::event::{AgentEffect, AgentSettings, Exit, Grant, SlotNumber};

#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub executor: Executor,
    pub work: Option<Work>,
    /// What the executor kept in memory when it was last seen without a task.
    pub idle_bytes: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Executor {
    #[default]
    Absent,
    Starting,
    Ready,
    /// Told to die, not gone yet: takes no task.
    Dying,
}

#[derive(Debug)]
pub(crate) struct Work {
    pub grant: Grant,
    pub phase: Phase,
    /// When the present phase began.
    pub since_ms: u64,
    /// When the task was handed to the executor (before: when it was granted).
    pub begun_ms: u64,
    pub progress: Option<Progress>,
    pub pulse: u64,
    pub moved_ms: u64,
    pub loading: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The executor is not ready.
    Waiting,
    Running,
    /// Asked to stop; killed after the grace.
    Cancelling,
    /// Killed; the failure to report, or a release if there is none.
    Killed(Option<Failure>),
}

impl Slot {
    pub fn is_free(&self) -> bool {
        self.work.is_none() && self.executor != Executor::Dying
    }

    /// For the work that waits. An executor that dies gets its successor when it has died.
    pub fn start_if_absent(&mut self, number: SlotNumber, out: &mut Vec<AgentEffect>) {
        let waits = self.work.as_ref().map(|work| work.grant.lease);
        if matches!(self.executor, Executor::Absent | Executor::Starting) {
            out.extend(waits.map(|lease| AgentEffect::Expect {
                slot: number,
                lease,
            }));
        }
        if self.executor == Executor::Absent {
            self.executor = Executor::Starting;
            out.push(AgentEffect::StartExecutor { slot: number });
        }
    }

    /// Whether what the executor keeps of earlier tasks would be counted against the waiting one: its limit is on the whole
    /// process.
    pub fn is_overgrown(&self) -> bool {
        let limit = self.work.as_ref().and_then(|w| w.grant.memory_bytes);
        self.executor == Executor::Ready && limit.is_some_and(|limit| self.idle_bytes > limit / 4)
    }
}

impl Work {
    pub fn new(grant: Grant, now_ms: u64) -> Self {
        Self {
            grant,
            phase: Phase::Waiting,
            since_ms: now_ms,
            begun_ms: now_ms,
            progress: None,
            pulse: 0,
            moved_ms: now_ms,
            loading: true,
        }
    }

    pub fn enter(&mut self, phase: Phase, now_ms: u64) {
        self.phase = phase;
        self.since_ms = now_ms;
    }

    /// How far it was when it was last heard of, for messages.
    fn place(&self) -> String {
        match &self.progress {
            Some(progress) if progress.total > 0 => format!(
                ", in stage {} at {} of {}",
                progress.stage, progress.done, progress.total
            ),
            Some(progress) => format!(", in stage {}", progress.stage),
            None => String::new(),
        }
    }

    /// Why the task must be killed now, if it must.
    pub fn overdue(&self, settings: &AgentSettings, now_ms: u64) -> Option<Failure> {
        let still_ms = now_ms.saturating_sub(self.moved_ms);
        let (limit_ms, what) = match self.loading {
            true => (settings.loading_stall_ms, "while loading"),
            false => (settings.stall_ms, "in the pipeline"),
        };
        if still_ms >= limit_ms {
            let message = format!(
                "nothing moved {what} for {} s{}",
                limit_ms / 1000,
                self.place()
            );
            return Some(Failure {
                class: FailureClass::Stalled,
                message,
            });
        }
        let timeout_ms = self.grant.timeout_ms?;
        (now_ms.saturating_sub(self.begun_ms) >= timeout_ms).then(|| Failure {
            class: FailureClass::TimedOut,
            message: format!(
                "the task took longer than its limit of {} s; raise resources.timeout",
                timeout_ms / 1000
            ),
        })
    }
}

/// SIGABRT, by Linux's number.
const ABORTED: i32 = 6;

/// Whether what a program says as it gives up is that it got no memory: the words of Rust and of C++.
pub fn tells_of_memory(words: &str) -> bool {
    let of_rust = words.contains("memory allocation of ") && words.contains(" bytes failed");
    of_rust || words.contains("std::bad_alloc")
}

/// What an exit that nobody asked for says about the task.
pub(crate) fn failure_of(exit: &Exit, work: &Work, last_words: &str) -> Failure {
    let class = match exit {
        Exit::OutOfMemory => FailureClass::OutOfMemory,
        Exit::Signal(ABORTED) if tells_of_memory(last_words) => FailureClass::OutOfMemory,
        Exit::Code(_) | Exit::Signal(_) | Exit::NotStarted(_) => FailureClass::Crashed,
    };
    let mut message = exit.to_string();
    message.push_str(&work.place());
    if !last_words.is_empty() {
        message.push_str("; its last words: ");
        message.push_str(last_words);
    }
    Failure { class, message }
}
