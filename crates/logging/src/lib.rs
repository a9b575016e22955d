//! One form of log line for all programs, as text or as JSON: time, level, what the program and the spans around it
//! say (worker, job, task, attempt), the message, its fields.

mod fields;
mod layer;
mod start;

/// Libraries whose errors and retries are told in our words, and once, by who uses them.
pub const TOLD_BY_US: [&str; 2] = ["lapin", "object_store"];

pub use fields::{Fields, line, traced};
pub use layer::{Lines, Sink};
#[cfg(feature = "flags")]
pub use start::{LogFilterError, LogSettings, start};

#[cfg(test)]
mod tests;
