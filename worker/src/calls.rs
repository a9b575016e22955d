//! Calls to the coordinator: each becomes the event that answers it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use proto::{Client, Place, v1};
use serde::Deserialize;
use tokio::sync::Mutex;
use tonic::{Code, Status};
use types::{
    Devices, Epoch, Incarnation, Labels, LeaseNumber, PoolName, TaskId, TaskKind, WorkerName,
};
use worker_core::{AgentEvent, Answer, Call, Denial, Grant, Verdict};

/// Over the coordinator's own time for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A heartbeat that comes late is worth less than the next one.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);

/// Who this agent is, as the coordinator knows it.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: WorkerName,
    pub incarnation: Incarnation,
    pub pool: PoolName,
    pub slots: u32,
    pub engines: Vec<String>,
    pub devices: Devices,
    pub labels: Labels,
    pub memory_bytes: u64,
    /// Serves one command and does not come back under its name.
    pub temporary: bool,
}

/// The coordinator, connected to when needed.
pub struct Coordinator {
    place: Place,
    identity: Identity,
    /// How long it may hold a claim while there is nothing to do.
    hold: Duration,
    client: Mutex<Option<Client>>,
    /// The last call got no answer.
    unheard: AtomicBool,
    /// The last call was denied.
    denied: AtomicBool,
}

/// What the agent reads of a `plan::Assignment`.
#[derive(Deserialize)]
struct AssignmentHead {
    task: TaskId,
    lease: LeaseNumber,
    resources: ResourcesHead,
}

#[derive(Deserialize)]
struct ResourcesHead {
    timeout_s: Option<u64>,
    memory_bytes: Option<u64>,
}

impl Coordinator {
    pub fn new(place: Place, identity: Identity, hold: Duration) -> Self {
        Self {
            place,
            identity,
            hold,
            client: Mutex::new(None),
            unheard: AtomicBool::new(false),
            denied: AtomicBool::new(false),
        }
    }

    /// Makes the call; the event is its answer.
    pub async fn make(&self, call: Call) -> AgentEvent {
        let short = call.short();
        match self.ask(call).await {
            Ok((epoch, answer)) => {
                let (unheard, denied) = (&self.unheard, &self.denied);
                if unheard.swap(false, Ordering::Relaxed) | denied.swap(false, Ordering::Relaxed) {
                    tracing::info!("the coordinator answers");
                }
                AgentEvent::Answered {
                    call: short,
                    epoch: Epoch(epoch),
                    answer,
                }
            }
            Err(status) => self.unanswered(short, &status).await,
        }
    }

    async fn unanswered(&self, call: Call, status: &Status) -> AgentEvent {
        let (code, why) = (status.code(), status.message());
        if let Some(denial) = denial(&call, status) {
            // Said once, until it answers again. The agent decides whether that is the end.
            if !self.denied.swap(true, Ordering::Relaxed) {
                tracing::warn!(place = %self.place, ?code, why, "the coordinator denies this worker");
            }
            if matches!(denial, Denial::Credentials(_)) {
                self.read_token_again().await;
            }
            AgentEvent::CallDenied { call, denial }
        } else if is_refusal(code) {
            tracing::warn!(?call, ?code, why, "the coordinator refuses");
            AgentEvent::CallRefused {
                call,
                why: why.to_owned(),
            }
        } else {
            // Said once, until it answers again.
            if !self.unheard.swap(true, Ordering::Relaxed) {
                tracing::warn!(place = %self.place, ?code, why, "no answer from the coordinator; trying on");
            }
            AgentEvent::CallFailed { call }
        }
    }

    /// Where tokens are exchanged, the file is newer than what was read of it at the start.
    async fn read_token_again(&self) {
        let place = self.place.clone();
        let read = tokio::task::spawn_blocking(move || place.read_token_again()).await;
        match read {
            Ok(Ok(true)) => {
                tracing::info!("the token's file holds another token now: going on with that")
            }
            Ok(Err(error)) => tracing::debug!(
                error = types::chain(&error),
                "the token cannot be read again"
            ),
            // The same as before; or the process is ending.
            Ok(Ok(false)) | Err(_) => {}
        }
    }

