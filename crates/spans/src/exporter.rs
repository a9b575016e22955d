//! Takes spans to the collector, many at a time, beside the work: which never waits for it, and goes on without it.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proto::otlp::{
    self, ExportTraceServiceRequest, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans,
    trace_service_client::TraceServiceClient,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use types::{TraceContext, TraceId};

use crate::{
    environment::{Environment, EnvironmentError},
    span::{Span, attribute},
};

/// Spans that wait here, and as many again on their way in; beyond that they are dropped and counted.
const MAX_WAITING: usize = 4096;
/// A request of so many stays far below the 4 MiB that collectors take.
const BATCH: usize = 512;
/// Between two tries while the collector does not answer: doubling from the first to the second.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// How long a program's end may be held up.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Where spans go; clones go to the same place. The default takes none.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<Inner>>);

struct Inner {
    environment: Environment,
    service: &'static str,
    orders: mpsc::Sender<Order>,
    dropped: Arc<AtomicU64>,
}

enum Order {
    Take {
        service: &'static str,
        spans: Vec<otlp::Span>,
    },
    /// Tell the collector at once, and say so.
    Flush(oneshot::Sender<()>),
}

impl Spans {
    /// By the standard variables. Needs a tokio runtime. `warn` says, once, that what is recorded goes nowhere.
    pub fn start(service: &'static str, warn: fn(&str)) -> Self {
        match Environment::read(|name| std::env::var(name).ok()) {
            Ok(None) => Self::default(),
            Ok(Some(environment)) => Self::with(environment, service, warn),
            Err(error) => Self::without(&error, warn),
        }
    }

    fn without(error: &EnvironmentError, warn: fn(&str)) -> Self {
        warn(&format!("no spans are exported: {error}"));
        Self::default()
    }

