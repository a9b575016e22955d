//! Facts that the shell tells the core: what users, workers, the outbox and the clock did.

use std::collections::BTreeSet;

use job::{Rethreshold, resolved::ResolvedJob};
use plan::{Plan, TaskResult};
use types::{
    Devices, Failure, Incarnation, JobId, Labels, LeaseNumber, OutputObject, PoolName, Progress,
    RequestId, TaskKind, TraceContext, WorkerName,
};

use crate::rows::OutboxId;

/// The time at which an event is applied. The core has no clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never goes back; starts anywhere with each process.
    pub mono_ms: u64,
    /// Milliseconds since 1970, UTC. May jump; only for people and for deadlines that outlive a restart.
    pub wall_ms: i64,
}

/// Names the call that waits for a [`crate::Reply`]: chosen by the shell, not looked at here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One fact. Randomness (job ids, nonces) is chosen by the shell and comes with the event.
#[derive(Debug, Clone)]
pub enum Event {
    SubmitRequested {
        to: Ticket,
        submit: Box<Submit>,
    },
    CancelRequested {
        to: Ticket,
        request: RequestId,
        job: JobId,
    },
    RetryRequested {
        to: Ticket,
        request: RequestId,
        job: JobId,
    },
    /// A user wants the raw scores of a job that has ended to be decided anew.
    RethresholdRequested {
        to: Ticket,
        request: RequestId,
        job: JobId,
        /// None: all.
        runs: Vec<u32>,
        new: Rethreshold,
    },
    /// A user wants a job that has ended, and what it left but for its models, to go.
    DeleteRequested {
        to: Ticket,
        request: RequestId,
        job: JobId,
    },
    /// A user asked that the worker gets nothing more; ends with the worker's next incarnation.
    DrainRequested {
        to: Ticket,
        worker: WorkerName,
    },
    /// A user says that the quarantined worker is well again.
    ReleaseRequested {
        to: Ticket,
        worker: WorkerName,
    },
    WorkerRegistered {
        to: Ticket,
        worker: Registration,
    },
    /// Answered at once, with [`crate::ClaimAnswer::Nothing`] if there is nothing to do. A shell that
    /// holds the call for its long wait applies the same claim again (same ticket and claim id, a new
    /// nonce) whenever [`crate::Effect::Wake`] names the worker's pool.
    ClaimRequested {
        to: Ticket,
        claim: Claim,
    },
    HeartbeatReceived {
        to: Ticket,
        from: Sender,
        leases: Vec<(LeaseNumber, Option<Progress>)>,
    },
    AttemptCompleted {
        to: Ticket,
        from: Sender,
        lease: LeaseNumber,
        result: Box<TaskResult>,
        outputs: Vec<OutputObject>,
    },
    AttemptFailed {
        to: Ticket,
        from: Sender,
        lease: LeaseNumber,
        failure: Failure,
    },
    AttemptReleased {
        to: Ticket,
        from: Sender,
        lease: LeaseNumber,
    },
    /// The worker ends in good order: what it held it has completed or released before.
    WorkerLeft {
        to: Ticket,
        from: Sender,
    },
    /// The outbox entry's effect is in the store, or whom it is for was told. `version`: the one that a model pointer got.
    OutboxDelivered {
        id: OutboxId,
        version: Option<u32>,
    },
    /// The broker did not take the wake-up, as far as one can tell.
    PublishFailed {
        number: u64,
    },
    /// A try to deliver the outbox entry has failed; another one follows.
    DeliveryFailed {
        id: OutboxId,
        why: String,
    },
    /// It is not tried any more: nobody took it for too long.
    DeliveryGivenUp {
        id: OutboxId,
    },
    /// Nothing is left below the prefix of [`crate::Effect::Sweep`]; so many objects were.
    PrefixSwept {
        lease: LeaseNumber,
        objects: u64,
    },
    /// Nothing is left of the job but what [`crate::Effect::Remove`] keeps.
    JobRemoved {
        job: JobId,
        again: bool,
    },
    /// About once a second, and only after everything that had arrived before was applied: leases
    /// expire here and nowhere else.
    Ticked,
}

/// Which start of which worker speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    pub worker: WorkerName,
    pub incarnation: Incarnation,
}

#[derive(Debug, Clone)]
pub struct Submit {
    pub request: RequestId,
    /// The job's id if a new one is made; taken already: refused, choose another.
    pub id: JobId,
    pub key: Option<String>,
    /// Of the resolved job; what `key` is compared by.
    pub digest: String,
    pub resolved: ResolvedJob,
    /// The resolved job as stored and shown.
    pub resolved_json: String,
    /// The file as the user wrote it.
    pub source_yaml: String,
    pub plan: Plan,
    /// What a new job's spans are below.
    pub trace: Option<TraceContext>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub worker: WorkerName,
    pub incarnation: Incarnation,
    pub pool: PoolName,
    pub slots: u32,
    pub version: String,
    pub engines: Vec<String>,
    pub devices: Devices,
    /// Kinds of tasks that its release knows.
    pub kinds: BTreeSet<TaskKind>,
    pub labels: Labels,
    pub memory_bytes: u64,
    /// It serves one command and does not come back under this name.
    pub temporary: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub from: Sender,
    /// Chosen by the worker; the same id gets the same lease, or `Ended`.
    pub id: RequestId,
    pub free_slots: u32,
    /// Number of the wake-up that led to this claim, if one did.
    pub wake_up: Option<u64>,
    /// Random: makes the attempt's prefix unique even if a lease number came twice.
    pub nonce: u32,
}
