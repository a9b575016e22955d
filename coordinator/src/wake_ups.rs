//! Takes the core's wake-ups to the broker, tells the core what it did not take, and users how it stands.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use coordinator_core::{Core, Event, WakeUp};
use queue::{PublishError, Publisher, PublisherState, Settings};
use tokio::sync::mpsc::UnboundedReceiver;
use types::{PoolName, chain};

use crate::handle::Handle;

/// Pools whose queues are tried at the start: those of jobs and workers, and the one that is meant if none is named.
pub fn pools(core: &Core) -> Vec<PoolName> {
    let mut pools: Vec<PoolName> = core.named_pools().cloned().collect();
    pools.push(PoolName::default());
    pools.sort();
    pools.dedup();
    pools
}

/// How workers are woken.
#[derive(Debug)]
pub struct WakeUps {
    broker: String,
    publisher: Publisher,
    /// Why the last wake-up of a pool was not taken; gone with the next that is.
    failing: Mutex<BTreeMap<PoolName, Failing>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Failing {
    why: String,
    /// It is about the pool's queue: the connection is as good as it says.
    of_queue: bool,
}

impl WakeUps {
    /// Connects in the background. Needs a tokio runtime.
    pub fn start(settings: Settings) -> Self {
        Self {
            broker: settings.url.to_string(),
            publisher: Publisher::start(settings),
            failing: Mutex::default(),
        }
    }

    /// Publishes what comes until the loop that sends it ends. Wake-ups do not wait for each other.
    pub async fn publish(self: Arc<Self>, mut ordered: UnboundedReceiver<WakeUp>, handle: Handle) {
        while let Some(wake_up) = ordered.recv().await {
            let (wake_ups, handle) = (Arc::clone(&self), handle.clone());
            tokio::spawn(async move {
                let number = wake_up.number;
                if wake_ups.publish_one(wake_up).await.is_err() {
                    // The loop has ended: nobody is woken any more.
                    let _ = handle.tell(Event::PublishFailed { number });
                }
            });
        }
    }

    async fn publish_one(&self, wake_up: WakeUp) -> Result<(), PublishError> {
        let message = queue::WakeUp {
            pool: wake_up.pool,
            number: wake_up.number,
            hint: wake_up.hint,
            trace: wake_up.trace,
        };
        let published = self.publisher.publish(&message).await;
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match &published {
            Ok(()) => {
                if failing.remove(&message.pool).is_some() {
                    tracing::info!(pool = %message.pool, "wake-ups go through the broker again");
                }
            }
            // Said once, not twice a second for as long as it lasts.
            Err(error) => {
                let failure = Failing {
                    why: chain(error),
                    of_queue: matches!(error, PublishError::Refused(_)),
                };
                if failing.get(&message.pool) != Some(&failure) {
                    tracing::warn!(pool = %message.pool, error = failure.why, "the broker takes no wake-ups: workers poll");
                }
                failing.insert(message.pool, failure);
            }
        }
        published
    }

    /// For users, in a line.
    pub fn status(&self) -> String {
        let broker = &self.broker;
        let polling = |why: String| format!("{broker}: {why}; workers poll until that is over");
        match self.publisher.state() {
            PublisherState::Disconnected(error) => polling(chain(&*error)),
            PublisherState::Blocked(reason) => polling(format!("takes no messages ({reason})")),
            PublisherState::Connected => {
                let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
                match failing.iter().find(|(_, failure)| failure.of_queue) {
                    Some((pool, failure)) => polling(format!("pool {pool}: {}", failure.why)),
                    None => format!("{broker}: connected"),
                }
            }
        }
    }
}
