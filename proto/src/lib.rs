//! The wire: messages and services generated from `proto/nightshift/v1`.

pub mod executor_socket;
pub mod local;
mod reach;

pub use reach::{Client, Place, Reach, ReachError, Remote, TOKEN_VARIABLE, connect};

pub mod v1 {
    #![allow(clippy::all, clippy::pedantic, clippy::unwrap_used)]
    tonic::include_proto!("nightshift.v1");
}
