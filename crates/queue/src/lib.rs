//! Wake-ups for pools of workers over RabbitMQ.
//!
//! The coordinator's database says what is true; a message only wakes somebody up who then asks. So a wake-up may be
//! lost, doubled, delayed or reordered without harm, and nothing here tries to prevent that at any price. What is
//! promised instead: no call waits longer than its limit, no consumer stays stuck, an error says what to do.
//!
//! ```text
//!  coordinator                        broker                              worker
//!  Publisher::publish ── mandatory ─▶ nightshift.v1.POOL ── prefetch 1 ─▶ Consumer::next
//!            ◀─ confirm or typed error                  ◀─────── ack ──── Delivery::ack
//!                                                       ◀── cancel/consume ── pause, resume
//! ```

mod backoff;
mod check;
mod consumer;
mod error;
mod flags;
mod link;
mod outage;
mod publisher;
mod settings;
mod topology;
mod transport;
mod wake_up;

pub use check::{check, check_at_start};
pub use consumer::{Consumer, ConsumerState, Delivery};
pub use error::{AckError, BrokerError, PublishError, SettingsError};
#[cfg(feature = "flags")]
pub use flags::{Flags, PASSWORD_VARIABLE};
pub use publisher::{Publisher, PublisherState};
pub use settings::{BrokerUrl, Settings};
pub use topology::{Depth, MAX_LENGTH, MESSAGE_TTL, queue_name};
pub use wake_up::{DecodeError, WakeUp};

#[cfg(test)]
mod tests;
