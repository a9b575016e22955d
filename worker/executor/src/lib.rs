//! The program that computes: one task at a time, told and watched by the worker's agent over a socket pair.
//!
//! It may crash, hang, leak or be killed; everything it leaves behind lies under the attempt's prefix.

mod attempt;
mod attempt_log;
mod decision;
mod error;
mod fingerprint;
mod images;
mod level;
mod model;
mod packages;
mod parallel;
mod probe;
mod serve;
mod spool;
mod stages;
mod tasks;
mod wire;

pub use probe::probe;
pub use serve::serve;
pub use wire::{FD_VARIABLE, read_message, write_message};
