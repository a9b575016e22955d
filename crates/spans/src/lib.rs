//! Spans to an OpenTelemetry collector, by the standard variables; nothing at all where these are not set.
//!
//! A program begins a span by making its context, which travels ahead of it (gRPC metadata, message headers, the
//! executor's socket, the database), and records the span when it is over.
//! See `docs/decisions/0121-trace-spans.md` for why this is not OpenTelemetry's own SDK.

mod carry;
mod environment;
mod exporter;
mod sampler;
mod span;

pub use carry::{carried, carry, of_environment};
pub use environment::EnvironmentError;
pub use exporter::Spans;
pub use proto::otlp::span::Kind;
pub use span::{Attribute, Beginning, Span, from_milliseconds};

#[cfg(test)]
mod tests;
