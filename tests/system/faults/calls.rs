//! A proxy that understands the calls of workers: the answer to a certain one gets lost, a call arrives twice, or something
//! happens to a program just then.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use broker_harness::Proxy;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use prost::Message;
use proto::v1::{ClaimReply, ClaimRequest, CompleteReply, CompleteRequest};
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};

/// A moment of the protocol.
#[derive(Debug, Clone)]
pub enum Step {
    /// The coordinator has given a task; the worker does not know yet.
    Granted(ClaimRequest, ClaimReply),
    /// A worker has completed a task; the coordinator does not know yet.
    Completing(CompleteRequest),
    /// The coordinator has written down that it is completed; the worker does not know yet.
    Completed(CompleteRequest, CompleteReply),
}

/// Kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Granted,
    Completing,
    Completed,
}

impl Moment {
    pub const ALL: [Self; 3] = [Self::Granted, Self::Completing, Self::Completed];

    fn of(step: &Step) -> Self {
        match step {
            Step::Granted(..) => Self::Granted,
            Step::Completing(_) => Self::Completing,
            Step::Completed(..) => Self::Completed,
        }
    }
}

/// What becomes of a call at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// Every connection breaks: the call does not arrive, or its answer does not.
    Lose,
    /// It arrives twice; the second answer is the one that is heard.
    Double,
}

type Rule = Box<dyn FnMut(&Step) -> Fate + Send>;

