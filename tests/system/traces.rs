//! One trace from `ctl submit` to the rows of the tables, as a real collector sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::collector::{Collector, Span};
use crate::hangs::{executor_at_fit, wait_for_state};
use crate::kills::wait_for_socket;
use crate::processes::Signal;
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{LIMIT, Running, SOON, Sandbox, files};

on_both_queues!(
    every_program_adds_its_spans_to_the_trace_of_the_submit,
    a_trace_outlives_its_coordinator_and_a_task_tried_again_is_another_span_of_it,
);

const KINDS: [&str; 5] = ["list", "fit", "score", "evaluate", "reduce"];

/// A sandbox whose programs tell this collector, with a coordinator and a worker.
fn traced(queue: Queue, collector: &Collector, images: u32) -> (Sandbox, Running, Running) {
    let mut sandbox = Sandbox::with_job(images, 3).on(queue);
    sandbox.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    sandbox.set("OTEL_BSP_SCHEDULE_DELAY", "50");
    let coordinator = sandbox.start("coordinator", &["--log-json"]);
    wait_for_socket(&sandbox);
    let mut worker = sandbox.start("worker", &["--name", "box", "--log-json"]);
    if queue == Queue::RabbitMq {
        // Its first claim got nothing: what it does now began with a message.
        worker.wait_for_word("connected to the broker");
    }
    (sandbox, coordinator, worker)
}

/// The one span of this name.
#[track_caller]
fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no {name:?} among {spans:#?}"));
    assert!(found.next().is_none(), "several {name:?} among {spans:#?}");
    span
}

/// The lines of a log about an attempt, by trace and span.
fn places(log: &str, message: &str) -> BTreeSet<(String, String)> {
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect(line));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lines
        .filter(|line| line["message"] == message)
        .map(|line| (text(&line["trace_id"]), text(&line["span_id"])))
        .collect()
}

