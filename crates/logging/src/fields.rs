//! The fields of an event or span, and the line that they make.

use std::fmt;

use serde_json::{Map, Value, json};
use tracing::{
    Level,
    field::{Field, Visit},
};

/// Where a line stands in a trace. Only lines of JSON say it: people have no use for the numbers, programs have.
const TRACE: [&str; 2] = ["trace_id", "span_id"];

/// The fields of a line that belongs to this span of this trace.
pub fn traced(trace: impl fmt::Display, span: impl fmt::Display) -> [(String, Value); 2] {
    let [trace_id, span_id] = TRACE.map(str::to_owned);
    [
        (trace_id, json!(trace.to_string())),
        (span_id, json!(span.to_string())),
    ]
}

/// Names and values in the order in which they were said; the last of a name counts.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Fields {
    pub message: String,
    pub rest: Map<String, Value>,
}

impl Fields {
    pub fn new<const N: usize>(fields: [(&str, Value); N]) -> Self {
        Self {
            message: String::new(),
            rest: fields
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect(),
        }
    }

    fn set(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => drop(self.rest.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, json!((value * 1e6).round() / 1e6));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, json!(format!("{value:?}")));
    }
}

/// One line with its end. `around`: what holds for more than this event, said before its message.
pub fn line(as_json: bool, level: Level, around: &Map<String, Value>, event: &Fields) -> String {
    let time = format!("{:.3}", jiff::Timestamp::now());
    let level = level.as_str();
    if as_json {
        let mut line = Map::new();
        line.insert("time".to_owned(), json!(time));
        line.insert("level".to_owned(), json!(level));
        line.extend(around.clone());
        line.insert("message".to_owned(), json!(event.message));
        line.extend(event.rest.clone());
        return format!("{}\n", Value::Object(line));
    }
    let mut line = format!("{time} {level:5}");
    // A field that the event says itself is not said twice.
    let around = around
        .iter()
        .filter(|(name, _)| !event.rest.contains_key(*name) && !TRACE.contains(&name.as_str()));
    around.for_each(|(name, value)| push(&mut line, name, value));
    line.push(' ');
    line.extend(
        event
            .message
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c }),
    );
    event
        .rest
        .iter()
        .filter(|(name, _)| !TRACE.contains(&name.as_str()))
        .for_each(|(name, value)| push(&mut line, name, value));
    line.push('\n');
    line
}

/// Plain words stand as they are, everything else as JSON, so that a line stays one line.
fn push(line: &mut String, name: &str, value: &Value) {
    let plain = |text: &&str| {
        !text.is_empty() && !text.contains(|c: char| c.is_control() || c == ' ' || c == '"')
    };
    line.push(' ');
    line.push_str(name);
    line.push('=');
    match value.as_str().filter(plain) {
        Some(text) => line.push_str(text),
        None => line.push_str(&value.to_string()),
    }
}
