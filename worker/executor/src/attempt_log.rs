//! The attempt's log: every tracing event as one line with job, task and attempt, kept until it goes to the store.

use std::{
    fmt, mem,
    sync::{LazyLock, Mutex},
};

use plan::Assignment;
use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use crate::stages::lock;

/// A segment goes to the store at this size, or when its time has come.
pub const SEGMENT_BYTES: usize = 1 << 20;

/// Lines beyond this are dropped and counted: a store outage must not fill memory.
const MAX_PENDING_BYTES: usize = 8 << 20;

static LINES: Mutex<Lines> = Mutex::new(Lines {
    attempt: None,
    text: String::new(),
    dropped: 0,
});

/// The agent passes its own `--log-json` on.
static JSON: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("NIGHTSHIFT_LOG_JSON").is_some_and(|value| value == "1"));

struct Lines {
    /// Job, task and number of the running attempt.
    attempt: Option<(String, String, u32)>,
    text: String,
    dropped: u64,
}

/// Collects the lines of the whole process: it runs one attempt at a time.
pub struct AttemptLog;

impl AttemptLog {
    /// Begins an attempt's log; what was not fetched of the one before is gone.
    pub fn begin(assignment: &Assignment) {
        let attempt = (
            assignment.task.job.to_string(),
            assignment.task.to_string(),
            assignment.attempt,
        );
        *lock(&LINES) = Lines {
            attempt: Some(attempt),
            text: String::new(),
            dropped: 0,
        };
    }

    pub fn pending() -> usize {
        lock(&LINES).text.len()
    }

    /// Takes what has been written since the last call.
    pub fn take() -> String {
        let mut lines = lock(&LINES);
        if lines.dropped > 0 {
            let note = format!(
                "... {} lines dropped: the log could not be stored fast enough\n",
                lines.dropped
            );
            lines.text.push_str(&note);
            lines.dropped = 0;
        }
        mem::take(&mut lines.text)
    }
}

impl<S: Subscriber> Layer<S> for AttemptLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (time, level) = (
            format!("{:.3}", jiff::Timestamp::now()),
            event.metadata().level().as_str(),
        );
        let mut lines = lock(&LINES);
        if lines.text.len() > MAX_PENDING_BYTES {
            lines.dropped += 1;
            return;
        }
        let (job, task, attempt) = lines.attempt.clone().unwrap_or_default();
        let line = if *JSON {
            let mut line = Map::from_iter([
                ("time".to_owned(), json!(time)),
                ("level".to_owned(), json!(level)),
                ("job".to_owned(), json!(job)),
                ("task".to_owned(), json!(task)),
                ("attempt".to_owned(), json!(attempt)),
                ("message".to_owned(), json!(fields.message)),
            ]);
            line.extend(fields.rest);
            Value::Object(line).to_string()
        } else {
            let rest: String = fields
                .rest
                .iter()
                .map(|(name, value)| format!(" {name}={value}"))
                .collect();
            format!(
                "{time} {level:5} job={job} task={task} attempt={attempt} {}{rest}",
                fields.message
            )
        };
        lines.text.push_str(&line);
        lines.text.push('\n');
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
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
