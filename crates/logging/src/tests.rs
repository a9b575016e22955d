//! What lines look like, and that spans' fields stand in them.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tracing_subscriber::layer::SubscriberExt;

use super::*;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<String>>);

impl Sink for Kept {
    fn around(&self) -> Map<String, Value> {
        Fields::new([("worker", json!("w1"))]).rest
    }

    fn write(&self, line: &str) {
        self.0.lock().unwrap().push_str(line);
    }
}

fn logged(json: bool, say: impl FnOnce()) -> String {
    let kept = Kept::default();
    let lines = Lines {
        json,
        sink: kept.clone(),
    };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), say);
    kept.0.lock().unwrap().clone()
}

#[test]
fn a_json_line_has_the_fields_of_program_spans_and_event_at_its_top() {
    let text = logged(true, || {
        let span = tracing::info_span!("call", job = "j", task = "j-0001", attempt = 2);
        let _inside = span.enter();
        tracing::warn!(status = %"a \"b\"\nc", bytes = 3, "no answer");
    });
    let mut line: Value = serde_json::from_str(&text).unwrap();
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    line.as_object_mut().unwrap().remove("time");
    assert_eq!(
        line,
        json!({"level": "WARN", "worker": "w1", "job": "j", "task": "j-0001", "attempt": 2,
            "message": "no answer", "status": "a \"b\"\nc", "bytes": 3})
    );
}

#[test]
fn a_text_line_stays_one_line_whatever_it_says() {
    let text = logged(false, || {
        let span = tracing::info_span!("task", task = "j-0001");
        let _inside = span.enter();
        tracing::info!(path = "a b", empty = "", plain = "x/y", "two\nlines");
    });
    let (_, rest) = text.split_once(' ').unwrap();
    assert_eq!(
        rest,
        "INFO  worker=w1 task=j-0001 two lines path=\"a b\" empty=\"\" plain=x/y\n"
    );
}

#[test]
fn trace_and_span_stand_in_lines_of_json_alone() {
    let say = || {
        let span = tracing::info_span!(
            "attempt",
            task = "j-0001",
            trace_id = "0af7",
            span_id = "b7ad"
        );
        let _inside = span.enter();
        tracing::info!(trace_id = "0af7", "begun");
    };
    let line: Value = serde_json::from_str(&logged(true, say)).unwrap();
    assert_eq!(
        (&line["trace_id"], &line["span_id"]),
        (&json!("0af7"), &json!("b7ad"))
    );
    let text = logged(false, say);
    assert!(
        text.ends_with("INFO  worker=w1 task=j-0001 begun\n"),
        "{text}"
    );
    assert_eq!(
        Map::from_iter(traced("0af7", "b7ad")),
        Fields::new([("trace_id", json!("0af7")), ("span_id", json!("b7ad"))]).rest
    );
}
