//! A span that is over: what the collector is told of it.

use std::{
    ops::Range,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use proto::otlp::{self, AnyValue, KeyValue, Status, any_value, span::Kind, status::Code};
use types::TraceContext;

/// When something began. Its end is measured by the clock that does not jump.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    wall: SystemTime,
    at: Instant,
}

impl Beginning {
    pub fn now() -> Self {
        Self {
            wall: SystemTime::now(),
            at: Instant::now(),
        }
    }

    /// That moment as a time of day; one before the beginning is the beginning.
    pub fn wall(self, moment: Instant) -> SystemTime {
        self.wall + moment.saturating_duration_since(self.at)
    }

    /// From the beginning until now.
    pub fn until_now(self) -> Range<SystemTime> {
        self.wall..self.wall(Instant::now())
    }
}

/// A time of day from milliseconds since 1970, as rows hold it.
pub fn from_milliseconds(since_1970: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(since_1970.max(0).unsigned_abs())
}

/// What is said about a span beside its name and times.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Text(String),
    Number(i64),
    Real(f64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<f64> for Attribute {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    inner: otlp::Span,
}

impl Span {
    /// `times`: an end before the beginning, as a clock that was set back makes it, is the beginning.
    pub fn new(
        name: impl Into<String>,
        kind: Kind,
        context: &TraceContext,
        parent: Option<&TraceContext>,
        times: Range<SystemTime>,
    ) -> Self {
        let start = nanoseconds(times.start);
        let parent = parent.map(|parent| parent.span.bytes().to_vec());
        Self {
            inner: otlp::Span {
                trace_id: context.trace.bytes().to_vec(),
                span_id: context.span.bytes().to_vec(),
                trace_state: context.tracestate().unwrap_or_default().to_owned(),
                parent_span_id: parent.unwrap_or_default(),
                name: name.into(),
                kind: kind.into(),
                start_time_unix_nano: start,
                end_time_unix_nano: nanoseconds(times.end).max(start),
                attributes: Vec::new(),
                status: None,
                flags: u32::from(context.sampled),
            },
        }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Attribute>) -> Self {
        self.inner.attributes.push(attribute(key, value.into()));
        self
    }

    /// What it was about did not succeed.
    #[must_use]
    pub fn failed(mut self, message: impl Into<String>) -> Self {
        self.inner.status = Some(Status {
            message: message.into(),
            code: Code::Error.into(),
        });
        self
    }

    /// Whoever began the trace, or this program's sampler, wants it recorded.
    pub fn is_sampled(&self) -> bool {
        self.inner.flags & 1 != 0
    }
}

/// Spans on their way to the agent.
impl From<Span> for otlp::Span {
    fn from(span: Span) -> Self {
        span.inner
    }
}

pub(crate) fn attribute(key: &str, value: Attribute) -> KeyValue {
    let value = match value {
        Attribute::Text(text) => any_value::Value::StringValue(text),
        Attribute::Number(number) => any_value::Value::IntValue(number),
        Attribute::Real(number) => any_value::Value::DoubleValue(number),
    };
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
