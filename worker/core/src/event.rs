//! What the agent is told, and what it orders.

use std::fmt;

use types::{Epoch, Failure, Incarnation, LeaseNumber, Progress, RequestId, TaskId, WorkerName};

/// Executors are numbered by the slot they serve, from 0.
pub type SlotNumber = u32;

#[derive(Debug, Clone)]
pub struct AgentSettings {
    pub worker: WorkerName,
    /// Another for each start of the agent.
    pub incarnation: Incarnation,
    pub slots: u32,
    /// Until the coordinator has said what it wants.
    pub heartbeat_ms: u64,
    /// Between two claims that got nothing: keeps an agent whose calls are answered at once from spinning.
    pub claim_pause_ms: u64,
    /// How long an idle agent that gets wake-ups from a broker waits for one; then it claims all the same. Without a
    /// broker the coordinator holds a claim until there is something to do.
    pub poll_ms: Option<u64>,
    /// A wake-up whose claim is not answered is held for no longer: brokers cut off who holds a message for long.
    pub hold_wake_up_ms: u64,
    /// A call without an answer is sent again after this, doubling to `call_retry_max_ms`.
    pub call_retry_ms: u64,
    pub call_retry_max_ms: u64,
    /// How long an outcome is told before the agent gives up.
    pub report_for_ms: u64,
    /// No counter of the pipeline moved.
    pub stall_ms: u64,
    /// The same while loading and compiling.
    pub loading_stall_ms: u64,
    /// From the cancel to the kill: with a heartbeat a second and what ticks add, all is over within 5 s of the user's word.
    pub cancel_grace_ms: u64,
    /// From SIGTERM until what is not finished is released.
    pub drain_grace_ms: u64,
    /// From then until the end, even if the coordinator does not answer.
    pub drain_tell_ms: u64,
    /// The same for an agent whose parent is gone: all that it waits for.
    pub end_tell_ms: u64,
}

impl AgentSettings {
    /// The numbers of the design.
    pub fn new(worker: WorkerName, incarnation: Incarnation, slots: u32) -> Self {
        Self {
            worker,
            incarnation,
            slots,
            heartbeat_ms: 10_000,
            claim_pause_ms: 1_000,
            poll_ms: None,
            hold_wake_up_ms: 60_000,
            call_retry_ms: 500,
            call_retry_max_ms: 15_000,
            report_for_ms: 1_800_000,
            stall_ms: 300_000,
            loading_stall_ms: 600_000,
            cancel_grace_ms: 3_000,
            drain_grace_ms: 3_000,
            drain_tell_ms: 25_000,
            end_tell_ms: 2_000,
        }
    }
}

/// A task to do. The assignment passes through the agent without being looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub lease: LeaseNumber,
    pub task: TaskId,
    /// `plan::Assignment`.
    pub assignment_json: String,
    pub timeout_ms: Option<u64>,
    pub memory_bytes: Option<u64>,
}

#[derive(Debug, Clone)]
pub enum AgentEvent {
    /// About once a second, and after every other event that the shell likes: all deadlines are judged here.
    Ticked,
    /// The broker delivered this wake-up. It delivers no other until [`AgentEffect::AckWakeUp`].
    Woken {
        number: u64,
    },
    /// What the coordinator said to the call.
    Answered {
        call: Call,
        epoch: Epoch,
        answer: Answer,
    },
    /// The call got no answer, or an error that another try may mend.
    CallFailed {
        call: Call,
    },
    /// The coordinator refused the call for good.
    CallRefused {
        /// In the coordinator's words.
        why: String,
        call: Call,
    },
    /// The coordinator does not talk to this agent at all.
    CallDenied {
        call: Call,
        denial: Denial,
    },
    ExecutorReady {
        slot: SlotNumber,
    },
    /// `pulse`: the sum of all counters of the pipeline.
    ExecutorProgressed {
        slot: SlotNumber,
        lease: LeaseNumber,
        progress: Progress,
        pulse: u64,
        loading: bool,
    },
    TaskDone {
        slot: SlotNumber,
        lease: LeaseNumber,
        result_json: String,
        outputs_json: String,
    },
    TaskFailed {
        slot: SlotNumber,
        lease: LeaseNumber,
        failure: Failure,
    },
    /// The process is gone and reaped, or could not be started.
    ExecutorExited {
        slot: SlotNumber,
        exit: Exit,
        /// The end of what it wrote to its standard error; empty: nothing.
        last_words: String,
    },
    /// Resident memory of the executor.
    MemorySampled {
        slot: SlotNumber,
        bytes: u64,
    },
    /// SIGTERM. A second one does not wait for the grace.
    DrainRequested,
    /// The parent is gone: everything is given back at once, and the end waits for little.
    EndRequested,
}

