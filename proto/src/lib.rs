//! The wire: messages and services generated from `proto/nightshift/v1`, and the part of OpenTelemetry's that is spoken.

pub mod executor_socket;
pub mod local;
mod reach;

/// The service's name holds the protocol's version: whoever speaks another one does not know these calls.
pub const OTHER_PROTOCOL: &str = "the coordinator does not speak this program's protocol (nightshift.v1); all programs of a cluster must be of versions that do";

pub use reach::{Client, Place, Reach, ReachError, Remote, TOKEN_VARIABLE, connect};

pub mod v1 {
    #![allow(clippy::all, clippy::pedantic, clippy::unwrap_used)]
    tonic::include_proto!("nightshift.v1");
}

pub mod otlp {
    #![allow(clippy::all, clippy::pedantic, clippy::unwrap_used)]
    tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
}
