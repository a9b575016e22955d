//! Deletes from the stores what attempts left that do not count, and what deleted jobs left: exactly the prefixes that the
//! core orders, one after the other, and says so.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use coordinator_core::{Event, Leftovers, Removal};
use store::{StoreError, Stores};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use types::chain;

use crate::{handle::Handle, publisher::pause};

/// Nobody waits for it: a store without the right to delete is tried no oftener.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

pub enum Order {
    Attempt(Leftovers),
    Job(Removal),
}

impl Order {
    fn store(&self) -> &str {
        match self {
            Self::Attempt(leftovers) => &leftovers.store,
            Self::Job(removal) => &removal.store,
        }
    }

    fn span(&self) -> tracing::Span {
        match self {
            Self::Attempt(order) => {
                tracing::info_span!("attempt", job = %order.task.job, task = %order.task, attempt = order.attempt, lease = order.lease.0)
            }
            Self::Job(order) => tracing::info_span!("job", job = %order.job),
        }
    }

    async fn carry_out(&self, stores: &Stores) -> Result<u64, StoreError> {
        let deleted = async {
            let store = stores.open(self.store())?;
            match self {
                Self::Attempt(leftovers) => store.delete_below(&leftovers.prefix, &[]).await,
                Self::Job(removal) => {
                    let folder = store::layout::job(&removal.job);
                    store.delete_below(&folder, &removal.keep).await
                }
            }
        };
        match deleted.await {
            // Nothing was ever written there, or its owner has removed it all.
            Err(StoreError::NotFound { .. }) => Ok(0),
            deleted => deleted,
        }
    }

    /// What the core is told.
    fn done(self, objects: u64) -> Event {
        match self {
            Self::Attempt(leftovers) => {
                let Leftovers { lease, prefix, .. } = leftovers;
                tracing::info!(objects, prefix, "swept: the attempt was not accepted");
                Event::PrefixSwept { lease, objects }
            }
            Self::Job(removal) => {
                let kept = removal.keep.len();
                tracing::info!(objects, kept, "removed: its user deleted the job");
                let Removal { job, again, .. } = removal;
                Event::JobRemoved { job, again }
            }
        }
    }
}

/// Takes orders until the loop that sends them ends. Stores do not wait for each other.
pub async fn sweep(mut orders: UnboundedReceiver<Order>, handle: Handle) {
    let mut of_store: HashMap<String, UnboundedSender<Order>> = HashMap::new();
    while let Some(order) = orders.recv().await {
        let sender = of_store.entry(order.store().to_owned()).or_insert_with(|| {
            let (sender, receiver) = unbounded_channel();
            tokio::spawn(sweep_store(receiver, handle.clone()));
            sender
        });
        // Its receiver ends after the loop only.
        let _ = sender.send(order);
    }
}

/// One store's orders. What the store refuses goes behind the others.
async fn sweep_store(mut orders: UnboundedReceiver<Order>, handle: Handle) {
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
        let span = order.span();
        match order.carry_out(handle.stores()).await {
            Ok(objects) => {
                failures = 0;
                let event = span.in_scope(|| order.done(objects));
                if handle.tell(event).is_err() {
                    return;
                }
            }
            Err(error) => {
                span.in_scope(|| {
                    tracing::warn!(error = chain(&error), "could not sweep; trying again")
                });
                waiting.push_back(order);
                tokio::time::sleep(pause(failures, LONGEST_PAUSE)).await;
                failures += 1;
            }
        }
    }
}
