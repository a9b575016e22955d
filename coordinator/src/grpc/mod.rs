//! The service as it stands in `coordinator.proto`: each call is read, asked, and written back.

mod logs;
mod read;
mod results;
mod rethreshold;
mod status;
mod submit;
mod view;
mod watch;

use std::{future::Future, pin::Pin, time::Duration};

use coordinator_core::{ClaimAnswer, Core, Event, Now, Reply, Verdict};
use futures::Stream;
use proto::{local::MAX_MESSAGE_BYTES, v1, v1::coordinator_server::CoordinatorServer};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use types::{JobId, LeaseNumber};

use self::status::RequestError;
use crate::{
    access::Guard,
    event_loop::nonce,
    handle::Handle,
    incoming::{PATIENCE, connections, incoming},
    listen::Network,
    traces,
    wake_ups::WakeUps,
};

/// Longest time for which a claim is held; then the worker asks again.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Calls that one connection may have open: a claim is held, a watch stays.
const MAX_STREAMS: u32 = 256;
/// A peer that vanished without a word is noticed after two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Serves the socket until `closed`.
pub async fn serve(
    handle: Handle,
    listener: UnixListener,
    closed: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .add_service(service(handle))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), closed)
        .await
}

/// Serves a network address until `closed`; nothing to do without one.
pub async fn serve_network(
    handle: Handle,
    network: Option<(Network, TcpListener)>,
    closed: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let Some((network, listener)) = network else {
        return Ok(());
    };
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_concurrent_streams(MAX_STREAMS)
        .concurrency_limit_per_connection(MAX_STREAMS as usize);
    if let Some(tls) = network.tls {
        server = server.tls_config(tls)?;
    }
    let incoming = incoming(listener, connections(), PATIENCE);
    server
        .layer(Guard::new(network.access, handle.refusals().clone()))
        .add_service(service(handle))
        .serve_with_incoming_shutdown(incoming, closed)
        .await
}

fn service(handle: Handle) -> CoordinatorServer<Service> {
    CoordinatorServer::new(Service { handle })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

struct Service {
    handle: Handle,
}

type Answer<T> = Result<Response<T>, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    async fn ask(
        &self,
        event: impl FnOnce(coordinator_core::Ticket) -> Event + Send + 'static,
    ) -> Result<Reply, RequestError> {
        settle(self.handle.ask(event).await?)
    }

    /// Looks at the job that the caller named.
    async fn of_job<T: Send + 'static>(
        &self,
        text: String,
        look: impl FnOnce(&Core, Now, &JobId) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, RequestError> {
        self.handle
            .query(move |core, now| look(core, now, &read::job(core, &text)?))
            .await?
    }

    async fn job_id(&self, text: String) -> Result<JobId, RequestError> {
        self.of_job(text, |_, _, job| Ok(job.clone())).await
    }
}

/// A refusal is an error; everything else is for the caller to read.
fn settle(reply: Reply) -> Result<Reply, RequestError> {
    match reply {
        Reply::Refused(refusal) => Err(refusal.into()),
        reply => Ok(reply),
    }
}

fn wrong(reply: &Reply) -> Status {
    RequestError::WrongReply(format!("{reply:?}")).into()
}