fn every_program_adds_its_spans_to_the_trace_of_the_submit(queue: Queue) {
    let collector = Collector::start();
    let (sandbox, coordinator, worker) = traced(queue, &collector, 6);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    wait_for_state(&sandbox, "succeeded");
    // Each tells the rest at its end.
    worker.signal(Signal::TERM);
    let worker = worker.wait(SOON);
    coordinator.signal(Signal::TERM);
    let coordinator = coordinator.wait(SOON);
    let mut names: Vec<String> = [
        "ctl submit",
        "submit",
        "plan",
        "publish spec",
        "publish results",
    ]
    .map(str::to_owned)
    .to_vec();
    for kind in KINDS {
        names.extend(["attempt", "task", "execute"].map(|what| format!("{what} {kind}")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let spans = collector.end(&names);

    let root = one(&spans, "ctl submit");
    assert_eq!(root.parent, "", "{root:#?}");
    let by_id: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "{spans:#?}");
    let mut services = BTreeSet::new();
    for span in &spans {
        assert_eq!(span.trace, root.trace, "{span:#?}");
        assert!(span.start_ns <= span.end_ns, "{span:#?}");
        assert_eq!(span.error, None, "{span:#?}");
        assert!(
            span.id == root.id || by_id.contains_key(span.parent.as_str()),
            "{span:#?}"
        );
        services.insert(span.service.as_str());
    }
    let programs = [
        "nightshift-coordinator",
        "nightshift-ctl",
        "nightshift-executor",
        "nightshift-worker",
    ];
    assert_eq!(services, BTreeSet::from(programs));

    let below = |child: &Span, service: &str, parent: &Span| {
        assert_eq!(
            (child.service.as_str(), &child.parent),
            (service, &parent.id),
            "{child:#?}"
        );
    };
    let submit = one(&spans, "submit");
    below(submit, "nightshift-coordinator", root);
    below(one(&spans, "plan"), "nightshift-coordinator", submit);
    below(
        one(&spans, "publish spec"),
        "nightshift-coordinator",
        submit,
    );
    below(
        one(&spans, "publish results"),
        "nightshift-coordinator",
        submit,
    );
    let mut granted = BTreeSet::new();
    let mut begun = BTreeSet::new();
    for kind in KINDS {
        let attempt = one(&spans, &format!("attempt {kind}"));
        let task = one(&spans, &format!("task {kind}"));
        let execute = one(&spans, &format!("execute {kind}"));
        below(attempt, "nightshift-coordinator", submit);
        below(task, "nightshift-worker", attempt);
        below(execute, "nightshift-executor", task);
        assert_eq!(attempt.attributes["nightshift.outcome"], "accepted");
        assert_eq!(
            task.attributes["nightshift.task"],
            attempt.attributes["nightshift.task"]
        );
        let stages = spans.iter().filter(|span| span.parent == execute.id);
        let stages: BTreeSet<&str> = stages.map(|stage| stage.name.as_str()).collect();
        assert!(stages.contains("write"), "{kind}: {stages:?}");
        granted.insert((root.trace.clone(), attempt.id.clone()));
        begun.insert((root.trace.clone(), task.id.clone()));
    }
    // Few: nothing is a span for each image.
    assert!(spans.len() < 80, "{}", spans.len());
    let claims: Vec<_> = spans.iter().filter(|span| span.name == "claim").collect();
    assert_eq!(claims.is_empty(), queue == Queue::Embedded, "{claims:#?}");
    for claim in claims {
        below(claim, "nightshift-worker", submit);
        assert_eq!(claim.kind, "SPAN_KIND_CONSUMER");
    }

    // Logs and tables name the trace, each log line its span.
    assert_eq!(places(&coordinator.stderr, "attempt granted"), granted);
    assert_eq!(places(&worker.stderr, "task begun"), begun);
    let mut said = BTreeSet::new();
    for file in files(&sandbox.path("out")) {
        if file.extension().is_some_and(|extension| extension == "log") {
            said.extend(places(&fs::read_to_string(&file).unwrap(), "finished"));
        }
    }
    let executed = spans
        .iter()
        .filter(|span| span.name.starts_with("execute "));
    assert_eq!(
        said,
        executed
            .map(|span| (span.trace.clone(), span.id.clone()))
            .collect()
    );
    let job = sandbox.json(&["describe", "last"]);
    assert_eq!(job["job"]["trace"], root.trace.as_str());
    let timings = sandbox.json(&["results", "--last", "--timings"]);
    let timings = timings.as_array().unwrap();
    assert!(timings.len() >= 10, "{timings:?}");
    assert!(
        timings
            .iter()
            .all(|row| row["trace"] == root.trace.as_str()),
        "{timings:?}"
    );
}

fn a_trace_outlives_its_coordinator_and_a_task_tried_again_is_another_span_of_it(queue: Queue) {
    const OUTER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let collector = Collector::start();
    let (mut sandbox, coordinator, worker) = traced(queue, &collector, 600);
    // Whoever called `ctl` traces, too.
    sandbox.set("TRACEPARENT", OUTER);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    executor_at_fit(&sandbox, &worker, 1).signal(Signal::KILL);
    let executor = executor_at_fit(&sandbox, &worker, 2);
    // Held, so that the attempt outlives its coordinator.
    executor.signal(Signal::STOP);
    collector.wait_for("attempt fit", 1);
    collector.wait_for("task fit", 1);
    coordinator.signal(Signal::KILL);
    coordinator.wait(SOON);
    let mut coordinator = sandbox.start("coordinator", &["--log-json"]);
    coordinator.wait_for_word("listening");
    executor.signal(Signal::CONT);
    wait_for_state(&sandbox, "succeeded");
    worker.signal(Signal::TERM);
    worker.wait(SOON).expect(0);
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);
    let spans = collector.end(&[
        "ctl submit",
        "submit",
        "task reduce",
        "attempt reduce",
        "publish results",
    ]);
    let submit = one(&spans, "submit");
    assert_eq!(one(&spans, "ctl submit").parent, &OUTER[36..52]);
    for span in &spans {
        assert_eq!(span.trace, &OUTER[3..35], "{span:#?}");
    }
    let of = |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    let (attempts, tasks) = (of("attempt fit"), of("task fit"));
    assert_eq!((attempts.len(), tasks.len()), (2, 2), "{spans:#?}");
    let outcomes = attempts
        .iter()
        .map(|span| span.attributes["nightshift.outcome"].as_str());
    assert_eq!(outcomes.collect::<Vec<_>>(), ["crashed", "accepted"]);
    assert_ne!(attempts[0].id, attempts[1].id);
    for (attempt, task) in attempts.iter().zip(&tasks) {
        assert_eq!((&attempt.parent, &task.parent), (&submit.id, &attempt.id));
    }
    let error = tasks[0].error.as_deref().unwrap_or_default();
    assert!(error.contains("SIGKILL"), "{error:?}");
    assert_eq!(one(&spans, "execute fit").parent, tasks[1].id);
    // Granted by a coordinator that is no more, and told by the next.
    assert!(attempts[1].start_ns < attempts[1].end_ns);
}

#[test]
fn a_collector_that_is_down_costs_one_warning_and_no_work() {
    let mut sandbox = Sandbox::with_job(6, 3);
    // Nobody listens there.
    let [port] = objects::free_ports();
    let endpoint = format!("http://127.0.0.1:{port}");
    sandbox.set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    sandbox.set("OTEL_BSP_SCHEDULE_DELAY", "10");
    sandbox.set("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret");
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    ended.expect(0);
    let logs = ["coordinator.log", "worker.log"]
        .map(|log| fs::read_to_string(sandbox.path("s").join(log)).unwrap());
    for said in [&ended.stderr, &logs[0], &logs[1]] {
        assert_eq!(
            said.matches("no spans reach the collector").count(),
            1,
            "{said}"
        );
        assert!(
            said.contains(&endpoint) && !said.contains("s3cret"),
            "{said}"
        );
    }
    sandbox.set("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let other = sandbox
        .start("ctl", &["run", "job.yaml", "--new"])
        .wait(LIMIT);
    other
        .expect(0)
        .says(&["warning: no spans are exported: OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"]);
}
