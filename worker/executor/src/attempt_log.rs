//! The attempt's log: every tracing event as one line with job, task and attempt, told to the agent at once and kept
//! until it goes to the store as a segment.

use std::{
    io::{self, Write},
    mem,
    sync::{LazyLock, Mutex, OnceLock},
};

use logging::{Fields, Sink};
use plan::Assignment;
use serde_json::{Map, Value, json};
use types::{LeaseNumber, TraceContext};

use crate::stages::lock;

/// A segment goes to the store at this size, or when its time has come.
pub const SEGMENT_BYTES: usize = 1 << 20;

/// Lines beyond this are dropped and counted: a store outage must not fill memory.
const MAX_PENDING_BYTES: usize = 8 << 20;

static LINES: Mutex<Lines> = Mutex::new(Lines {
    attempt: None,
    segment: 0,
    text: String::new(),
    dropped: 0,
});

/// Tells the agent what a segment gets: lease, number, text.
pub type Tell = Box<dyn Fn(LeaseNumber, u32, &str) + Send + Sync>;

static TELL: OnceLock<Tell> = OnceLock::new();

/// The agent passes its own `--log-json` on.
static JSON: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("NIGHTSHIFT_LOG_JSON").is_some_and(|value| value == "1"));

/// The agent passes its name on.
static WORKER: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("NIGHTSHIFT_WORKER").ok());

struct Lines {
    /// The running attempt's lease, and what stands in each of its lines.
    attempt: Option<(LeaseNumber, Map<String, Value>)>,
    /// Number of the segment that is being gathered.
    segment: u32,
    text: String,
    dropped: u64,
}

/// Collects the lines of the whole process: it runs one attempt at a time.
pub struct AttemptLog;

impl AttemptLog {
    /// To be called once, before the first line.
    pub fn tell_with(tell: Tell) {
        // A second one would be a second agent, of which there is none.
        let _ = TELL.set(tell);
    }

    /// Whether lines are JSON.
    pub fn json() -> bool {
        *JSON
    }

    /// Begins an attempt's log; what was not fetched of the one before is gone. `context`: the span that it tells of.
    pub fn begin(assignment: &Assignment, context: Option<&TraceContext>) {
        let mut fields = Fields::new([
            ("job", json!(assignment.task.job)),
            ("task", json!(assignment.task)),
            ("attempt", json!(assignment.attempt)),
        ]);
        if let Some(worker) = &*WORKER {
            fields.rest.insert("worker".to_owned(), json!(worker));
        }
        if let Some(context) = context {
            fields
                .rest
                .extend(logging::traced(context.trace, context.span));
        }
        *lock(&LINES) = Lines {
            attempt: Some((assignment.lease, fields.rest)),
            segment: 0,
            text: String::new(),
            dropped: 0,
        };
    }

    pub fn pending() -> usize {
        lock(&LINES).text.len()
    }

    /// Takes what has been written of the open segment, and the segment's number.
    pub fn take() -> (u32, String) {
        let mut lines = lock(&LINES);
        if lines.dropped > 0 {
            let note = format!(
                "... {} lines dropped: the log could not be stored fast enough\n",
                lines.dropped
            );
            lines.text.push_str(&note);
            lines.dropped = 0;
        }
        (lines.segment, mem::take(&mut lines.text))
    }

    /// What was taken is in the store: the next segment begins.
    pub fn stored() {
        let mut lines = lock(&LINES);
        lines.segment += 1;
        // What was written meanwhile belongs to the new one, but was told with the old one's number.
        lines.tell(&lines.text);
    }

    /// What was taken could not be stored; it goes with what came since.
    pub fn give_back(mut text: String) {
        let mut lines = lock(&LINES);
        text.push_str(&lines.text);
        lines.text = text;
    }
}

impl Lines {
    fn tell(&self, text: &str) {
        if let (Some((lease, _)), Some(tell)) = (&self.attempt, TELL.get()) {
            tell(*lease, self.segment, text);
        }
    }
}

impl Sink for AttemptLog {
    fn around(&self) -> Map<String, Value> {
        let attempt = &lock(&LINES).attempt;
        attempt
            .as_ref()
            .map(|(_, fields)| fields.clone())
            .unwrap_or_default()
    }

    fn write(&self, line: &str) {
        let mut lines = lock(&LINES);
        if lines.attempt.is_none() {
            // Before the first task: the agent shows what comes here.
            let _ = io::stderr().lock().write_all(line.as_bytes());
            return;
        }
        if lines.text.len() > MAX_PENDING_BYTES {
            lines.dropped += 1;
            return;
        }
        lines.text.push_str(line);
        lines.tell(line);
    }
}
