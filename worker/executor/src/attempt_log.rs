//! The attempt's log: every tracing event as one line with job, task and attempt, kept until it goes to the store.

use std::{
    fmt::{self, Write},
    mem,
    sync::Mutex,
};

use tracing::{Event, Subscriber, field::{Field, Visit}};
use tracing_subscriber::{Layer, layer::Context};

use crate::stages::lock;

/// A segment goes to the store at this size, or after [`crate::serve`]'s interval.
pub const SEGMENT_BYTES: usize = 1 << 20;

/// Lines beyond this are dropped (and counted): a store outage must not fill memory.
const MAX_PENDING_BYTES: usize = 8 << 20;

static LINES: Mutex<Lines> = Mutex::new(Lines { context: String::new(), text: String::new(), dropped: 0 });

struct Lines {
    /// `job=... task=... attempt=...` of the running attempt.
    context: String,
    text: String,
    dropped: u64,
}

/// Collects the lines of the whole process: it runs one attempt at a time.
pub struct AttemptLog;

impl AttemptLog {
    /// Begins an attempt's log; what was not fetched of the one before is gone.
    pub fn begin(context: String) {
        *lock(&LINES) = Lines { context, text: String::new(), dropped: 0 };
    }

    pub fn pending() -> usize {
        lock(&LINES).text.len()
    }

    /// Takes what has been written since the last call.
    pub fn take() -> String {
        let mut lines = lock(&LINES);
        if lines.dropped > 0 {
            let note = format!("... {} lines dropped: the log could not be stored fast enough\n", lines.dropped);
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
        let now = jiff::Timestamp::now();
        let mut lines = lock(&LINES);
        if lines.text.len() > MAX_PENDING_BYTES {
            lines.dropped += 1;
            return;
        }
        let line = format!("{now:.3} {:5} {} {}{}\n", event.metadata().level(), lines.context, fields.message, fields.rest);
        lines.text.push_str(&line);
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.message.push_str(value) } else { self.record_debug(field, &value) }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }
}
