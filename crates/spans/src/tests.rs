//! What the collector gets, and that nobody waits for one that is not there.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use proto::otlp::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    any_value::Value,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Server};
use types::{TraceContext, TraceId};

use super::*;
use crate::{environment::Environment, sampler::Sampler};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Received = (MetadataMap, ExportTraceServiceRequest);

struct Collector {
    received: mpsc::UnboundedSender<Received>,
    /// So many requests are not taken.
    refuses: AtomicU32,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let refused = self
            .refuses
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        if refused.is_ok() {
            return Err(Status::unavailable("busy"));
        }
        let (metadata, _, request) = request.into_parts();
        let _ = self.received.send((metadata, request));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collector(refuses: u32) -> (String, mpsc::UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (received, requests) = mpsc::unbounded_channel();
    let service = TraceServiceServer::new(Collector {
        received,
        refuses: refuses.into(),
    });
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    (endpoint, requests)
}

fn read(variables: &[(&str, &str)]) -> Result<Option<Environment>, EnvironmentError> {
    Environment::read(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn spans(variables: &[(&str, &str)], warn: fn(&str)) -> Spans {
    Spans::with(read(variables).unwrap().unwrap(), "test", warn)
}

fn text(attributes: &[proto::otlp::KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

fn unwanted(context: &TraceContext) -> TraceContext {
    let mut context = context.clone();
    context.sampled = false;
    context
}

fn silent(warning: &str) {
    panic!("warned: {warning}");
}

#[test]
fn without_an_endpoint_there_is_nothing_and_a_mistake_is_said_without_its_secrets() {
    let at = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
    for off in [
        vec![],
        vec![
            ("OTEL_SERVICE_NAME", "x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b"),
        ],
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        vec![at, ("OTEL_SDK_DISABLED", "true")],
        vec![at, ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        assert!(read(&off).unwrap().is_none(), "{off:?}");
    }
    for (name, value) in [
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://me:s3cret@collector:4317",
        ),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "s3cret:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization s3cret"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=%f"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret%ff"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_RESOURCE_ATTRIBUTES", "zone"),
    ] {
        let said = read(&[at, (name, value)]).unwrap_err().to_string();
        assert!(said.contains(name), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    let share = [
        at,
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ];
    assert_eq!(read(&share), Err(EnvironmentError::Share("2".to_owned())));
}

#[test]
fn headers_and_attributes_are_lists_and_the_variables_of_traces_go_first() {
    let found = read(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:4317"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "Authorization=Bearer%20abc%2C, x-tenant = a=b ,",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ("OTEL_RESOURCE_ATTRIBUTES", "zone=b,site=n%C3%B6rd"),
    ]);
    let found = found.unwrap().unwrap();
    assert_eq!(found.endpoint, "https://traces:4317");
    let headers: Vec<_> = found
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(
        headers,
        [("authorization", "Bearer abc,"), ("x-tenant", "a=b")]
    );
    assert_eq!(found.timeout, Duration::from_millis(250));
    assert_eq!(found.resource["site"], "nörd");
    assert!(!format!("{found:?}").contains("abc"));
}

#[test]
fn samplers_decide_as_they_are_named() {
    let sampler =
        |name: &str, argument: Option<&str>| Sampler::parse(Some(name), argument).unwrap();
    let yes = TraceContext::from_headers(PARENT, None).unwrap();
    let no = unwanted(&yes);
    let takes = |sampler: Sampler, parent: Option<&TraceContext>| sampler.takes(yes.trace, parent);
    let table = [
        ("always_on", [true, true, true]),
        ("always_off", [false, false, false]),
        ("parentbased_always_on", [true, true, false]),
        ("parentbased_always_off", [false, true, false]),
    ];
    for (name, expected) in table {
        let sampler = sampler(name, None);
        assert_eq!(
            [None, Some(&yes), Some(&no)].map(|parent| takes(sampler, parent)),
            expected,
            "{name}"
        );
    }
    assert_eq!(
        Sampler::parse(None, None).unwrap(),
        sampler("parentbased_always_on", None)
    );
    let quarter = sampler("parentbased_traceidratio", Some("0.25"));
    assert!(takes(quarter, Some(&yes)) && !takes(quarter, Some(&no)));
    let ids = (0..10_000_u128).map(|n| TraceId::from_random(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let taken = ids.filter(|id| quarter.takes(*id, None)).count();
    assert!((2300..2700).contains(&taken), "{taken}");
}

#[tokio::test]
async fn a_span_arrives_as_it_was_recorded_under_the_names_that_the_environment_gives() {
    let (endpoint, mut requests) = collector(0).await;
    let spans = spans(
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=abc"),
            ("OTEL_RESOURCE_ATTRIBUTES", "zone=b"),
        ],
        silent,
    );
    let parent = TraceContext::from_headers(PARENT, Some("vendor=1")).unwrap();
    let context = spans.begin(Some(&parent), "submit").unwrap();
    let beginning = Beginning::now();
    let span = Span::new(
        "submit",
        Kind::Client,
        &context,
        Some(&parent),
        beginning.until_now(),
    )
    .with("nightshift.job", "7k2m")
    .failed("no");
    spans.record(span);
    // Nobody wants this one.
    let not_this = unwanted(&context);
    spans.record(Span::new(
        "unwanted",
        Kind::Internal,
        &not_this,
        None,
        beginning.until_now(),
    ));
    let theirs = Span::new(
        "fit",
        Kind::Internal,
        &spans.child(&context, "fit", 0),
        Some(&context),
        beginning.until_now(),
    );
    spans.forward("executor", vec![theirs.into()]);
    spans.flush().await;
    let (metadata, request) = requests.try_recv().unwrap();
    assert_eq!(metadata.get("x-token").unwrap(), "abc");
    let of: Vec<_> = request
        .resource_spans
        .iter()
        .map(|of| {
            let resource = &of.resource.as_ref().unwrap().attributes;
            assert_eq!(text(resource, "zone").as_deref(), Some("b"));
            let spans = &of.scope_spans[0].spans;
            assert_eq!(spans.len(), 1);
            (text(resource, "service.name").unwrap(), &spans[0])
        })
        .collect();
    assert_eq!([&of[0].0, &of[1].0], ["executor", "test"]);
    let span = of[1].1;
    assert_eq!(span.trace_id, parent.trace.bytes());
    assert_eq!(span.parent_span_id, parent.span.bytes());
    assert_eq!(span.span_id, context.span.bytes());
    assert_eq!(
        (span.name.as_str(), span.kind(), span.trace_state.as_str()),
        ("submit", Kind::Client, "vendor=1")
    );
    assert!(span.start_time_unix_nano > 0 && span.end_time_unix_nano >= span.start_time_unix_nano);
    assert_eq!(
        text(&span.attributes, "nightshift.job").as_deref(),
        Some("7k2m")
    );
    assert_eq!(span.status.as_ref().unwrap().message, "no");
    assert_eq!(of[0].1.parent_span_id, context.span.bytes());
}

#[tokio::test]
async fn what_the_collector_does_not_take_is_sent_again_and_said_once() {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let (endpoint, mut requests) = collector(2).await;
    let warn = |text: &str| SAID.lock().unwrap().push(text.to_owned());
    let spans = spans(
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ],
        warn,
    );
    let context = spans.begin(None, "root").unwrap();
    for number in 0..3 {
        let child = spans.child(&context, "one", number);
        spans.record(Span::new(
            "one",
            Kind::Internal,
            &child,
            Some(&context),
            Beginning::now().until_now(),
        ));
    }
    // By itself: nothing is flushed.
    let (_, request) = requests.recv().await.unwrap();
    assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 3);
    let said = SAID.lock().unwrap().clone();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains(&endpoint) && said[0].contains("busy"),
        "{said:?}"
    );
}

#[tokio::test]
async fn nobody_waits_long_for_a_collector_that_is_not_there_and_memory_is_bounded() {
    static SAID: AtomicU32 = AtomicU32::new(0);
    // Takes connections, and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", mute.local_addr().unwrap());
    let spans = spans(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)], |_| {
        SAID.fetch_add(1, Ordering::Relaxed);
    });
    let context = spans.begin(None, "root").unwrap();
    let begun = Instant::now();
    for number in 0..20_000 {
        let child = spans.child(&context, "one", number);
        spans.record(Span::new(
            "one",
            Kind::Internal,
            &child,
            None,
            Beginning::now().until_now(),
        ));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let begun = Instant::now();
    spans.flush().await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert!(SAID.load(Ordering::Relaxed) <= 1);
}

#[tokio::test]
async fn a_program_without_exporter_passes_the_context_on_as_it_came() {
    let off = Spans::default();
    let parent = TraceContext::from_headers(PARENT, Some("vendor=1")).unwrap();
    assert_eq!(off.begin(Some(&parent), "submit"), Some(parent.clone()));
    assert_eq!(off.child(&parent, "attempt", 1), parent);
    assert_eq!(off.begin(None, "submit"), None);
    let mut request = Request::new(());
    carry(&mut request, Some(&parent));
    assert_eq!(carried(request.metadata()), Some(parent));
    let mut bad = MetadataMap::new();
    bad.insert("traceparent", "00-zz".parse().unwrap());
    assert_eq!(carried(&bad), None);
    off.flush().await;
}
