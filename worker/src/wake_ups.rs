//! The broker's side of the agent: what it delivers becomes an event, what the agent orders is done in that order.

use std::sync::{Arc, Mutex, PoisonError};

use queue::{Consumer, Delivery, Settings};
use spans::Beginning;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use types::{PoolName, TraceContext};
use worker_core::{AgentEffect, AgentEvent};

/// Carried out beside the agent's loop: the broker may take seconds to answer, and heartbeats must not wait for it.
pub struct WakeUps {
    orders: UnboundedSender<Order>,
    last: Last,
}

/// A message that has arrived.
#[derive(Debug, Clone)]
pub struct Woken {
    pub number: u64,
    /// Of the job that it hints at.
    pub trace: Option<TraceContext>,
    pub beginning: Beginning,
}

/// The last one: a claim names no other.
type Last = Arc<Mutex<Option<Woken>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Consume,
    Pause,
    Ack,
}

impl Order {
    pub fn of(effect: &AgentEffect) -> Option<Self> {
        match effect {
            AgentEffect::ConsumeWakeUps => Some(Self::Consume),
            AgentEffect::PauseWakeUps => Some(Self::Pause),
            AgentEffect::AckWakeUp => Some(Self::Ack),
            _ => None,
        }
    }
}

impl WakeUps {
    /// Needs a tokio runtime. Connects with the first order to consume.
    pub fn start(settings: Settings, pool: PoolName, events: UnboundedSender<AgentEvent>) -> Self {
        let (orders, received) = unbounded_channel();
        let last = Last::default();
        tokio::spawn(run(settings, pool, received, events, Arc::clone(&last)));
        Self { orders, last }
    }

    /// The message of this number, which led to a claim.
    pub fn woken(&self, number: u64) -> Option<Woken> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.take_if(|woken| woken.number == number)
    }

    pub fn order(&self, order: Order) {
        // The task ends only with the process.
        let _ = self.orders.send(order);
    }
}

async fn run(
    settings: Settings,
    pool: PoolName,
    mut orders: UnboundedReceiver<Order>,
    events: UnboundedSender<AgentEvent>,
    last: Last,
) {
    let mut consumer: Option<Consumer> = None;
    let mut held: Option<Delivery> = None;
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            Some(delivery) = next(&mut consumer), if held.is_none() => {
                let number = delivery.wake_up.number;
                tracing::debug!(number, hint = ?delivery.wake_up.hint, "woken");
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Woken {
                    number,
                    trace: delivery.wake_up.trace.clone(),
                    beginning: Beginning::now(),
                });
                held = Some(delivery);
                // The loop is gone only when the process ends.
                let _ = events.send(AgentEvent::Woken { number });
                continue;
            }
        };
        match (order, &mut consumer) {
            (Some(Order::Consume), Some(consumer)) => consumer.resume(),
            (Some(Order::Consume), none) => {
                *none = Some(Consumer::start(settings.clone(), pool.clone()));
            }
            (Some(Order::Pause), Some(consumer)) => consumer.pause().await,
            (Some(Order::Pause), None) => {}
            (Some(Order::Ack), _) => {
                if let Some(delivery) = held.take()
                    && let Err(error) = delivery.ack().await
                {
                    tracing::debug!(%error, "a wake-up was not acked");
                }
            }
            (None, _) => return,
        }
    }
}

async fn next(consumer: &mut Option<Consumer>) -> Option<Delivery> {
    match consumer {
        Some(consumer) => consumer.next().await,
        None => std::future::pending().await,
    }
}