    pub(crate) fn with(environment: Environment, service: &'static str, warn: fn(&str)) -> Self {
        let channel = match channel(&environment) {
            Ok(channel) => channel,
            Err(error) => return Self::without(&error, warn),
        };
        let (orders, received) = mpsc::channel(MAX_WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let exporter = Exporter {
            client: TraceServiceClient::new(channel),
            environment: environment.clone(),
            warn,
            waiting: Vec::new(),
            failures: 0,
            due: None,
            dropped: Arc::clone(&dropped),
        };
        tokio::spawn(exporter.run(received));
        Self(Some(Arc::new(Inner {
            environment,
            service,
            orders,
            dropped,
        })))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The context of a span below `parent` that this program will record; where it records none, the parent, so
    /// that the trace goes on behind it.
    pub fn child(&self, parent: &TraceContext, name: &str, number: u64) -> TraceContext {
        let Some(inner) = &self.0 else {
            return parent.clone();
        };
        let mut context = parent.child(name, number);
        context.sampled = inner.environment.sampler.takes(parent.trace, Some(parent));
        context
    }

    /// The context of a span that nobody else can know of: below the parent, of which there may be many, or the first
    /// of a new trace.
    pub fn begin(&self, parent: Option<&TraceContext>, name: &str) -> Option<TraceContext> {
        let Some(inner) = &self.0 else {
            return parent.cloned();
        };
        // Without the system's random numbers there is no such span; work goes on.
        let Ok([high, low]) = random() else {
            return parent.cloned();
        };
        if let Some(parent) = parent {
            return Some(self.child(parent, name, low));
        }
        let trace = TraceId::from_random(u128::from(high) << 64 | u128::from(low));
        let sampled = inner.environment.sampler.takes(trace, None);
        Some(TraceContext::root(trace, sampled))
    }

    /// A span of this program that is over.
    pub fn record(&self, span: Span) {
        if let Some(inner) = &self.0
            && span.is_sampled()
        {
            inner.take(inner.service, vec![span.into()]);
        }
    }

    /// Spans of a program that told this one.
    pub fn forward(&self, service: &'static str, spans: Vec<otlp::Span>) {
        if let Some(inner) = &self.0 {
            inner.take(service, spans);
        }
    }

    /// Tells the collector what is left. Takes two seconds at most; what has not arrived then is lost.
    pub async fn flush(&self) {
        let Some(inner) = &self.0 else {
            return;
        };
        let (done, wait) = oneshot::channel();
        let flush = async {
            // Fails only if the exporter is gone.
            if inner.orders.send(Order::Flush(done)).await.is_ok() {
                let _ = wait.await;
            }
        };
        let _ = timeout(FLUSH_LIMIT, flush).await;
    }
}

impl Inner {
    fn take(&self, service: &'static str, spans: Vec<otlp::Span>) {
        let count = spans.len() as u64;
        if self
            .orders
            .try_send(Order::Take { service, spans })
            .is_err()
        {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

fn random() -> Result<[u64; 2], getrandom::Error> {
    Ok([getrandom::u64()?, getrandom::u64()?])
}

fn channel(environment: &Environment) -> Result<Channel, EnvironmentError> {
    let mut endpoint = Endpoint::from(environment.endpoint.clone())
        .connect_timeout(environment.timeout)
        .timeout(environment.timeout);
    if environment.endpoint.scheme_str() == Some("https") {
        let tls = match &environment.authorities {
            None => ClientTlsConfig::new().with_native_roots(),
            Some(path) => {
                let pem = std::fs::read(path).map_err(|error| EnvironmentError::Authorities {
                    path: path.clone(),
                    why: error.to_string(),
                })?;
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
            }
        };
        endpoint = endpoint
            .tls_config(tls)
            .map_err(|error| EnvironmentError::Tls { why: chain(&error) })?;
    }
    Ok(endpoint.connect_lazy())
}

struct Exporter {
    client: TraceServiceClient<Channel>,
    environment: Environment,
    warn: fn(&str),
    waiting: Vec<(&'static str, otlp::Span)>,
    /// In a row.
    failures: u32,
    /// When the collector is told next; none while nothing waits.
    due: Option<Instant>,
    dropped: Arc<AtomicU64>,
}

impl Exporter {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let order = tokio::select! {
                order = orders.recv() => order,
                () = until(self.due) => {
                    self.tell().await;
                    continue;
                }
            };
            match order {
                Some(Order::Take { service, spans }) => {
                    self.waiting
                        .extend(spans.into_iter().map(|span| (service, span)));
                    self.make_room();
                    self.due
                        .get_or_insert_with(|| Instant::now() + self.environment.delay);
                    if self.waiting.len() >= BATCH && self.failures == 0 {
                        self.tell().await;
                    }
                }
                Some(Order::Flush(done)) => {
                    self.tell().await;
                    // Whoever asked may have given up waiting.
                    let _ = done.send(());
                }
                // Nobody is left who could have flushed.
                None => return,
            }
        }
    }

    /// Drops the oldest of too many.
    fn make_room(&mut self) {
        let surplus = self.waiting.len().saturating_sub(MAX_WAITING);
        if surplus > 0 {
            self.waiting.drain(..surplus);
            self.dropped.fetch_add(surplus as u64, Ordering::Relaxed);
        }
    }

    /// Sends what waits, until that is done or the collector does not take it.
    async fn tell(&mut self) {
        self.due = None;
        while !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH);
            let mut request = Request::new(self.request(&self.waiting[..count]));
            for (name, value) in &self.environment.headers {
                request.metadata_mut().insert(name.clone(), value.clone());
            }
            match self.client.export(request).await {
                Ok(reply) => {
                    self.waiting.drain(..count);
                    self.arrived(reply.into_inner().partial_success);
                }
                Err(status) => {
                    if self.failures == 0 {
                        let why = words(&status);
                        (self.warn)(&format!(
                            "no spans reach the collector at {}: {why}",
                            self.environment.endpoint
                        ));
                    }
                    if !is_worth_another_try(status.code()) {
                        self.waiting.drain(..count);
                        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
                    }
                    let pause = PAUSES[0] * (1 << self.failures.min(6));
                    self.failures = self.failures.saturating_add(1);
                    self.due = Some(Instant::now() + pause.min(PAUSES[1]));
                    return;
                }
            }
        }
    }

    fn arrived(&mut self, refused: Option<otlp::PartialSuccess>) {
        self.failures = 0;
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            (self.warn)(&format!(
                "{dropped} spans were dropped: the collector did not take them in time"
            ));
        }
        if let Some(refused) = refused.filter(|refused| refused.rejected_spans > 0) {
            let why = refused.error_message;
            (self.warn)(&format!(
                "the collector refused {} spans: {why}",
                refused.rejected_spans
            ));
        }
    }

    fn request(&self, spans: &[(&'static str, otlp::Span)]) -> ExportTraceServiceRequest {
        let mut by_service: BTreeMap<&str, Vec<otlp::Span>> = BTreeMap::new();
        for (service, span) in spans {
            by_service.entry(service).or_default().push(span.clone());
        }
        let scope = Scope {
            name: "nightshift".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let resource_spans = by_service
            .into_iter()
            .map(|(service, spans)| ResourceSpans {
                resource: Some(Resource {
                    attributes: self.resource(service),
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope.clone()),
                    spans,
                }],
            });
        ExportTraceServiceRequest {
            resource_spans: resource_spans.collect(),
        }
    }

    /// What the user says of the program goes before what it says itself.
    fn resource(&self, service: &str) -> Vec<KeyValue> {
        let mut all = BTreeMap::from([
            ("service.name", service),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ]);
        let said = self.environment.resource.iter();
        all.extend(said.map(|(name, value)| (name.as_str(), value.as_str())));
        all.extend(
            self.environment
                .service
                .as_deref()
                .map(|name| ("service.name", name)),
        );
        let pairs = all.into_iter();
        pairs
            .map(|(name, value)| attribute(name, value.into()))
            .collect()
    }
}

/// The codes that OTLP names as those of a trouble that may pass.
fn is_worth_another_try(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The answer and its causes in a line; tonic's own text names only the outermost.
fn words(status: &Status) -> String {
    let mut text = status.message().to_owned();
    add_causes(&mut text, status);
    text
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    add_causes(&mut text, error);
    text
}

fn add_causes(text: &mut String, error: &dyn Error) {
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = error.source();
    }
}