/// Why a coordinator talks to nobody like this agent, in its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// It does not know the token, or knows it as somebody else's.
    Credentials(String),
    /// It speaks another protocol.
    Protocol(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// Killed by the kernel because the machine or its container had no memory left.
    OutOfMemory,
    /// It could not be started; why.
    NotStarted(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "the executor exited with code {code}"),
            Self::Signal(number) => {
                write!(f, "the executor was killed by signal {number}")?;
                match signal_name(*number) {
                    Some(name) => write!(f, " ({name})"),
                    None => Ok(()),
                }
            }
            Self::OutOfMemory => f.write_str("the kernel killed the executor: no memory was left"),
            Self::NotStarted(why) => write!(f, "the executor could not be started: {why}"),
        }
    }
}

/// Signals that end a process, by Linux's numbers (the same on x86-64 and arm64).
fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL: an instruction that this processor does not have",
        5 => "SIGTRAP",
        6 => "SIGABRT: a native library gave up",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV: a crash in native code",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// And how often the coordinator wants to hear of leases.
    Registered {
        heartbeat_ms: u64,
    },
    Granted(Box<Grant>),
    Nothing,
    /// The lease that this claim got has ended.
    Ended,
    /// Unknown incarnation: register first.
    Unregistered,
    Heartbeat {
        cancel: Vec<LeaseNumber>,
        drain: bool,
        register: bool,
    },
    Completed(Verdict),
    /// To Fail, Release and Leave.
    Noted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Superseded,
    Cancelled,
}

/// A call to the coordinator. The answer comes back with the call (without its texts, see [`Call::short`]).
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Register,
    Claim {
        id: RequestId,
        free_slots: u32,
        /// The one that led to this claim.
        wake_up: Option<u64>,
    },
    Heartbeat {
        leases: Vec<(LeaseNumber, Option<Progress>)>,
    },
    Complete {
        lease: LeaseNumber,
        result_json: String,
        outputs_json: String,
    },
    Fail {
        lease: LeaseNumber,
        failure: Failure,
    },
    Release {
        lease: LeaseNumber,
    },
    /// The last one: nothing is held here any more.
    Leave,
}

impl Call {
    /// The call without its long texts: enough to name it in an answer.
    pub fn short(&self) -> Self {
        match self {
            Self::Complete { lease, .. } => Self::Complete {
                lease: *lease,
                result_json: String::new(),
                outputs_json: String::new(),
            },
            other => other.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum AgentEffect {
    /// Followed by one `Answered`, `CallFailed`, `CallRefused` or `CallDenied`; a second one for the same call is harmless.
    Send(Call),
    /// A slot is free, and a claim got nothing: wake-ups are wanted.
    ConsumeWakeUps,
    /// No slot is left: others are to be woken.
    PauseWakeUps,
    /// The wake-up has done what it can do. After `PauseWakeUps`, where both are ordered.
    AckWakeUp,
    /// The slot's executor gets this lease's task once it is ready: what it says until then is about that attempt. Before
    /// `StartExecutor`, where both are ordered.
    Expect {
        slot: SlotNumber,
        lease: LeaseNumber,
    },
    StartExecutor {
        slot: SlotNumber,
    },
    RunTask {
        slot: SlotNumber,
        grant: Box<Grant>,
    },
    CancelTask {
        slot: SlotNumber,
        lease: LeaseNumber,
    },
    /// By process group, with SIGKILL; [`AgentEvent::ExecutorExited`] follows.
    KillExecutor {
        slot: SlotNumber,
    },
    /// The attempt is over here: its scratch folder and log can be closed.
    Finished {
        lease: LeaseNumber,
    },
    /// Everything is told: end the process (executors are killed by then, or go with it).
    Exit,
    /// No coordinator has ever answered this agent, and the one that is there will not: somebody has to correct that. End
    /// the process.
    GiveUp(Denial),
}