    async fn ask(&self, call: Call) -> Result<(u64, Answer), Status> {
        let (worker, incarnation) = (self.identity.name.to_string(), self.identity.incarnation.0);
        match call {
            Call::Register => {
                let identity = &self.identity;
                let request = v1::RegisterRequest {
                    worker,
                    incarnation,
                    pool: identity.pool.to_string(),
                    slots: identity.slots,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    engines: identity.engines.clone(),
                    devices: identity.devices.clone().into(),
                    kinds: TaskKind::ALL
                        .iter()
                        .map(|kind| kind.as_str().to_owned())
                        .collect(),
                    labels: BTreeMap::from(identity.labels.clone())
                        .into_iter()
                        .collect(),
                    memory_bytes: identity.memory_bytes,
                    temporary: identity.temporary,
                };
                let reply = self
                    .call(CALL_TIMEOUT, async |mut client| {
                        client.register(request).await
                    })
                    .await?;
                let heartbeat_ms = reply.heartbeat_ms;
                Ok((reply.epoch, Answer::Registered { heartbeat_ms }))
            }
            Call::Claim {
                id,
                free_slots,
                wake_up,
            } => {
                let wait_ms = u64::try_from(self.hold.as_millis()).unwrap_or(u64::MAX);
                let request = v1::ClaimRequest {
                    worker,
                    incarnation,
                    claim_id: id.to_string(),
                    free_slots,
                    wait_ms,
                    wake_up,
                };
                let reply = self
                    .call(self.hold + CALL_TIMEOUT, async |mut client| {
                        client.claim(request).await
                    })
                    .await?;
                Ok((reply.epoch, claim_answer(reply)?))
            }
            Call::Heartbeat { leases } => {
                let leases = leases
                    .into_iter()
                    .map(|(lease, progress)| v1::LeaseProgress {
                        lease: lease.0,
                        progress: progress.map(|progress| v1::Progress {
                            stage: progress.stage,
                            done: progress.done,
                            total: progress.total,
                            rate: progress.rate,
                        }),
                    });
                let request = v1::HeartbeatRequest {
                    worker,
                    incarnation,
                    leases: leases.collect(),
                };
                let reply = self
                    .call(HEARTBEAT_TIMEOUT, async |mut client| {
                        client.heartbeat(request).await
                    })
                    .await?;
                let cancel = reply.cancel.into_iter().map(LeaseNumber).collect();
                Ok((
                    reply.epoch,
                    Answer::Heartbeat {
                        cancel,
                        drain: reply.drain,
                        register: reply.register,
                    },
                ))
            }
            Call::Complete {
                lease,
                result_json,
                outputs_json,
            } => {
                let request = v1::CompleteRequest {
                    worker,
                    incarnation,
                    lease: lease.0,
                    result_json,
                    outputs_json,
                };
                let reply = self
                    .call(CALL_TIMEOUT, async |mut client| {
                        client.complete(request).await
                    })
                    .await?;
                Ok((reply.epoch, Answer::Completed(verdict(reply.verdict())?)))
            }
            Call::Fail { lease, failure } => {
                let class = failure.class.as_str().to_owned();
                let request = v1::FailRequest {
                    worker,
                    incarnation,
                    lease: lease.0,
                    class,
                    message: failure.message,
                };
                let reply = self
                    .call(CALL_TIMEOUT, async |mut client| client.fail(request).await)
                    .await?;
                Ok((reply.epoch, Answer::Noted))
            }
            Call::Release { lease } => {
                let request = v1::ReleaseRequest {
                    worker,
                    incarnation,
                    lease: lease.0,
                };
                let reply = self
                    .call(CALL_TIMEOUT, async |mut client| {
                        client.release(request).await
                    })
                    .await?;
                Ok((reply.epoch, Answer::Noted))
            }
            Call::Leave => {
                let request = v1::LeaveRequest {
                    worker,
                    incarnation,
                };
                let reply = self
                    .call(HEARTBEAT_TIMEOUT, async |mut client| {
                        client.leave(request).await
                    })
                    .await?;
                Ok((reply.epoch, Answer::Noted))
            }
        }
    }

    async fn call<T>(
        &self,
        limit: Duration,
        send: impl AsyncFnOnce(Client) -> Result<tonic::Response<T>, Status>,
    ) -> Result<T, Status> {
        let client = self.client().await?;
        match tokio::time::timeout(limit, send(client)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => {
                if status.code() == Code::Unavailable {
                    *self.client.lock().await = None;
                }
                Err(match status.code() {
                    Code::Unimplemented => Status::unimplemented(proto::OTHER_PROTOCOL),
                    _ => status,
                })
            }
            Err(_) => Err(Status::deadline_exceeded(format!(
                "no answer within {} s",
                limit.as_secs()
            ))),
        }
    }

    async fn client(&self) -> Result<Client, Status> {
        let mut slot = self.client.lock().await;
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let connecting = tokio::time::timeout(HEARTBEAT_TIMEOUT, proto::connect(&self.place));
        let client = connecting
            .await
            .map_err(|_| Status::deadline_exceeded("no connection"))?
            .map_err(|error| Status::unavailable(types::chain(&error)))?;
        *slot = Some(client.clone());
        Ok(client)
    }
}

/// What the claim got; an assignment that this version cannot read is an error, so that the claim is not lost.
fn claim_answer(reply: v1::ClaimReply) -> Result<Answer, Status> {
    if reply.register {
        return Ok(Answer::Unregistered);
    }
    if reply.ended {
        return Ok(Answer::Ended);
    }
    if reply.assignment_json.is_empty() {
        return Ok(Answer::Nothing);
    }
    let head: AssignmentHead = serde_json::from_str(&reply.assignment_json).map_err(|error| {
        Status::internal(format!(
            "the coordinator sent an assignment that cannot be read: {error}"
        ))
    })?;
    Ok(Answer::Granted(Box::new(Grant {
        lease: head.lease,
        task: head.task,
        assignment_json: reply.assignment_json,
        timeout_ms: head
            .resources
            .timeout_s
            .map(|seconds| seconds.saturating_mul(1000)),
        memory_bytes: head.resources.memory_bytes,
    })))
}

fn verdict(verdict: v1::complete_reply::Verdict) -> Result<Verdict, Status> {
    match verdict {
        v1::complete_reply::Verdict::Accepted => Ok(Verdict::Accepted),
        v1::complete_reply::Verdict::Superseded => Ok(Verdict::Superseded),
        v1::complete_reply::Verdict::Cancelled => Ok(Verdict::Cancelled),
        v1::complete_reply::Verdict::Unspecified => Err(Status::internal(
            "a verdict that this version does not know",
        )),
    }
}

/// Whether the coordinator talks to no agent like this one. A single call that it does not know says nothing about the
/// others, but for the first of all.
fn denial(call: &Call, status: &Status) -> Option<Denial> {
    let why = status.message().to_owned();
    match (status.code(), call) {
        (Code::Unauthenticated | Code::PermissionDenied, _) => Some(Denial::Credentials(why)),
        (Code::Unimplemented, Call::Register) => Some(Denial::Protocol(why)),
        _ => None,
    }
}

/// Codes that say "this is wrong" and would say so again.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
    )
}
