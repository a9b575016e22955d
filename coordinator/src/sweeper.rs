//! Deletes from the stores what attempts left that do not count: exactly the prefixes that the core orders, one after the
//! other, and says so.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use coordinator_core::{Event, Leftovers};
use store::{StoreError, Stores};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use types::chain;

use crate::{handle::Handle, publisher::pause};

/// Nobody waits for it: a store without the right to delete is tried no oftener.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// Takes orders until the loop that sends them ends. Stores do not wait for each other.
pub async fn sweep(mut orders: UnboundedReceiver<Leftovers>, handle: Handle) {
    let mut of_store: HashMap<String, UnboundedSender<Leftovers>> = HashMap::new();
    while let Some(order) = orders.recv().await {
        let sender = of_store.entry(order.store.clone()).or_insert_with(|| {
            let (sender, receiver) = unbounded_channel();
            tokio::spawn(sweep_store(receiver, handle.clone()));
            sender
        });
        // Its receiver ends after the loop only.
        let _ = sender.send(order);
    }
}

/// One store's orders. What the store refuses goes behind the others.
async fn sweep_store(mut orders: UnboundedReceiver<Leftovers>, handle: Handle) {
    let mut waiting = VecDeque::new();
    let mut failures = 0;
    loop {
        if waiting.is_empty() {
            waiting.extend(orders.recv().await);
        }
        while let Ok(order) = orders.try_recv() {
            waiting.push_back(order);
        }
        let Some(order) = waiting.pop_front() else {
            return;
        };
        let span = tracing::info_span!("attempt", job = %order.task.job, task = %order.task, attempt = order.attempt, lease = order.lease.0);
        match delete(&order, handle.stores()).await {
            Ok(objects) => {
                failures = 0;
                span.in_scope(|| {
                    tracing::info!(
                        objects,
                        prefix = order.prefix,
                        "swept: the attempt was not accepted"
                    )
                });
                let lease = order.lease;
                if handle.tell(Event::PrefixSwept { lease, objects }).is_err() {
                    return;
                }
            }
            Err(error) => {
                span.in_scope(|| {
                    tracing::warn!(
                        error = chain(&error),
                        prefix = order.prefix,
                        "could not sweep; trying again"
                    )
                });
                waiting.push_back(order);
                tokio::time::sleep(pause(failures, LONGEST_PAUSE)).await;
                failures += 1;
            }
        }
    }
}

async fn delete(order: &Leftovers, stores: &Stores) -> Result<u64, StoreError> {
    match stores.open(&order.store) {
        Ok(store) => store.delete_below(&order.prefix).await,
        // Nothing was ever written there, or its owner has removed it all.
        Err(StoreError::NotFound { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}
