//! The queues: their names, their arguments, and the one way to declare them.
//!
//! The arguments mean the same on RabbitMQ 3.10 to 4.3. What differs between versions is left to the broker on
//! purpose (the delivery limit), so that a queue declared on one version can be declared again on the next.

use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use types::PoolName;

use crate::error::{self, BrokerError};

/// The queue's limit, beside the shorter one that each wake-up carries: idle workers have asked dozens of times since.
pub const MESSAGE_TTL: Duration = Duration::from_secs(15 * 60);
/// Far above any window of the coordinator (twice the free slots), far below what would trouble a broker.
pub const MAX_LENGTH: u32 = 50_000;

/// What is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Not yet delivered to anybody.
    pub ready: u32,
    pub consumers: u32,
}

/// The version is in the name, since a queue's arguments can never be changed.
pub fn queue_name(pool: &PoolName) -> String {
    format!("nightshift.v1.{pool}")
}

fn arguments() -> FieldTable {
    let mut table = FieldTable::default();
    let mut set = |name: &str, value: AMQPValue| {
        table.insert(name.into(), value);
    };
    set("x-queue-type", AMQPValue::LongString("quorum".into()));
    let ttl = i64::try_from(MESSAGE_TTL.as_millis()).unwrap_or(i64::MAX);
    set("x-message-ttl", AMQPValue::LongLongInt(ttl));
    set("x-max-length", AMQPValue::LongLongInt(MAX_LENGTH.into()));
    set("x-overflow", AMQPValue::LongString("drop-head".into()));
    table
}

/// Makes sure that a pool's queue exists as it should. The caller bounds the time.
pub(crate) async fn declare(channel: &Channel, pool: &PoolName) -> Result<Depth, BrokerError> {
    let queue = queue_name(pool);
    let options = QueueDeclareOptions::durable();
    match channel
        .queue_declare(queue.as_str().into(), options, arguments())
        .await
    {
        Ok(declared) => Ok(Depth {
            ready: declared.message_count(),
            consumers: declared.consumer_count(),
        }),
        Err(error) => Err(refusal(&queue, error)),
    }
}

/// What a channel's end means, where it was about one queue.
pub(crate) fn refusal(queue: &str, error: lapin::Error) -> BrokerError {
    let queue = queue.to_owned();
    match error::broker_reason(&error) {
        // Also the code of a wake-up held too long, which has nothing to do with arguments.
        Some((406, reason)) if reason.contains("inequivalent arg") => {
            BrokerError::QueueDiffers { queue, reason }
        }
        Some((403, reason)) => BrokerError::Denied { queue, reason },
        _ => error::closed(error),
    }
}