/// Ends when dropped; workers connect to it.
pub struct Calls {
    /// Workers connect to this one, and it to the one that understands.
    pub connections: Arc<Proxy>,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

struct Shared {
    rule: Mutex<Rule>,
    answered: Mutex<Vec<Step>>,
}

impl Calls {
    pub fn before(runtime: &Runtime, coordinator: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            rule: Mutex::new(Box::new(|_| Fate::Pass)),
            answered: Mutex::default(),
        });
        let _inside = runtime.enter();
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let incoming = incoming.with_nodelay(Some(true));
        let own = incoming.local_addr().unwrap();
        let connections = Arc::new(runtime.block_on(Proxy::start(own)).unwrap());
        let relay = Relay {
            coordinator: Endpoint::from_shared(format!("http://{coordinator}"))
                .unwrap()
                .connect_lazy(),
            shared: Arc::clone(&shared),
            connections: Arc::clone(&connections),
        };
        let serving = runtime.spawn(async move {
            let server = Server::builder().add_service(relay);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            connections,
            shared,
            serving,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.connections.address()
    }

    /// From now on.
    pub fn set(&self, rule: impl FnMut(&Step) -> Fate + Send + 'static) {
        *lock(&self.shared.rule) = Box::new(rule);
    }

    /// Once, when a moment has come for the nth time (from 0). The receiver hears of it.
    pub fn at(
        &self,
        moment: Moment,
        nth: usize,
        act: impl FnOnce() -> Fate + Send + 'static,
    ) -> Receiver<()> {
        eprintln!("at {moment:?} {nth}");
        let (send, receive) = channel();
        let mut left = nth;
        let mut act = Some(act);
        self.set(move |step| {
            if Moment::of(step) != moment || act.is_none() {
                return Fate::Pass;
            }
            match left.checked_sub(1) {
                Some(fewer) => {
                    left = fewer;
                    Fate::Pass
                }
                None => {
                    let fate = act.take().map_or(Fate::Pass, |act| act());
                    // Not every test waits for it.
                    let _ = send.send(());
                    fate
                }
            }
        });
        receive
    }

    /// Every step at which the coordinator has answered, in order.
    pub fn answered(&self) -> Vec<Step> {
        lock(&self.shared.answered).clone()
    }

    /// Answers that were given once more.
    pub fn repeated(&self) -> usize {
        let (mut claims, mut leases) = (BTreeSet::new(), BTreeSet::new());
        let again = |step: &Step| match step {
            Step::Granted(request, _) => !claims.insert(request.claim_id.clone()),
            Step::Completed(request, _) => !leases.insert(request.lease),
            Step::Completing(_) => false,
        };
        self.answered()
            .iter()
            .map(again)
            .filter(|again| *again)
            .count()
    }

    /// Who repeats a claim that got a task gets the same one, or hears that it is over; who completes again gets the verdict of
    /// the first time.
    #[track_caller]
    pub fn expect_the_same_answers(&self) {
        let (mut granted, mut verdicts) = (BTreeMap::new(), BTreeMap::new());
        for step in self.answered() {
            match step {
                Step::Granted(request, reply) => {
                    let first = granted
                        .entry(request.claim_id)
                        .or_insert_with(|| reply.assignment_json.clone());
                    assert_eq!(*first, reply.assignment_json);
                }
                Step::Completed(request, reply) => {
                    let first = *verdicts.entry(request.lease).or_insert(reply.verdict);
                    assert_eq!(first, reply.verdict, "lease {}", request.lease);
                }
                Step::Completing(_) => {}
            }
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct Relay {
    coordinator: Channel,
    shared: Arc<Shared>,
    connections: Arc<Proxy>,
}

impl NamedService for Relay {
    const NAME: &'static str = "nightshift.v1.Coordinator";
}

impl Service<http::Request<Body>> for Relay {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let relay = self.clone();
        Box::pin(async move {
            match relay.pass(request).await {
                Some(response) => Ok(response),
                None => {
                    relay.connections.cut();
                    std::future::pending().await
                }
            }
        })
    }
}

impl Relay {
    /// The answer, unless the connection breaks.
    async fn pass(&self, request: http::Request<Body>) -> Option<http::Response<Body>> {
        let (head, body) = request.into_parts();
        let message = body.collect().await.ok()?.to_bytes();
        let method = head.uri.path().rsplit('/').next().unwrap_or_default();
        let mut times = 1;
        if method == "Complete"
            && let Some(request) = decoded(&message)
        {
            match self.judge(&Step::Completing(request)) {
                Fate::Pass => {}
                Fate::Lose => return None,
                Fate::Double => times = 2,
            }
        }
        let mut heard = None;
        for _ in 0..times {
            let request = Body::new(Full::new(message.clone()));
            let request = http::Request::from_parts(head.clone(), request);
            let (answer_head, answer, trailers) = self.forward(request).await?;
            let step = answered(method, &message, &answer);
            if let Some(step) = step {
                lock(&self.shared.answered).push(step.clone());
                if self.judge(&step) == Fate::Lose {
                    return None;
                }
            }
            let trailers = std::future::ready(trailers.map(Ok));
            let answer = Body::new(Full::new(answer).with_trailers(trailers));
            heard = Some(http::Response::from_parts(answer_head, answer));
        }
        heard
    }

    fn judge(&self, step: &Step) -> Fate {
        (lock(&self.shared.rule))(step)
    }

    async fn forward(
        &self,
        request: http::Request<Body>,
    ) -> Option<(http::response::Parts, Bytes, Option<http::HeaderMap>)> {
        let mut coordinator = self.coordinator.clone();
        std::future::poll_fn(|context| coordinator.poll_ready(context))
            .await
            .ok()?;
        let (head, body) = coordinator.call(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?;
        let trailers = body.trailers().cloned();
        Some((head, body.to_bytes(), trailers))
    }
}

/// The step at which the coordinator is when it has answered this; none where it refused, or there is nothing to do.
fn answered(method: &str, request: &Bytes, answer: &Bytes) -> Option<Step> {
    match method {
        "Claim" => {
            let reply: ClaimReply = decoded(answer)?;
            let granted = !reply.assignment_json.is_empty();
            granted.then_some(Step::Granted(decoded(request)?, reply))
        }
        "Complete" => Some(Step::Completed(decoded(request)?, decoded(answer)?)),
        _ => None,
    }
}

/// Behind a flag (compressed) and the length, which say nothing new of a single message.
fn decoded<M: Message + Default>(message: &Bytes) -> Option<M> {
    M::decode(message.get(5..)?).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
