//! The log of a running attempt as far as its executor has not stored it: what is left of one whose executor dies.

use std::time::Duration;

use logging::{Fields, line};
use proto::v1::ExecutorLog;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use spans::Spans;
use store::{StoreError, Stores, layout};
use tracing::Level;
use types::{JobId, LeaseNumber, TaskId, TraceContext, WorkerName};
use worker_core::Grant;

/// A store that does not answer must not keep a failure from being told.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Lines of an executor's standard error that go with its log: the last ones.
const STDERR_LINES: usize = 100;

/// Which attempt is meant, in every line about it.
#[derive(Debug, Clone)]
pub struct About {
    pub job: JobId,
    pub task: TaskId,
    /// Within the task, from 1.
    pub attempt: u32,
    pub lease: LeaseNumber,
    /// `list`, `fit`...
    pub kind: String,
    /// None where nobody traces the job.
    pub traced: Option<Traced>,
}

/// Where the attempt stands in its job's trace.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The coordinator's span of the attempt.
    pub attempt: TraceContext,
    /// This agent's part in it; the attempt's, if the agent records none.
    pub task: TraceContext,
}

impl About {
    /// A span with these fields, for the lines of others.
    pub fn span(&self) -> tracing::Span {
        let task = self.traced.as_ref().map(|traced| &traced.task);
        tracing::info_span!(
            "attempt",
            job = %self.job,
            task = %self.task,
            attempt = self.attempt,
            lease = self.lease.0,
            trace_id = task.map(|task| display(task.trace)),
            span_id = task.map(|task| display(task.span)),
        )
    }
}

/// What the agent reads of a `plan::Assignment` for this.
#[derive(Deserialize)]
struct AssignmentHead {
    attempt: u32,
    store: String,
    prefix: String,
    spec: SpecHead,
    #[serde(default)]
    confined: bool,
    trace: Option<TraceContext>,
}

#[derive(Deserialize)]
struct SpecHead {
    kind: String,
}

/// The segment that the executor has not stored yet.
pub struct OpenSegment {
    pub about: About,
    store: String,
    /// As the assignment says.
    confined: bool,
    prefix: String,
    worker: WorkerName,
    json: bool,
    number: u32,
    text: String,
    stderr: Vec<String>,
}

impl OpenSegment {
    /// The error is for the log: an assignment that cannot be read is refused by the executor.
    pub fn begin(
        grant: &Grant,
        worker: WorkerName,
        json: bool,
        spans: &Spans,
    ) -> Result<Self, serde_json::Error> {
        let head: AssignmentHead = serde_json::from_str(&grant.assignment_json)?;
        let traced = head.trace.map(|attempt| Traced {
            // By its lease: a coordinator that records nothing hands out the job's own context for every attempt.
            task: spans.child(&attempt, "task", grant.lease.0),
            attempt,
        });
        Ok(Self {
            about: About {
                job: grant.task.job.clone(),
                task: grant.task.clone(),
                attempt: head.attempt,
                lease: grant.lease,
                kind: head.spec.kind,
                traced,
            },
            store: head.store,
            confined: head.confined,
            prefix: head.prefix,
            worker,
            json,
            number: 0,
            text: String::new(),
            stderr: Vec::new(),
        })
    }

    /// Takes what the executor wrote; a higher number says that everything before it is in the store.
    pub fn heard(&mut self, log: ExecutorLog) {
        if LeaseNumber(log.lease) != self.about.lease || log.segment < self.number {
            return;
        }
        if log.segment > self.number {
            self.number = log.segment;
            self.text.clear();
        }
        self.text.push_str(&log.text);
    }

    /// Takes a line of the executor's standard error.
    pub fn said(&mut self, text: &str) {
        if self.stderr.len() == STDERR_LINES {
            self.stderr.remove(0);
        }
        let line = self.line(Level::WARN, text, "executor_stderr");
        self.stderr.push(line);
    }

    /// Stores the rest of the log, ending with how the executor ended. Whoever follows it sees this before the failure.
    pub async fn close(mut self, stores: &Stores, end: &str) {
        let last = self.line(Level::ERROR, end, "agent");
        self.text.extend(self.stderr.drain(..));
        self.text.push_str(&last);
        if self.confined {
            stores.confine();
        }
        let path = format!("{}/{}", self.prefix, layout::log_segment(self.number));
        let stored =
            tokio::time::timeout(STORE_TIMEOUT, put(stores, &self.store, &path, self.text)).await;
        let error = match stored {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", STORE_TIMEOUT.as_secs()),
        };
        let about = &self.about;
        tracing::warn!(job = %about.job, task = %about.task, attempt = about.attempt, %error, "cannot store the end of the attempt's log");
    }

    fn line(&self, level: Level, message: &str, from: &str) -> String {
        let mut around: Map<String, Value> = Fields::new([
            ("job", json!(self.about.job)),
            ("task", json!(self.about.task)),
            ("attempt", json!(self.about.attempt)),
            ("worker", json!(self.worker)),
        ])
        .rest;
        if let Some(Traced { task, .. }) = &self.about.traced {
            around.extend(logging::traced(task.trace, task.span));
        }
        let event = Fields {
            message: message.to_owned(),
            ..Fields::new([("from", json!(from))])
        };
        line(self.json, level, &around, &event)
    }
}

/// The attempt may be the first to write there: whoever fails at once is faster than the coordinator with the job's file.
async fn put(stores: &Stores, store: &str, path: &str, text: String) -> Result<(), StoreError> {
    stores.create(store)?.put(path, text.into()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_log_is_stored_where_nobody_has_written_yet() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("not/there/yet");
        let prefix = "jobs/abcd/tasks/0/7-x";
        let assignment = json!({
            "attempt": 1, "store": store::file_uri(&out), "prefix": prefix, "spec": {"kind": "list"},
        });
        let grant = Grant {
            lease: LeaseNumber(7),
            task: "abcd-0000".parse().unwrap(),
            assignment_json: assignment.to_string(),
            timeout_ms: None,
            memory_bytes: None,
        };
        let worker = "box".parse().unwrap();
        let log = OpenSegment::begin(&grant, worker, false, &Spans::default()).unwrap();
        log.close(&Stores::default(), "it could not be started")
            .await;
        let path = out.join(prefix).join(layout::log_segment(0));
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("it could not be started"), "{text}");
    }
}