#[tonic::async_trait]
impl v1::coordinator_server::Coordinator for Service {
    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Answer<v1::SubmitReply> {
        let parent = spans::carried(request.metadata());
        Ok(Response::new(
            submit::submit(&self.handle, request.into_inner(), parent).await?,
        ))
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Answer<v1::Job> {
        let job = self
            .of_job(request.into_inner().job, |core, now, job| {
                view::job(core, now, job, true)
            })
            .await?;
        Ok(Response::new(job))
    }

    async fn list_jobs(&self, _: Request<v1::ListJobsRequest>) -> Answer<v1::ListJobsReply> {
        let jobs = self
            .handle
            .query(view::jobs)
            .await
            .map_err(RequestError::from)?;
        Ok(Response::new(v1::ListJobsReply { jobs }))
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Answer<v1::ListTasksReply> {
        let tasks = self.of_job(request.into_inner().job, view::tasks).await?;
        Ok(Response::new(v1::ListTasksReply { tasks }))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Answer<v1::ListRunsReply> {
        let runs = self
            .of_job(request.into_inner().job, |core, _, job| {
                view::runs(core, job)
            })
            .await?;
        Ok(Response::new(v1::ListRunsReply { runs }))
    }

    async fn describe_job(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Answer<v1::DescribeJobReply> {
        let described = self
            .of_job(request.into_inner().job, |core, now, job| {
                Ok(v1::DescribeJobReply {
                    job: Some(view::job(core, now, job, true)?),
                    runs: view::runs(core, job)?,
                    tasks: view::tasks(core, now, job)?,
                })
            })
            .await?;
        Ok(Response::new(described))
    }

    async fn list_dead(&self, request: Request<v1::ListDeadRequest>) -> Answer<v1::ListDeadReply> {
        let text = request.into_inner().job;
        let reply = self
            .handle
            .query(move |core, _| {
                let job = match text.as_str() {
                    "" => None,
                    text => Some(read::job(core, text)?),
                };
                Ok::<_, RequestError>(view::dead(core, job.as_ref()))
            })
            .await
            .map_err(RequestError::from)??;
        Ok(Response::new(reply))
    }

    async fn list_workers(
        &self,
        _: Request<v1::ListWorkersRequest>,
    ) -> Answer<v1::ListWorkersReply> {
        let workers = self
            .handle
            .query(|core, _| view::workers(core))
            .await
            .map_err(RequestError::from)?;
        let broker = self.handle.wake_ups().map(WakeUps::status);
        Ok(Response::new(v1::ListWorkersReply {
            workers,
            broker: broker.unwrap_or_default(),
        }))
    }

    async fn list_models(&self, _: Request<v1::ListModelsRequest>) -> Answer<v1::ListModelsReply> {
        let models = self
            .handle
            .query(|core, _| view::models(core))
            .await
            .map_err(RequestError::from)?;
        Ok(Response::new(v1::ListModelsReply { models }))
    }

    async fn read_package(
        &self,
        request: Request<v1::ReadPackageRequest>,
    ) -> Answer<v1::ReadPackageReply> {
        let package = request.into_inner().package;
        let data = results::package(&self.handle, package).await?;
        Ok(Response::new(v1::ReadPackageReply { data }))
    }

    type WatchStream = Streamed<v1::JobSnapshot>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let job = self.job_id(request.into_inner().job).await?;
        Ok(Response::new(Box::pin(watch::watch(
            self.handle.clone(),
            job,
        ))))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Answer<v1::CancelReply> {
        let v1::CancelRequest { request_id, job } = request.into_inner();
        let (request, job) = (read::request_id(&request_id)?, self.job_id(job).await?);
        match self
            .ask(|to| Event::CancelRequested { to, request, job })
            .await?
        {
            Reply::Cancelled { state } => Ok(Response::new(v1::CancelReply {
                state: state.to_string(),
            })),
            other => Err(wrong(&other)),
        }
    }

    async fn retry(&self, request: Request<v1::RetryRequest>) -> Answer<v1::RetryReply> {
        let v1::RetryRequest { request_id, job } = request.into_inner();
        let (request, job) = (read::request_id(&request_id)?, self.job_id(job).await?);
        match self
            .ask(|to| Event::RetryRequested { to, request, job })
            .await?
        {
            Reply::Retried { tasks } => Ok(Response::new(v1::RetryReply { tasks })),
            other => Err(wrong(&other)),
        }
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteReply> {
        let v1::DeleteRequest { request_id, job } = request.into_inner();
        let (request, job) = (read::request_id(&request_id)?, read::id("job", &job)?);
        match self
            .ask(|to| Event::DeleteRequested { to, request, job })
            .await?
        {
            Reply::Deleted { removed } => Ok(Response::new(v1::DeleteReply { removed })),
            other => Err(wrong(&other)),
        }
    }

    async fn rethreshold(
        &self,
        request: Request<v1::RethresholdRequest>,
    ) -> Answer<v1::RethresholdReply> {
        let reply = rethreshold::rethreshold(&self.handle, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn results(&self, request: Request<v1::ResultsRequest>) -> Answer<v1::ResultsReply> {
        let job = request.into_inner().job;
        Ok(Response::new(results::results(&self.handle, job).await?))
    }

    type ReadTableStream = Streamed<v1::TableChunk>;

    async fn read_table(
        &self,
        request: Request<v1::ReadTableRequest>,
    ) -> Answer<Self::ReadTableStream> {
        let pieces = results::table(&self.handle, request.into_inner()).await?;
        Ok(Response::new(Box::pin(pieces)))
    }

    type LogsStream = Streamed<v1::LogChunk>;

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Answer<Self::LogsStream> {
        let v1::LogsRequest { id, follow } = request.into_inner();
        Ok(Response::new(Box::pin(
            logs::logs(self.handle.clone(), &id, follow).await?,
        )))
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Answer<v1::DrainReply> {
        let worker = read::id("worker", &request.into_inner().worker)?;
        match self.ask(|to| Event::DrainRequested { to, worker }).await? {
            Reply::Draining => Ok(Response::new(v1::DrainReply {})),
            other => Err(wrong(&other)),
        }
    }

    async fn release_worker(
        &self,
        request: Request<v1::ReleaseWorkerRequest>,
    ) -> Answer<v1::ReleaseWorkerReply> {
        let worker = read::id("worker", &request.into_inner().worker)?;
        match self
            .ask(|to| Event::ReleaseRequested { to, worker })
            .await?
        {
            Reply::WorkerReleased => Ok(Response::new(v1::ReleaseWorkerReply {})),
            other => Err(wrong(&other)),
        }
    }

    async fn register(&self, request: Request<v1::RegisterRequest>) -> Answer<v1::RegisterReply> {
        let worker = read::registration(request.into_inner())?;
        tracing::info!(worker = %worker.worker, pool = %worker.pool, slots = worker.slots, "worker registered");
        match self
            .ask(|to| Event::WorkerRegistered { to, worker })
            .await?
        {
            Reply::Registered {
                epoch,
                lease_ttl_ms,
                heartbeat_ms,
            } => Ok(Response::new(v1::RegisterReply {
                epoch: epoch.0,
                lease_ttl_ms,
                heartbeat_ms,
            })),
            other => Err(wrong(&other)),
        }
    }

    async fn claim(&self, request: Request<v1::ClaimRequest>) -> Answer<v1::ClaimReply> {
        let request = request.into_inner();
        let claim = read::claim(&request, nonce())?;
        let wait = Duration::from_millis(request.wait_ms).min(MAX_WAIT);
        let reply = settle(
            self.handle
                .claim(claim, wait)
                .await
                .map_err(RequestError::from)?,
        )?;
        let Reply::Claimed { epoch, answer } = reply else {
            return Err(wrong(&reply));
        };
        let mut reply = v1::ClaimReply {
            epoch: epoch.0,
            ..v1::ClaimReply::default()
        };
        match answer {
            ClaimAnswer::Granted(mut assignment) => {
                let job = assignment.trace.take();
                assignment.trace =
                    job.map(|job| traces::of_attempt(self.handle.spans(), &job, assignment.lease));
                reply.assignment_json = serde_json::to_string(&assignment).map_err(|error| {
                    RequestError::WrongReply(format!("assignment {}: {error}", assignment.task))
                })?;
            }
            ClaimAnswer::Nothing => {}
            ClaimAnswer::Ended => reply.ended = true,
            ClaimAnswer::Unregistered => reply.register = true,
        }
        Ok(Response::new(reply))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Answer<v1::HeartbeatReply> {
        let request = request.into_inner();
        let from = read::sender(&request.worker, request.incarnation)?;
        let leases = request
            .leases
            .into_iter()
            .map(|lease| (LeaseNumber(lease.lease), lease.progress.map(read::progress)))
            .collect();
        match self
            .ask(|to| Event::HeartbeatReceived { to, from, leases })
            .await?
        {
            Reply::Heartbeat { epoch, answer } => Ok(Response::new(v1::HeartbeatReply {
                epoch: epoch.0,
                cancel: answer.cancel.into_iter().map(|lease| lease.0).collect(),
                drain: answer.drain,
                register: answer.register,
            })),
            other => Err(wrong(&other)),
        }
    }

    async fn complete(&self, request: Request<v1::CompleteRequest>) -> Answer<v1::CompleteReply> {
        let request = request.into_inner();
        let from = read::sender(&request.worker, request.incarnation)?;
        let (result, outputs) = read::completion(&request)?;
        let lease = LeaseNumber(request.lease);
        match self
            .ask(move |to| Event::AttemptCompleted {
                to,
                from,
                lease,
                result: Box::new(result),
                outputs,
            })
            .await?
        {
            Reply::Completed { epoch, verdict } => {
                let verdict = match verdict {
                    Verdict::Accepted => v1::complete_reply::Verdict::Accepted,
                    Verdict::Superseded => v1::complete_reply::Verdict::Superseded,
                    Verdict::Cancelled => v1::complete_reply::Verdict::Cancelled,
                };
                Ok(Response::new(v1::CompleteReply {
                    epoch: epoch.0,
                    verdict: verdict.into(),
                }))
            }
            other => Err(wrong(&other)),
        }
    }

    async fn fail(&self, request: Request<v1::FailRequest>) -> Answer<v1::FailReply> {
        let request = request.into_inner();
        let from = read::sender(&request.worker, request.incarnation)?;
        let failure = read::failure(&request.class, request.message)?;
        let lease = LeaseNumber(request.lease);
        match self
            .ask(move |to| Event::AttemptFailed {
                to,
                from,
                lease,
                failure,
            })
            .await?
        {
            Reply::Noted { epoch } => Ok(Response::new(v1::FailReply { epoch: epoch.0 })),
            other => Err(wrong(&other)),
        }
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Answer<v1::ReleaseReply> {
        let request = request.into_inner();
        let from = read::sender(&request.worker, request.incarnation)?;
        let lease = LeaseNumber(request.lease);
        match self
            .ask(move |to| Event::AttemptReleased { to, from, lease })
            .await?
        {
            Reply::Noted { epoch } => Ok(Response::new(v1::ReleaseReply { epoch: epoch.0 })),
            other => Err(wrong(&other)),
        }
    }

    async fn leave(&self, request: Request<v1::LeaveRequest>) -> Answer<v1::LeaveReply> {
        let request = request.into_inner();
        let from = read::sender(&request.worker, request.incarnation)?;
        tracing::info!(worker = %from.worker, "worker leaves");
        match self.ask(move |to| Event::WorkerLeft { to, from }).await? {
            Reply::Noted { epoch } => Ok(Response::new(v1::LeaveReply { epoch: epoch.0 })),
            other => Err(wrong(&other)),
        }
    }
}
